//! One block as it is stored: raw, compressed, or a flag; and back, through its checksum.

use std::cell::RefCell;
use std::sync::OnceLock;

use base::checksum::{self, Kind};
use base::id::Id;
use base::units::{BLOCK_LEN, SECTOR_LEN};
use disk::{Buffer, DiskError, Payload};

use super::chunk::ChunkEntry;
use super::place::{Form, Key, Place};

/// Bytes before a zstd frame that say how long it is.
const FRAME_LEN_LEN: usize = 2;
/// The longest frame that saves a sector.
const FRAME_LEN_MAX: usize = BLOCK_LEN - SECTOR_LEN - FRAME_LEN_LEN;

/// What a block held.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// These 4 KiB.
    Data(Payload),
    /// Zeroes.
    Zero,
    /// Nothing: it was never allocated, and reads as zeroes.
    Absent,
    /// What was there is damaged, so that it can only be told that it is.
    Damaged,
}

/// A block to be preserved.
#[derive(Clone, Debug)]
pub(crate) struct Preserve {
    /// Under which name.
    pub key: Key,
    /// What it held.
    pub content: Content,
}

/// A block made ready to be written.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) entry: ChunkEntry,
    pub(super) bytes: StoredBytes,
}

/// The bytes of a stored block.
#[derive(Debug)]
pub(super) enum StoredBytes {
    /// None: it is a flag.
    None,
    /// The block as it came.
    Raw(Payload),
    /// Whole sectors.
    Packed(Vec<u8>),
}

/// Turns blocks into what is stored.
pub(super) struct Encoder {
    volume: Id,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    scratch: Vec<u8>,
    /// Blocks in a row that were tried to compress in vain.
    in_vain: u32,
    /// Blocks since that were not tried.
    untried: u32,
}

/// Blocks in vain after which most are not tried: compressing takes longer than all else that is done to
/// a block, and what does not compress seldom comes alone.
const IN_VAIN_MAX: u32 = 16;
/// Of what follows, one block in so many is tried.
const TRY_EVERY: u32 = 8;

impl Encoder {
    /// An encoder for this volume that compresses at `level`, or not at all.
    pub(super) fn new(volume: Id, level: Option<i32>) -> Self {
        // Where zstd cannot be set up (no memory), blocks are stored as they are.
        let zstd = level.and_then(|level| zstd::bulk::Compressor::new(level).ok());
        Self { volume, zstd, scratch: vec![0; FRAME_LEN_MAX], in_vain: 0, untried: 0 }
    }

    /// The stored form of a block.
    ///
    /// # Panics
    /// Where data is not exactly one block.
    pub(super) fn encode(&mut self, preserve: Preserve) -> Stored {
        let Preserve { key, content } = preserve;
        let (form, bytes) = match content {
            Content::Absent => (Form::Absent, StoredBytes::None),
            Content::Damaged => (Form::Damaged, StoredBytes::None),
            Content::Zero => (Form::Zero, StoredBytes::None),
            Content::Data(payload) => {
                assert!(payload.len() == BLOCK_LEN, "a block is {BLOCK_LEN} bytes");
                self.encode_data(payload)
            }
        };
        let slice: &[u8] = match &bytes {
            StoredBytes::None => &[],
            StoredBytes::Raw(payload) => payload,
            StoredBytes::Packed(packed) => packed,
        };
        let checksum = checksum_of(self.volume, key, slice);
        let sectors = u8::try_from(slice.len() / SECTOR_LEN).unwrap_or(u8::MAX);
        Stored { entry: ChunkEntry { key, checksum, sectors, form }, bytes }
    }

    fn encode_data(&mut self, payload: Payload) -> (Form, StoredBytes) {
        if is_zero(&payload) {
            return (Form::Zero, StoredBytes::None);
        }
        let zstd = if self.is_worth_trying() { self.zstd.as_mut() } else { None };
        let packed = zstd.and_then(|zstd| {
            // A frame that does not fit the scratch is an error here, and stored raw.
            let len = zstd.compress_to_buffer(&payload, &mut self.scratch[..]).ok()?;
            let mut packed = Vec::with_capacity((FRAME_LEN_LEN + len).next_multiple_of(SECTOR_LEN));
            packed.extend_from_slice(&u16::try_from(len).ok()?.to_le_bytes());
            packed.extend_from_slice(self.scratch.get(..len)?);
            packed.resize(packed.len().next_multiple_of(SECTOR_LEN), 0);
            Some(packed)
        });
        match packed {
            Some(packed) => {
                self.in_vain = 0;
                (Form::Zstd, StoredBytes::Packed(packed))
            }
            None => {
                self.in_vain = self.in_vain.saturating_add(1);
                (Form::Raw, StoredBytes::Raw(payload))
            }
        }
    }

    fn is_worth_trying(&mut self) -> bool {
        if self.in_vain < IN_VAIN_MAX {
            return true;
        }
        self.untried = (self.untried + 1) % TRY_EVERY;
        self.untried == 0
    }
}

/// The checksum of stored bytes, bound to whose they are.
pub(super) fn checksum_of(volume: Id, key: Key, stored: &[u8]) -> u32 {
    let mut owner = [0; 32];
    owner[..16].copy_from_slice(&volume.0.to_le_bytes());
    owner[16..24].copy_from_slice(&key.block.to_le_bytes());
    owner[24..].copy_from_slice(&key.sequence.to_le_bytes());
    checksum::of_pieces(Kind::PreservedExtent, [&owner[..], stored])
}

/// The block behind stored bytes.
///
/// # Errors
/// Why the bytes are not what was stored.
pub(super) fn decode(
    volume: Id,
    (key, place): (Key, Place),
    stored: Payload,
) -> Result<Payload, &'static str> {
    if stored.sectors() != u64::from(place.sectors) || !place.form.fits(place.sectors) {
        return Err("its length does not fit its form");
    }
    if checksum_of(volume, key, &stored) != place.checksum {
        return Err("its checksum does not match");
    }
    match place.form {
        Form::Raw => Ok(stored),
        Form::Damaged => Err("it was damaged already when it was preserved"),
        Form::Zero | Form::Absent => zeroes().map_err(|_| "there is no memory for it"),
        Form::Zstd => decompress(&stored),
    }
}

thread_local! {
    // A decompression context is some 100 KiB: made once for each thread that reads.
    static ZSTD: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

fn decompress(stored: &[u8]) -> Result<Payload, &'static str> {
    let (len, frame) = stored.split_first_chunk().ok_or("it is too short")?;
    let len = usize::from(u16::from_le_bytes(*len));
    let frame = frame.get(..len).ok_or("its compressed length cannot be")?;
    let mut block = Buffer::zeroed(BLOCK_LEN).map_err(|_| "there is no memory for it")?;
    let written = ZSTD.with_borrow_mut(|zstd| {
        if zstd.is_none() {
            *zstd = zstd::bulk::Decompressor::new().ok();
        }
        zstd.as_mut().and_then(|zstd| zstd.decompress_to_buffer(frame, &mut block[..]).ok())
    });
    match written {
        Some(BLOCK_LEN) => Ok(block.freeze()),
        _ => Err("it does not decompress to a block"),
    }
}

/// One block of zeroes, shared.
///
/// # Errors
/// Where there is no memory for it.
pub(super) fn zeroes() -> Result<Payload, DiskError> {
    static ZEROES: OnceLock<Payload> = OnceLock::new();
    if let Some(payload) = ZEROES.get() {
        return Ok(payload.clone());
    }
    let payload = Buffer::zeroed(BLOCK_LEN)?.freeze();
    Ok(ZEROES.get_or_init(|| payload).clone())
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(64).all(|line| line.iter().fold(0, |or, byte| or | byte) == 0)
}
