//! Claims about the order and wholeness of what is sent.

use proptest::prelude::*;

use super::*;

fn pattern(n: usize) -> u8 {
    u8::try_from(n % 251).unwrap()
}

/// Sends everything in pieces of the given lengths; gives the bytes that went out.
fn drain(outbox: &mut Outbox, mut cuts: impl FnMut() -> usize) -> Vec<u8> {
    let mut out = Vec::new();
    while !outbox.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = outbox.slices(&mut slices);
        let all: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
        assert!(!all.is_empty());
        let len = all.len().min(cuts());
        out.extend_from_slice(&all[..len]);
        outbox.sent(len);
    }
    out
}

#[test]
fn a_sent_buffer_serves_the_next_read_of_its_length() {
    let mut outbox = Outbox::new();
    let buffer = Buffer::zeroed(4096).unwrap();
    let address = buffer.as_ptr();
    outbox.data(0..4096);
    outbox.end_data(buffer);
    drain(&mut outbox, || 1000);
    assert_ne!(outbox.buffer(7).unwrap().as_ptr(), address);
    assert_eq!(outbox.buffer(8).unwrap().as_ptr(), address);
}

#[test]
fn heads_that_were_sent_are_forgotten_while_others_wait() {
    let mut outbox = Outbox::new();
    let head = |n: usize| vec![pattern(n); 1000];
    let mut waiting = VecDeque::new();
    for n in 0..2000 {
        outbox.head(|out| out.extend_from_slice(&head(n)));
        waiting.extend(head(n));
        if n > 10 {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            assert_eq!(outbox.slices(&mut slices), 1);
            assert!(
                slices[0].iter().take(1000).eq(waiting.drain(..1000).collect::<Vec<_>>().iter())
            );
            outbox.sent(1000);
        }
    }
    assert!(outbox.heads.len() < 2 * STALE_HEADS_MAX, "{}", outbox.heads.len());
}

#[test]
fn spare_buffers_are_bounded() {
    let mut spares = Spares::default();
    for _ in 0..1000 {
        spares.put(Buffer::zeroed(512).unwrap());
        spares.put(Buffer::zeroed(1 << 20).unwrap());
        assert!(spares.buffers.len() <= SPARE_BUFFERS_MAX && spares.bytes <= SPARE_BYTES_MAX);
    }
    spares.put(Buffer::zeroed(SPARE_BYTES_MAX + 512).unwrap());
    assert!(spares.bytes <= SPARE_BYTES_MAX);
}

proptest! {
    #[test]
    fn everything_goes_out_once_and_in_order(
        replies in proptest::collection::vec((0usize..40, proptest::collection::vec(0usize..3000, 0..3)), 1..300),
        cuts in proptest::collection::vec(1usize..20_000, 1..20),
    ) {
        let mut outbox = Outbox::new();
        let mut expected = Vec::new();
        for (i, (head, data)) in replies.into_iter().enumerate() {
            let head = vec![pattern(i); head];
            outbox.head(|out| out.extend_from_slice(&head));
            expected.extend_from_slice(&head);
            let mut buffer = Buffer::zeroed(16 * 512).unwrap();
            buffer.iter_mut().enumerate().for_each(|(at, byte)| *byte = pattern(at * 3 + i));
            let mut at = 0;
            for len in data {
                outbox.head(|out| out.push(0xaa));
                expected.push(0xaa);
                outbox.data(at..at + len);
                expected.extend_from_slice(&buffer[at..at + len]);
                at += len;
            }
            outbox.end_data(buffer);
        }
        prop_assert_eq!(outbox.unsent(), expected.len());
        let mut cuts = cuts.into_iter().cycle();
        prop_assert_eq!(drain(&mut outbox, || cuts.next().unwrap()), expected);
        prop_assert!(outbox.buffers.is_empty() && outbox.heads.is_empty() && outbox.unsent() == 0);
    }
}
