//! What a load counted: requests, bytes, latencies, silences.

use std::time::Duration;

use crate::plan::{Kind, Request};

/// Shorter times without an answer are nothing to talk about.
const GAP_LEAST: Duration = Duration::from_micros(500);

/// The count of one load.
#[derive(Debug, Default)]
pub struct Tally {
    /// Reads and writes that were sent.
    pub issued: u64,
    /// Reads and writes that were answered.
    pub requests: u64,
    /// Flushes that were answered.
    pub flushes: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// When it began.
    pub started: Duration,
    /// The longest time in which no write was answered.
    pub stall: Duration,
    /// The longer times in which no write was answered: when they ended, counted from the start, and how
    /// long they were.
    pub gaps: Vec<(Duration, Duration)>,
    latencies_us: Vec<u32>,
    flush_latencies_us: Vec<u32>,
    last_write: Duration,
}

impl Tally {
    /// The count that another program made.
    pub fn of(requests: u64, bytes_written: u64, elapsed: Duration) -> Self {
        Self { requests, bytes_written, elapsed, ..Self::default() }
    }

    /// Books an answer that came at `now`.
    pub fn count(&mut self, request: &Request, now: Duration, latency: Duration) {
        let latency_us = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        match request.kind {
            Kind::Flush => {
                self.flushes += 1;
                self.flush_latencies_us.push(latency_us);
                return;
            }
            Kind::Read => self.bytes_read += u64::from(request.len),
            Kind::Write => {
                self.bytes_written += u64::from(request.len);
                let gap = now.saturating_sub(self.last_write);
                self.stall = self.stall.max(gap);
                if gap >= GAP_LEAST {
                    self.gaps.push((now, gap));
                }
                self.last_write = now;
            }
        }
        self.requests += 1;
        self.latencies_us.push(latency_us);
    }

    /// Adds a load that followed this one.
    pub fn join(&mut self, next: Self) {
        self.issued += next.issued;
        self.requests += next.requests;
        self.flushes += next.flushes;
        self.bytes_read += next.bytes_read;
        self.bytes_written += next.bytes_written;
        self.elapsed += next.elapsed;
        self.stall = self.stall.max(next.stall);
        self.latencies_us.extend(next.latencies_us);
        self.flush_latencies_us.extend(next.flush_latencies_us);
    }

    /// Adds a load that ran at the same time.
    pub fn join_beside(&mut self, other: Self) {
        let elapsed = self.elapsed.max(other.elapsed);
        self.join(other);
        self.elapsed = elapsed;
    }

    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64().max(1e-6)
    }

    /// The latency that this part of the reads and writes stays under, in microseconds.
    pub fn latency_us(&mut self, part: f64) -> f64 {
        quantile(&mut self.latencies_us, part)
    }

    /// The latency that this part of the FLUSHes stays under.
    pub fn flush_us(&mut self, part: f64) -> f64 {
        quantile(&mut self.flush_latencies_us, part)
    }

    /// The latency that this part of all answers stays under, those to FLUSH included.
    pub fn answer_us(&mut self, part: f64) -> f64 {
        quantile(&mut [&self.latencies_us[..], &self.flush_latencies_us].concat(), part)
    }
}

/// The value that the given part of the values does not exceed; 0 of none.
pub fn quantile(values: &mut [u32], part: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.sort_unstable();
    let last = values.len() - 1;
    let index = (0..=last).find(|index| *index as f64 >= part * last as f64).unwrap_or(last);
    f64::from(values[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(latencies_ms: &[u64], elapsed_s: u64) -> Tally {
        let mut tally = Tally { elapsed: Duration::from_secs(elapsed_s), ..Tally::default() };
        for latency in latencies_ms {
            let request = Request { kind: Kind::Read, offset: 0, len: 4096 };
            tally.count(&request, Duration::ZERO, Duration::from_millis(*latency));
        }
        tally
    }

    #[test]
    fn loads_one_after_the_other_take_their_times_together() {
        let mut first = tally(&[1, 2], 2);
        first.join(tally(&[3, 4], 2));
        assert_eq!((first.requests, first.rate()), (4, 1.0));
        assert_eq!(first.latency_us(1.0), 4000.0);
    }

    #[test]
    fn loads_beside_each_other_take_the_longest_time() {
        let mut first = tally(&[1, 2], 2);
        first.join_beside(tally(&[3, 4], 1));
        assert_eq!((first.requests, first.rate()), (4, 2.0));
    }

    #[test]
    fn a_flush_is_no_request_but_an_answer() {
        let mut tally = tally(&[1], 1);
        let flush = Request { kind: Kind::Flush, offset: 0, len: 0 };
        tally.count(&flush, Duration::ZERO, Duration::from_millis(7));
        assert_eq!((tally.requests, tally.flushes), (1, 1));
        assert_eq!((tally.latency_us(1.0), tally.answer_us(1.0)), (1000.0, 7000.0));
        assert_eq!(tally.flush_us(0.0), 7000.0);
    }

    #[test]
    fn a_quantile_is_a_value_that_was_there() {
        assert_eq!(quantile(&mut [], 0.5), 0.0);
        assert_eq!(quantile(&mut [3, 1, 2], 0.5), 2.0);
        assert_eq!(quantile(&mut [3, 1, 2], 0.99), 3.0);
        assert_eq!(quantile(&mut [3, 1, 2], 0.0), 1.0);
    }
}
