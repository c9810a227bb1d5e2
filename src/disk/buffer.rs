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

/// Aligned, initialised memory with one owner; possibly none.
pub(crate) struct Memory {
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: it owns what it points to.
unsafe impl Send for Memory {}
// SAFETY: shared references to it only read.
unsafe impl Sync for Memory {}

impl Default for Memory {
    fn default() -> Self {
        Self { at: NonNull::dangling(), len: 0 }
    }
}

impl Memory {
    /// Zeroes.
    ///
    /// # Panics
    /// Where that is more than a buffer may hold.
    pub(crate) fn zeroed(len: usize) -> Self {
        // SAFETY: `get` gets a layout of non-zero size, as the function wants.
        Self::allocate(len, |layout| unsafe { alloc_zeroed(layout) })
    }

    /// A copy of `bytes`.
    ///
    /// # Panics
    /// As [`Memory::zeroed`].
    fn copy_of(bytes: &[u8]) -> Self {
        // SAFETY: as in `zeroed`; every byte is written below before anyone can read it.
        let memory = Self::allocate(bytes.len(), |layout| unsafe { alloc(layout) });
        // SAFETY: both are `bytes.len()` long, and fresh memory overlaps nothing.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory.at.as_ptr(), bytes.len());
        }
        memory
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn allocate(len: usize, get: impl FnOnce(Layout) -> *mut u8) -> Self {
        if len == 0 {
            return Self::default();
        }
        let layout = layout_of(len);
        let at = NonNull::new(get(layout)).unwrap_or_else(|| handle_alloc_error(layout));
        Self { at, len }
    }
}

/// # Panics
/// Never for what a buffer may hold: it makes a layout.
fn layout_of(len: usize) -> Layout {
    Layout::from_size_align(len, BLOCK_LEN).expect("a checked length makes a layout")
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: the memory came from the allocator with this very layout.
            unsafe { dealloc(self.at.as_ptr(), layout_of(self.len)) }
        }
    }
}

/// Owned, aligned, mutable memory: a whole number of sectors, possibly none.
pub struct Buffer {
    memory: Memory,
}

impl Buffer {
    /// Zeroed memory of `len` bytes.
    ///
    /// # Errors
    /// `Misaligned` where `len` is not a whole number of sectors, `TooLarge` over 64 MiB.
    pub fn zeroed(len: usize) -> Result<Self, DiskError> {
        check(len)?;
        Ok(Self { memory: Memory::zeroed(len) })
    }

    /// Memory for this many sectors, zeroed.
    ///
    /// # Errors
    /// `TooLarge` over 64 MiB.
    pub fn for_sectors(sectors: u64) -> Result<Self, DiskError> {
        Self::zeroed(len_of(sectors))
    }

    /// Memory of `len` bytes with anything in it, for whoever fills all of it.
    ///
    /// # Errors
    /// As [`Buffer::zeroed`].
    pub fn to_fill(len: usize) -> Result<Self, DiskError> {
        check(len)?;
        Ok(Self { memory: spare::take(len).unwrap_or_else(|| Memory::zeroed(len)) })
    }

    /// The same for this many sectors.
    ///
    /// # Errors
    /// As [`Buffer::for_sectors`].
    pub fn sectors_to_fill(sectors: u64) -> Result<Self, DiskError> {
        Self::to_fill(len_of(sectors))
    }

    /// A copy of `bytes`.
    ///
    /// # Errors
    /// As [`Buffer::zeroed`].
    pub fn copy_of(bytes: &[u8]) -> Result<Self, DiskError> {
        check(bytes.len())?;
        Ok(Self { memory: Memory::copy_of(bytes) })
    }

    /// How many sectors it holds.
    pub fn sectors(&self) -> u64 {
        (self.memory.len / SECTOR_LEN) as u64
    }

    /// Makes it immutable and shareable.
    pub fn freeze(self) -> Payload {
        let bytes = 0..self.memory.len;
        Payload { buffer: Arc::new(self), bytes }
    }
}

/// Bytes of so many sectors; where that is no number, too many for a buffer.
fn len_of(sectors: u64) -> usize {
    let len = usize::try_from(sectors).ok().and_then(|n| n.checked_mul(SECTOR_LEN));
    len.unwrap_or(usize::MAX / SECTOR_LEN * SECTOR_LEN)
}

/// Whether a buffer may have this length.
fn check(len: usize) -> Result<(), DiskError> {
    if !len.is_multiple_of(SECTOR_LEN) {
        return Err(DiskError::Misaligned { len });
    }
    if len > BUFFER_LEN_MAX {
        return Err(DiskError::TooLarge { len: len as u64, max: BUFFER_LEN_MAX as u64 });
    }
    Ok(())
}

impl Drop for Buffer {
    fn drop(&mut self) {
        spare::put(std::mem::take(&mut self.memory));
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `at` points to `len` initialised bytes (or dangles with length zero).
        unsafe { std::slice::from_raw_parts(self.memory.at.as_ptr(), self.memory.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` makes the borrow exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.memory.at.as_ptr(), self.memory.len) }
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} bytes)", self.memory.len)
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
    fn zeroed_memory_is_zeroes_whatever_was_dropped_before() {
        let len = 12345 * SECTOR_LEN;
        let mut buffer = Buffer::to_fill(len).unwrap();
        assert_eq!(buffer.len(), len);
        buffer.fill(7);
        drop(buffer);
        assert!(Buffer::zeroed(len).unwrap().iter().all(|byte| *byte == 0));
        assert!(matches!(Buffer::to_fill(100), Err(DiskError::Misaligned { len: 100 })));
    }

    #[test]
    fn a_slice_of_a_payload_sees_its_part() {
        let payload = Buffer::copy_of(&[[1u8; 512], [2; 512], [3; 512]].concat()).unwrap().freeze();
        assert!(payload.slice(1, 2).slice(1, 1).iter().all(|byte| *byte == 3));
        assert_eq!(payload.slice(3, 0).len(), 0);
    }
}
