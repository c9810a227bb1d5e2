//! From when on something is told, and how often again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ControlError;

/// Runs of a policy that may be missing before its marks are too old, at most.
const MARK_AGE_FACTOR_MAX: u32 = 100;
/// Hours after which an alert is told again, at most: a month.
const REPEAT_HOURS_MAX: u32 = 744;

/// From when on something is told, and how often again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// After how many of its policy's runs without a mark the newest mark of a volume is too old.
    pub mark_age_factor: u32,
    /// From how much on that is used where the pool lies there is a warning, in percent.
    pub space_warning_percent: u32,
    /// From how much on it is critical, in percent.
    pub space_critical_percent: u32,
    /// After how many hours what lasts is told again; 0 for never.
    pub repeat_hours: u32,
}

impl Default for Settings {
    /// Two runs in turn: one may fail for a reason that passes. Once a day: what was forgotten comes up again.
    fn default() -> Self {
        Self {
            mark_age_factor: 2,
            space_warning_percent: 85,
            space_critical_percent: 95,
            repeat_hours: 24,
        }
    }
}

/// What to change of them; what is left out stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SettingsChange {
    /// Another number of runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark_age_factor: Option<u32>,
    /// Another threshold of the warning, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub space_warning_percent: Option<u32>,
    /// Another critical threshold, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub space_critical_percent: Option<u32>,
    /// Other hours; 0 for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat_hours: Option<u32>,
}

impl Settings {
    /// Them, changed.
    ///
    /// # Errors
    /// `Invalid`, with what would be right.
    pub fn changed_by(self, change: SettingsChange) -> Result<Self, ControlError> {
        let changed = Self {
            mark_age_factor: change.mark_age_factor.unwrap_or(self.mark_age_factor),
            space_warning_percent: change
                .space_warning_percent
                .unwrap_or(self.space_warning_percent),
            space_critical_percent: change
                .space_critical_percent
                .unwrap_or(self.space_critical_percent),
            repeat_hours: change.repeat_hours.unwrap_or(self.repeat_hours),
        };
        changed.check()?;
        Ok(changed)
    }

    /// Whether they make sense.
    ///
    /// # Errors
    /// `Invalid`, with what would be right.
    pub fn check(&self) -> Result<(), ControlError> {
        let invalid =
            |why: String, way_out: &str| ControlError::Invalid { why, way_out: way_out.into() };
        if !(1..=MARK_AGE_FACTOR_MAX).contains(&self.mark_age_factor) {
            let why = format!("marks cannot be too old after {} runs", self.mark_age_factor);
            return Err(invalid(why, &format!("name 1 to {MARK_AGE_FACTOR_MAX} runs")));
        }
        let (warning, critical) = (self.space_warning_percent, self.space_critical_percent);
        if warning == 0 || warning > critical || critical > 100 {
            let why =
                format!("a warning at {warning} % and critical at {critical} % make no sense");
            return Err(invalid(why, "name percentages up to 100, the critical one not below"));
        }
        if self.repeat_hours > REPEAT_HOURS_MAX {
            let why = format!("{} hours are too long to repeat after", self.repeat_hours);
            return Err(invalid(why, &format!("name up to {REPEAT_HOURS_MAX}, or 0 for never")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused_and_nothing_changes() {
        let changed = |change: SettingsChange| Settings::default().changed_by(change);
        let change = SettingsChange::default();
        assert_eq!(changed(change).unwrap(), Settings::default());
        let ninety = SettingsChange { space_warning_percent: Some(90), ..change };
        assert_eq!(changed(ninety).unwrap().space_warning_percent, 90);
        for (change, named) in [
            (SettingsChange { mark_age_factor: Some(0), ..change }, "0 runs"),
            (SettingsChange { mark_age_factor: Some(101), ..change }, "101 runs"),
            (SettingsChange { space_warning_percent: Some(96), ..change }, "96 %"),
            (SettingsChange { space_warning_percent: Some(0), ..change }, "0 %"),
            (SettingsChange { space_critical_percent: Some(101), ..change }, "101 %"),
            (SettingsChange { repeat_hours: Some(745), ..change }, "745"),
        ] {
            let error = changed(change).unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
