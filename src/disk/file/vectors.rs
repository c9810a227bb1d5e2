//! A list of pieces of memory for vectored calls, with what was already moved taken off its front.
//!
//! It points into memory that it does not own. `transfer.rs` keeps that memory beside it; nobody else
//! makes one.
#![expect(unsafe_code, reason = "pointers for the kernel travel between threads")]

use super::sys::VECTORS_MAX;

/// Pieces of memory, in order.
#[derive(Default)]
pub(crate) struct Vectors {
    all: Vec<libc::iovec>,
    /// The first one that is not used up.
    first: usize,
    /// Bytes in all of them that are left.
    left: usize,
}

// SAFETY: these are plain numbers to Rust; the memory behind them belongs to buffers that are `Send`, and
// travels with them.
unsafe impl Send for Vectors {}

impl Vectors {
    /// Adds memory to read into. The caller keeps it alive, unmoved and to itself while this lives.
    pub(crate) fn push_mut(&mut self, bytes: &mut [u8]) {
        self.push_piece(bytes.as_mut_ptr(), bytes.len());
    }

    /// Adds memory to write from. The caller keeps it alive, unmoved and unchanged while this lives.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.push_piece(bytes.as_ptr().cast_mut(), bytes.len());
    }

    /// Bytes that are left to move.
    pub(crate) fn bytes(&self) -> usize {
        self.left
    }

    /// How many pieces were added.
    pub(crate) fn pieces(&self) -> usize {
        self.all.len()
    }

    /// Whether every piece starts on a multiple of `align` bytes of memory.
    pub(crate) fn is_aligned(&self, align: u32) -> bool {
        self.all.iter().all(|piece| (piece.iov_base as usize).is_multiple_of(align.max(1) as usize))
    }

    /// What is left as the kernel wants it, at most `VECTORS_MAX` entries of it.
    pub(crate) fn left(&self) -> (*const libc::iovec, usize) {
        let left = &self.all[self.first..];
        (left.as_ptr(), left.len().min(VECTORS_MAX))
    }

    /// Takes off bytes that were moved.
    ///
    /// # Panics
    /// Where the kernel claims to have moved more than was asked for.
    pub(crate) fn advance(&mut self, bytes: usize) {
        assert!(bytes <= self.left, "the kernel moved {bytes} bytes of {}", self.left);
        self.left -= bytes;
        let mut bytes = bytes;
        while let Some(piece) = self.all.get_mut(self.first) {
            if bytes < piece.iov_len {
                piece.iov_len -= bytes;
                // Stays within the piece, since it is longer than that.
                piece.iov_base = piece.iov_base.wrapping_byte_add(bytes);
                return;
            }
            bytes -= piece.iov_len;
            self.first += 1;
        }
    }

    fn push_piece(&mut self, start: *mut u8, len: usize) {
        if len > 0 {
            self.all.push(libc::iovec { iov_base: start.cast(), iov_len: len });
            self.left += len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advancing_takes_whole_and_partial_pieces_off() {
        let (one, two) = ([1u8; 10], [2u8; 20]);
        let mut vectors = Vectors::default();
        vectors.push(&one);
        vectors.push(&[]);
        vectors.push(&two);
        assert_eq!((vectors.bytes(), vectors.left().1), (30, 2));
        vectors.advance(4);
        assert_eq!((vectors.bytes(), vectors.left().1), (26, 2));
        vectors.advance(6);
        assert_eq!((vectors.left().0.is_null(), vectors.left().1), (false, 1));
        vectors.advance(20);
        assert_eq!((vectors.bytes(), vectors.left().1), (0, 0));
    }
}
