//! Claims about how received bytes become requests.

use proptest::prelude::*;

use super::*;
use crate::nbd::request::Framing;
use crate::nbd::wire::{EXTENDED_REQUEST_MAGIC, REQUEST_MAGIC};

const TERMS: Terms = Terms {
    framing: Framing::Compact,
    has_chunks: false,
    has_contexts: false,
    is_read_only: false,
    len: 8 << 20,
    payload_len_max: 1 << 20,
};

fn pattern(n: usize) -> u8 {
    u8::try_from(n % 251).unwrap()
}

fn request(command: u16, offset: u64, len: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = REQUEST_MAGIC.to_be_bytes().to_vec();
    bytes.extend_from_slice(&0u16.to_be_bytes());
    bytes.extend_from_slice(&command.to_be_bytes());
    bytes.extend_from_slice(&u64::from(command).to_be_bytes());
    bytes.extend_from_slice(&offset.to_be_bytes());
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn write(offset: u64, payload: &[u8]) -> Vec<u8> {
    request(1, offset, u32::try_from(payload.len()).unwrap(), payload)
}

fn data(next: Next) -> (ByteExtent, Vec<u8>) {
    match next {
        Next::Request(Incoming {
            asked: Asked::Perform(Command::Write { bytes, .. }, Body::Data(pieces)),
            ..
        }) => {
            let all = pieces.iter().flat_map(|piece| piece.iter().copied()).collect::<Vec<_>>();
            assert_eq!(all.len() as u64, bytes.cover().bytes());
            let start = bytes.head();
            let end = start + usize::try_from(bytes.len).unwrap();
            assert!(all[..start].iter().chain(&all[end..]).all(|byte| *byte == 0));
            (bytes, all[start..end].to_vec())
        }
        other => panic!("{other:?}"),
    }
}

/// Feeds `bytes` in pieces of the lengths that `cuts` gives, collecting what comes out.
fn feed(
    intake: &mut Intake,
    mut bytes: &[u8],
    mut cuts: impl FnMut() -> usize,
    mut out: impl FnMut(Next),
) {
    loop {
        loop {
            match intake.next(&TERMS, u64::MAX) {
                Next::Hungry => break,
                end @ (Next::Drop(_) | Next::Disconnect | Next::Crowded) => return out(end),
                next => out(next),
            }
        }
        if bytes.is_empty() {
            return;
        }
        let space = intake.space().unwrap();
        assert!(!space.is_empty());
        let len = space.len().min(bytes.len()).min(cuts());
        space[..len].copy_from_slice(&bytes[..len]);
        intake.received(len);
        bytes = &bytes[len..];
    }
}

#[test]
fn one_receive_brings_many_requests() {
    let mut intake = Intake::new();
    let mut bytes = Vec::new();
    for i in 0..40u8 {
        bytes.extend(write(u64::from(i) * 4096, &[i; 4096]));
    }
    let mut count = 0u8;
    feed(
        &mut intake,
        &bytes,
        || usize::MAX,
        |next| {
            assert_eq!(data(next).1, [count; 4096]);
            count += 1;
        },
    );
    assert_eq!(count, 40);
}

#[test]
fn a_request_without_room_waits_and_is_not_lost() {
    let mut intake = Intake::new();
    let bytes = request(0, 0, 4096, &[]);
    intake.space().unwrap()[..bytes.len()].copy_from_slice(&bytes);
    intake.received(bytes.len());
    assert!(matches!(intake.next(&TERMS, 4095), Next::Crowded));
    assert!(matches!(intake.next(&TERMS, 4096), Next::Request(_)));
    assert!(matches!(intake.next(&TERMS, 4096), Next::Hungry));
}

#[test]
fn the_payload_of_a_refused_write_is_skipped() {
    let mut intake = Intake::new();
    let mut bytes = write((8 << 20) - 512, &vec![1; 900_000]);
    bytes.extend(write(512, &[2; 512]));
    let mut seen = Vec::new();
    feed(&mut intake, &bytes, || 100_000, |next| seen.push(next));
    assert_eq!(seen.len(), 2);
    let Next::Request(Incoming { asked: Asked::Refuse(refusal), .. }) = &seen[0] else { panic!() };
    assert_eq!(refusal.errno, Errno::NoSpace);
    assert_eq!(data(seen.pop().unwrap()).1, [2; 512]);
}

#[test]
fn nothing_is_allocated_for_an_announced_payload() {
    let mut intake = Intake::new();
    let bytes = &write(0, &vec![0; 1 << 20])[..28 + 10];
    feed(&mut intake, bytes, || usize::MAX, |next| panic!("{next:?}"));
    let State::Gathering { payload, .. } = &intake.state else { panic!() };
    assert_eq!(payload.pieces.len(), 1);
    assert_eq!(payload.left, (1 << 20) - 10);
}

#[test]
fn bytes_that_are_no_request_end_the_session() {
    let mut ended = 0;
    feed(
        &mut Intake::new(),
        &[0x11; 28],
        || 5,
        |next| {
            assert!(matches!(next, Next::Drop(_)));
            ended += 1;
        },
    );
    assert_eq!(ended, 1);
    let mut disconnected = 0;
    feed(
        &mut Intake::new(),
        &request(2, 0, 0, &[]),
        || 5,
        |next| {
            assert!(matches!(next, Next::Disconnect));
            disconnected += 1;
        },
    );
    assert_eq!(disconnected, 1);
}

#[test]
fn a_status_payload_is_taken_whole() {
    let terms = Terms { framing: Framing::Extended, has_chunks: true, has_contexts: true, ..TERMS };
    let mut bytes = EXTENDED_REQUEST_MAGIC.to_be_bytes().to_vec();
    bytes.extend_from_slice(&(1u16 << 5).to_be_bytes());
    bytes.extend_from_slice(&7u16.to_be_bytes());
    bytes.extend_from_slice(&[0; 16]);
    bytes.extend_from_slice(&12u64.to_be_bytes());
    bytes.extend_from_slice(&4096u64.to_be_bytes());
    bytes.extend_from_slice(&3u32.to_be_bytes());
    let mut intake = Intake::new();
    for byte in &bytes {
        assert!(matches!(intake.next(&terms, u64::MAX), Next::Hungry));
        intake.space().unwrap()[0] = *byte;
        intake.received(1);
    }
    let Next::Request(Incoming { asked: Asked::Perform(_, Body::Status(status)), .. }) =
        intake.next(&terms, u64::MAX)
    else {
        panic!()
    };
    assert_eq!(status, StatusPayload { len: 4096, ids: vec![3] });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn requests_do_not_depend_on_how_their_bytes_arrive(
        writes in proptest::collection::vec((0u64..(7 << 20), prop_oneof![0usize..2000, 60_000usize..70_000, 130_000usize..400_000]), 1..6),
        cuts in proptest::collection::vec(prop_oneof![1usize..100, 1000usize..100_000, Just(usize::MAX)], 1..50),
    ) {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for (i, (offset, len)) in writes.into_iter().enumerate() {
            let payload = (0..len).map(|at| pattern(at * 7 + i)).collect::<Vec<_>>();
            bytes.extend(write(offset, &payload));
            expected.push((ByteExtent { offset, len: len as u64 }, payload));
        }
        let mut cuts = cuts.into_iter().cycle();
        let mut got = Vec::new();
        feed(&mut Intake::new(), &bytes, || cuts.next().unwrap(), |next| got.push(match &next {
            Next::Request(Incoming { asked: Asked::Perform(Command::Write { bytes, .. }, _), .. }) if bytes.len == 0 => (*bytes, Vec::new()),
            _ => data(next),
        }));
        prop_assert_eq!(got, expected);
    }
}

/// An extended write without the flag that announces its payload, or with it.
fn extended_write(is_announced: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = EXTENDED_REQUEST_MAGIC.to_be_bytes().to_vec();
    bytes.extend_from_slice(&(u16::from(is_announced) << 5).to_be_bytes());
    bytes.extend_from_slice(&1u16.to_be_bytes());
    bytes.extend_from_slice(&[0; 16]);
    bytes.extend_from_slice(&512u64.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

const EXTENDED: Terms = Terms { framing: Framing::Extended, has_chunks: true, ..TERMS };

fn put(intake: &mut Intake, bytes: &[u8]) {
    intake.space().unwrap()[..bytes.len()].copy_from_slice(bytes);
    intake.received(bytes.len());
}

fn refused(next: Next) -> Errno {
    match next {
        Next::Request(Incoming { asked: Asked::Refuse(refusal), .. }) => refusal.errno,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_that_never_announces_payload_is_understood() {
    let mut intake = Intake::new();
    put(&mut intake, &extended_write(false, &[7; 512]));
    assert_eq!(data(intake.next(&EXTENDED, u64::MAX)).1, [7; 512]);
    // From now on payload may begin like a request.
    let mut payload = EXTENDED_REQUEST_MAGIC.to_be_bytes().to_vec();
    payload.resize(512, 0);
    put(&mut intake, &extended_write(false, &payload));
    assert_eq!(data(intake.next(&EXTENDED, u64::MAX)).1, payload);
}

#[test]
fn a_write_without_payload_is_refused_when_nothing_follows() {
    let mut intake = Intake::new();
    put(&mut intake, &extended_write(false, b""));
    assert!(matches!(intake.next(&EXTENDED, u64::MAX), Next::Doubtful));
    intake.settle_doubt();
    assert_eq!(refused(intake.next(&EXTENDED, u64::MAX)), Errno::Invalid);
    put(&mut intake, &extended_write(true, &[8; 512]));
    assert_eq!(data(intake.next(&EXTENDED, u64::MAX)).1, [8; 512]);
}

#[test]
fn a_client_that_has_announced_payload_is_held_to_it() {
    let mut intake = Intake::new();
    put(&mut intake, &extended_write(true, &[8; 512]));
    data(intake.next(&EXTENDED, u64::MAX));
    put(&mut intake, &extended_write(false, b""));
    assert_eq!(refused(intake.next(&EXTENDED, u64::MAX)), Errno::Invalid);
}

#[test]
fn what_may_be_payload_or_a_request_is_taken_for_neither() {
    let mut intake = Intake::new();
    let mut bytes = extended_write(false, b"");
    bytes.extend(extended_write(true, &[9; 512]));
    put(&mut intake, &bytes[..34]);
    assert!(matches!(intake.next(&EXTENDED, u64::MAX), Next::Doubtful));
    put(&mut intake, &bytes[34..]);
    assert_eq!(refused(intake.next(&EXTENDED, u64::MAX)), Errno::Invalid);
    assert!(matches!(intake.next(&EXTENDED, u64::MAX), Next::Drop(_)));
}
