//! The smallest NBD client that can tell whether an export is there: enough to hold a session.
//!
//! Source: the NBD protocol, "Fixed newstyle negotiation", "NBD_OPT_GO", "Simple reply message".

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

const OPTION_MAGIC: u64 = 0x4948_4156_454F_5054;
const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
const REQUEST_MAGIC: u32 = 0x2560_9513;
const OPTION_GO: u32 = 7;
const REPLY_ACK: u32 = 1;
const CLIENT_FIXED_NEWSTYLE: u32 = 1;
const FLAG_READ_ONLY: u16 = 1 << 1;
const INFO_EXPORT: u16 = 0;
const COMMAND_READ: u16 = 0;
const COMMAND_WRITE: u16 = 1;
const COMMAND_DISCONNECT: u16 = 2;

/// A session.
pub struct Session {
    stream: UnixStream,
    /// Bytes of the export.
    pub len: u64,
    /// Whether it takes no changes.
    pub is_read_only: bool,
}

impl Session {
    /// Opens an export; `None` where the server refuses it.
    pub fn open(socket: &Path, export: &str) -> io::Result<Option<Self>> {
        let mut stream = UnixStream::connect(socket)?;
        let mut greeting = [0; 18];
        stream.read_exact(&mut greeting)?;
        let mut out = CLIENT_FIXED_NEWSTYLE.to_be_bytes().to_vec();
        out.extend(OPTION_MAGIC.to_be_bytes());
        out.extend(OPTION_GO.to_be_bytes());
        let name_len = u32::try_from(export.len()).unwrap();
        out.extend((name_len + 6).to_be_bytes());
        out.extend(name_len.to_be_bytes());
        out.extend(export.as_bytes());
        out.extend([0; 2]);
        stream.write_all(&out)?;
        let (mut len, mut flags) = (0, 0);
        loop {
            let (kind, data) = option_reply(&mut stream)?;
            match kind {
                REPLY_ACK => break,
                error if error >= 1 << 31 => return Ok(None),
                _ if data[..2] == INFO_EXPORT.to_be_bytes() => {
                    len = u64::from_be_bytes(data[2..10].try_into().unwrap());
                    flags = u16::from_be_bytes(data[10..12].try_into().unwrap());
                }
                _ => {}
            }
        }
        Ok(Some(Self { stream, len, is_read_only: flags & FLAG_READ_ONLY != 0 }))
    }

    /// Reads, or gives the protocol's error number.
    pub fn read(&mut self, offset: u64, len: u32) -> io::Result<Result<Vec<u8>, u32>> {
        self.request(COMMAND_READ, offset, len)?;
        let error = self.reply()?;
        if error != 0 {
            return Ok(Err(error));
        }
        let mut data = vec![0; len as usize];
        self.stream.read_exact(&mut data)?;
        Ok(Ok(data))
    }

    /// Writes, or gives the protocol's error number.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<Result<(), u32>> {
        self.request(COMMAND_WRITE, offset, u32::try_from(data.len()).unwrap())?;
        self.stream.write_all(data)?;
        let error = self.reply()?;
        Ok(if error == 0 { Ok(()) } else { Err(error) })
    }

    /// Ends it as a client should.
    pub fn close(mut self) -> io::Result<()> {
        self.request(COMMAND_DISCONNECT, 0, 0)?;
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).map(drop)
    }

    fn request(&mut self, command: u16, offset: u64, len: u32) -> io::Result<()> {
        let mut out = REQUEST_MAGIC.to_be_bytes().to_vec();
        out.extend(0u16.to_be_bytes());
        out.extend(command.to_be_bytes());
        out.extend(1u64.to_be_bytes());
        out.extend(offset.to_be_bytes());
        out.extend(len.to_be_bytes());
        self.stream.write_all(&out)
    }

    fn reply(&mut self) -> io::Result<u32> {
        let mut head = [0; 16];
        self.stream.read_exact(&mut head)?;
        Ok(u32::from_be_bytes(head[4..8].try_into().unwrap()))
    }
}

fn option_reply(stream: &mut UnixStream) -> io::Result<(u32, Vec<u8>)> {
    let mut head = [0; 20];
    stream.read_exact(&mut head)?;
    assert_eq!(head[..8], OPTION_REPLY_MAGIC.to_be_bytes());
    let kind = u32::from_be_bytes(head[12..16].try_into().unwrap());
    let len = u32::from_be_bytes(head[16..].try_into().unwrap());
    let mut data = vec![0; len as usize];
    stream.read_exact(&mut data)?;
    Ok((kind, data))
}
