//! Memory of large buffers that were dropped, for the next ones.
//!
//! Fresh memory of that size has to be zeroed, by the kernel or by the allocator, only to be overwritten
//! by what is received or read. All of it was initialised once and is handed out as it is.

use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of the smallest buffer that is kept: smaller ones the allocator has at hand, and zeroing them
/// costs little.
const LEN_MIN: usize = 32 << 10;
/// Bytes that are kept in all: what a few busy clients have in flight.
const KEPT_LEN_MAX: usize = 32 << 20;

/// The address of initialised memory that nobody uses.
struct Spare(NonNull<u8>);

// SAFETY: an address without an owner is anybody's.
#[expect(unsafe_code, reason = "a pointer is an address here")]
unsafe impl Send for Spare {}

#[derive(Default)]
struct Spares {
    by_len: BTreeMap<usize, Vec<Spare>>,
    bytes: usize,
}

static SPARES: Mutex<Spares> = Mutex::new(Spares { by_len: BTreeMap::new(), bytes: 0 });

fn spares() -> MutexGuard<'static, Spares> {
    SPARES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Memory of exactly this length, where some is kept. Its bytes are anything.
pub(crate) fn take(len: usize) -> Option<NonNull<u8>> {
    if len < LEN_MIN {
        return None;
    }
    let mut spares = spares();
    let spare = spares.by_len.get_mut(&len)?.pop()?;
    spares.bytes -= len;
    Some(spare.0)
}

/// Keeps initialised memory of this length; false where there is enough already.
pub(crate) fn put(memory: NonNull<u8>, len: usize) -> bool {
    if len < LEN_MIN {
        return false;
    }
    let mut spares = spares();
    let has_room = spares.bytes + len <= KEPT_LEN_MAX;
    if has_room {
        spares.bytes += len;
        spares.by_len.entry(len).or_default().push(Spare(memory));
    }
    has_room
}
