//! Sense data: why a command was not carried out, in the fixed and in the descriptor format.
//!
//! Source: SPC-4 4.5.

/// What kind of condition it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Key {
    /// None.
    NoSense = 0x0,
    /// The logical unit cannot be accessed now.
    NotReady = 0x2,
    /// The medium is damaged.
    MediumError = 0x3,
    /// Something is broken that cannot be repaired from here.
    HardwareError = 0x4,
    /// The command is wrong.
    IllegalRequest = 0x5,
    /// Something has happened that the initiator should know.
    UnitAttention = 0x6,
    /// It may not be written.
    DataProtect = 0x7,
    /// A copy ended before it was done.
    CopyAborted = 0xa,
    /// The command was given up.
    AbortedCommand = 0xb,
    /// Source data did not match what is on the medium.
    Miscompare = 0xe,
}

/// The format in which sense data is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// 18 bytes.
    Fixed,
    /// As long as it needs to be.
    Descriptor,
}

/// Sense data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sense {
    /// The sense key.
    pub key: Key,
    /// Additional sense code and its qualifier.
    pub code: (u8, u8),
    /// The INFORMATION field.
    pub information: Option<u64>,
    /// The sense key specific bytes, SKSV included.
    pub specific: Option<[u8; 3]>,
}

const SKSV: u8 = 0x80;
const IN_CDB: u8 = 0x40;
const BIT_POINTER: u8 = 0x08;

impl Sense {
    /// This key and code.
    pub const fn new(key: Key, asc: u8, ascq: u8) -> Self {
        Self { key, code: (asc, ascq), information: None, specific: None }
    }

    const fn illegal(asc: u8, ascq: u8) -> Self {
        Self::new(Key::IllegalRequest, asc, ascq)
    }

    /// INVALID COMMAND OPERATION CODE.
    pub const fn unknown_command() -> Self {
        Self::illegal(0x20, 0)
    }

    /// INVALID FIELD IN CDB, pointing to a byte of it.
    pub fn cdb_byte(byte: u8) -> Self {
        Self { specific: Some([SKSV | IN_CDB, 0, byte]), ..Self::illegal(0x24, 0) }
    }

    /// INVALID FIELD IN CDB, pointing to the highest bit of a field.
    pub fn cdb_bit(byte: u8, bit: u8) -> Self {
        let specific = Some([SKSV | IN_CDB | BIT_POINTER | bit & 7, 0, byte]);
        Self { specific, ..Self::illegal(0x24, 0) }
    }

    /// INVALID FIELD IN PARAMETER LIST, pointing to a byte of it.
    pub fn list_byte(byte: usize) -> Self {
        let [high, low] = u16::try_from(byte).unwrap_or(u16::MAX).to_be_bytes();
        Self { specific: Some([SKSV, high, low]), ..Self::illegal(0x26, 0) }
    }

    /// PARAMETER LIST LENGTH ERROR.
    pub const fn list_len() -> Self {
        Self::illegal(0x1a, 0)
    }

    /// INVALID FIELD IN COMMAND INFORMATION UNIT: the data that came is not what the CDB says.
    pub const fn wrong_data_len() -> Self {
        Self::illegal(0x0e, 0x03)
    }

    /// LOGICAL BLOCK ADDRESS OUT OF RANGE.
    pub const fn out_of_range(lba: u64) -> Self {
        Self { information: Some(lba), ..Self::illegal(0x21, 0) }
    }

    /// LOGICAL UNIT NOT SUPPORTED.
    pub const fn no_such_unit() -> Self {
        Self::illegal(0x25, 0)
    }

    /// WRITE PROTECTED.
    pub const fn write_protected() -> Self {
        Self::new(Key::DataProtect, 0x27, 0)
    }

    /// SOFTWARE WRITE PROTECTED.
    pub const fn software_write_protected() -> Self {
        Self::new(Key::DataProtect, 0x27, 0x02)
    }

    /// MISCOMPARE DURING VERIFY OPERATION, at a byte of the data.
    pub const fn miscompare(offset: u64) -> Self {
        Self { information: Some(offset), ..Self::new(Key::Miscompare, 0x1d, 0) }
    }

    /// MEDIUM NOT PRESENT.
    pub const fn no_medium() -> Self {
        Self::new(Key::NotReady, 0x3a, 0)
    }

    /// LOGICAL UNIT NOT READY, for this reason.
    pub const fn not_ready(ascq: u8) -> Self {
        Self::new(Key::NotReady, 0x04, ascq)
    }

    /// INTERNAL TARGET FAILURE.
    pub const fn failure() -> Self {
        Self::new(Key::HardwareError, 0x44, 0)
    }

    /// The same with a progress indication, of 65536.
    pub fn with_progress(self, progress: u16) -> Self {
        let [high, low] = progress.to_be_bytes();
        Self { specific: Some([SKSV, high, low]), ..self }
    }

    /// The same, pointing to a segment descriptor that failed.
    pub fn with_segment(self, byte: u16) -> Self {
        let [high, low] = byte.to_be_bytes();
        Self { specific: Some([SKSV, high, low]), ..self }
    }

    /// Its bytes.
    pub fn encode(&self, format: Format) -> Vec<u8> {
        match format {
            Format::Fixed => self.fixed(),
            Format::Descriptor => self.descriptors(),
        }
    }

    fn fixed(&self) -> Vec<u8> {
        let mut bytes = vec![0; 18];
        bytes[0] = 0x70;
        if let Some(information) = self.information.and_then(|i| u32::try_from(i).ok()) {
            bytes[0] |= 0x80;
            bytes[3..7].copy_from_slice(&information.to_be_bytes());
        }
        bytes[2] = self.key as u8;
        bytes[7] = 10;
        (bytes[12], bytes[13]) = self.code;
        if let Some(specific) = self.specific {
            bytes[15..18].copy_from_slice(&specific);
        }
        bytes
    }

    fn descriptors(&self) -> Vec<u8> {
        let mut bytes = vec![0x72, self.key as u8, self.code.0, self.code.1, 0, 0, 0, 0];
        if let Some(information) = self.information {
            bytes.extend_from_slice(&[0x00, 0x0a, 0x80, 0]);
            bytes.extend_from_slice(&information.to_be_bytes());
        }
        if let Some([a, b, c]) = self.specific {
            bytes.extend_from_slice(&[0x02, 0x06, 0, 0, a, b, c, 0]);
        }
        bytes[7] = u8::try_from(bytes.len() - 8).unwrap_or(u8::MAX);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_sense_has_information_where_it_fits() {
        let bytes = Sense::out_of_range(0x1234).encode(Format::Fixed);
        assert_eq!(bytes.len(), 18);
        assert_eq!((bytes[0], bytes[2], bytes[12], bytes[13]), (0xf0, 5, 0x21, 0));
        assert_eq!(bytes[3..7], [0, 0, 0x12, 0x34]);
        let bytes = Sense::out_of_range(1 << 32).encode(Format::Fixed);
        assert_eq!((bytes[0], &bytes[3..7]), (0x70, &[0u8; 4][..]));
    }

    #[test]
    fn descriptor_sense_has_all_of_the_information() {
        let bytes = Sense::out_of_range(1 << 40).encode(Format::Descriptor);
        assert_eq!(bytes[..8], [0x72, 5, 0x21, 0, 0, 0, 0, 12]);
        assert_eq!(bytes[8..12], [0, 10, 0x80, 0]);
        assert_eq!(bytes[12..20], (1u64 << 40).to_be_bytes());
    }

    #[test]
    fn a_field_pointer_names_byte_and_bit() {
        let bytes = Sense::cdb_bit(1, 5).encode(Format::Fixed);
        assert_eq!(bytes[15..18], [0xcd, 0, 1]);
        let bytes = Sense::list_byte(300).encode(Format::Descriptor);
        assert_eq!(bytes[8..16], [2, 6, 0, 0, 0x80, 1, 44, 0]);
    }
}
