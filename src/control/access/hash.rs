//! What is kept of secrets that programs choose at random: a digest. They have 256 bits, so nobody finds one by
//! trying, and a fast digest is enough.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The digest of a secret.
pub(super) fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
pub fn is_same(one: &str, other: &str) -> bool {
    digest(one).ct_eq(&digest(other)).into()
}
