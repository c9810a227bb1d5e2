//! Claims about what becomes of received bytes.

use proptest::prelude::*;

use super::super::pdu::wire::at;
use super::*;

fn digests(has: bool) -> Digests {
    Digests { header: has, data: has }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

/// A PDU as it is sent.
fn wire(head: Head, ahs: &[u8], data: &[u8], digests: Digests) -> Vec<u8> {
    let mut bytes = head.with_data_len(data.len()).0.to_vec();
    bytes[4] = u8::try_from(ahs.len() / 4).unwrap();
    bytes.extend_from_slice(ahs);
    if digests.header {
        bytes.extend(digest_of(crc(&bytes)));
    }
    let mut padded = data.to_vec();
    padded.resize(data.len() + padding(data.len()), 0);
    bytes.extend_from_slice(&padded);
    if digests.data && !data.is_empty() {
        bytes.extend(digest_of(crc(&padded)));
    }
    bytes
}

fn nop(itt: u32) -> Head {
    Head::new(0x40, 0x80).with_itt(itt)
}

fn refuse(_: &Head) -> Result<Sink, &'static str> {
    Err("nobody asked for it")
}

/// Feeds bytes in pieces of `step`; gives the PDUs and how it ended.
fn feed(intake: &mut Intake, mut bytes: &[u8], step: usize) -> (Vec<(Head, Vec<u8>)>, String) {
    let mut all = Vec::new();
    loop {
        match intake.next(&mut refuse) {
            Next::Pdu(Pdu { head, segment, .. }) => {
                let data = match segment {
                    Segment::Small(place) => intake.bytes(&place).to_vec(),
                    Segment::Long(gathered) => gathered.bytes(usize::MAX),
                };
                all.push((head, data));
            }
            Next::Hungry if bytes.is_empty() => return (all, "hungry".to_owned()),
            Next::Hungry => {
                let space = intake.space().unwrap();
                let len = space.len().min(bytes.len()).min(step);
                assert!(len > 0, "hungry without space");
                space[..len].copy_from_slice(&bytes[..len]);
                intake.received(len);
                bytes = &bytes[len..];
            }
            Next::Damaged(_) => return (all, "damaged".to_owned()),
            Next::Drop(why) => return (all, why.to_owned()),
        }
    }
}

#[test]
fn pdus_of_any_length_come_out_as_they_went_in() {
    let lens = [0, 1, 3, 4096, 5, SMALL_SEGMENT_LEN_MAX, SMALL_SEGMENT_LEN_MAX + 1, 200_001, 0, 7];
    for has in [false, true] {
        for step in [1 << 20, 8191, 997] {
            let mut intake = Intake::new(digests(has));
            let pdus: Vec<_> = lens.iter().map(|len| (nop(9), pattern(*len))).collect();
            let bytes: Vec<u8> =
                pdus.iter().flat_map(|(head, data)| wire(*head, &[], data, digests(has))).collect();
            let (all, end) = feed(&mut intake, &bytes, step);
            assert_eq!(end, "hungry");
            let found: Vec<_> = all.into_iter().map(|(_, data)| data).collect();
            assert!(found == pdus.into_iter().map(|(_, data)| data).collect::<Vec<_>>(), "{step}");
        }
    }
}

#[test]
fn damage_is_found_by_digests() {
    for (len, place, end) in [
        (100, 20, "a header that is damaged"),
        (100, 49, "a header that is damaged"),
        (100, 60, "damaged"),
        (101, 48 + 4 + 103, "damaged"),
        (100, 48 + 4 + 100, "damaged"),
        (100_000, 70_000, "damaged"),
    ] {
        let mut bytes = wire(nop(1), &[], &pattern(len), digests(true));
        bytes[place] ^= 1;
        let (all, found) = feed(&mut Intake::new(digests(true)), &bytes, 10_000);
        assert_eq!((all.len(), found.as_str()), (0, end), "{place} of {len}");
    }
}

#[test]
fn lengths_are_judged_before_anything_is_taken() {
    let too_long = nop(1).with_data_len(RECV_SEGMENT_LEN_MAX as usize + 1);
    let (_, end) = feed(&mut Intake::new(digests(false)), &too_long.0, 48);
    assert_eq!(end, "more data than was agreed on");
    let headers = nop(1).with_byte(at::AHS_LEN, 255);
    let (_, end) = feed(&mut Intake::new(digests(false)), &headers.0, 48);
    assert_eq!(end, "additional headers that are too long");
}

#[test]
fn additional_headers_are_handed_out() {
    let mut intake = Intake::new(digests(true));
    let bytes = wire(nop(1), &[0, 5, 2, 0, 1, 2, 3, 4], b"data", digests(true));
    let space = intake.space().unwrap();
    space[..bytes.len()].copy_from_slice(&bytes);
    intake.received(bytes.len());
    let Next::Pdu(pdu) = intake.next(&mut refuse) else { panic!("no PDU") };
    assert_eq!(intake.bytes(&pdu.ahs), [0, 5, 2, 0, 1, 2, 3, 4]);
    let Segment::Small(place) = pdu.segment else { panic!("a short one") };
    assert_eq!(intake.bytes(&place), b"data");
}

#[test]
fn a_long_piece_goes_where_it_is_told_and_no_further() {
    let mut intake = Intake::new(digests(true));
    let data = pattern(100_000);
    let head = Head::new(0x05, 0x80).with_itt(3);
    let bytes = wire(head, &[], &data, digests(true));
    let mut gathered = Gathered::new(80_000);
    gathered.append(&[0xee; 512]).unwrap();
    let mut gathered = Some(gathered);
    let mut rest = bytes.as_slice();
    let gathered = loop {
        let next =
            intake.next(&mut |_| Ok(Sink { gathered: gathered.take().unwrap(), kept: 79_488 }));
        match next {
            Next::Pdu(Pdu { segment: Segment::Long(gathered), .. }) => break gathered,
            Next::Hungry => {
                let space = intake.space().unwrap();
                let len = space.len().min(rest.len()).min(30_000);
                space[..len].copy_from_slice(&rest[..len]);
                intake.received(len);
                rest = &rest[len..];
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(gathered.len(), 80_000);
    assert!(gathered.bytes(usize::MAX)[512..] == data[..79_488]);
    assert!(matches!(intake.next(&mut refuse), Next::Hungry), "the rest was skipped");
}

proptest! {
    #[test]
    fn any_bytes_are_survived(
        bytes in proptest::collection::vec(any::<u8>(), 0..400), has in any::<bool>(), step in 1usize..100,
    ) {
        feed(&mut Intake::new(digests(has)), &bytes, step);
    }
}
