//! A small NBD server for the kernel's client: one default export, simple replies, one thread a connection.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use base::units::{Extent, SECTOR_LEN};
use disk::{AnyDisk, Buffer, DiskError, Durability};
use kernel_stubs::attach::nbd::ServeRequest;

/// Flags, flush, FUA, trim, several connections.
const FLAGS: u16 = 1 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 8;
const READ_ONLY: u16 = 1 << 1;
const REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;

/// Serves until the other side goes.
pub fn serve(request: ServeRequest, stream: UnixStream) {
    std::thread::spawn(move || {
        let mut session = Session {
            flags: if request.is_read_only { FLAGS | READ_ONLY } else { FLAGS },
            disk: request.disk,
            stream,
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
        };
        // A client that goes without a word is no news.
        let _ = session.negotiate().and_then(|()| session.transmit());
    });
}

struct Session {
    disk: AnyDisk,
    flags: u16,
    stream: UnixStream,
    runtime: tokio::runtime::Runtime,
}

impl Session {
    fn negotiate(&mut self) -> io::Result<()> {
        self.stream.write_all(b"NBDMAGICIHAVEOPT\x00\x03")?;
        let mut asked = [0; 4 + 16 + 6];
        self.stream.read_exact(&mut asked)?;
        assert_eq!(asked[4..], *b"IHAVEOPT\0\0\0\x07\0\0\0\x06\0\0\0\0\0\0");
        let bytes = self.disk.geometry().sectors * SECTOR_LEN as u64;
        let info = [&[0, 0], &bytes.to_be_bytes()[..], &self.flags.to_be_bytes()].concat();
        for (kind, data) in [(3u32, &info[..]), (1, &[])] {
            let len = u32::try_from(data.len()).unwrap();
            let head = [&REPLY_MAGIC.to_be_bytes()[..], &[0, 0, 0, 7], &kind.to_be_bytes()];
            self.stream.write_all(&[&head.concat(), &len.to_be_bytes()[..], data].concat())?;
        }
        Ok(())
    }

    fn transmit(&mut self) -> io::Result<()> {
        loop {
            let mut head = [0; 28];
            self.stream.read_exact(&mut head)?;
            let number = |at: usize, len: usize| {
                head[at..at + len].iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte))
            };
            assert_eq!(number(0, 4), 0x2560_9513);
            let durability =
                if number(4, 2) & 1 != 0 { Durability::Stable } else { Durability::Volatile };
            let extent = Extent::new(number(16, 8) / 512, number(24, 4) / 512);
            let mut payload = None;
            if number(6, 2) == 1 {
                let mut buffer = Buffer::for_sectors(extent.sectors).unwrap();
                self.stream.read_exact(&mut buffer)?;
                payload = Some(buffer.freeze());
            }
            let done = match number(6, 2) {
                0 => self.runtime.block_on(self.disk.read(extent)).map(Some),
                1 => {
                    let data = payload.into_iter().collect();
                    let written = self.disk.write(extent.start, data, durability);
                    self.runtime.block_on(written).map(|()| None)
                }
                2 => return Ok(()),
                3 => self.runtime.block_on(self.disk.flush()).map(|()| None),
                4 => self.runtime.block_on(self.disk.discard(extent)).map(|()| None),
                other => panic!("the kernel asked for {other}"),
            };
            self.reply(&head[8..16], done)?;
        }
    }

    fn reply(&mut self, cookie: &[u8], done: Result<Option<Buffer>, DiskError>) -> io::Result<()> {
        let errno = if done.is_err() { 5u32 } else { 0 };
        let head = [&0x6744_6698u32.to_be_bytes(), &errno.to_be_bytes()[..], cookie].concat();
        let data = done.ok().flatten();
        self.stream.write_all(&head)?;
        self.stream.write_all(data.as_deref().unwrap_or_default())
    }
}
