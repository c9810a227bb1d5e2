//! The numbers of the wire: operation codes, flags, offsets in headers, reasons and statuses.
//!
//! Source: RFC 7143 11.

/// Bytes of a basic header segment.
pub const HEADER_LEN: usize = 48;
/// Bytes of a digest.
pub const DIGEST_LEN: usize = 4;
/// The tag that means none.
pub const NO_TAG: u32 = 0xffff_ffff;
/// The bit of an initiator's operation code that asks for immediate delivery.
pub const IMMEDIATE: u8 = 0x40;
/// The bits that are the operation code.
pub const OPCODE_MASK: u8 = 0x3f;
/// The version that is spoken.
pub const VERSION: u8 = 0;

/// Operation codes of initiators.
pub mod request {
    /// NOP-Out.
    pub const NOP_OUT: u8 = 0x00;
    /// SCSI Command.
    pub const COMMAND: u8 = 0x01;
    /// Task Management Function Request.
    pub const TASK_MANAGEMENT: u8 = 0x02;
    /// Login Request.
    pub const LOGIN: u8 = 0x03;
    /// Text Request.
    pub const TEXT: u8 = 0x04;
    /// SCSI Data-Out.
    pub const DATA_OUT: u8 = 0x05;
    /// Logout Request.
    pub const LOGOUT: u8 = 0x06;
    /// SNACK Request.
    pub const SNACK: u8 = 0x10;
}

/// Operation codes of targets.
pub mod response {
    /// NOP-In.
    pub const NOP_IN: u8 = 0x20;
    /// SCSI Response.
    pub const COMMAND: u8 = 0x21;
    /// Task Management Function Response.
    pub const TASK_MANAGEMENT: u8 = 0x22;
    /// Login Response.
    pub const LOGIN: u8 = 0x23;
    /// Text Response.
    pub const TEXT: u8 = 0x24;
    /// SCSI Data-In.
    pub const DATA_IN: u8 = 0x25;
    /// Logout Response.
    pub const LOGOUT: u8 = 0x26;
    /// Ready To Transfer.
    pub const R2T: u8 = 0x31;
    /// Asynchronous Message.
    pub const ASYNC: u8 = 0x32;
    /// Reject.
    pub const REJECT: u8 = 0x3f;
}

/// Offsets of fields in the headers.
pub mod at {
    /// Operation code.
    pub const OPCODE: usize = 0;
    /// Flags.
    pub const FLAGS: usize = 1;
    /// Response, reason or highest version.
    pub const RESPONSE: usize = 2;
    /// Status or lowest version.
    pub const STATUS: usize = 3;
    /// Words of additional header segments.
    pub const AHS_LEN: usize = 4;
    /// Bytes of data, three of them.
    pub const DATA_LEN: usize = 5;
    /// Logical unit number, or ISID and TSIH.
    pub const LUN: usize = 8;
    /// TSIH of a login.
    pub const TSIH: usize = 14;
    /// Initiator task tag.
    pub const ITT: usize = 16;
    /// Target transfer tag, referenced task tag, expected data length or CID.
    pub const TTT: usize = 20;
    /// CmdSN, or StatSN.
    pub const CMD_SN: usize = 24;
    /// ExpStatSN, or ExpCmdSN.
    pub const EXP_STAT_SN: usize = 28;
    /// CDB, RefCmdSN, or MaxCmdSN.
    pub const CDB: usize = 32;
    /// DataSN, R2TSN, ExpDataSN, event or login status.
    pub const DATA_SN: usize = 36;
    /// Buffer offset, or time to wait.
    pub const OFFSET: usize = 40;
    /// Residual count, or desired length.
    pub const RESIDUAL: usize = 44;
}

/// Flags.
pub mod flag {
    /// The last of its kind.
    pub const FINAL: u8 = 0x80;
    /// A command reads.
    pub const READ: u8 = 0x40;
    /// A command writes.
    pub const WRITE: u8 = 0x20;
    /// A text goes on in the next PDU.
    pub const CONTINUE: u8 = 0x40;
    /// More came from a bidirectional read than was expected.
    pub const READ_OVERFLOW: u8 = 0x10;
    /// Less came.
    pub const READ_UNDERFLOW: u8 = 0x08;
    /// There was more to transfer than was expected.
    pub const OVERFLOW: u8 = 0x04;
    /// There was less.
    pub const UNDERFLOW: u8 = 0x02;
    /// A Data-In carries the status.
    pub const STATUS: u8 = 0x01;
}

/// Reasons of a Reject.
///
/// Source: RFC 7143 11.17.1.
pub mod reject {
    /// A data digest was wrong.
    pub const DATA_DIGEST: u8 = 0x02;
    /// A SNACK.
    pub const SNACK: u8 = 0x03;
    /// A protocol error.
    pub const PROTOCOL: u8 = 0x04;
    /// An operation code that is not spoken.
    pub const UNSUPPORTED: u8 = 0x05;
    /// Too many immediate commands.
    pub const IMMEDIATE: u8 = 0x06;
    /// A tag that is in use.
    pub const IN_PROGRESS: u8 = 0x07;
    /// A field that may not have its value.
    pub const INVALID_FIELD: u8 = 0x09;
}

/// Login statuses, class and detail.
///
/// Source: RFC 7143 11.13.5.
pub mod status {
    /// Success.
    pub const SUCCESS: u16 = 0x0000;
    /// The request makes no sense.
    pub const INITIATOR_ERROR: u16 = 0x0200;
    /// Authentication failed.
    pub const AUTHENTICATION: u16 = 0x0201;
    /// This initiator may not use this target.
    pub const AUTHORIZATION: u16 = 0x0202;
    /// There is no such target.
    pub const NOT_FOUND: u16 = 0x0203;
    /// No version in common.
    pub const VERSION: u16 = 0x0205;
    /// One connection a session.
    pub const TOO_MANY: u16 = 0x0206;
    /// A key is missing.
    pub const MISSING: u16 = 0x0207;
    /// A kind of session that there is not.
    pub const SESSION_TYPE: u16 = 0x0209;
    /// There is no such session.
    pub const NO_SESSION: u16 = 0x020a;
    /// A PDU that has no place in a login.
    pub const INVALID: u16 = 0x020b;
    /// The target cannot serve now.
    pub const UNAVAILABLE: u16 = 0x0301;
    /// There is no room.
    pub const NO_ROOM: u16 = 0x0302;
}

/// Answers to task management.
///
/// Source: RFC 7143 11.6.1.
pub mod managed {
    /// Done.
    pub const COMPLETE: u8 = 0;
    /// There is no such task.
    pub const NO_TASK: u8 = 1;
    /// There is no such LUN.
    pub const NO_LUN: u8 = 2;
    /// Tasks do not move between connections.
    pub const NO_REASSIGN: u8 = 4;
    /// There is no such function.
    pub const UNSUPPORTED: u8 = 5;
    /// Refused.
    pub const REJECTED: u8 = 255;
}

/// Answers to a logout.
///
/// Source: RFC 7143 11.15.1.
pub mod left {
    /// Closed.
    pub const CLOSED: u8 = 0;
    /// There is no such connection.
    pub const NO_CONNECTION: u8 = 1;
    /// Connections are not recovered.
    pub const NO_RECOVERY: u8 = 2;
}

/// The asynchronous event that asks for a logout.
///
/// Source: RFC 7143 11.9.1.
pub const EVENT_LOGOUT: u8 = 1;
