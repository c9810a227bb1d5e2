//! Times for people: stored as milliseconds since 1970, shown with their zone.

use base::name::Name;
use base::span::Span;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::error::ControlError;

/// `2026-11-21 04:02:33 UTC`.
pub fn utc(ms: u64) -> String {
    shown(ms, TimeZone::UTC)
}

/// `2026-11-21 05:02:33 +01:00`, in the zone of this machine or of `TZ`.
pub fn local(ms: u64) -> String {
    shown(ms, TimeZone::system())
}

/// `2026-11-21T04:02:33.000Z`, as protocols write it (RFC 3339).
pub fn internet(ms: u64) -> String {
    timestamp(ms).strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// `20261121T040233Z`: the name that a mark gets where none is given.
///
/// # Panics
/// Never: digits and letters make a name.
pub fn mark_name(ms: u64) -> Name {
    let text = timestamp(ms).strftime("%Y%m%dT%H%M%SZ").to_string();
    text.parse().expect("digits and letters make a name")
}

/// `5 min ago`, `in 3 s`: the distance of `ms` from `now_ms` in its largest whole unit.
pub fn relative(ms: u64, now_ms: u64) -> String {
    let seconds = now_ms.abs_diff(ms) / 1000;
    let amount = match seconds {
        0 => return "now".to_owned(),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    };
    if ms > now_ms { format!("in {amount}") } else { format!("{amount} ago") }
}

/// The moment that a text names: `2027-03-01` or `2027-03-01T02:30` in this zone, or with one of its own.
///
/// # Errors
/// `Invalid` where it names none, or one that is not to come.
pub fn to_come(text: &str, zone: &TimeZone, now: Timestamp) -> Result<Timestamp, ControlError> {
    let invalid = |why, way_out: &str| ControlError::Invalid { why, way_out: way_out.into() };
    let read = text.parse::<Timestamp>().ok().or_else(|| {
        let civil: DateTime = text.parse().ok()?;
        zone.to_timestamp(civil).ok()
    });
    let Some(at) = read else {
        let why = format!("{:?} is no moment", text.chars().take(40).collect::<String>());
        return Err(invalid(why, "write a date such as 2027-03-01, or 2027-03-01T02:30"));
    };
    if at < now {
        return Err(invalid(format!("{text} has passed"), "name a moment to come"));
    }
    Ok(at)
}

/// How long it is from `now_ms` to the moment that a text names in the zone of this machine.
///
/// # Errors
/// As [`to_come`].
pub fn span_until(text: &str, now_ms: u64) -> Result<Span, ControlError> {
    let now = timestamp(now_ms);
    let left = to_come(text, &TimeZone::system(), now)?.duration_since(now).as_millis();
    Ok(Span::of_ms(u64::try_from(left).unwrap_or(u64::MAX)))
}

/// A moment to come as [`to_come`] reads it, at most `days_max` ahead; in milliseconds since 1970.
///
/// # Errors
/// As [`to_come`], and where it lies too far ahead.
pub fn moment(
    text: &str,
    zone: &TimeZone,
    now_ms: u64,
    days_max: i64,
) -> Result<u64, ControlError> {
    let now = timestamp(now_ms);
    let at = to_come(text, zone, now)?;
    if at.duration_since(now).as_hours() > days_max * 24 {
        let why = format!("{text} is more than {days_max} days ahead");
        return Err(ControlError::Invalid { why, way_out: "name an earlier moment".into() });
    }
    Ok(u64::try_from(at.as_millisecond()).unwrap_or(0))
}

fn shown(ms: u64, zone: TimeZone) -> String {
    let is_utc = zone == TimeZone::UTC;
    let zoned = timestamp(ms).to_zoned(zone);
    let format = if is_utc { "%Y-%m-%d %H:%M:%S UTC" } else { "%Y-%m-%d %H:%M:%S %:z" };
    zoned.strftime(format).to_string()
}

/// A time past what a calendar can show becomes the last one that it can.
fn timestamp(ms: u64) -> Timestamp {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_795_233_753_000;

    #[test]
    fn times_are_shown_with_their_zone() {
        assert_eq!(utc(MS), "2026-11-21 04:02:33 UTC");
        assert_eq!(shown(MS, TimeZone::fixed(jiff::tz::offset(-5))), "2026-11-20 23:02:33 -05:00");
    }

    #[test]
    fn a_moment_to_come_is_read_and_how_long_it_is_until_then() {
        let span = |text: &str| span_until(text, MS).map(|span| span.to_string());
        assert_eq!(span("2026-11-21T05:02:33Z").unwrap(), "1h");
        assert_eq!(span("2026-11-21T05:02:33+01:00").unwrap(), "1s", "no less than that");
        for (text, says) in [("soon", "no moment"), ("2026-11-20", "has passed")] {
            assert!(span(text).unwrap_err().to_string().contains(says), "{text}");
        }
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let at = to_come("2027-03-01T02:30", &berlin, timestamp(MS)).unwrap();
        assert_eq!(at, "2027-03-01T01:30:00Z".parse().unwrap());
    }

    #[test]
    fn protocols_get_their_form_with_milliseconds() {
        assert_eq!(internet(MS + 7), "2026-11-21T04:02:33.007Z");
    }

    #[test]
    fn a_mark_without_a_name_gets_its_moment_as_one() {
        assert_eq!(mark_name(MS).as_str(), "20261121T040233Z");
        assert!(!mark_name(u64::MAX).as_str().is_empty());
    }

    #[test]
    fn a_moment_is_read_in_its_zone_and_lies_ahead_but_not_too_far() {
        let read = |text: &str| moment(text, &TimeZone::fixed(jiff::tz::offset(1)), MS, 366);
        assert_eq!(read("2026-11-21T06:02:33").unwrap(), MS + 3_600_000);
        assert_eq!(read("2026-11-21T05:02:33Z").unwrap(), MS + 3_600_000);
        for (text, says) in [
            ("tomorrow", "no moment"),
            ("2026-11-21T05:00", "has passed"),
            ("1969-01-01", "has passed"),
            ("2027-11-24", "days ahead"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn distances_come_in_their_largest_unit_on_both_sides_of_now() {
        for (seconds, text) in [
            (0, "now"),
            (59, "59 s ago"),
            (61, "1 min ago"),
            (7200, "2 h ago"),
            (172_800, "2 days ago"),
        ] {
            assert_eq!(relative(MS, MS + seconds * 1000), text);
        }
        assert_eq!(relative(MS + 90_000, MS), "in 1 min");
    }
}
