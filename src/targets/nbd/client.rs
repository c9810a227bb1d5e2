//! A small client of an NBD server: one connection over TCP, simple replies, one request at a time.
//!
//! For load that the house makes itself. It asks for nothing that a server may refuse, and believes no length that a
//! server states.
//! Source: NBD protocol, "Fixed newstyle negotiation", "Transmission".

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wire::{
    Fields, GREETING_MAGIC, OPTION_MAGIC, OPTION_REPLY_MAGIC, REQUEST_MAGIC, SIMPLE_REPLY_MAGIC,
    handshake_flag, info,
};

/// `NBD_OPT_GO` and the replies to it that count.
const OPTION_GO: u32 = 7;
const REPLY_ACK: u32 = 1;
const REPLY_INFO: u32 = 3;
/// Bytes of the data of a reply to an option: a server has a few words to say about an export.
const REPLY_LEN_MAX: u32 = 64 * 1024;

const COMMAND_READ: u16 = 0;
const COMMAND_WRITE: u16 = 1;
const COMMAND_DISCONNECT: u16 = 2;
const COMMAND_FLUSH: u16 = 3;

/// A connection to one export.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    cookie: u64,
    len: u64,
}

impl Client {
    /// Connects to `HOST:PORT` and enters the export.
    ///
    /// # Errors
    /// What the operating system says, or `InvalidData` where the server refuses or says something else.
    pub async fn open(address: &str, export: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut greeting = [0; 18];
        stream.read_exact(&mut greeting).await?;
        let mut fields = Fields::new(&greeting);
        if (fields.u64(), fields.u64()) != (Some(GREETING_MAGIC), Some(OPTION_MAGIC)) {
            return Err(unexpected("this is no NBD server"));
        }
        let flags = handshake_flag::FIXED_NEWSTYLE | handshake_flag::NO_ZEROES;
        let name = export.as_bytes();
        let name_len = u32::try_from(name.len()).map_err(|_| unexpected("the name is too long"))?;
        let mut bytes = u32::from(flags).to_be_bytes().to_vec();
        bytes.extend(OPTION_MAGIC.to_be_bytes());
        bytes.extend(OPTION_GO.to_be_bytes());
        bytes.extend((name_len + 6).to_be_bytes());
        bytes.extend(name_len.to_be_bytes());
        bytes.extend(name);
        bytes.extend(0u16.to_be_bytes());
        stream.write_all(&bytes).await?;
        let len = agreed(&mut stream).await?;
        Ok(Self { stream, cookie: 0, len })
    }

    /// Bytes of the export.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether the export has no bytes.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads `len` bytes from `offset`.
    ///
    /// # Errors
    /// As the server or the connection fails.
    pub async fn read(&mut self, offset: u64, len: u32) -> io::Result<Vec<u8>> {
        self.send(COMMAND_READ, offset, len, &[]).await?;
        self.answer().await?;
        let mut data = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        self.stream.read_exact(&mut data).await?;
        Ok(data)
    }

    /// Writes at `offset`; when it returns, the server has answered.
    ///
    /// # Errors
    /// As the server or the connection fails.
    pub async fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let len = u32::try_from(data.len()).map_err(io::Error::other)?;
        self.send(COMMAND_WRITE, offset, len, data).await?;
        self.answer().await
    }

    /// Makes durable what was answered.
    ///
    /// # Errors
    /// As the server or the connection fails.
    pub async fn flush(&mut self) -> io::Result<()> {
        self.send(COMMAND_FLUSH, 0, 0, &[]).await?;
        self.answer().await
    }

    /// Says goodbye, so that the server need not find the connection broken.
    ///
    /// # Errors
    /// As the connection fails.
    pub async fn leave(mut self) -> io::Result<()> {
        self.send(COMMAND_DISCONNECT, 0, 0, &[]).await
    }

    async fn send(&mut self, command: u16, offset: u64, len: u32, data: &[u8]) -> io::Result<()> {
        self.cookie += 1;
        let mut bytes = Vec::with_capacity(28 + data.len());
        bytes.extend(REQUEST_MAGIC.to_be_bytes());
        bytes.extend(0u16.to_be_bytes());
        bytes.extend(command.to_be_bytes());
        bytes.extend(self.cookie.to_be_bytes());
        bytes.extend(offset.to_be_bytes());
        bytes.extend(len.to_be_bytes());
        bytes.extend(data);
        self.stream.write_all(&bytes).await
    }

    async fn answer(&mut self) -> io::Result<()> {
        let mut head = [0; 16];
        self.stream.read_exact(&mut head).await?;
        let mut fields = Fields::new(&head);
        let (magic, errno, cookie) = (fields.u32(), fields.u32(), fields.u64());
        if (magic, cookie) != (Some(SIMPLE_REPLY_MAGIC), Some(self.cookie)) {
            return Err(unexpected("this is no answer to the request"));
        }
        match errno {
            Some(0) => Ok(()),
            _ => Err(io::Error::other(format!("NBD error {}", errno.unwrap_or_default()))),
        }
    }
}

/// Reads the replies to `GO`; gives the length of the export.
async fn agreed(stream: &mut TcpStream) -> io::Result<u64> {
    let mut len = None;
    loop {
        let mut head = [0; 20];
        stream.read_exact(&mut head).await?;
        let mut fields = Fields::new(&head);
        let (magic, option) = (fields.u64(), fields.u32());
        let (Some(reply), Some(data_len)) = (fields.u32(), fields.u32()) else {
            return Err(unexpected("a reply is too short"));
        };
        let is_right = (magic, option) == (Some(OPTION_REPLY_MAGIC), Some(OPTION_GO));
        if !is_right || data_len > REPLY_LEN_MAX {
            return Err(unexpected("this is no reply to the option"));
        }
        let mut data = vec![0; usize::try_from(data_len).map_err(io::Error::other)?];
        stream.read_exact(&mut data).await?;
        let mut fields = Fields::new(&data);
        match reply {
            REPLY_INFO if fields.u16() == Some(info::EXPORT) => len = fields.u64(),
            REPLY_INFO => {}
            REPLY_ACK => return len.ok_or_else(|| unexpected("nothing tells the export's length")),
            code => return Err(io::Error::other(format!("the export is refused: {code:#x}"))),
        }
    }
}

fn unexpected(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
