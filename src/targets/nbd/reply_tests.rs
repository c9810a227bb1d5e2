//! Claims about the bytes of replies.

use std::io::IoSlice;

use base::units::Extent;
use proptest::prelude::*;

use super::*;
use crate::door::outbox::SLICES_MAX;
use crate::nbd::wire::Fields;

const HEADER: Header = Header { flags: 0, command: 0, cookie: 0x0102_0304, offset: 4096, len: 0 };

fn bytes_of(write: impl FnOnce(&mut Outbox)) -> Vec<u8> {
    let mut outbox = Outbox::new();
    write(&mut outbox);
    let mut all = Vec::new();
    while !outbox.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = outbox.slices(&mut slices);
        let len = slices[..count].iter().map(|slice| slice.len()).sum();
        slices[..count].iter().for_each(|slice| all.extend_from_slice(slice));
        outbox.sent(len);
    }
    all
}

#[test]
fn a_simple_reply_is_sixteen_bytes_and_the_data() {
    let failure = Failure { errno: Errno::NoSpace, message: "full".into(), offset: None };
    let reply = bytes_of(|out| ReplyForm::Simple.failed(out, &HEADER, &failure));
    assert_eq!(reply, b"\x67\x44\x66\x98\0\0\0\x1c\0\0\0\0\x01\x02\x03\x04");
    let mut buffer = Buffer::zeroed(512).unwrap();
    buffer[3..6].copy_from_slice(b"abc");
    let read = Read { bytes: ByteExtent { offset: 4096 + 3, len: 3 }, is_unfragmented: false };
    let reply = bytes_of(|out| ReplyForm::Simple.data(out, &HEADER, buffer, read));
    assert_eq!(&reply[..8], b"\x67\x44\x66\x98\0\0\0\0");
    assert_eq!(&reply[16..], b"abc");
}

#[test]
fn an_error_chunk_tells_why_and_where() {
    let medium = DiskError::Medium { extent: Extent::new(9, 1), why: "rot".into() };
    let bytes = ByteExtent { offset: 4096, len: 4096 };
    let failure = Failure::of_disk(&medium, Some(bytes), Errno::Invalid);
    assert_eq!((failure.errno, failure.offset), (Errno::Io, Some(9 * 512)));
    let reply = bytes_of(|out| ReplyForm::Structured.failed(out, &HEADER, &failure));
    let text = "sectors 9 to 10 are damaged: rot";
    assert_eq!(&reply[..8], b"\x66\x8e\x33\xef\0\x01\x80\x02");
    let mut rest = Fields::new(&reply[16..]);
    assert_eq!(rest.u32().map(|len| len as usize), Some(14 + text.len()));
    assert_eq!(rest.u32(), Some(5));
    assert_eq!(rest.u16().map(usize::from), Some(text.len()));
    assert_eq!(rest.bytes(text.len()), Some(text.as_bytes()));
    assert_eq!(rest.u64(), Some(9 * 512));
    assert_eq!(rest.left(), 0);
    let elsewhere = Failure::of_disk(&medium, Some(ByteExtent { offset: 0, len: 512 }), Errno::Io);
    assert_eq!(elsewhere.offset, None);
}

#[test]
fn every_disk_error_has_the_errno_of_the_protocol() {
    let errno = |error| Failure::of_disk(&error, None, Errno::NoSpace).errno;
    assert_eq!(errno(DiskError::ReadOnly), Errno::Permission);
    assert_eq!(errno(DiskError::Poisoned("x".into())), Errno::Permission);
    assert_eq!(errno(DiskError::NoSpace("x".into())), Errno::NoSpace);
    assert_eq!(errno(DiskError::Closed), Errno::Shutdown);
    assert_eq!(errno(DiskError::Io { what: "x".into(), errno: 5 }), Errno::Io);
    let past = DiskError::OutOfBounds { extent: Extent::new(1, 1), capacity: 1 };
    assert_eq!(errno(past), Errno::NoSpace);
}

#[test]
fn an_extended_reply_carries_the_offset_of_the_request() {
    let reply = bytes_of(|out| ReplyForm::Extended.done(out, &HEADER, false));
    let expected =
        b"\x6e\x8a\x27\x8c\0\x01\0\0\0\0\0\0\x01\x02\x03\x04\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\0\0";
    assert_eq!(reply, expected);
}

#[test]
fn a_read_without_data_is_never_answered_simply_where_there_are_chunks() {
    let reply = bytes_of(|out| ReplyForm::Structured.done(out, &HEADER, true));
    assert_eq!(&reply[..8], b"\x66\x8e\x33\xef\0\x01\0\0");
    let reply = bytes_of(|out| ReplyForm::Structured.done(out, &HEADER, false));
    assert_eq!(&reply[..4], b"\x67\x44\x66\x98");
}

#[test]
fn status_comes_in_one_chunk_for_each_context_and_the_last_is_final() {
    let status = |id| ContextStatus { id, descriptors: vec![Descriptor { len: 512, flags: 3 }] };
    let both = [status(1), status(2)];
    let reply = bytes_of(|out| ReplyForm::Structured.status(out, &HEADER, &both));
    assert_eq!(reply.len(), 2 * (20 + 12));
    assert_eq!((reply[5], reply[32 + 5]), (0, 1));
    assert_eq!(&reply[20..32], b"\0\0\0\x01\0\0\x02\0\0\0\0\x03");
    let reply = bytes_of(|out| ReplyForm::Extended.status(out, &HEADER, &both));
    assert_eq!(reply.len(), 2 * (32 + 24));
    assert_eq!(&reply[32..40], b"\0\0\0\x01\0\0\0\x01");
}

#[test]
fn few_zeroes_are_sent_with_the_data_around_them() {
    let chunks = |zeroes: Range<usize>| {
        let mut buffer = Buffer::zeroed(256 << 10).unwrap();
        buffer.fill(1);
        buffer[zeroes].fill(0);
        let bytes = ByteExtent { offset: 0, len: 256 << 10 };
        let read = Read { bytes, is_unfragmented: false };
        let reply = bytes_of(|out| ReplyForm::Structured.data(out, &HEADER, buffer, read));
        let sent = 256 << 10;
        // One chunk is 28 bytes and its data; a hole is 32 bytes.
        if reply.len() == sent + 28 { 1 } else { 3 }
    };
    assert_eq!(chunks(65_536..65_536 + HOLE_LEN_MIN - 4096), 1);
    assert_eq!(chunks(65_536..65_536 + HOLE_LEN_MIN), 3);
    assert_eq!(chunks(65_537..65_536 + HOLE_LEN_MIN + 100), 1, "whole blocks only");
}

/// Puts a structured reply to a read together again.
fn assemble(mut reply: Fields<'_>, bytes: ByteExtent) -> (Vec<u8>, usize) {
    let mut data = vec![0xee; usize::try_from(bytes.len).unwrap()];
    let mut holes = 0;
    loop {
        assert_eq!(reply.u32(), Some(STRUCTURED_REPLY_MAGIC));
        let flags = reply.u16().unwrap();
        let kind = reply.u16().unwrap();
        reply.u64().unwrap();
        let len = reply.u32().unwrap() as usize;
        let at = usize::try_from(reply.u64().unwrap() - bytes.offset).unwrap();
        if kind == chunk::OFFSET_HOLE {
            let zeroes = reply.u32().unwrap() as usize;
            data[at..at + zeroes].fill(0);
            holes += 1;
        } else {
            data[at..at + len - 8].copy_from_slice(reply.bytes(len - 8).unwrap());
        }
        if flags == REPLY_FLAG_DONE {
            assert_eq!(reply.left(), 0);
            return (data, holes);
        }
    }
}

proptest! {
    #[test]
    fn chunks_put_together_are_the_data(
        offset in 0u64..10_000, len in 1u64..400_000,
        islands in proptest::collection::vec((0usize..400_000, 1usize..20_000), 0..6),
        is_unfragmented in any::<bool>(),
    ) {
        let bytes = ByteExtent { offset, len };
        let mut buffer = Buffer::for_sectors(bytes.cover().sectors).unwrap();
        for (at, len) in islands {
            let end = (at + len).min(buffer.len());
            buffer[at.min(end)..end].fill(0x55);
        }
        let start = bytes.head();
        let expected = buffer[start..start + usize::try_from(len).unwrap()].to_vec();
        let read = Read { bytes, is_unfragmented };
        let reply = bytes_of(|out| ReplyForm::Structured.data(out, &HEADER, buffer, read));
        let (data, holes) = assemble(Fields::new(&reply), bytes);
        prop_assert!(data == expected);
        prop_assert!(!is_unfragmented || holes == 0);
        if !is_unfragmented && expected.iter().all(|byte| *byte == 0) {
            prop_assert_eq!((holes, reply.len()), (1, 32));
        }
    }
}
