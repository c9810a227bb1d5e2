//! The client's side of an NBD negotiation: as little as the kernel needs before it takes over.
//!
//! The kernel speaks simple replies only, so nothing is negotiated but the export itself.
//!
//! Source: the NBD protocol, "Fixed newstyle negotiation" and "Option haggling".

use std::io::{self, Read, Write};

const SERVER_MAGIC: &[u8; 8] = b"NBDMAGIC";
const OPTION_MAGIC: &[u8; 8] = b"IHAVEOPT";
const REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
const FIXED_NEWSTYLE: u16 = 1;
const NO_ZEROES: u16 = 2;
const OPTION_GO: u32 = 7;
const REPLY_ACK: u32 = 1;
const REPLY_INFO: u32 = 3;
const REPLY_IS_ERROR: u32 = 1 << 31;
const INFO_EXPORT: u16 = 0;
/// Bytes of a reply to an option: a name, a description or a message, each at most 4 KiB long.
const REPLY_LEN_MAX: u32 = 16 * 1024;
/// Replies before the last one.
const REPLIES_MAX: usize = 64;

/// The flag of an export that takes no changes.
pub const FLAG_READ_ONLY: u16 = 1 << 1;
/// The flag of an export that may be used over several connections at once.
pub const FLAG_MULTI_CONN: u16 = 1 << 8;

/// What the server said about the export.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Its length.
    pub bytes: u64,
    /// Its transmission flags.
    pub flags: u16,
}

/// Opens the default export; from then on, the stream carries requests.
///
/// # Errors
/// What the stream says; `InvalidData` where the other side does not speak the protocol, or refuses, with
/// what it said.
pub fn open_default(stream: &mut (impl Read + Write)) -> io::Result<Opened> {
    let mut greeting = [0; 18];
    stream.read_exact(&mut greeting)?;
    let (magics, flags) = greeting.split_at(16);
    let flags = u16_at(flags, 0)?;
    let is_newstyle = magics.starts_with(SERVER_MAGIC) && magics.ends_with(OPTION_MAGIC);
    if !is_newstyle || flags & FIXED_NEWSTYLE == 0 {
        return Err(bad("the other side is no NBD server of the fixed newstyle"));
    }
    let mut asked = u32::from(flags & (FIXED_NEWSTYLE | NO_ZEROES)).to_be_bytes().to_vec();
    asked.extend_from_slice(OPTION_MAGIC);
    asked.extend_from_slice(&OPTION_GO.to_be_bytes());
    // An empty name, and no information but what every client gets.
    asked.extend_from_slice(&6u32.to_be_bytes());
    asked.extend_from_slice(&[0; 6]);
    stream.write_all(&asked)?;
    let mut opened = None;
    for _ in 0..REPLIES_MAX {
        let (kind, data) = option_reply(stream)?;
        match kind {
            REPLY_ACK => return opened.ok_or_else(|| bad("the server opened nothing")),
            REPLY_INFO if u16_at(&data, 0)? == INFO_EXPORT => opened = Some(export(&data)?),
            REPLY_INFO => {}
            kind if kind & REPLY_IS_ERROR != 0 => {
                let why = String::from_utf8_lossy(&data);
                return Err(bad(&format!("the server refused the export: {why} ({kind:#x})")));
            }
            kind => return Err(bad(&format!("the server answered with {kind:#x}"))),
        }
    }
    Err(bad("the server answers without an end"))
}

fn option_reply(stream: &mut impl Read) -> io::Result<(u32, Vec<u8>)> {
    let mut head = [0; 20];
    stream.read_exact(&mut head)?;
    let (magic, rest) = head.split_at(8);
    let len = u32_at(rest, 8)?;
    if magic != REPLY_MAGIC.to_be_bytes() || u32_at(rest, 0)? != OPTION_GO || len > REPLY_LEN_MAX {
        return Err(bad("the server's reply is not one"));
    }
    let mut data = Vec::new();
    stream.take(len.into()).read_to_end(&mut data)?;
    if data.len() != usize::try_from(len).unwrap_or(0) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((u32_at(rest, 4)?, data))
}

fn export(data: &[u8]) -> io::Result<Opened> {
    let bytes = data.get(2..).and_then(<[u8]>::first_chunk).copied().map(u64::from_be_bytes);
    let bytes = bytes.ok_or_else(|| bad("the server's information is too short"))?;
    Ok(Opened { bytes, flags: u16_at(data, 10)? })
}

fn u16_at(bytes: &[u8], at: usize) -> io::Result<u16> {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk).copied().map(u16::from_be_bytes);
    found.ok_or_else(|| bad("the server's information is too short"))
}

fn u32_at(bytes: &[u8], at: usize) -> io::Result<u32> {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk).copied().map(u32::from_be_bytes);
    found.ok_or_else(|| bad("the server's information is too short"))
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream with one side written beforehand.
    struct Scripted<'a> {
        said: &'a [u8],
        heard: Vec<u8>,
    }

    impl Read for Scripted<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.said.read(buffer)
        }
    }

    impl Write for Scripted<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.heard.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn reply(kind: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = REPLY_MAGIC.to_be_bytes().to_vec();
        bytes.extend_from_slice(&OPTION_GO.to_be_bytes());
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&u32::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(data);
        bytes
    }

    fn whole() -> Vec<u8> {
        let mut info = vec![0, 0];
        info.extend_from_slice(&(1u64 << 33).to_be_bytes());
        info.extend_from_slice(&0x16du16.to_be_bytes());
        let name = [0, 1, b'x'];
        let parts = [
            b"NBDMAGICIHAVEOPT\x00\x03".to_vec(),
            reply(REPLY_INFO, &name),
            reply(REPLY_INFO, &info),
            reply(REPLY_ACK, &[]),
        ];
        parts.concat()
    }

    fn opened(said: &[u8]) -> (io::Result<Opened>, Vec<u8>) {
        let mut stream = Scripted { said, heard: Vec::new() };
        (open_default(&mut stream), stream.heard)
    }

    #[test]
    fn the_default_export_is_opened_with_its_length_and_flags() {
        let (result, heard) = opened(&whole());
        assert_eq!(result.unwrap(), Opened { bytes: 1 << 33, flags: 0x16d });
        assert_eq!(heard, b"\0\0\0\x03IHAVEOPT\0\0\0\x07\0\0\0\x06\0\0\0\0\0\0");
    }

    #[test]
    fn a_server_that_stops_anywhere_is_an_error() {
        let whole = whole();
        for len in 0..whole.len() {
            assert!(opened(&whole[..len]).0.is_err(), "{len}");
        }
    }

    #[test]
    fn refusals_and_nonsense_are_told_apart() {
        let refused = [&whole()[..18], &reply(REPLY_IS_ERROR | 6, b"unknown")].concat();
        assert!(opened(&refused).0.unwrap_err().to_string().contains("unknown"));
        let nothing = [&whole()[..18], &reply(REPLY_ACK, b"")].concat();
        assert!(opened(&nothing).0.unwrap_err().to_string().contains("nothing"));
        let mut huge = [&whole()[..18], &reply(REPLY_INFO, b"")].concat();
        huge[18 + 16..18 + 20].fill(0x7f);
        assert!(opened(&huge).0.is_err());
        let endless = [&whole()[..18], &reply(REPLY_INFO, &[0, 1]).repeat(100)].concat();
        assert!(opened(&endless).0.unwrap_err().to_string().contains("end"));
        assert!(opened(b"NBDMAGIC\x00\x00\x42\x02\x81\x86\x12\x53\x00\x00").0.is_err());
    }
}
