//! Claims about reading and writing.

use std::sync::Arc;

use base::units::Extent;
use disk::{Disk, DiskError, MemDisk};
use tokio::io::AsyncWriteExt;

use super::client::*;
use super::doubles::{Catalogue, Faulty, Held};
use crate::nbd::limits::REQUESTS_MAX;

use super::{SECTORS, connect, memory, serve, server, soon, until};

const FORMS: [Form; 3] = [Form::Simple, Form::Structured, Form::Extended];

fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((at * 31 + seed) % 251).unwrap() + 1).collect()
}

#[tokio::test]
async fn a_client_reads_back_what_it_wrote_in_every_form() {
    for form in FORMS {
        let server = serve(memory());
        let mut client = connect(&server).await;
        client.agree(form).await;
        assert_eq!(client.go("mail").await.0, SECTORS * 512);
        let mut model = vec![0; 8 << 20];
        let places =
            [(0, 4096), (4096, 512), (1, 1), (511, 2), (700_001, 65_000), (1 << 20, 3 << 20)];
        for (seed, (offset, len)) in places.into_iter().enumerate() {
            let data = pattern(len, seed);
            soon(client.write(offset as u64, &data)).await;
            model[offset..offset + len].copy_from_slice(&data);
        }
        for (offset, len) in [(0, 8 << 20), (513, 1), (700_000, 70_000), (4095, 2)] {
            let data = soon(client.read(offset as u64, len as u64)).await;
            assert!(data == model[offset..offset + len], "{form:?} {offset} {len}");
        }
        assert_eq!(client.errno((ZERO, FUA, 300, 5000)).await, 0);
        assert_eq!(client.errno((TRIM, 0, 1 << 20, 1 << 20)).await, 0);
        assert_eq!(client.errno((FLUSH, FUA, 0, 0)).await, 0);
        model[300..5300].fill(0);
        model[1 << 20..2 << 20].fill(0);
        assert!(client.read(0, 8 << 20).await == model);
        for command in [READ, WRITE, TRIM, ZERO] {
            assert_eq!(client.errno((command, 0, 512, 0)).await & !EINVAL, 0, "no length");
        }
    }
}

#[tokio::test]
async fn what_one_receive_brought_goes_down_in_one_batch() {
    let held = Held::new(memory());
    let server = serve(held.clone());
    let mut client = connect(&server).await;
    client.go("mail").await;
    let requests: Vec<_> = (0..30).map(|n| client.encode((READ, 0, n * 4096, 4096), b"")).collect();
    let bytes: Vec<u8> = requests.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    client.stream.write_all(&bytes).await.unwrap();
    until(|| held.waiting() == 30).await;
    assert_eq!(held.batches(), [30]);
    held.open();
    for (cookie, _) in requests {
        assert_eq!(soon(client.finish(cookie)).await.unwrap().data, vec![0; 4096]);
    }
}

#[tokio::test]
async fn what_a_client_has_in_flight_is_bounded() {
    let held = Held::new(memory());
    let server = serve(held.clone());
    let (mut client, mut other) = (connect(&server).await, connect(&server).await);
    client.go("mail").await;
    let reads = (0..100).map(|_| client.encode((READ, 0, 0, 1 << 20), b"").1);
    let bytes: Vec<u8> = reads.flatten().collect();
    client.stream.write_all(&bytes).await.unwrap();
    until(|| held.waiting() == 64).await;
    // A round trip of another client: whatever was to be taken has been.
    for _ in 0..3 {
        other.option(OPT_LIST, b"").await.unwrap();
    }
    assert_eq!(held.waiting(), 64);
    held.open();
    let last = 100;
    assert_eq!(soon(client.finish(last)).await.unwrap().data.len(), 1 << 20);
}

#[tokio::test]
async fn requests_without_payload_are_bounded_too() {
    let held = Held::new(memory());
    let server = serve(held.clone());
    let mut client = connect(&server).await;
    client.go("mail").await;
    let flushes = (0..REQUESTS_MAX + 100).map(|_| client.encode((FLUSH, 0, 0, 0), b"").1);
    let bytes: Vec<u8> = flushes.flatten().collect();
    client.stream.write_all(&bytes).await.unwrap();
    until(|| held.waiting() == REQUESTS_MAX).await;
    held.open();
    for cookie in 1..=REQUESTS_MAX as u64 + 100 {
        assert_eq!(soon(client.finish(cookie)).await.unwrap().errno, 0);
    }
    assert!(held.batches().iter().all(|batch| *batch <= REQUESTS_MAX));
}

#[tokio::test]
async fn a_client_that_reads_nothing_does_not_stop_others() {
    let server = serve(memory());
    let mut stalled = connect(&server).await;
    stalled.go("mail").await;
    for _ in 0..100 {
        stalled.send((READ, 0, 0, 1 << 20), b"").await;
    }
    let mut other = connect(&server).await;
    other.go("mail").await;
    for _ in 0..20 {
        soon(other.read(0, 65_536)).await;
    }
    // And it may go on when it likes.
    assert_eq!(soon(stalled.finish(100)).await.unwrap().data.len(), 1 << 20);
}

#[tokio::test]
async fn parts_of_one_sector_are_changed_by_many_without_loss() {
    let server = serve(memory());
    let tasks: Vec<_> = (0..4u64)
        .map(|one| {
            let server = server.clone();
            tokio::spawn(async move {
                let mut client = connect(&server).await;
                client.go("mail").await;
                for round in 0..50u8 {
                    let mine = [round, u8::try_from(one).unwrap()].repeat(20);
                    client.write(one * 40, &mine).await;
                    let zero = (ZERO, 0, 1000 + one * 40, 40);
                    assert_eq!(client.errno(zero).await, 0);
                    client.write(1000 + one * 40, &mine).await;
                }
            })
        })
        .collect();
    for task in tasks {
        soon(task).await.unwrap();
    }
    let mut client = connect(&server).await;
    client.go("mail").await;
    for start in [0, 1000] {
        for one in 0..4u8 {
            let mine = client.read(start + u64::from(one) * 40, 40).await;
            assert_eq!(mine, [49, one].repeat(20));
        }
    }
}

#[tokio::test]
async fn zeroes_are_told_and_not_sent_unless_one_chunk_is_wanted() {
    for form in [Form::Structured, Form::Extended] {
        let server = serve(memory());
        let mut client = connect(&server).await;
        client.agree(form).await;
        client.go("mail").await;
        client.write(1 << 20, &[7; 65_536]).await;
        let outcome = client.ask((READ, 0, 0, 4 << 20), b"").await;
        let kinds: Vec<u16> = outcome.chunks.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [2, 1, 2]);
        let whole = client.ask((READ, DF, 0, 4 << 20), b"").await;
        assert_eq!(whole.chunks.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [1]);
        assert!(whole.data == outcome.data);
    }
}

#[tokio::test]
async fn a_damaged_sector_is_named_and_the_rest_is_read() {
    let extent = Extent::new(80, 1);
    let error = DiskError::Medium { extent, why: "it rots".into() };
    let server = serve(Arc::new(Faulty { disk: memory(), extent, error }));
    let mut client = connect(&server).await;
    client.agree(Form::Structured).await;
    client.go("mail").await;
    let outcome = client.ask((READ, 0, 32_768, 65_536), b"").await;
    assert_eq!(outcome.errno, EIO);
    let (kind, payload) = &outcome.chunks[0];
    assert_eq!(*kind, (1 << 15) + 2);
    assert_eq!(payload[payload.len() - 8..], (80u64 * 512).to_be_bytes());
    assert!(String::from_utf8_lossy(payload).contains("it rots"));
    assert_eq!(client.errno((FLUSH, 0, 0, 0)).await, EIO);
    client.read(0, 32_768).await;
}

#[tokio::test]
async fn a_write_to_a_read_only_export_changes_nothing() {
    let disk = memory();
    let catalogue = Catalogue::default().with("mail", disk.clone()).with_read_only("mail@m", disk);
    let server = server(catalogue);
    let mut client = connect(&server).await;
    let (_, flags) = client.go("mail@m").await;
    assert_ne!(flags & 2, 0);
    assert_eq!(client.ask((WRITE, 0, 0, 512), &[1; 512]).await.errno, EPERM);
    assert_eq!(client.ask((WRITE, 0, 1, 3), &[1; 3]).await.errno, EPERM);
    for command in [TRIM, ZERO] {
        assert_eq!(client.errno((command, 0, 0, 512)).await, EPERM);
    }
    assert_eq!(client.read(0, 512).await, [0; 512]);
}

#[tokio::test]
async fn an_open_session_sees_the_export_grow() {
    let disk = Arc::new(MemDisk::new(SECTORS));
    let server = serve(disk.clone());
    let mut client = connect(&server).await;
    let (len, _) = client.go("mail").await;
    assert_eq!(client.ask((WRITE, 0, len, 512), &[1; 512]).await.errno, ENOSPC);
    disk.grow(SECTORS + 8);
    assert_eq!(client.ask((WRITE, 0, len, 512), &[1; 512]).await.errno, 0);
    assert_eq!(disk.geometry().sectors, SECTORS + 8);
    let mut next = connect(&server).await;
    assert_eq!(next.go("mail").await.0, len + 4096);
}

#[tokio::test]
async fn oversize_payload_is_drained_or_ends_the_session() {
    let server = serve(Arc::new(MemDisk::new(1 << 20)));
    let mut client = connect(&server).await;
    client.go("mail").await;
    let len = (32 << 20) + 1;
    let outcome = soon(client.ask((WRITE, 0, 0, len as u64), &vec![1; len])).await;
    assert_eq!(outcome.errno, EINVAL);
    assert_eq!(client.errno((READ, 0, 0, len as u64)).await, EINVAL);
    assert_eq!(client.read(0, 512).await, [0; 512]);
    let (_, bytes) = client.encode((WRITE, 0, 0, 0xffff_f000), b"");
    client.stream.write_all(&bytes).await.unwrap();
    assert!(soon(client.is_closed()).await);
}

#[tokio::test]
async fn writes_that_do_not_announce_their_payload_are_understood() {
    let server = serve(memory());
    let mut client = connect(&server).await;
    client.agree(Form::Extended).await;
    client.go("mail").await;
    for (round, len) in [(1u8, 512usize), (2, 200_000), (3, 77)] {
        let (cookie, head) = client.encode((WRITE, FUA, 4096, len as u64), b"");
        let sent = [head, vec![round; len]].concat();
        client.stream.write_all(&sent).await.unwrap();
        assert_eq!(soon(client.finish(cookie)).await.unwrap().errno, 0);
        assert_eq!(client.read(4096, len as u64).await, vec![round; len]);
    }
}

#[tokio::test]
async fn a_write_without_payload_is_refused_and_the_session_goes_on() {
    let server = serve(memory());
    let mut client = connect(&server).await;
    client.agree(Form::Extended).await;
    client.go("mail").await;
    assert_eq!(client.errno((WRITE, 0, 0, 512)).await, EINVAL);
    client.write(0, &[5; 512]).await;
    assert_eq!(client.read(0, 512).await, [5; 512]);
}

#[tokio::test]
async fn the_flush_of_a_client_that_writes_and_flushes_in_turn_begins_when_its_write_was_answered()
{
    let held = Held::new(memory());
    held.open();
    let server = serve(held.clone());
    let mut client = connect(&server).await;
    client.go("mail").await;
    for turn in 0..10 {
        soon(client.write(turn * 4096, &pattern(4096, 1))).await;
        assert_eq!(soon(client.errno((FLUSH, 0, 0, 0))).await, 0);
    }
    let before = held.batches().len();
    soon(client.write(0, &pattern(4096, 2))).await;
    until(|| held.batches().len() == before + 2).await;
    assert_eq!(soon(client.errno((FLUSH, 0, 0, 0))).await, 0);
    assert_eq!(held.batches().len(), before + 3, "what the client asks for is asked all the same");
    assert!(soon(client.read(0, 4096)).await == pattern(4096, 2));
}
