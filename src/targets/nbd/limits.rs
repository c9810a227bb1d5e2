//! The limits of the NBD door, each with its reason.

use std::time::Duration;

/// Bytes of a payload that a client is told to keep to: what every client may expect to be served.
pub const PAYLOAD_LEN_MAX: u64 = 32 << 20;
/// Bytes of a compact payload that are served or drained all the same: some clients never ask for the
/// maximum, and send twice the usual one.
pub const COMPACT_PAYLOAD_LEN_MAX: u64 = 64 << 20;
/// Bytes below which requests are slower than they need be.
pub const BLOCK_LEN_PREFERRED: u32 = 4096;

/// Bytes of an option's data that are kept: a name of the longest kind and as much again of queries.
pub const OPTION_DATA_LEN_MAX: usize = 8 << 10;
/// Bytes of data of one option that are skipped rather than taken for an attack.
pub const OPTION_SKIP_LEN_MAX: usize = 64 << 10;
/// Options of one negotiation: a browsing client asks about each of a few hundred exports.
pub const OPTIONS_MAX: u32 = 2048;
/// Bytes of one reply to an option: a list of all volumes and their marks fits in any sane setting.
pub const OPTION_REPLY_LEN_MAX: usize = 4 << 20;
/// Contexts that one session may select: bounds the work that one status request can ask for.
pub const STATUS_CONTEXTS_MAX: usize = 64;
/// Descriptors of one reply, all contexts together unless they are many: half a mebibyte of them.
pub const STATUS_DESCRIPTORS_MAX: usize = 1 << 15;
/// Descriptors of each context that are told however many contexts there are.
pub const STATUS_DESCRIPTORS_MIN: usize = 1 << 10;
/// Bytes that a status request counts for: what contexts may answer before it becomes a reply.
pub const STATUS_BYTES_HELD: u64 = 4 << 20;

/// Requests of one session that are carried out, or answered and not yet sent.
pub const REQUESTS_MAX: usize = 512;
/// Bytes of payload of those requests, unless one alone has more.
pub const REQUEST_BYTES_MAX: u64 = 64 << 20;
/// Bytes of the buffer that requests are received into.
pub const RECEIVE_LEN: usize = 256 << 10;
/// Bytes of payload up to which it passes through that buffer; longer ones go straight to their place.
pub const SMALL_PAYLOAD_LEN_MAX: usize = 64 << 10;
/// Bytes of one buffer of a large payload: half of a small second-level cache.
pub const PAYLOAD_PIECE_LEN: usize = 128 << 10;
/// Bytes of zeroes within a read that are worth a chunk of their own.
pub const HOLE_LEN_MIN: usize = 32 << 10;
/// Time for the payload of a write to begin that was not announced: clients that forget the announcement
/// send both in one go.
pub const DOUBT_TIME_MAX: Duration = Duration::from_millis(500);
/// Bytes of an error's message.
pub const MESSAGE_LEN_MAX: usize = 1024;
