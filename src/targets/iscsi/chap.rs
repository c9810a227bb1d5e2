//! CHAP: who asks proves that it knows the secret of a user, and may ask the same of the target.
//!
//! Pure: challenges come from outside. Secrets are compared in constant time and wiped when dropped.
//!
//! Source: RFC 7143 12.1; RFC 1994; the IANA registry of PPP authentication algorithms.

use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;
use sha3::Sha3_256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::limits::{BINARY_LEN_MAX, CHALLENGE_LEN};

/// A secret. It is never shown, and wiped when dropped.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// The secret of these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// How answers are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChapDigest {
    /// MD5, which every initiator has.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA3-256.
    Sha3_256,
}

impl ChapDigest {
    /// Its number in texts.
    pub const fn number(self) -> &'static str {
        match self {
            Self::Md5 => "5",
            Self::Sha1 => "6",
            Self::Sha256 => "7",
            Self::Sha3_256 => "8",
        }
    }

    fn answer(self, id: u8, secret: &Secret, challenge: &[u8]) -> Vec<u8> {
        match self {
            Self::Md5 => digest::<Md5>(id, secret, challenge),
            Self::Sha1 => digest::<Sha1>(id, secret, challenge),
            Self::Sha256 => digest::<Sha256>(id, secret, challenge),
            Self::Sha3_256 => digest::<Sha3_256>(id, secret, challenge),
        }
    }
}

fn digest<D: Digest>(id: u8, secret: &Secret, challenge: &[u8]) -> Vec<u8> {
    D::new().chain_update([id]).chain_update(&*secret.0).chain_update(challenge).finalize().to_vec()
}

/// Who knows which secrets.
pub trait ChapBook: Send + Sync {
    /// The secret of a user.
    fn secret(&self, user: &str) -> Option<Secret>;
    /// The name and secret of the target itself, for initiators that ask.
    fn own(&self) -> Option<(String, Secret)>;
    /// The digests that are allowed.
    fn digests(&self) -> Vec<ChapDigest>;
}

/// A challenge that was sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Challenge {
    /// How it is to be answered.
    pub digest: ChapDigest,
    /// Its number.
    pub id: u8,
    /// Its bytes.
    pub bytes: [u8; CHALLENGE_LEN],
}

/// What an initiator answers, and asks in its turn.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// Its user.
    pub user: &'a str,
    /// Its answer.
    pub answer: &'a str,
    /// The number and challenge that it sends.
    pub asks: Option<(&'a str, &'a str)>,
}

/// What became of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It was right. The target's own name and answer, where it was asked.
    Right(Option<(String, String)>),
    /// It was wrong, or what was asked must not be answered.
    Wrong,
}

impl Challenge {
    /// Judges an answer.
    pub fn judge(&self, book: &dyn ChapBook, reply: &Reply<'_>) -> Verdict {
        // A user that is not known takes as long as one that is.
        let known = book.secret(reply.user);
        let is_known = known.is_some();
        let secret = known.unwrap_or_else(|| Secret::new(self.bytes.to_vec()));
        let expected = self.digest.answer(self.id, &secret, &self.bytes);
        let given = binary(reply.answer).unwrap_or_default();
        let is_right = is_known & bool::from(expected.as_slice().ct_eq(&given));
        if !is_right {
            return Verdict::Wrong;
        }
        let Some((id, challenge)) = reply.asks else { return Verdict::Right(None) };
        let id = super::text::number(id).and_then(|id| u8::try_from(id).ok());
        // Our own challenge, sent back, asks us to answer for the one who was asked.
        let challenge = binary(challenge).filter(|bytes| !bytes.is_empty() && *bytes != self.bytes);
        match (id, challenge, book.own()) {
            (Some(id), Some(challenge), Some((name, secret))) => {
                let answer = self.digest.answer(id, &secret, &challenge);
                Verdict::Right(Some((name, hex(&answer))))
            }
            _ => Verdict::Wrong,
        }
    }
}

/// Bytes as texts have them.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// The bytes of a binary value: hexadecimal behind `0x`, base64 behind `0b`.
///
/// Source: RFC 7143 6.1.
pub fn binary(text: &str) -> Option<Vec<u8>> {
    let (kind, digits) = text.split_at_checked(2)?;
    let bytes = match kind {
        "0x" | "0X" => of_hex(digits),
        "0b" | "0B" => of_base64(digits),
        _ => None,
    };
    bytes.filter(|bytes| bytes.len() <= BINARY_LEN_MAX)
}

fn of_hex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Vec<u8> = digits.bytes().map(digit).collect::<Option<_>>()?;
    // An odd number of digits lacks the first one of a byte.
    let (first, pairs) = digits.split_at(digits.len() % 2);
    let pairs = pairs.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]);
    Some(first.iter().copied().chain(pairs).collect())
}

fn of_base64(digits: &str) -> Option<Vec<u8>> {
    let body = digits.trim_end_matches('=');
    if digits.len() - body.len() > 2 || body.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::new();
    for group in body.as_bytes().chunks(4) {
        let mut bits = 0u32;
        for digit in group {
            bits = bits << 6 | sextet(*digit)?;
        }
        bits <<= 6 * (4 - group.len());
        let [_, all @ ..] = bits.to_be_bytes();
        bytes.extend_from_slice(&all[..group.len() - 1]);
    }
    Some(bytes)
}

fn sextet(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
#[path = "chap_tests.rs"]
mod tests;
