//! The log: on the error stream, for people or programs, with a level that a reload changes.

use control::ControlError;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use super::args::LogFormat;

/// The FUSE library warns of what is no trouble: requests that every server refuses, and mounts that are
/// gone already when it looks.
const DEFAULT_LEVEL: &str = "info,fuser=error";

/// What is logged, to be changed while it runs.
pub(super) struct Level {
    handle: Handle<EnvFilter, Registry>,
}

/// Starts logging.
///
/// # Errors
/// `Invalid` where the level is none.
pub(super) fn start(format: LogFormat, level: Option<&str>) -> Result<Level, ControlError> {
    let (filter, handle) = reload::Layer::new(filter(level)?);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).init();
    Ok(Level { handle })
}

impl Level {
    /// Changes what is logged from now on.
    ///
    /// # Errors
    /// `Invalid` where the level is none; then nothing changes.
    pub(super) fn set(&self, level: Option<&str>) -> Result<(), ControlError> {
        let filter = filter(level)?;
        self.handle.reload(filter).map_err(|error| ControlError::State {
            what: "change the log's level".into(),
            why: error.to_string(),
        })
    }
}

fn filter(level: Option<&str>) -> Result<EnvFilter, ControlError> {
    let level = level.unwrap_or(DEFAULT_LEVEL);
    EnvFilter::try_new(level).map_err(|error| ControlError::Invalid {
        why: format!("{level:?} is no log level: {error}"),
        way_out: "use error, warn, info, debug or trace, or a filter such as info,store=debug"
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_none_is_refused_by_name() {
        assert!(filter(None).is_ok() && filter(Some("warn,store=trace")).is_ok());
        let error = filter(Some("info,store=lots")).unwrap_err();
        assert!(error.to_string().contains("store=lots"), "{error}");
    }
}
