//! A small NBD client, written from the protocol's text and without any of the server's code.

use std::collections::HashMap;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub const OPT_EXPORT_NAME: u32 = 1;
pub const OPT_LIST: u32 = 3;
pub const OPT_STARTTLS: u32 = 5;
pub const OPT_INFO: u32 = 6;
pub const OPT_GO: u32 = 7;
pub const OPT_STRUCTURED: u32 = 8;
pub const OPT_SET_META: u32 = 10;
pub const OPT_EXTENDED: u32 = 11;
pub const ACK: u32 = 1;

pub const READ: u16 = 0;
pub const WRITE: u16 = 1;
pub const DISC: u16 = 2;
pub const FLUSH: u16 = 3;
pub const TRIM: u16 = 4;
pub const ZERO: u16 = 6;
pub const STATUS: u16 = 7;

pub const FUA: u16 = 1;
pub const DF: u16 = 4;
pub const REQ_ONE: u16 = 8;
pub const PAYLOAD: u16 = 32;

pub const EPERM: u32 = 1;
pub const EIO: u32 = 5;
pub const EINVAL: u32 = 22;
pub const ENOSPC: u32 = 28;
pub const ESHUTDOWN: u32 = 108;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    Simple,
    Structured,
    Extended,
}

/// What came back for one request.
#[derive(Clone, Default, Debug)]
pub struct Outcome {
    pub errno: u32,
    pub data: Vec<u8>,
    /// The kinds and payloads of chunks.
    pub chunks: Vec<(u16, Vec<u8>)>,
    is_done: bool,
}

/// A request: command, flags, offset, length.
pub type Request = (u16, u16, u64, u64);

pub struct Client<S> {
    pub stream: S,
    pub form: Form,
    cookie: u64,
    /// Offset and length of the reads in flight.
    reads: HashMap<u64, (u64, usize)>,
    outcomes: HashMap<u64, Outcome>,
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte))
}

fn len_of(bytes: &[u8]) -> usize {
    usize::try_from(number(bytes)).unwrap()
}

fn u32_of(bytes: &[u8]) -> u32 {
    u32::try_from(number(bytes)).unwrap()
}

pub fn text(text: &str) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

/// The data of `INFO` and `GO`, asking for block sizes.
pub fn info(name: &str) -> Vec<u8> {
    [&text(name)[..], &[0, 1, 0, 3]].concat()
}

pub fn meta(name: &str, queries: &[&str]) -> Vec<u8> {
    let mut data = text(name);
    data.extend(u32::try_from(queries.len()).unwrap().to_be_bytes());
    queries.iter().for_each(|query| data.extend(text(query)));
    data
}

pub fn option(code: u32, data: &[u8]) -> Vec<u8> {
    let len = u32::try_from(data.len()).unwrap();
    [b"IHAVEOPT", &code.to_be_bytes()[..], &len.to_be_bytes(), data].concat()
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub async fn greet(mut stream: S, flags: u32) -> io::Result<Self> {
        let mut greeting = [0; 18];
        stream.read_exact(&mut greeting).await?;
        assert_eq!(&greeting, b"NBDMAGICIHAVEOPT\0\x03");
        stream.write_all(&flags.to_be_bytes()).await?;
        Ok(Self::within(stream))
    }

    /// A client that needs no greeting: within TLS.
    pub fn within(stream: S) -> Self {
        let (reads, outcomes) = (HashMap::new(), HashMap::new());
        Self { stream, form: Form::Simple, cookie: 0, reads, outcomes }
    }

    pub async fn option(&mut self, code: u32, data: &[u8]) -> io::Result<Vec<(u32, Vec<u8>)>> {
        self.stream.write_all(&option(code, data)).await?;
        self.stream.flush().await?;
        let mut all = Vec::new();
        loop {
            let head = self.take(20).await?;
            assert_eq!((number(&head[..8]), u32_of(&head[8..12])), (0x0003_e889_0455_65a9, code));
            let kind = u32_of(&head[12..16]);
            all.push((kind, self.take(len_of(&head[16..])).await?));
            if kind == ACK || kind & 1 << 31 != 0 {
                return Ok(all);
            }
        }
    }

    pub async fn last(&mut self, code: u32, data: &[u8]) -> u32 {
        self.option(code, data).await.unwrap().last().unwrap().0
    }

    /// Agrees on a form of replies.
    pub async fn agree(&mut self, form: Form) {
        self.form = form;
        let code = match form {
            Form::Simple => return,
            Form::Structured => OPT_STRUCTURED,
            Form::Extended => OPT_EXTENDED,
        };
        assert_eq!(self.last(code, b"").await, ACK);
    }

    /// Enters an export; gives its length and flags.
    pub async fn go(&mut self, name: &str) -> (u64, u16) {
        let replies = self.option(OPT_GO, &info(name)).await.unwrap();
        assert_eq!(replies.last().unwrap().0, ACK);
        let facts = &replies[0].1;
        (number(&facts[2..10]), u16::try_from(number(&facts[10..12])).unwrap())
    }

    /// The bytes of a request, whose cookie is also given.
    pub fn encode(&mut self, request: Request, payload: &[u8]) -> (u64, Vec<u8>) {
        let (command, mut flags, offset, len) = request;
        self.cookie += 1;
        if command == READ {
            self.reads.insert(self.cookie, (offset, usize::try_from(len).unwrap()));
        }
        let mut bytes = Vec::new();
        if self.form == Form::Extended {
            flags |= if payload.is_empty() { 0 } else { PAYLOAD };
            bytes.extend(0x21e4_1c71u32.to_be_bytes());
        } else {
            bytes.extend(0x2560_9513u32.to_be_bytes());
        }
        bytes.extend(flags.to_be_bytes());
        bytes.extend(command.to_be_bytes());
        bytes.extend(self.cookie.to_be_bytes());
        bytes.extend(offset.to_be_bytes());
        if self.form == Form::Extended {
            bytes.extend(len.to_be_bytes());
        } else {
            bytes.extend(u32::try_from(len).unwrap().to_be_bytes());
        }
        bytes.extend(payload);
        (self.cookie, bytes)
    }

    pub async fn send(&mut self, request: Request, payload: &[u8]) -> u64 {
        let (cookie, bytes) = self.encode(request, payload);
        self.stream.write_all(&bytes).await.unwrap();
        self.stream.flush().await.unwrap();
        cookie
    }

    /// Sends a request and waits for what comes back.
    pub async fn ask(&mut self, request: Request, payload: &[u8]) -> Outcome {
        let cookie = self.send(request, payload).await;
        self.finish(cookie).await.unwrap()
    }

    pub async fn errno(&mut self, request: Request) -> u32 {
        self.ask(request, b"").await.errno
    }

    pub async fn read(&mut self, offset: u64, len: u64) -> Vec<u8> {
        let outcome = self.ask((READ, 0, offset, len), b"").await;
        assert_eq!(outcome.errno, 0);
        outcome.data
    }

    pub async fn write(&mut self, offset: u64, data: &[u8]) {
        let request = (WRITE, 0, offset, data.len() as u64);
        assert_eq!(self.ask(request, data).await.errno, 0);
    }

    /// Receives until the request with this cookie is answered.
    pub async fn finish(&mut self, cookie: u64) -> io::Result<Outcome> {
        loop {
            if self.outcomes.get(&cookie).is_some_and(|outcome| outcome.is_done) {
                return Ok(self.outcomes.remove(&cookie).unwrap());
            }
            self.receive().await?;
        }
    }

    /// Whether the server has closed; what it says before is dropped.
    pub async fn is_closed(&mut self) -> bool {
        let mut rest = [0; 4096];
        loop {
            match self.stream.read(&mut rest).await {
                Ok(0) | Err(_) => return true,
                Ok(_) => {}
            }
        }
    }

    async fn take(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).await?;
        Ok(bytes)
    }

    async fn receive(&mut self) -> io::Result<()> {
        match number(&self.take(4).await?) {
            0x6744_6698 => {
                let head = self.take(12).await?;
                let (errno, cookie) = (u32_of(&head[..4]), number(&head[4..]));
                let read = self.reads.remove(&cookie);
                assert!(self.form != Form::Extended);
                assert!(read.is_none() || self.form == Form::Simple, "a simple reply to a read");
                let len = read.filter(|_| errno == 0).map_or(0, |(_, len)| len);
                let data = self.take(len).await?;
                let outcome = Outcome { errno, data, is_done: true, ..Outcome::default() };
                assert!(self.outcomes.insert(cookie, outcome).is_none(), "answered twice");
            }
            0x668e_33ef if self.form == Form::Structured => {
                let head = self.take(16).await?;
                let payload = self.take(len_of(&head[12..])).await?;
                self.chunk(number(&head[4..12]), &head[..4], payload);
            }
            0x6e8a_278c if self.form == Form::Extended => {
                let head = self.take(28).await?;
                let payload = self.take(len_of(&head[20..])).await?;
                self.chunk(number(&head[4..12]), &head[..4], payload);
            }
            magic => panic!("reply magic {magic:#x}"),
        }
        Ok(())
    }

    fn chunk(&mut self, cookie: u64, head: &[u8], payload: Vec<u8>) {
        let kind = u16::try_from(number(&head[2..4])).unwrap();
        let read = self.reads.get(&cookie).copied();
        let outcome = self.outcomes.entry(cookie).or_default();
        assert!(!outcome.is_done, "a chunk behind the last one");
        outcome.is_done = head[1] & 1 != 0;
        if kind & 1 << 15 != 0 {
            outcome.errno = u32_of(&payload[..4]);
        } else if let (Some((offset, len)), 1 | 2) = (read, kind) {
            outcome.data.resize(len, 0xee);
            let at = usize::try_from(number(&payload[..8]) - offset).unwrap();
            if kind == 1 {
                outcome.data[at..at + payload.len() - 8].copy_from_slice(&payload[8..]);
            } else {
                outcome.data[at..at + len_of(&payload[8..])].fill(0);
            }
        }
        outcome.chunks.push((kind, payload));
    }
}
