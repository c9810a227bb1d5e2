//! Written data on its way to a disk: buffers that are filled in order.
//!
//! Memory is taken as data arrives, never because a length was announced.

use disk::{Buffer, DiskError};

use base::units::SECTOR_LEN;

use super::limits::PIECE_LEN;
use crate::scsi::DataOut;

/// Data that is being gathered.
#[derive(Debug, Default)]
pub struct Gathered {
    pieces: Vec<Buffer>,
    /// Where in the last piece the next byte goes.
    at: usize,
    /// Bytes that no piece was made for yet.
    unmade: u64,
    /// Bytes that were gathered.
    len: u64,
}

impl Gathered {
    /// Room for `total` bytes.
    pub const fn new(total: u64) -> Self {
        Self { pieces: Vec::new(), at: 0, unmade: total, len: 0 }
    }

    /// Bytes that were gathered.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the next bytes go, at most `max`; empty only where there is no room left.
    ///
    /// # Errors
    /// What allocating gives.
    pub fn space(&mut self, max: usize) -> Result<&mut [u8], DiskError> {
        let is_full = self.pieces.last().is_none_or(|piece| piece.len() == self.at);
        if is_full && self.unmade > 0 {
            let len = usize::try_from(self.unmade).map_or(PIECE_LEN, |left| left.min(PIECE_LEN));
            self.pieces.push(Buffer::to_fill(len.next_multiple_of(SECTOR_LEN))?);
            self.unmade -= len as u64;
            self.at = 0;
        }
        let at = self.at;
        Ok(self.pieces.last_mut().map_or(&mut [], |piece| {
            let end = piece.len().min(at.saturating_add(max));
            &mut piece[at..end]
        }))
    }

    /// Notes that the first `len` bytes of the space were filled.
    pub const fn advance(&mut self, len: usize) {
        self.at += len;
        self.len += len as u64;
    }

    /// Appends as many of `bytes` as there is room for.
    ///
    /// # Errors
    /// What allocating gives.
    pub fn append(&mut self, mut bytes: &[u8]) -> Result<(), DiskError> {
        let is_whole = bytes.len() as u64 == self.unmade && bytes.len() <= PIECE_LEN;
        if is_whole && self.pieces.is_empty() && bytes.len().is_multiple_of(SECTOR_LEN) {
            self.pieces.push(Buffer::copy_of(bytes)?);
            self.unmade = 0;
            self.advance(bytes.len());
            return Ok(());
        }
        while !bytes.is_empty() {
            let space = self.space(bytes.len())?;
            let len = space.len();
            if len == 0 {
                break;
            }
            space.copy_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
            self.advance(len);
        }
        Ok(())
    }

    /// All of it in one row, at most `max` bytes.
    pub fn bytes(&self, max: usize) -> Vec<u8> {
        let len = usize::try_from(self.len).map_or(max, |len| len.min(max));
        let mut bytes = Vec::with_capacity(len);
        for piece in &self.pieces {
            let left = len - bytes.len();
            bytes.extend_from_slice(&piece[..piece.len().min(left)]);
        }
        bytes
    }

    /// The first `wanted` bytes of it, or all where there are fewer, as whole sectors: what fills the last
    /// one is zero.
    pub fn into_data(mut self, wanted: u64) -> DataOut {
        let len = self.len.min(wanted);
        let at = self.at;
        if let Some(last) = self.pieces.last_mut() {
            last[at..].fill(0);
        }
        let mut left = len.div_ceil(SECTOR_LEN as u64);
        let mut pieces = Vec::with_capacity(self.pieces.len());
        let surplus = usize::try_from(len % SECTOR_LEN as u64).unwrap_or(0);
        for mut piece in self.pieces {
            let sectors = piece.sectors().min(left);
            if sectors == 0 {
                break;
            }
            left -= sectors;
            let end = usize::try_from(sectors).map_or(piece.len(), |n| n * SECTOR_LEN);
            if left == 0 && surplus > 0 {
                piece[end - SECTOR_LEN + surplus..end].fill(0);
            }
            let is_whole = sectors == piece.sectors();
            let payload = piece.freeze();
            pieces.push(if is_whole { payload } else { payload.slice(0, sectors) });
        }
        DataOut { pieces, len, offered: len }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|n| u8::try_from(n % 250).unwrap() + 1).collect()
    }

    proptest! {
        #[test]
        fn what_was_appended_comes_out_in_order_and_padded_with_zeroes(
            total in 0usize..400_000, wanted in 0u64..400_000, cuts in proptest::collection::vec(1usize..70_000, 1..20),
        ) {
            let mut gathered = Gathered::new(total as u64);
            let bytes = pattern(total + 100);
            let (mut at, mut cuts) = (0, cuts.into_iter().cycle());
            while at < bytes.len() {
                let end = bytes.len().min(at + cuts.next().unwrap());
                gathered.append(&bytes[at..end]).unwrap();
                at = end;
            }
            // What fills the last sector may have taken some of the surplus, but no more.
            prop_assert!(gathered.len() >= total as u64);
            prop_assert!(gathered.len() <= total.next_multiple_of(512) as u64);
            let data = gathered.into_data(wanted.min(total as u64));
            let len = usize::try_from(data.len).unwrap();
            prop_assert_eq!(data.len, wanted.min(total as u64));
            let all: Vec<u8> = data.pieces.iter().flat_map(|piece| piece.to_vec()).collect();
            prop_assert_eq!(all.len(), len.next_multiple_of(512));
            prop_assert!(all[..len] == bytes[..len] && all[len..].iter().all(|byte| *byte == 0));
        }
    }
}
