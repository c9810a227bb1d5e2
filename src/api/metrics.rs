//! What the appliance is like in numbers, in the text form that Prometheus reads. Base units throughout; a state is
//! a 0 or 1 for each of its words. Names are relied on by dashboards and stay.
//!
//! Sources: OpenMetrics 1.0; the older text form of Prometheus, version 0.0.4.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::AtomicU64;

use axum::http::{HeaderMap, header};
use control::alerts::rule::Severity;
use control::capacity::Forecasts;
use control::capacity::forecast::Forecast;
use control::status::{
    ApplianceStatus, DiskRef, Grade, JobState, MarkTally, PoolState, PoolStatus, Protocol,
    VolumeState,
};
use control::traffic::{Counted, LATENCY_CLASSES, Reading, Traffic};
use control::{Appliance, ControlError};
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// How the text is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// OpenMetrics.
    Open,
    /// The older form of Prometheus, for whoever does not ask for the other.
    Text,
}

/// The media type of [`Form::Open`], as it is asked for.
const OPEN_TYPE: &str = "application/openmetrics-text";

impl Form {
    /// What somebody takes who sends these.
    pub fn accepted(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
        let mut all = lines.flat_map(|line| line.split(','));
        let is_open = |one: &str| {
            one.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(OPEN_TYPE))
        };
        if all.any(is_open) { Self::Open } else { Self::Text }
    }

    /// Its content type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Open => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Seconds of a day.
const DAY_SECONDS: f64 = 86_400.0;

type Labels = Vec<(&'static str, String)>;

/// The classes of latency between which a histogram tells no difference, so that a scrape stays short: the ends of
/// those that are told, as powers of two of microseconds, 16 us to 8.4 s.
const TOLD_CLASSES: &[usize] = &[4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20, 23];
const _: () = assert!(TOLD_CLASSES[TOLD_CLASSES.len() - 1] < LATENCY_CLASSES);

/// What only goes up, for each set of labels.
#[derive(Debug)]
struct Totals(Vec<(Labels, u64)>);

impl EncodeMetric for Totals {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (labels, value) in &self.0 {
            encoder.encode_family(labels)?.encode_counter::<NoLabelSet, _, u64>(value, None)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

/// How long something took, for each set of labels.
#[derive(Debug)]
struct Times(Vec<(Labels, Reading)>);

impl EncodeMetric for Times {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (labels, reading) in &self.0 {
            let buckets = buckets(reading);
            // Counters are read one after the other: the sum of the classes is what they agree with.
            let count = buckets.iter().map(|(_, count)| count).sum();
            let sum = reading.total.as_secs_f64();
            if labels.is_empty() {
                encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
                continue;
            }
            let mut one = encoder.encode_family(labels)?;
            one.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

/// The told classes: where each ends, in seconds, and how many fell into it; the last has no end.
fn buckets(reading: &Reading) -> Vec<(f64, u64)> {
    let mut buckets = Vec::new();
    let mut from = 0;
    for &class in TOLD_CLASSES {
        let count = reading.latency[from..=class].iter().sum();
        buckets.push((bytes(1 << class) / 1e6, count));
        from = class + 1;
    }
    buckets.push((f64::MAX, reading.latency[from..].iter().sum()));
    buckets
}

/// One scrape.
struct Sheet(Registry);

impl Sheet {
    /// A number that there is once.
    fn one(&mut self, name: &str, about: &str, value: f64) {
        let gauge = Gauge::<f64, AtomicU64>::default();
        gauge.set(value);
        self.0.register(name, about, gauge);
    }

    /// What only goes up; `_total` is put after the name.
    fn totals(&mut self, name: &str, about: &str, values: Vec<(Labels, u64)>) {
        self.0.register(name, about, Totals(values));
    }

    /// How long something took.
    fn times(&mut self, name: &str, about: &str, values: Vec<(Labels, Reading)>) {
        self.0.register(name, about, Times(values));
    }

    /// A number for each set of labels.
    fn each(&mut self, name: &str, about: &str, values: impl IntoIterator<Item = (Labels, f64)>) {
        let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).set(value);
        }
        self.0.register(name, about, family);
    }

    fn text(&self, form: Form) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0)?;
        // The encoder's word for what is infinite is not that of the text form.
        let text = text.replace(" inf\n", " +Inf\n");
        Ok(match form {
            Form::Open => text,
            Form::Text => older(&text),
        })
    }
}

/// OpenMetrics as the older form: it describes what only goes up under the name that its figures have, and knows no end.
fn older(text: &str) -> String {
    let described = |line: &str| {
        let (kind, rest) = line.strip_prefix("# ")?.split_once(' ')?;
        let (name, about) = rest.split_once(' ')?;
        matches!(kind, "HELP" | "TYPE")
            .then(|| (kind.to_owned(), name.to_owned(), about.to_owned()))
    };
    let totals: BTreeSet<String> = text
        .lines()
        .filter_map(described)
        .filter_map(|(kind, name, about)| (kind == "TYPE" && about == "counter").then_some(name))
        .collect();
    let lines = text.lines().filter(|line| *line != "# EOF").map(|line| match described(line) {
        Some((kind, name, about)) if totals.contains(&name) => {
            format!("# {kind} {name}_total {about}\n")
        }
        _ => format!("{line}\n"),
    });
    lines.collect()
}

/// All numbers now.
///
/// # Errors
/// `State` where the text cannot be written.
pub fn of(appliance: &Appliance, form: Form) -> Result<String, ControlError> {
    let status = appliance.status();
    let mut sheet = Sheet(Registry::with_prefix("tidemark"));
    about_appliance(&mut sheet, &status, appliance);
    about_pool(&mut sheet, &status.pool);
    about_disks(&mut sheet, &status);
    about_time_left(&mut sheet, &appliance.forecasts());
    let marks = status.volumes.iter().filter_map(|volume| {
        // One that was removed meanwhile has none.
        Some((volume.name.to_string(), appliance.mark_tally(&volume.name).ok()?))
    });
    about_marks(&mut sheet, &marks.collect());
    about_traffic(&mut sheet, appliance.traffic());
    sheet.text(form).map_err(|error| ControlError::State {
        what: "write the metrics".into(),
        why: error.to_string(),
    })
}

fn about_appliance(sheet: &mut Sheet, status: &ApplianceStatus, appliance: &Appliance) {
    sheet.one("up", "Whether the appliance answers", 1.0);
    let version = vec![("version", status.version.clone())];
    sheet.each("build_info", "The version that runs", [(version, 1.0)]);
    sheet.one("start_timestamp_seconds", "When the daemon was started", seconds(status.started_ms));
    let sessions = appliance.sessions();
    let count = |protocol| sessions.iter().filter(|one| one.protocol == protocol).count();
    let by_protocol = [("nbd", Protocol::Nbd), ("iscsi", Protocol::Iscsi)]
        .map(|(word, protocol)| (vec![("protocol", word.to_owned())], whole(count(protocol))));
    sheet.each("sessions", "Clients that are connected", by_protocol);
    let jobs = appliance.jobs().list();
    let states = [
        ("running", JobState::Running),
        ("done", JobState::Done),
        ("failed", JobState::Failed),
        ("cancelled", JobState::Cancelled),
    ];
    let by_state = states.map(|(word, state)| {
        let count = jobs.iter().filter(|job| job.state == state).count();
        (vec![("state", word.to_owned())], whole(count))
    });
    sheet.each("jobs", "Jobs that are remembered", by_state);
    let troubles = [("failure", true), ("warning", false)].map(|(word, is_failure)| {
        let count = status.troubles.iter().filter(|one| one.is_failure == is_failure).count();
        (vec![("severity", word.to_owned())], whole(count))
    });
    sheet.each("troubles", "What a person should look at", troubles);
    let alerts = appliance.alerts().list();
    let by_severity = Severity::ALL.map(|severity| {
        let count = alerts.iter().filter(|alert| alert.severity == severity).count();
        (vec![("severity", severity.word().to_owned())], whole(count))
    });
    sheet.each("alerts", "Alerts that are open", by_severity);
    sheet.one("attachments", "Disks attached to this host", whole(status.attachments.len()));
    sheet.one("targets", "iSCSI targets", whole(status.targets.len()));
    sheet.one("event_listeners", "Who follows events", whole(appliance.events().listeners()));
}

fn about_pool(sheet: &mut Sheet, pool: &PoolStatus) {
    let now = match &pool.state {
        PoolState::Open => "open",
        PoolState::Poisoned { .. } => "poisoned",
        PoolState::Closed => "closed",
    };
    let states = ["open", "poisoned", "closed"]
        .map(|word| (vec![("state", word.to_owned())], flag(word == now)));
    sheet.each("pool_state", "Whether the pool works", states);
    sheet.one("journal_size_bytes", "Size of the journal", bytes(pool.journal_len));
    sheet.one(
        "journal_used_bytes",
        "Journal that is not applied yet",
        bytes(pool.journal_used_bytes),
    );
    sheet.one(
        "pool_space_free_bytes",
        "Room left where the pool lies",
        bytes(pool.space_free_bytes),
    );
    sheet.one("pool_space_bytes", "Room where the pool lies", bytes(pool.space_total_bytes));
    sheet.one(
        "pool_reserve_bytes",
        "Room set aside for copies in flight",
        bytes(pool.reserve_bytes),
    );
    sheet.one("memory_bytes", "Memory in caches and indices", bytes(pool.memory_bytes));
    sheet.one(
        "cow_store_used_bytes",
        "Room that preserved blocks take",
        bytes(pool.preserved_bytes),
    );
    let capacity = pool.preserved_bytes.saturating_add(pool.space_free_bytes);
    sheet.one("cow_store_capacity_bytes", "Room that preserved blocks can take", bytes(capacity));
}

/// Infinite is what never is full at this rate; what has not enough history yet is left out.
fn about_time_left(sheet: &mut Sheet, forecasts: &Forecasts) {
    let left = |forecast: &Forecast| Some(forecast.days_to_full(forecasts.now_ms)? * DAY_SECONDS);
    if let Some(seconds) = left(&forecasts.pool) {
        let about = "Time until there is likely no room left where the pool lies";
        sheet.one("pool_seconds_to_full", about, seconds);
    }
    if let Some(seconds) = left(&forecasts.preserved) {
        let about = "Time until there is likely no room left for preserved blocks";
        sheet.one("cow_store_seconds_to_full", about, seconds);
    }
    let volumes = forecasts.volumes.iter();
    let volumes = volumes
        .filter_map(|(name, forecast)| Some((vec![("volume", name.to_string())], left(forecast)?)));
    let about = "Time until all of a thin volume is likely allocated";
    sheet.each("volume_seconds_to_full", about, volumes);
}

fn about_disks(sheet: &mut Sheet, status: &ApplianceStatus) {
    let of = |name: &base::name::Name| vec![("volume", name.to_string())];
    let volumes = &status.volumes;
    let size = volumes.iter().map(|one| (of(&one.name), bytes(one.size.0)));
    sheet.each("volume_size_bytes", "Size of a volume", size);
    let allocated = volumes.iter().map(|one| (of(&one.name), bytes(one.allocated_bytes)));
    sheet.each("volume_allocated_bytes", "What a volume's base holds", allocated);
    let preserved = volumes.iter().map(|one| (of(&one.name), bytes(one.preserved_bytes)));
    sheet.each("volume_preserved_bytes", "What a volume's marks take", preserved);
    let unapplied = volumes.iter().map(|one| (of(&one.name), bytes(one.unapplied_bytes)));
    sheet.each("volume_unapplied_bytes", "What a volume's base is behind", unapplied);
    let views = status
        .views
        .iter()
        .map(|one| (vec![("view", one.name.to_string())], bytes(one.allocated_bytes)));
    sheet.each("view_allocated_bytes", "What was written to a view", views);
    let states = volumes.iter().flat_map(|one| {
        let now = match &one.state {
            VolumeState::Ready => "ready",
            VolumeState::ReadOnly { .. } => "read_only",
            VolumeState::FailStop { .. } => "fail_stop",
        };
        ["ready", "read_only", "fail_stop"].map(|word| {
            let labels = vec![("volume", one.name.to_string()), ("state", word.to_owned())];
            (labels, flag(word == now))
        })
    });
    sheet.each("volume_state", "Whether a volume works", states);
}

fn about_marks(sheet: &mut Sheet, marks: &BTreeMap<String, MarkTally>) {
    let of = |name: &String| vec![("volume", name.clone())];
    let counts = marks.iter().map(|(name, all)| (of(name), whole(all.count)));
    sheet.each("mark_count", "Marks of a volume", counts);
    let held = marks.iter().map(|(name, all)| (of(name), whole(all.held)));
    sheet.each("hold_count", "Marks of a volume that are held", held);
    let newest = |told: fn(&MarkTally) -> &BTreeMap<Grade, u64>| {
        let of_grade = |name: &String, (grade, at_ms): (&Grade, &u64)| {
            let labels = vec![("volume", name.clone()), ("grade", word(*grade).to_owned())];
            (labels, seconds(*at_ms))
        };
        let all = marks.iter();
        let all =
            all.flat_map(|(name, tally)| told(tally).iter().map(move |one| of_grade(name, one)));
        all.collect::<Vec<_>>()
    };
    let about = "When the newest mark of a volume was taken";
    sheet.each("mark_newest_timestamp_seconds", about, newest(|tally| &tally.newest_ms));
    let about = "When the newest mark that was opened and found whole was taken";
    let verified = newest(|tally| &tally.newest_verified_ms);
    sheet.each("mark_newest_verified_timestamp_seconds", about, verified);
}

fn about_traffic(sheet: &mut Sheet, traffic: &Traffic) {
    let all = traffic.disks_read();
    let of = |disk: &DiskRef| match disk {
        DiskRef::View(name) => ("view", name.to_string()),
        DiskRef::Volume(name) => ("volume", name.to_string()),
        DiskRef::Mark(mark) => ("mark", mark.to_string()),
    };
    let kinds = [
        ("read", Counted::Read, "Reads"),
        ("write", Counted::Write, "Writes"),
        ("zero", Counted::Zero, "Discards and writes of zeroes"),
        ("flush", Counted::Flush, "Flushes"),
    ];
    for sort in ["volume", "view"] {
        let meant: Vec<_> = all.iter().filter(|(disk, _)| of(disk).0 == sort).collect();
        for (word, kind, about) in kinds {
            let read = meant.iter().map(|(disk, stats)| (vec![of(disk)], stats.read(kind)));
            let read: Vec<_> = read.collect();
            let told = |what: fn(&Reading) -> u64| {
                read.iter().map(|(labels, reading)| (labels.clone(), what(reading))).collect()
            };
            let about = |what: &str| format!("{about} of a {sort}{what}");
            let name = |what: &str| format!("{sort}_{word}{what}");
            if kind != Counted::Flush {
                sheet.totals(&name("_bytes"), &about(", in bytes"), told(|one| one.bytes));
            }
            sheet.totals(&name("_failures"), &about(" that failed"), told(|one| one.failed));
            sheet.times(&name("_seconds"), &about(", until answered"), read);
        }
    }
    let taken = vec![(Vec::new(), traffic.marks_taken())];
    sheet.times("mark_create_seconds", "Until a mark was taken", taken);
}

fn word(grade: Grade) -> &'static str {
    match grade {
        Grade::Crash => "crash",
        Grade::Filesystem => "filesystem",
        Grade::Application => "application",
    }
}

fn seconds(ms: u64) -> f64 {
    bytes(ms) / 1000.0
}

/// Numbers over 2^53 lose their last digits, which nobody reads on a chart.
fn bytes(count: u64) -> f64 {
    count as f64
}

fn whole(count: usize) -> f64 {
    count as f64
}

fn flag(is_so: bool) -> f64 {
    if is_so { 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn what_took_how_long_is_told_in_classes_that_add_up() {
        let counters = control::traffic::Counters::default();
        for micros in [1, 100, 3_000, 60_000_000] {
            counters.add(Some(512), std::time::Duration::from_micros(micros));
        }
        counters.add(None, std::time::Duration::from_micros(100));
        let mut sheet = Sheet(Registry::with_prefix("tidemark"));
        let labels = vec![("volume", "mail".to_owned())];
        let read = counters.read();
        sheet.totals("volume_read_bytes", "Reads", vec![(labels.clone(), read.bytes)]);
        sheet.times("volume_read_seconds", "Reads", vec![(labels, read)]);
        let mut text = String::new();
        encode(&mut text, &sheet.0).unwrap();
        for line in [
            "# TYPE tidemark_volume_read_bytes counter",
            "tidemark_volume_read_bytes_total{volume=\"mail\"} 2048",
            "# TYPE tidemark_volume_read_seconds histogram",
            "tidemark_volume_read_seconds_bucket{le=\"0.000016\",volume=\"mail\"} 1",
            "tidemark_volume_read_seconds_bucket{le=\"0.000128\",volume=\"mail\"} 3",
            "tidemark_volume_read_seconds_bucket{le=\"+Inf\",volume=\"mail\"} 5",
            "tidemark_volume_read_seconds_count{volume=\"mail\"} 5",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line} is not in {text}");
        }
    }

    #[test]
    fn a_number_is_written_with_its_name_its_labels_and_what_it_is() {
        let mut sheet = Sheet(Registry::with_prefix("tidemark"));
        let labels = vec![("volume", "mail".to_owned())];
        sheet.each("mark_count", "Marks of a volume", [(labels, whole(3))]);
        sheet.one("start_timestamp_seconds", "When", seconds(1_500));
        sheet.one("pool_seconds_to_full", "Left", f64::INFINITY);
        let text = sheet.text(Form::Open).unwrap();
        assert!(text.contains("tidemark_pool_seconds_to_full +Inf\n"), "{text}");
        assert!(text.contains("# TYPE tidemark_mark_count gauge\n"), "{text}");
        assert!(text.contains("tidemark_mark_count{volume=\"mail\"} 3.0\n"), "{text}");
        assert!(text.contains("tidemark_start_timestamp_seconds 1.5\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn whoever_does_not_ask_for_the_newer_form_gets_the_older_one() {
        let mut sheet = Sheet(Registry::with_prefix("tidemark"));
        sheet.totals("volume_read_bytes", "Reads", vec![(vec![("volume", "mail".into())], 2048)]);
        sheet.one("up", "Whether it answers", 1.0);
        assert_eq!(
            sheet.text(Form::Text).unwrap(),
            "# HELP tidemark_volume_read_bytes_total Reads.\n# TYPE tidemark_volume_read_bytes_total counter\n\
             tidemark_volume_read_bytes_total{volume=\"mail\"} 2048\n# HELP tidemark_up Whether it answers.\n\
             # TYPE tidemark_up gauge\ntidemark_up 1.0\n"
        );
        let asks = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            Form::accepted(&headers)
        };
        assert_eq!(Form::accepted(&HeaderMap::new()), Form::Text);
        assert_eq!(asks("text/plain;version=0.0.4"), Form::Text);
        assert_eq!(
            asks("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3"),
            Form::Open
        );
    }
}
