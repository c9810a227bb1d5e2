//! Memory of large buffers that were dropped, for the next ones.
//!
//! Fresh memory of that size has to be zeroed, by the kernel or by the allocator, only to be overwritten
//! by what is received or read. All of it was initialised once and is handed out as it is.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::buffer::Memory;

/// Bytes of the smallest buffer that is kept: smaller ones the allocator has at hand, and zeroing them
/// costs little.
const LEN_MIN: usize = 32 << 10;
/// Bytes that are kept in all: what a few busy clients have in flight.
const KEPT_LEN_MAX: usize = 32 << 20;

static SPARES: Mutex<Spares> = Mutex::new(Spares { kept: VecDeque::new(), bytes: 0 });

/// Memory that nobody uses, the oldest first.
struct Spares {
    kept: VecDeque<Memory>,
    bytes: usize,
}

impl Spares {
    /// The newest of exactly this length.
    fn take(&mut self, len: usize) -> Option<Memory> {
        let newest = self.kept.iter().rposition(|memory| memory.len() == len)?;
        let memory = self.kept.remove(newest)?;
        self.bytes -= len;
        Some(memory)
    }

    /// Keeps this, and gives back what has to go for it: the oldest, whatever its length, so that lengths
    /// which are not asked for any more make room for those that are.
    fn put(&mut self, memory: Memory) -> Vec<Memory> {
        self.bytes += memory.len();
        self.kept.push_back(memory);
        let mut gone = Vec::new();
        while self.bytes > KEPT_LEN_MAX
            && let Some(oldest) = self.kept.pop_front()
        {
            self.bytes -= oldest.len();
            gone.push(oldest);
        }
        gone
    }
}

/// Memory of exactly this length, where some is kept. Its bytes are anything.
pub(crate) fn take(len: usize) -> Option<Memory> {
    if len < LEN_MIN {
        return None;
    }
    SPARES.lock().unwrap_or_else(PoisonError::into_inner).take(len)
}

/// Keeps memory that is worth it, and frees all other.
pub(crate) fn put(memory: Memory) {
    if memory.len() >= LEN_MIN {
        let gone = SPARES.lock().unwrap_or_else(PoisonError::into_inner).put(memory);
        // Here, where the lock is free again.
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(len: usize) -> Memory {
        Memory::zeroed(len)
    }

    #[test]
    fn the_newest_of_a_length_is_taken_and_the_oldest_of_any_goes() {
        let mut spares = Spares { kept: VecDeque::new(), bytes: 0 };
        assert!(spares.put(memory(LEN_MIN)).is_empty());
        let whole = KEPT_LEN_MAX - LEN_MIN;
        assert!(spares.put(memory(whole)).is_empty());
        let gone = spares.put(memory(LEN_MIN));
        assert_eq!(gone.iter().map(Memory::len).collect::<Vec<_>>(), [LEN_MIN]);
        assert_eq!((spares.bytes, spares.kept.len()), (KEPT_LEN_MAX, 2));
        assert!(spares.take(LEN_MIN + 512).is_none());
        assert!(spares.take(LEN_MIN).is_some() && spares.take(LEN_MIN).is_none());
        assert_eq!(spares.bytes, whole);
        assert_eq!(spares.put(memory(KEPT_LEN_MAX + 512)).len(), 2, "too large to be kept itself");
        assert_eq!((spares.bytes, spares.kept.len()), (0, 0));
    }
}
