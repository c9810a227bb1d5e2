//! What a logical unit says of who it is: vendor, product, serial number, NAA name.
//!
//! Derived from the identity of what is behind it, so that a rename or a restart changes nothing.

use base::id::Id;

/// The vendor identification.
pub const VENDOR: &[u8; 8] = b"TIDEMARK";

/// Who a logical unit is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The identity of the disk behind it.
    pub id: Id,
    /// The product identification: at most 16 ASCII characters, what is more is cut.
    pub product: String,
}

impl Identity {
    /// Its name in the NAA format 6. The house has no registered number of its own: all but the first four
    /// bits come from chance.
    ///
    /// Source: SPC-4 7.8.6.6.6.
    pub fn naa(&self) -> [u8; 16] {
        let mut naa = self.id.0.to_be_bytes();
        naa[0] = 0x60 | naa[0] & 0x0f;
        naa
    }

    /// Its serial number: the identity as 32 hexadecimal digits.
    pub fn serial(&self) -> String {
        self.id.to_string()
    }

    /// The product identification as it is told: ASCII, padded with spaces.
    pub fn product_field(&self) -> [u8; 16] {
        let mut field = [b' '; 16];
        for (to, from) in field.iter_mut().zip(self.product.bytes()) {
            *to = if from.is_ascii_graphic() { from } else { b' ' };
        }
        field
    }
}
