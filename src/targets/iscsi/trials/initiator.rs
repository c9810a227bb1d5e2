//! A small initiator, written from the standard's text, that drives sessions one PDU at a time.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::super::pdu::wire::{NO_TAG, at};
use super::super::pdu::{Head, padding};
use super::super::text;

/// A PDU that has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pdu {
    pub head: Head,
    pub data: Vec<u8>,
}

/// An initiator and its connection.
pub struct Initiator {
    pub stream: UnixStream,
    pub cmd_sn: u32,
    pub itt: u32,
    pub isid: u64,
    pub has_digests: bool,
    pub name: String,
}

fn sum(bytes: &[u8]) -> [u8; 4] {
    base::checksum::append(0, bytes).to_le_bytes()
}

impl Initiator {
    pub fn over(stream: UnixStream) -> Self {
        let name = "iqn.2026-11.org.example:host".to_owned();
        Self { stream, cmd_sn: 500, itt: 1, isid: 0x8000_0000_0001_0000, has_digests: false, name }
    }

    pub fn encode(&self, head: Head, data: &[u8]) -> Vec<u8> {
        let mut bytes = head.with_data_len(data.len()).0.to_vec();
        if self.has_digests {
            bytes.extend(sum(&bytes));
        }
        let mut padded = data.to_vec();
        padded.resize(data.len() + padding(data.len()), 0);
        bytes.extend_from_slice(&padded);
        if self.has_digests && !data.is_empty() {
            bytes.extend(sum(&padded));
        }
        bytes
    }

    pub async fn send(&mut self, head: Head, data: &[u8]) {
        let bytes = self.encode(head, data);
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// The next PDU; none at the end of the stream.
    pub async fn receive(&mut self) -> Option<Pdu> {
        let mut head = [0; 48];
        self.stream.read_exact(&mut head).await.ok()?;
        if self.has_digests {
            assert_eq!(self.stream.read_u32_le().await.unwrap().to_le_bytes(), sum(&head));
        }
        let head = Head(head);
        let mut data = vec![0; head.data_len() + padding(head.data_len())];
        self.stream.read_exact(&mut data).await.unwrap();
        if self.has_digests && !data.is_empty() {
            assert_eq!(self.stream.read_u32_le().await.unwrap().to_le_bytes(), sum(&data));
        }
        data.truncate(head.data_len());
        Some(Pdu { head, data })
    }

    pub async fn next(&mut self) -> Pdu {
        super::soon(self.receive()).await.expect("the connection ended")
    }

    pub async fn is_closed(&mut self) -> bool {
        super::soon(self.receive()).await.is_none()
    }

    /// A numbered header.
    pub fn numbered(&mut self, opcode: u8, flags: u8) -> Head {
        let head = self.immediate(opcode, flags).with_byte(at::OPCODE, opcode);
        self.cmd_sn = self.cmd_sn.wrapping_add(1);
        head
    }

    /// The header of an immediate command.
    pub fn immediate(&mut self, opcode: u8, flags: u8) -> Head {
        self.itt += 1;
        Head::new(opcode | 0x40, flags).with_itt(self.itt).with_word(at::CMD_SN, self.cmd_sn)
    }

    /// Logs in with one request; gives its answer.
    pub async fn log_in(&mut self, target: &str, offers: &[(&str, &str)]) -> Pdu {
        let mut pairs = Vec::new();
        text::push(&mut pairs, "InitiatorName", &self.name);
        if target.is_empty() {
            text::push(&mut pairs, "SessionType", "Discovery");
        } else {
            text::push(&mut pairs, "TargetName", target);
        }
        offers.iter().for_each(|(key, value)| text::push(&mut pairs, key, value));
        let head = Head::new(0x43, 0x87).with_lun(self.isid).with_word(at::CMD_SN, self.cmd_sn);
        self.send(head, &pairs).await;
        let answer = self.next().await;
        self.has_digests = offers.contains(&("DataDigest", "CRC32C"));
        answer
    }

    /// The header of a SCSI command to LUN 0.
    pub fn command(&mut self, flags: u8, len: usize, cdb: &[u8]) -> Head {
        let mut head = self.numbered(0x01, flags | 1);
        head.0[32..32 + cdb.len()].copy_from_slice(cdb);
        head.with_word(at::TTT, u32::try_from(len).unwrap())
    }

    /// The header of a READ(10) or WRITE(10) of so many sectors.
    pub fn transfer(&mut self, is_write: bool, start: u32, sectors: u16) -> Head {
        let [a, b, c, d] = start.to_be_bytes();
        let [high, low] = sectors.to_be_bytes();
        let (flags, opcode) = if is_write { (0xa0, 0x2a) } else { (0xc0, 0x28) };
        let cdb = [opcode, 0, a, b, c, d, 0, high, low, 0];
        self.command(flags, usize::from(sectors) * 512, &cdb)
    }

    /// The header of a Data-Out.
    pub fn data_out(itt: u32, ttt: u32, place: (u32, u32), is_final: bool) -> Head {
        Head::new(0x05, if is_final { 0x80 } else { 0 })
            .with_itt(itt)
            .with_ttt(ttt)
            .with_word(at::DATA_SN, place.0)
            .with_word(at::OFFSET, place.1)
    }

    /// Takes the unit attention that every nexus begins with.
    pub async fn settle(&mut self) {
        for _ in 0..4 {
            let head = self.command(0x80, 0, &[0; 6]);
            self.send(head, &[]).await;
            if self.next().await.head.0[at::STATUS] == 0 {
                return;
            }
        }
        panic!("the unit does not become ready");
    }

    /// Reads sectors, and checks that what comes is well formed.
    pub async fn read(&mut self, start: u32, sectors: u16) -> Vec<u8> {
        let head = self.transfer(false, start, sectors);
        self.send(head, &[]).await;
        self.finish_read(head.itt()).await
    }

    pub async fn finish_read(&mut self, itt: u32) -> Vec<u8> {
        let mut all = Vec::new();
        for data_sn in 0.. {
            let Pdu { head, data } = self.next().await;
            assert_eq!((head.opcode(), head.itt()), (0x25, itt));
            assert_eq!(
                (head.word(at::DATA_SN), head.word(at::OFFSET) as usize),
                (data_sn, all.len())
            );
            all.extend(data);
            if head.flags() & 1 != 0 {
                assert_eq!((head.flags(), head.0[at::STATUS]), (0x81, 0));
                break;
            }
        }
        all
    }

    /// Writes with all data unasked; gives the status.
    pub async fn write(&mut self, start: u32, data: &[u8]) -> u8 {
        let sectors = u16::try_from(data.len() / 512).unwrap();
        let head = self.transfer(true, start, sectors);
        self.send(head, data).await;
        let end = self.next().await;
        assert_eq!((end.head.opcode(), end.head.itt()), (0x21, head.itt()));
        end.head.0[at::STATUS]
    }

    /// Says goodbye; gives the answer.
    pub async fn log_out(&mut self) -> Pdu {
        let head = self.numbered(0x06, 0x80);
        self.send(head, &[]).await;
        self.next().await
    }

    /// A task management request.
    pub fn manage(&mut self, function: u8, referenced: u32, ref_cmd_sn: u32) -> Head {
        self.immediate(0x02, 0x80 | function).with_ttt(referenced).with_word(at::CDB, ref_cmd_sn)
    }

    /// Pings; gives what comes back.
    pub async fn ping(&mut self, data: &[u8]) -> Pdu {
        let head = self.immediate(0x00, 0x80).without_ttt();
        self.send(head, data).await;
        self.next().await
    }

    pub const fn no_tag() -> u32 {
        NO_TAG
    }
}
