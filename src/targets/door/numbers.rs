//! The numbers of sessions: one numbering for all doors, so that a number names one session.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Gives each session its number, from 1 on. Clones count together.
#[derive(Clone, Debug)]
pub struct SessionNumbers(Arc<AtomicU64>);

impl Default for SessionNumbers {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(1)))
    }
}

impl SessionNumbers {
    /// The next number, which nobody else gets.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_never_give_a_number_twice() {
        let (one, other) = (SessionNumbers::default(), SessionNumbers::default());
        let clone = one.clone();
        assert_eq!([one.next(), clone.next(), one.next()], [1, 2, 3]);
        assert_eq!(other.next(), 1, "another numbering");
    }
}
