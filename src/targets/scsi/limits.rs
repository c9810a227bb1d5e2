//! Every limit of this room, with its reason.

use std::time::Duration;

/// Bytes that one READ, WRITE or VERIFY may move: what an initiator likes best is far less, and eight of
/// them fit into one buffer.
pub const TRANSFER_LEN_MAX: u64 = 8 << 20;
/// Bytes in the transfer that suits best: more brings nothing on any disk measured.
pub const TRANSFER_LEN_OPTIMAL: u64 = 1 << 20;
/// Logical blocks that one descriptor list of UNMAP may name together.
pub const UNMAP_BLOCKS_MAX: u32 = 1 << 20;
/// Descriptors in one UNMAP: its parameter list stays near a page.
pub const UNMAP_DESCRIPTORS_MAX: u16 = 256;
/// Bytes that one WRITE SAME may cover: a pattern of this length is written within the time of any other
/// command.
pub const WRITE_SAME_LEN_MAX: u64 = 16 << 20;
/// Logical blocks of one COMPARE AND WRITE: what the CDB can say.
pub const COMPARE_AND_WRITE_BLOCKS_MAX: u8 = 255;
/// Bytes that are read, written or compared at once where a command covers more.
pub const STEP_LEN: u64 = 1 << 20;
/// Descriptors in an answer to GET LBA STATUS: 64 KiB.
pub const STATUS_DESCRIPTORS_MAX: usize = 4096;
/// Registrations of one logical unit: a cluster of 64 nodes with eight paths to each of two ports.
pub const REGISTRATIONS_MAX: usize = 1024;
/// Bytes of a parameter list of PERSISTENT RESERVE OUT: some dozens of TransportIDs.
pub const RESERVE_LIST_LEN_MAX: u32 = 16 << 10;
/// Bytes of a parameter list of MODE SELECT(10): all pages, twice.
pub const MODE_LIST_LEN_MAX: u16 = 512;
/// Target descriptors of EXTENDED COPY: a source and a destination are enough for everybody.
pub const COPY_TARGETS_MAX: u16 = 8;
/// Segment descriptors of EXTENDED COPY.
pub const COPY_SEGMENTS_MAX: u16 = 16;
/// Bytes of all descriptors of EXTENDED COPY together.
pub const COPY_DESCRIPTORS_LEN_MAX: u32 = 768;
/// Bytes of a parameter list of EXTENDED COPY: a few times what can be right, so that what is wrong can
/// be named.
pub const COPY_LIST_LEN_MAX: u32 = 16 << 10;
/// Bytes that one segment of EXTENDED COPY may move.
pub const COPY_SEGMENT_LEN_MAX: u32 = 32 << 20;
/// Results of copies that one logical unit remembers: one for each list identifier of a few initiators.
pub const COPY_RESULTS_MAX: usize = 64;
/// Bytes of the pattern of SANITIZE, OVERWRITE: one logical block of the larger kind.
pub const PATTERN_LEN_MAX: usize = 4096;
/// The shortest time that SANITIZE, OVERWRITE takes: initiators poll for it in seconds, and one that is
/// over before the first question looks as if it had not been done.
pub const SANITIZE_TIME_MIN: Duration =
    Duration::from_secs(if cfg!(any(test, fuzzing)) { 0 } else { 6 });
/// Answers to TEST UNIT READY that one nexus gets at once while a sanitize runs.
pub const SANITIZE_POLLS_MAX: u32 = 2;
/// How long the answer to a further one waits for the end of the sanitize: whoever asks again and again is
/// told when there is something new, and does not take time from it meanwhile.
pub const SANITIZE_POLL_TIME_MAX: Duration = Duration::from_secs(5);
/// The highest logical unit number: flat space addressing.
pub const LUN_MAX: u16 = 16383;
