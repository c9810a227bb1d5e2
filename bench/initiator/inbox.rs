//! PDUs as they come: many with one call. Data are counted, checked where they carry checksums, and dropped.

use std::io::ErrorKind;

use tokio::net::TcpStream;

use super::login::{Digests, RECEIVE_LEN_MAX};
use super::outbox::{DIGEST_LEN, digest};
use super::pdu::{Answer, HEAD_LEN, answer};
use crate::Outcome;

/// What comes with one call.
const RECEIVE_LEN: usize = 1 << 20;

/// The PDU whose data come in.
#[derive(Debug)]
struct Body {
    answer: Answer,
    left: usize,
    checksum: u32,
    kept: Vec<u8>,
}

/// What came and was not looked at yet.
#[derive(Debug)]
pub struct Inbox {
    buffer: Vec<u8>,
    filled: usize,
    body: Option<Body>,
    digests: Digests,
}

impl Inbox {
    /// An empty one.
    pub fn new(digests: Digests) -> Self {
        Self { buffer: vec![0; RECEIVE_LEN], filled: 0, body: None, digests }
    }

    /// Receives once, and hands on each PDU that is whole: with its data only where they are sense.
    ///
    /// # Errors
    /// Where the connection is broken, a checksum is wrong, or a PDU is none; or as `each` fails.
    pub fn take(
        &mut self,
        stream: &TcpStream,
        each: impl FnMut(&Answer, &[u8]) -> Outcome<()>,
    ) -> Outcome<()> {
        match stream.try_read(&mut self.buffer[self.filled..]) {
            Ok(0) => return Err("the target closed the connection".into()),
            Ok(count) => self.filled += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        self.understand(each)
    }

    fn understand(&mut self, mut each: impl FnMut(&Answer, &[u8]) -> Outcome<()>) -> Outcome<()> {
        let digest_len = if self.digests == Digests::Crc32c { DIGEST_LEN } else { 0 };
        let mut at = 0;
        loop {
            let come = &self.buffer[at..self.filled];
            let Some(body) = &mut self.body else {
                if come.len() < HEAD_LEN + digest_len {
                    break;
                }
                self.body = Some(begun(come, self.digests)?);
                at += HEAD_LEN + digest_len;
                continue;
            };
            let part = &come[..body.left.min(come.len())];
            if self.digests == Digests::Crc32c {
                body.checksum = crc32c::crc32c_append(body.checksum, part);
            }
            if body.answer.operation != answer::DATA_IN {
                body.kept.extend_from_slice(part);
            }
            body.left -= part.len();
            at += part.len();
            let rest = &come[part.len()..];
            let tail_len = if body.answer.data_len > 0 { digest_len } else { 0 };
            if body.left > 0 || rest.len() < tail_len {
                break;
            }
            if tail_len > 0 && rest[..tail_len] != body.checksum.to_le_bytes() {
                return Err("the data's checksum is wrong".into());
            }
            at += tail_len;
            each(&body.answer, &body.kept)?;
            self.body = None;
        }
        self.buffer.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(())
    }
}

fn begun(come: &[u8], digests: Digests) -> Outcome<Body> {
    let head = come.first_chunk::<HEAD_LEN>().ok_or("a head that is cut off")?;
    if digests == Digests::Crc32c && come[HEAD_LEN..HEAD_LEN + DIGEST_LEN] != digest(head) {
        return Err("the head's checksum is wrong".into());
    }
    let answer = Answer::of(head);
    if answer.more_len > 0 || answer.data_len > RECEIVE_LEN_MAX {
        return Err(format!("a PDU that nobody wants: {answer:?}").into());
    }
    Ok(Body { answer, left: answer.padded_len(), checksum: 0, kept: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A response with five bytes of data, then a NOP-In without.
    fn stream(digests: Digests) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (operation, data) in [(answer::RESPONSE, &b"sense\0\0\0"[..]), (answer::NOP_IN, b"")] {
            let mut head = [0; HEAD_LEN];
            head[0] = operation;
            head[7] = if data.is_empty() { 0 } else { 5 };
            bytes.extend(head);
            if digests == Digests::Crc32c {
                bytes.extend(digest(&head));
            }
            bytes.extend(data);
            if digests == Digests::Crc32c && !data.is_empty() {
                bytes.extend(digest(data));
            }
        }
        bytes
    }

    fn understood(bytes: &[u8], digests: Digests, cut: usize) -> Outcome<Vec<(u8, Vec<u8>)>> {
        let mut inbox = Inbox::new(digests);
        let mut found = Vec::new();
        for part in [&bytes[..cut], &bytes[cut..]] {
            inbox.buffer[inbox.filled..inbox.filled + part.len()].copy_from_slice(part);
            inbox.filled += part.len();
            inbox.understand(|answer, data| {
                found.push((answer.operation, data[..answer.data_len].to_vec()));
                Ok(())
            })?;
        }
        Ok(found)
    }

    #[test]
    fn pdus_are_understood_wherever_they_are_cut() {
        let expected = vec![(answer::RESPONSE, b"sense".to_vec()), (answer::NOP_IN, Vec::new())];
        for digests in [Digests::None, Digests::Crc32c] {
            let bytes = stream(digests);
            for cut in 0..=bytes.len() {
                assert_eq!(understood(&bytes, digests, cut).unwrap(), expected, "{cut}");
            }
        }
    }

    #[test]
    fn a_wrong_bit_is_noticed_where_there_are_checksums() {
        let bytes = stream(Digests::Crc32c);
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x10;
            assert!(understood(&bytes, Digests::Crc32c, 0).is_err(), "{at}");
        }
    }
}
