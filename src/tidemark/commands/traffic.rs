//! `traffic`.

use base::name::Name;
use control::traffic::recent::{Done, TrafficPoint, TrafficStatus};
use control::when;

use super::Desk;
use crate::client::part;
use crate::failure::CliError;
use crate::output::Shown;
use crate::table::{numbers, size, table, words};

/// Steps that are shown: the newest.
const ROWS: usize = 15;

pub(super) async fn show(desk: &Desk, volume: Option<&Name>) -> Result<Shown, CliError> {
    let of_volume = |name| format!("/volumes/{}/traffic", part(name));
    let path = volume.map_or_else(|| "/traffic".to_owned(), of_volume);
    let told: TrafficStatus = desk.client.get(path).await?;
    Shown::new(&told, text(&told))
}

fn text(told: &TrafficStatus) -> String {
    let columns = [
        words("UNTIL"),
        numbers("READS/S"),
        numbers("READ/S"),
        numbers("P50"),
        numbers("P99"),
        numbers("WRITES/S"),
        numbers("WRITTEN/S"),
        numbers("P50"),
        numbers("P99"),
    ];
    let minutes = told.step_ms * told.steps_kept / 60_000;
    let skipped = told.points.len().saturating_sub(ROWS);
    let rows = told.points[skipped..].iter().map(row).collect();
    table(&columns, rows, &format!("nobody has read or written in the last {minutes} min"))
}

fn row(point: &TrafficPoint) -> Vec<String> {
    let mut cells = vec![when::local(point.at_ms)];
    for done in [&point.read, &point.write] {
        let Done { count, bytes, p50_us, p99_us } = *done;
        cells.extend([
            a_second(count, point.len_ms).to_string(),
            size(a_second(bytes, point.len_ms)),
            latency(p50_us),
            latency(p99_us),
        ]);
    }
    cells
}

fn a_second(amount: u64, len_ms: u64) -> u64 {
    let whole = u128::from(amount) * 1000 / u128::from(len_ms.max(1));
    u64::try_from(whole).unwrap_or(u64::MAX)
}

fn latency(micros: Option<u64>) -> String {
    match micros {
        None => "-".to_owned(),
        Some(micros @ 0..=999) => format!("{micros} us"),
        Some(micros @ 1_000..=999_999) => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
        Some(micros) => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_a_second_and_latencies_in_their_largest_unit() {
        let read = Done { count: 10, bytes: 8 << 20, p50_us: Some(90), p99_us: Some(12_345) };
        let write = Done { p99_us: Some(2_500_000), ..Done::default() };
        let cells = row(&TrafficPoint { at_ms: 0, len_ms: 2000, read, write });
        assert_eq!(cells[1..], ["5", "4M", "90 us", "12.3 ms", "0", "0B", "-", "2.5 s"]);
    }

    #[test]
    fn nothing_done_is_said_in_words() {
        let told = TrafficStatus { now_ms: 0, step_ms: 2000, steps_kept: 150, points: Vec::new() };
        assert_eq!(text(&told), "nobody has read or written in the last 5 min");
    }
}
