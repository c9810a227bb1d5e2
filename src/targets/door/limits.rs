//! The limits that all doors have in common, each with its reason.

use std::time::Duration;

/// Time for a whole negotiation, TLS included.
pub const NEGOTIATION_TIME_MAX: Duration = Duration::from_secs(5);
/// Negotiations at once from one network address: a client with multiple connections, twice.
pub const NEGOTIATIONS_PER_ADDRESS_MAX: usize = 8;
/// Negotiations at once over Unix sockets, where only this host's users come from.
pub const NEGOTIATIONS_PER_SOCKET_MAX: usize = 32;
/// Negotiations at once in all.
pub const NEGOTIATIONS_MAX: usize = 64;
/// Sessions at once.
pub const SESSIONS_MAX: usize = 1024;

/// Bytes of read buffers that a session keeps for the next reads.
pub const SPARE_BYTES_MAX: usize = 8 << 20;
/// Read buffers that a session keeps for the next reads.
pub const SPARE_BUFFERS_MAX: usize = 64;

/// Time for a farewell (TLS close_notify) to be sent.
pub const FAREWELL_TIME_MAX: Duration = Duration::from_secs(1);
/// Bytes that the kernel may hold on their way to a client of a Unix socket: a full batch of replies.
pub const SOCKET_SEND_LEN: usize = 4 << 20;
