//! Aligned memory that travels with requests.
//!
//! A [`Buffer`] is owned and mutable, a [`Payload`] a shared, immutable slice of one. Both start on a
//! 4 KiB boundary of memory or a whole number of sectors after one, as direct I/O wants it.
#![expect(unsafe_code, reason = "aligned memory comes from the allocator by hand")]

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;
use std::sync::Arc;

use base::units::{BLOCK_LEN, SECTOR_LEN};

use crate::error::DiskError;
use crate::spare;

/// Bytes that one buffer may hold: 64 MiB, twice the largest payload of any protocol spoken here.
pub const BUFFER_LEN_MAX: usize = 64 << 20;

/// Owned, aligned, mutable memory: a whole number of sectors, possibly none.
pub struct Buffer {
    memory: NonNull<u8>,
    len: usize,
}

// SAFETY: a `Buffer` owns its memory and hands out references by Rust's borrowing rules only.
unsafe impl Send for Buffer {}
// SAFETY: shared references to a `Buffer` only read.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Zeroed memory of `len` bytes.
    ///
    /// # Errors
    /// `Misaligned` where `len` is not a whole number of sectors, `TooLarge` over 64 MiB.
    pub fn zeroed(len: usize) -> Result<Self, DiskError> {
        // SAFETY: `allocate` calls the function with a layout of non-zero size, as both functions want.
        Self::allocate(len, |layout| unsafe { alloc_zeroed(layout) })
    }

    /// Memory for this many sectors, zeroed.
    ///
    /// # Errors
    /// `TooLarge` over 64 MiB.
    pub fn for_sectors(sectors: u64) -> Result<Self, DiskError> {
        let len = usize::try_from(sectors).ok().and_then(|n| n.checked_mul(SECTOR_LEN));
        Self::zeroed(len.unwrap_or(usize::MAX / SECTOR_LEN * SECTOR_LEN))
    }

    /// Memory of `len` bytes with anything in it, for whoever fills all of it.
    ///
    /// # Errors
    /// As [`Buffer::zeroed`].
    pub fn to_fill(len: usize) -> Result<Self, DiskError> {
        match spare::take(len) {
            Some(memory) => Ok(Self { memory, len }),
            None => Self::zeroed(len),
        }
    }

    /// A copy of `bytes`.
    ///
    /// # Errors
    /// As [`Buffer::zeroed`].
    pub fn copy_of(bytes: &[u8]) -> Result<Self, DiskError> {
        // SAFETY: as in `zeroed`; every byte is written below before anyone can read it.
        let mut buffer = Self::allocate(bytes.len(), |layout| unsafe { alloc(layout) })?;
        // SAFETY: both are `bytes.len()` long, and fresh memory overlaps nothing.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.as_mut_ptr(), bytes.len());
        }
        Ok(buffer)
    }

    /// How many sectors it holds.
    pub fn sectors(&self) -> u64 {
        (self.len / SECTOR_LEN) as u64
    }

    /// Makes it immutable and shareable.
    pub fn freeze(self) -> Payload {
        let bytes = 0..self.len;
        Payload { buffer: Arc::new(self), bytes }
    }

    fn allocate(len: usize, get: impl Fn(Layout) -> *mut u8) -> Result<Self, DiskError> {
        if !len.is_multiple_of(SECTOR_LEN) {
            return Err(DiskError::Misaligned { len });
        }
        if len > BUFFER_LEN_MAX {
            return Err(DiskError::TooLarge { len: len as u64, max: BUFFER_LEN_MAX as u64 });
        }
        if len == 0 {
            return Ok(Self { memory: NonNull::dangling(), len: 0 });
        }
        let layout = layout_of(len);
        let memory = NonNull::new(get(layout)).unwrap_or_else(|| handle_alloc_error(layout));
        Ok(Self { memory, len })
    }
}

/// # Panics
/// Never: the length was checked against `BUFFER_LEN_MAX` when the buffer was made.
fn layout_of(len: usize) -> Layout {
    Layout::from_size_align(len, BLOCK_LEN).expect("a checked length makes a layout")
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.len > 0 && !spare::put(self.memory, self.len) {
            // SAFETY: the memory came from the allocator with this very layout.
            unsafe { dealloc(self.memory.as_ptr(), layout_of(self.len)) }
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `memory` points to `len` initialised bytes (or dangles with length zero).
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` makes the borrow exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), self.len) }
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} bytes)", self.len)
    }
}

/// A shared, immutable slice of a [`Buffer`]: a whole number of sectors. Cloning copies no bytes.
#[derive(Clone)]
pub struct Payload {
    buffer: Arc<Buffer>,
    bytes: Range<usize>,
}

impl Payload {
    /// The part of it from `first` sectors on, `sectors` long.
    ///
    /// # Panics
    /// Where it has fewer sectors than that.
    pub fn slice(&self, first: u64, sectors: u64) -> Self {
        let in_bytes = |n: u64| usize::try_from(n).ok().and_then(|n| n.checked_mul(SECTOR_LEN));
        let start = in_bytes(first).and_then(|n| self.bytes.start.checked_add(n));
        let end = start.and_then(|start| in_bytes(sectors).and_then(|n| start.checked_add(n)));
        match (start, end) {
            (Some(start), Some(end)) if end <= self.bytes.end => {
                Self { buffer: Arc::clone(&self.buffer), bytes: start..end }
            }
            _ => panic!("a slice of {first}+{sectors} sectors out of {}", self.sectors()),
        }
    }

    /// How many sectors it holds.
    pub fn sectors(&self) -> u64 {
        ((self.bytes.end - self.bytes.start) / SECTOR_LEN) as u64
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[self.bytes.clone()]
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Payload({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_whole_sectors() {
        let buffer = Buffer::zeroed(1024).unwrap();
        assert_eq!(buffer.as_ptr().align_offset(BLOCK_LEN), 0);
        assert!(buffer.iter().all(|byte| *byte == 0));
        assert!(matches!(Buffer::zeroed(100), Err(DiskError::Misaligned { len: 100 })));
        assert!(matches!(Buffer::zeroed(1 << 40), Err(DiskError::TooLarge { .. })));
        assert_eq!(Buffer::zeroed(0).unwrap().len(), 0);
    }

    #[test]
    fn memory_that_was_dropped_is_filled_again() {
        let len = 12345 * SECTOR_LEN;
        let mut buffer = Buffer::to_fill(len).unwrap();
        buffer.fill(7);
        drop(buffer);
        assert!(Buffer::to_fill(len).unwrap().iter().all(|byte| *byte == 7));
        assert!(Buffer::zeroed(len).unwrap().iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_slice_of_a_payload_sees_its_part() {
        let payload = Buffer::copy_of(&[[1u8; 512], [2; 512], [3; 512]].concat()).unwrap().freeze();
        assert!(payload.slice(1, 2).slice(1, 1).iter().all(|byte| *byte == 3));
        assert_eq!(payload.slice(3, 0).len(), 0);
    }
}
