//! Claims about which requests are carried out, and which errors the others get.

use proptest::prelude::*;

use super::*;

const TERMS: Terms = Terms {
    framing: Framing::Compact,
    has_chunks: false,
    has_contexts: false,
    is_read_only: false,
    len: 1 << 30,
    payload_len_max: 32 << 20,
};

const EXTENDED: Terms =
    Terms { framing: Framing::Extended, has_chunks: true, has_contexts: true, ..TERMS };

fn header(command: u16, flags: u16, offset: u64, len: u64) -> Header {
    Header { flags, command, cookie: 7, offset, len }
}

fn errno(header: &Header, terms: &Terms) -> Option<Errno> {
    match judge(header, terms).verdict {
        Verdict::Refuse(refusal) => Some(refusal.errno),
        Verdict::Perform(_) => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn past_the_end_is_enospc_for_what_adds_and_einval_for_the_rest() {
    for (offset, len) in [
        (1 << 30, 512),
        ((1 << 30) - 512, 1024),
        (1 << 62, 4096),
        (u64::MAX - 511, 1024),
        (u64::MAX, u64::from(u32::MAX)),
    ] {
        for command in [READ, TRIM, CACHE] {
            assert_eq!(errno(&header(command, 0, offset, len), &TERMS), Some(Errno::Invalid));
        }
        assert_eq!(errno(&header(BLOCK_STATUS, 0, offset, len), &EXTENDED), Some(Errno::Invalid));
        assert_eq!(errno(&header(WRITE_ZEROES, 0, offset, len), &TERMS), Some(Errno::NoSpace));
    }
    assert_eq!(errno(&header(WRITE, 0, 1 << 30, 512), &TERMS), Some(Errno::NoSpace));
}

#[test]
fn a_read_only_export_refuses_changes_with_eperm() {
    let terms = Terms { is_read_only: true, ..TERMS };
    for command in [WRITE, TRIM, WRITE_ZEROES] {
        assert_eq!(errno(&header(command, 0, 0, 512), &terms), Some(Errno::Permission));
    }
    assert_eq!(errno(&header(READ, 0, 0, 512), &terms), None);
    assert_eq!(errno(&header(FLUSH, 0, 0, 0), &terms), None);
}

#[test]
fn fua_goes_with_every_command() {
    for command in [READ, WRITE, TRIM, CACHE, WRITE_ZEROES] {
        assert_eq!(errno(&header(command, flag::FUA, 0, 512), &TERMS), None, "{command}");
    }
    assert_eq!(errno(&header(FLUSH, flag::FUA, 0, 0), &TERMS), None);
    assert_eq!(errno(&header(BLOCK_STATUS, flag::FUA, 0, 512), &EXTENDED), None);
}

#[test]
fn flags_of_other_commands_are_einval() {
    for (command, flags) in [
        (READ, flag::NO_HOLE),
        (READ, flag::DF),
        (READ, 0x4000),
        (WRITE, flag::REQ_ONE),
        (WRITE, flag::PAYLOAD_LEN),
        (TRIM, flag::NO_HOLE),
        (CACHE, flag::DF),
        (WRITE_ZEROES, flag::REQ_ONE),
    ] {
        assert_eq!(errno(&header(command, flags, 0, 512), &TERMS), Some(Errno::Invalid));
    }
    let chunked = Terms { has_chunks: true, ..TERMS };
    assert_eq!(errno(&header(READ, flag::DF, 0, 512), &chunked), None);
    for command in [READ, TRIM, WRITE_ZEROES, FLUSH, CACHE] {
        let judgement = judge(&header(command, flag::PAYLOAD_LEN, 0, 512), &EXTENDED);
        assert!(matches!(
            judgement.verdict,
            Verdict::Refuse(Refusal { errno: Errno::Invalid, .. })
        ));
        assert_eq!(judgement.payload_len, 512, "the payload is taken all the same");
    }
}

#[test]
fn unknown_commands_and_commands_without_contexts_are_einval() {
    for command in [8, 9, 77, u16::MAX] {
        assert_eq!(errno(&header(command, 0, 0, 0), &TERMS), Some(Errno::Invalid));
    }
    assert_eq!(errno(&header(BLOCK_STATUS, 0, 0, 512), &TERMS), Some(Errno::Invalid));
    assert_eq!(errno(&header(FLUSH, 0, 0, 512), &TERMS), Some(Errno::Invalid));
}

#[test]
fn oversize_reads_are_einval_or_eoverflow_and_oversize_writes_are_drained_or_dropped() {
    let read = header(READ, 0, 0, (32 << 20) + 1);
    assert_eq!(errno(&read, &TERMS), Some(Errno::Invalid));
    assert_eq!(errno(&read, &Terms { has_chunks: true, ..TERMS }), Some(Errno::Overflow));
    let write = header(WRITE, 0, 0, (32 << 20) + 1);
    assert_eq!(errno(&write, &TERMS), Some(Errno::Invalid));
    assert_eq!(judge(&write, &TERMS).payload_len, (32 << 20) + 1);
    let huge = judge(&header(WRITE, 0, 0, (64 << 20) + 1), &TERMS).verdict;
    assert!(matches!(huge, Verdict::Drop(_)));
    let extended = judge(&header(WRITE, flag::PAYLOAD_LEN, 0, (32 << 20) + 1), &EXTENDED).verdict;
    assert!(matches!(extended, Verdict::Drop(_)));
    let lenient = Terms { payload_len_max: COMPACT_PAYLOAD_LEN_MAX, ..TERMS };
    assert_eq!(errno(&header(WRITE, 0, 0, 64 << 20), &lenient), None);
}

#[test]
fn an_extended_write_needs_its_payload_flag() {
    let judgement = judge(&header(WRITE, 0, 0, 512), &EXTENDED);
    assert!(matches!(judgement.verdict, Verdict::Refuse(Refusal { errno: Errno::Invalid, .. })));
    assert_eq!(judgement.payload_len, 0);
    assert_eq!(errno(&header(WRITE, flag::PAYLOAD_LEN, 0, 512), &EXTENDED), None);
}

#[test]
fn fast_zeroing_is_refused_where_space_is_kept_or_sectors_are_cut() {
    let fast = flag::FAST_ZERO;
    assert_eq!(errno(&header(WRITE_ZEROES, fast, 0, 512), &TERMS), None);
    assert_eq!(errno(&header(WRITE_ZEROES, fast, 1, 512), &TERMS), Some(Errno::NotSupported));
    let keeping = header(WRITE_ZEROES, fast | flag::NO_HOLE, 0, 512);
    assert_eq!(errno(&keeping, &TERMS), Some(Errno::NotSupported));
}

#[test]
fn a_status_payload_names_each_context_once() {
    let payload = |len: u64, ids: &[u32]| {
        let mut bytes = len.to_be_bytes().to_vec();
        ids.iter().for_each(|id| bytes.extend_from_slice(&id.to_be_bytes()));
        bytes
    };
    let decoded = StatusPayload::decode(&payload(9, &[1, 2]));
    assert_eq!(decoded, Some(StatusPayload { len: 9, ids: vec![1, 2] }));
    assert_eq!(StatusPayload::decode(&payload(9, &[1, 1])), None);
    assert_eq!(StatusPayload::decode(&payload(9, &[])), None);
    assert_eq!(StatusPayload::decode(&payload(9, &[1])[..11]), None);
    assert_eq!(StatusPayload::decode(&[0; 7]), None);
    assert_eq!(StatusPayload::decode(&[0; 100_000]), None);
}

#[test]
fn covers_and_inner_sectors_agree_with_bytes() {
    let bytes = ByteExtent { offset: 511, len: 2 };
    assert_eq!(bytes.cover(), Extent::new(0, 2));
    assert!(bytes.inner().is_empty());
    assert_eq!(ByteExtent { offset: 1, len: 1023 }.inner(), Extent::new(1, 1));
    assert_eq!(ByteExtent { offset: 700, len: 0 }.cover().sectors, 1);
}

fn any_header() -> impl Strategy<Value = Header> {
    let small = prop_oneof![0u64..4096, Just(32 << 20), any::<u64>()];
    let offset = prop_oneof![0u64..(1 << 31), any::<u64>()];
    (prop_oneof![0u16..12, any::<u16>()], prop_oneof![0u16..64, any::<u16>()], offset, small)
        .prop_map(|(command, flags, offset, len)| header(command, flags, offset, len))
}

proptest! {
    #[test]
    fn a_header_is_read_back_as_it_was_written(h in any_header(), is_extended in any::<bool>()) {
        let (framing, magic) = if is_extended {
            (Framing::Extended, EXTENDED_REQUEST_MAGIC)
        } else {
            (Framing::Compact, REQUEST_MAGIC)
        };
        let mut bytes = magic.to_be_bytes().to_vec();
        bytes.extend_from_slice(&h.flags.to_be_bytes());
        bytes.extend_from_slice(&h.command.to_be_bytes());
        bytes.extend_from_slice(&h.cookie.to_be_bytes());
        bytes.extend_from_slice(&h.offset.to_be_bytes());
        let expected = if is_extended {
            bytes.extend_from_slice(&h.len.to_be_bytes());
            h
        } else {
            let len = u32::try_from(h.len & u64::from(u32::MAX)).unwrap();
            bytes.extend_from_slice(&len.to_be_bytes());
            Header { len: u64::from(len), ..h }
        };
        prop_assert_eq!(bytes.len(), framing.header_len());
        prop_assert_eq!(Header::decode(framing, &bytes), Ok(Some(expected)));
        prop_assert_eq!(Header::decode(framing, &bytes[..bytes.len() - 1]), Ok(None));
        bytes[0] ^= 1;
        prop_assert!(Header::decode(framing, &bytes).is_err());
    }

    #[test]
    fn whatever_is_performed_lies_within_the_export_and_the_limits(h in any_header(), is_extended in any::<bool>()) {
        let terms = if is_extended { EXTENDED } else { TERMS };
        let judgement = judge(&h, &terms);
        let within = |bytes: ByteExtent| bytes.offset.checked_add(bytes.len).is_some_and(|end| end <= terms.len);
        match judgement.verdict {
            Verdict::Perform(Command::Read { bytes, .. }) => {
                prop_assert!(within(bytes) && bytes.len <= terms.payload_len_max);
            }
            Verdict::Perform(Command::Write { bytes, .. }) => {
                prop_assert!(within(bytes) && bytes.len == judgement.payload_len);
                prop_assert!(bytes.len <= terms.payload_len_max);
            }
            Verdict::Perform(Command::Trim { bytes, .. } | Command::Zero { bytes, .. } | Command::Status { bytes, .. }) => {
                prop_assert!(within(bytes));
            }
            Verdict::Perform(Command::StatusOf { .. }) => prop_assert!(judgement.payload_len <= STATUS_PAYLOAD_LEN_MAX),
            Verdict::Perform(_) | Verdict::Disconnect | Verdict::Drop(_) => {}
            Verdict::Refuse(_) => prop_assert!(judgement.payload_len <= COMPACT_PAYLOAD_LEN_MAX),
        }
    }
}
