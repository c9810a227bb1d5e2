//! What a session has agreed on, or what holds where it has agreed on nothing.
//!
//! Source: RFC 7143 13.

/// What a session has agreed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Parameters {
    /// Headers carry a CRC32C.
    pub has_header_digest: bool,
    /// Data carries a CRC32C.
    pub has_data_digest: bool,
    /// Nothing comes behind a command that was not asked for.
    pub is_initial_r2t: bool,
    /// Data may come with a command.
    pub has_immediate_data: bool,
    /// Bytes of data of one PDU that the initiator takes.
    pub send_len_max: u32,
    /// Bytes of one sequence of data.
    pub burst_len_max: u32,
    /// Bytes that may come unasked.
    pub first_burst_len_max: u32,
    /// Sequences of one command that are asked for at once.
    pub outstanding_r2t_max: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            has_header_digest: false,
            has_data_digest: false,
            is_initial_r2t: true,
            has_immediate_data: true,
            send_len_max: 8192,
            burst_len_max: 256 << 10,
            first_burst_len_max: 64 << 10,
            outstanding_r2t_max: 1,
        }
    }
}

impl Parameters {
    /// Bytes that may come behind a command or with it without being asked for.
    pub const fn unsolicited_len_max(&self) -> u32 {
        if self.first_burst_len_max < self.burst_len_max {
            self.first_burst_len_max
        } else {
            self.burst_len_max
        }
    }
}
