//! Segments: the disks on the shelf that chunks are appended to, and what is known of each.

use base::codec::{CodecError, Reader, Writer};
use base::id::Id;
use base::units::SECTOR_LEN;

use super::tally::Tally;

/// The largest segment: sectors fit in 32 bits with room to spare.
pub(super) const SEGMENT_SECTORS_MAX: u64 = 1 << 30;
/// The smallest segment: 64 KiB, room for a few blocks and their heads.
pub(super) const SEGMENT_SECTORS_MIN: u64 = 128;

/// What is known of one segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Segment {
    /// Its length in sectors.
    pub(super) sectors: u32,
    /// Sectors from the front that chunks were appended to.
    pub(super) used: u32,
    /// Sectors given back by the last sweep.
    pub(super) punched: u32,
    /// What is live in it, as far as the last sweep knows.
    pub(super) live: Tally,
    /// Whether marks were deleted since the last sweep that may have freed something in it.
    pub(super) needs_sweep: bool,
}

impl Segment {
    /// An empty one of this length.
    pub(super) fn empty(sectors: u32) -> Self {
        Self { sectors, used: 0, punched: 0, live: Tally::default(), needs_sweep: false }
    }

    /// Bytes it takes on the shelf.
    pub(super) fn stored_bytes(&self) -> u64 {
        u64::from(self.sectors.saturating_sub(self.punched)) * SECTOR_LEN as u64
    }

    /// Appends it to a manifest.
    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.u32(self.sectors).u32(self.used).u32(self.punched);
        writer.u8(u8::from(self.needs_sweep)).reserved(3);
        self.live.encode(writer);
    }

    /// Takes it from a manifest.
    ///
    /// # Errors
    /// `Short` where the bytes end, `Invalid` where it cannot be.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (sectors, used, punched) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let flag = reader.u8()?;
        reader.reserved(3)?;
        if flag > 1 || used > sectors || punched > used || u64::from(sectors) > SEGMENT_SECTORS_MAX
        {
            return Err(CodecError::Invalid { field: "segment", value: u64::from(used) });
        }
        let live = Tally::decode(reader)?;
        Ok(Self { sectors, used, punched, live, needs_sweep: flag == 1 })
    }
}

/// The name of a segment's disk.
pub(super) fn name_of(volume: Id, index: u32) -> String {
    format!("{volume}.preserved-{index:08}")
}

/// The indices of this volume's segments among these names, in order.
pub(super) fn indices_in(volume: Id, names: &[String]) -> Vec<u32> {
    let prefix = format!("{volume}.preserved-");
    let index = |name: &String| {
        let digits = name.strip_prefix(&prefix)?;
        let index = digits.parse().ok()?;
        (name_of(volume, index) == *name).then_some(index)
    };
    let mut indices: Vec<u32> = names.iter().filter_map(index).collect();
    indices.sort_unstable();
    indices
}
