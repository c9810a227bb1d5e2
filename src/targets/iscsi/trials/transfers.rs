//! Claims about data that is read and written.

use std::sync::Arc;

use super::super::pdu::wire::at;
use super::initiator::{Initiator, Pdu};
use super::{EAGER, enter, memory, pattern, serve, until};
use crate::trials::doubles::Held;

const DIGESTS: &[(&str, &str)] = &[("HeaderDigest", "CRC32C"), ("DataDigest", "CRC32C")];

#[tokio::test]
async fn what_was_written_is_read_with_digests_and_without() {
    for digests in [&[][..], DIGESTS] {
        let server = serve(&memory());
        let offers = [EAGER, digests, &[("MaxRecvDataSegmentLength", "4096")]].concat();
        let mut initiator = enter(&server, &offers).await;
        for (start, sectors) in [(0, 1), (7, 8), (100, 129), (1000, 512)] {
            let data = pattern(sectors * 512);
            assert_eq!(initiator.write(start, &data).await, 0);
            let sectors = u16::try_from(sectors).unwrap();
            assert!(initiator.read(start, sectors).await == data, "{sectors}");
        }
        let counts = server.sessions()[0].counts;
        assert_eq!((counts.read_bytes, counts.written_bytes), (650 * 512, 650 * 512));
    }
}

/// Writes by answering what is asked for, `piece` bytes at a time.
async fn write_asked(initiator: &mut Initiator, start: u32, data: &[u8], piece: usize) -> Pdu {
    let head = initiator.transfer(true, start, u16::try_from(data.len() / 512).unwrap());
    initiator.send(head, &[]).await;
    let mut r2t_sn = 0;
    loop {
        let pdu = initiator.next().await;
        if pdu.head.opcode() == 0x21 {
            assert_eq!(pdu.head.word(at::DATA_SN), r2t_sn, "it counts what was asked for");
            return pdu;
        }
        assert_eq!((pdu.head.opcode(), pdu.head.word(at::DATA_SN)), (0x31, r2t_sn));
        r2t_sn += 1;
        let (offset, len) = (pdu.head.word(at::OFFSET), pdu.head.word(at::RESIDUAL));
        let mut at = 0;
        let mut data_sn = 0;
        while at < len {
            let step = u32::try_from(piece).unwrap().min(len - at);
            let place = (data_sn, offset + at);
            let head = Initiator::data_out(head.itt(), pdu.head.ttt(), place, at + step == len);
            let from = usize::try_from(offset + at).unwrap();
            initiator.send(head, &data[from..from + usize::try_from(step).unwrap()]).await;
            at += step;
            data_sn += 1;
        }
    }
}

#[tokio::test]
async fn data_that_is_asked_for_comes_in_any_pieces() {
    for digests in [&[][..], DIGESTS] {
        let server = serve(&memory());
        let offers =
            [digests, &[("MaxBurstLength", "262144"), ("MaxOutstandingR2T", "2")]].concat();
        let mut initiator = enter(&server, &offers).await;
        let data = pattern(1024 * 512);
        for piece in [262_144, 70_000, 5_000] {
            let end = write_asked(&mut initiator, 16, &data, piece).await;
            assert_eq!(end.head.0[at::STATUS], 0);
            assert!(initiator.read(16, 1024).await == data, "{piece}");
            assert_eq!(initiator.write(16, &vec![0; 8192]).await, 0);
        }
    }
}

#[tokio::test]
async fn what_comes_behind_a_command_unasked_is_taken() {
    let server = serve(&memory());
    let mut initiator = enter(&server, EAGER).await;
    let data = pattern(8192);
    let head = initiator.transfer(true, 0, 16);
    let head = head.with_byte(at::FLAGS, head.flags() & 0x7f);
    initiator.send(head, &data[..1000]).await;
    let none = Initiator::no_tag();
    initiator
        .send(Initiator::data_out(head.itt(), none, (0, 1000), false), &data[1000..5000])
        .await;
    initiator.send(Initiator::data_out(head.itt(), none, (1, 5000), true), &data[5000..]).await;
    assert_eq!(initiator.next().await.head.0[at::STATUS], 0);
    assert!(initiator.read(0, 16).await == data);
}

#[tokio::test]
async fn data_out_of_sequence_ends_its_command_and_writes_nothing() {
    let server = serve(&memory());
    let mut initiator = enter(&server, &[]).await;
    for bad in [(1, 0), (0, 512), (u32::MAX, 0)] {
        let head = initiator.transfer(true, 0, 2);
        initiator.send(head, &[]).await;
        let r2t = initiator.next().await;
        initiator
            .send(Initiator::data_out(head.itt(), r2t.head.ttt(), bad, false), &[7; 512])
            .await;
        let rest = Initiator::data_out(head.itt(), r2t.head.ttt(), (1, 512), true);
        initiator.send(rest, &[7; 512]).await;
        let end = initiator.next().await;
        assert_eq!((end.head.opcode(), end.head.0[at::STATUS]), (0x21, 2));
        assert_eq!(end.data[2..5], [0x70, 0, 0x0b]);
        assert_eq!(end.data[14..16], [0x47, 0x05]);
    }
    assert_eq!(initiator.read(0, 2).await, [0; 1024]);
}

#[tokio::test]
async fn what_was_not_agreed_on_ends_the_session() {
    let server = serve(&memory());
    for offers in [&[("ImmediateData", "No")][..], &[("FirstBurstLength", "512")]] {
        let mut initiator = enter(&server, offers).await;
        let head = initiator.transfer(true, 0, 2);
        initiator.send(head, &[7; 1024]).await;
        let reject = initiator.next().await;
        assert_eq!((reject.head.opcode(), reject.head.0[at::RESPONSE]), (0x3f, 4));
        assert_eq!(reject.data, head.with_data_len(1024).0, "the header comes back");
        assert!(initiator.is_closed().await);
    }
    let mut next = enter(&server, EAGER).await;
    assert_eq!(next.read(0, 2).await, [0; 1024]);
}

#[tokio::test]
async fn damage_of_data_is_told_and_of_headers_not() {
    let server = serve(&memory());
    let mut initiator = enter(&server, &[EAGER, DIGESTS].concat()).await;
    let head = initiator.transfer(true, 0, 1);
    let mut bytes = initiator.encode(head, &[7; 512]);
    bytes[100] ^= 1;
    tokio::io::AsyncWriteExt::write_all(&mut initiator.stream, &bytes).await.unwrap();
    let reject = initiator.next().await;
    assert_eq!((reject.head.opcode(), reject.head.0[at::RESPONSE]), (0x3f, 2));
    assert!(initiator.is_closed().await);
    let mut initiator = enter(&server, &[EAGER, DIGESTS].concat()).await;
    assert_eq!(initiator.read(0, 1).await, [0; 512]);
    let mut bytes = initiator.encode(head, &[7; 512]);
    bytes[20] ^= 1;
    tokio::io::AsyncWriteExt::write_all(&mut initiator.stream, &bytes).await.unwrap();
    assert!(initiator.is_closed().await);
}

#[tokio::test]
async fn residuals_say_how_much_more_or_less_there_was() {
    let server = serve(&memory());
    let mut initiator = enter(&server, EAGER).await;
    for (expected, flags, count) in [(512u32, 0x85, 512), (2048, 0x83, 1024)] {
        let head = initiator.transfer(false, 0, 2).with_word(at::TTT, expected);
        initiator.send(head, &[]).await;
        let pdu = initiator.next().await;
        assert_eq!(pdu.data.len(), usize::try_from(expected.min(1024)).unwrap());
        assert_eq!((pdu.head.flags(), pdu.head.word(at::RESIDUAL)), (flags, count));
    }
    let head = initiator.transfer(true, 0, 2).with_word(at::TTT, 2048);
    initiator.send(head, &pattern(2048)).await;
    let pdu = initiator.next().await;
    assert_eq!((pdu.head.flags(), pdu.head.word(at::RESIDUAL)), (0x82, 1024));
    assert_eq!(initiator.read(0, 3).await[..1024], pattern(1024));
    assert_eq!(
        initiator.read(2, 1).await,
        [0; 512],
        "what the command did not take is not written"
    );
}

#[tokio::test]
async fn the_flush_of_an_initiator_that_writes_and_flushes_in_turn_begins_when_its_write_was_answered()
 {
    let held = Held::new(memory());
    held.open();
    let server = serve(&(Arc::clone(&held) as disk::AnyDisk));
    let mut initiator = enter(&server, EAGER).await;
    for _ in 0..10 {
        assert_eq!(initiator.write(0, &[5; 512]).await, 0);
        assert_eq!(synchronize(&mut initiator).await, 0);
    }
    let before = held.batches().len();
    assert_eq!(initiator.write(0, &[6; 512]).await, 0);
    until(|| held.batches().len() == before + 2).await;
    assert_eq!(synchronize(&mut initiator).await, 0);
    assert_eq!(held.batches().len(), before + 3, "what is asked for is asked all the same");
    assert_eq!(initiator.read(0, 1).await, [6; 512]);
}

async fn synchronize(initiator: &mut Initiator) -> u8 {
    let head = initiator.command(0x80, 0, &[0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    initiator.send(head, &[]).await;
    initiator.next().await.head.0[at::STATUS]
}
