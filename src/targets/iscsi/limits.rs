//! The limits of the iSCSI door, each with its reason.

use std::time::Duration;

/// Bytes of data that one PDU may bring: a whole first burst.
pub const RECV_SEGMENT_LEN_MAX: u32 = 256 << 10;
/// Bytes that may come unasked with a command: few writes of a mail server are longer.
pub const FIRST_BURST_LEN_MAX: u32 = 256 << 10;
/// Bytes of one sequence of data.
pub const BURST_LEN_MAX: u32 = 1 << 20;
/// Sequences of one command that are asked for at once.
pub const OUTSTANDING_R2T_MAX: u32 = 8;
/// Seconds that an initiator waits before it comes again after a connection broke.
pub const TIME_TO_WAIT: u32 = 2;
/// Seconds for which tasks would be kept for a connection that broke: they are not.
pub const TIME_TO_RETAIN: u32 = 0;

/// Bytes of data of one PDU before there is an agreement: what the protocol sets.
pub const LOGIN_SEGMENT_LEN_MAX: usize = 8192;
/// Bytes of one text that comes in several PDUs: two full ones. A peer holds no more before its login.
pub const TEXT_LEN_MAX: usize = 16 << 10;
/// Keys of one text: RFC 7143 has fewer than forty.
pub const TEXT_PAIRS_MAX: usize = 128;
/// Bytes of a key.
pub const KEY_LEN_MAX: usize = 63;
/// Bytes of an iSCSI name.
pub const NAME_LEN_MAX: usize = 223;
/// Requests of one login: every stage, every key on its own, and room to spare.
pub const LOGIN_REQUESTS_MAX: u32 = 64;
/// Bytes of a binary value: what RFC 7143 12.1.3 allows a challenge to have.
pub const BINARY_LEN_MAX: usize = 1024;
/// Bytes of a challenge: as long as the longest digest.
pub const CHALLENGE_LEN: usize = 32;
/// Bytes of one answer to a text: the names of some thousand targets.
pub const TEXT_ANSWER_LEN_MAX: usize = 1 << 20;

/// Numbered commands of one session that are under way.
pub const COMMANDS_MAX: u32 = 128;
/// Immediate commands of one session that are under way.
pub const IMMEDIATE_MAX: usize = 32;
/// Bytes of commands that came before others that they follow; a well-behaved client sends them in order.
pub const HELD_BACK_BYTES_MAX: usize = 1 << 20;
/// Bytes of read and written data of the commands of one session, unless one alone has more.
pub const REQUEST_BYTES_MAX: u64 = 64 << 20;
/// Bytes that wait to be sent before no more is received.
pub const UNSENT_LEN_MAX: usize = 64 << 20;
/// Bytes of the buffer that PDUs are received into.
pub const RECEIVE_LEN: usize = 256 << 10;
/// Bytes of data up to which it passes through that buffer; longer segments go straight to their place.
pub const SMALL_SEGMENT_LEN_MAX: usize = 64 << 10;
/// Bytes received at a time while long segments come, so that little of them has to be copied.
pub const BULK_RECEIVE_LEN: usize = 8 << 10;
/// Bytes of one buffer of written data: half of a small second-level cache.
pub const PIECE_LEN: usize = 128 << 10;

/// Time after which a silent connection is asked whether it lives, and again until it is given up.
pub const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Seconds that an initiator is given to log out when the server ends.
pub const LEAVE_SECONDS: u16 = 5;
/// Time that a login waits for the session that it takes the place of.
pub const REINSTATEMENT_TIME_MAX: Duration = Duration::from_secs(4);

/// Who got a secret wrong lately: entries kept.
pub const PENALTIES_MAX: usize = 1024;
/// Wrong answers of one user from one network that cost nothing: a typing error.
pub const PENALTY_FREE_USER: u32 = 1;
/// Wrong answers from one network, whatever the user, that cost nothing: some hosts behind one router.
pub const PENALTY_FREE_NETWORK: u32 = 8;
/// The delay of the first answer that costs something; each further one doubles it.
pub const PENALTY_FIRST: Duration = Duration::from_millis(250);
/// The longest delay: a login that is right at last still fits in the time that it has.
pub const PENALTY_MAX: Duration = Duration::from_secs(3);
/// Time after which wrong answers are forgotten.
pub const PENALTY_MEMORY: Duration = Duration::from_secs(300);
