//! A thread that takes a mark and removes it, again and again, while a load runs.

use std::sync::mpsc::{Sender, channel};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use crate::Outcome;
use crate::api::Api;
use crate::house::now;
use crate::tally::Tally;

/// The pause after each mark.
const BEAT: Duration = Duration::from_millis(20);
/// What still counts as around a mark.
const AFTERMATH: Duration = Duration::from_millis(20);

/// One mark that was taken.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// When it was asked for.
    pub start: Duration,
    /// How long the answer took.
    pub took: Duration,
}

/// A thread that takes a mark and removes it, again and again.
pub struct Marker {
    stop: Sender<()>,
    thread: JoinHandle<Result<Vec<Taken>, String>>,
}

impl Marker {
    /// Begins.
    pub fn start(api: Api, volume: &str) -> Self {
        let (stop, stopped) = channel::<()>();
        let volume = volume.to_owned();
        let thread = spawn(move || {
            let mut taken = Vec::new();
            while stopped.recv_timeout(BEAT).is_err() {
                let start = now();
                api.take_mark(&volume, "beat").map_err(|error| error.to_string())?;
                taken.push(Taken { start, took: now() - start });
                api.remove_mark(&volume, "beat").map_err(|error| error.to_string())?;
            }
            Ok(taken)
        });
        Self { stop, thread }
    }

    /// Ends, and gives what was taken.
    ///
    /// # Errors
    /// Where a mark could not be taken or removed.
    pub fn stop(self) -> Outcome<Vec<Taken>> {
        // A thread that failed has hung up; what it says counts.
        let _ = self.stop.send(());
        let ended = self.thread.join().map_err(|_| "the thread that takes marks panicked")?;
        Ok(ended?)
    }
}

/// The longest time without a written answer around a mark, in a load that ran beside it.
pub fn stall_around(mark: &Taken, load: &Tally) -> Duration {
    let (from, to) = (mark.start, mark.start + mark.took + AFTERMATH);
    let overlaps = |(end, len): &&(Duration, Duration)| {
        let end = load.started + *end;
        end >= from && end - *len <= to
    };
    load.gaps.iter().filter(overlaps).map(|(_, len)| *len).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_belongs_to_a_mark_that_it_overlaps() {
        let ms = Duration::from_millis;
        let mut load = Tally::default();
        load.started = ms(1000);
        // They end at 1100 and at 1300, and are 5 and 9 ms long.
        load.gaps = vec![(ms(100), ms(5)), (ms(300), ms(9))];
        let around = |start| stall_around(&Taken { start: ms(start), took: ms(2) }, &load);
        assert_eq!(around(1090), ms(5));
        assert_eq!(around(1097), ms(5));
        assert_eq!(around(1280), ms(9));
        assert_eq!(around(1150), Duration::ZERO);
        assert_eq!(around(1301), Duration::ZERO);
    }
}
