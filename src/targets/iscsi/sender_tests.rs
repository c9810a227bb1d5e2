//! Claims about what is sent.

use std::io::IoSlice;

use disk::Buffer;

use super::super::pdu::wire::HEADER_LEN;
use super::*;
use crate::door::outbox::SLICES_MAX;

fn drain(outbox: &mut Outbox) -> Vec<u8> {
    let mut all = Vec::new();
    while !outbox.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = outbox.slices(&mut slices);
        let bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
        outbox.sent(bytes.len());
        all.extend(bytes);
    }
    all
}

fn sender(parameters: Parameters) -> Sender {
    Sender::new(Window::new(1, 10), &parameters)
}

/// The PDUs in `bytes`: their headers and data, digests checked where there are any.
fn pdus(mut bytes: &[u8], digest_len: usize) -> Vec<(Head, Vec<u8>)> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let head = Head::first_of(bytes).unwrap();
        let sum = |bytes: &[u8]| base::checksum::append(0, bytes).to_le_bytes();
        let data = &bytes[HEADER_LEN + digest_len..];
        let padded = head.data_len() + padding(head.data_len());
        let tail = if head.data_len() == 0 { 0 } else { digest_len };
        if digest_len > 0 {
            assert_eq!(bytes[HEADER_LEN..HEADER_LEN + 4], sum(&head.0));
            assert_eq!(data[padded..padded + tail], sum(&data[..padded])[..tail]);
        }
        all.push((head, data[..head.data_len()].to_vec()));
        bytes = &data[padded + tail..];
    }
    all
}

#[test]
fn read_data_is_cut_to_segments_and_sequences() {
    for digest_len in [0, 4] {
        let mut sender = sender(Parameters {
            send_len_max: 1000,
            burst_len_max: 2500,
            has_header_digest: digest_len > 0,
            has_data_digest: digest_len > 0,
            ..Parameters::default()
        });
        let mut buffer = Buffer::zeroed(8192).unwrap();
        buffer.iter_mut().enumerate().for_each(|(n, byte)| *byte = u8::try_from(n % 251).unwrap());
        let expected = buffer[..6001].to_vec();
        let mut outbox = Outbox::new();
        let read = Read { itt: 9, len: 6001, end: Some(Residual::Over(2191)) };
        let data = scsi::DataIn::Buffer { buffer, len: 8192 };
        let count = sender.read(&mut outbox, &read, data);
        let pdus = pdus(&drain(&mut outbox), digest_len);
        assert_eq!(usize::try_from(count).unwrap(), pdus.len());
        let lens: Vec<_> = pdus.iter().map(|(_, data)| data.len()).collect();
        assert_eq!(lens, [1000, 1000, 500, 1000, 1000, 500, 1000, 1]);
        let finals: Vec<_> = pdus.iter().map(|(head, _)| head.is_final()).collect();
        assert_eq!(finals, [false, false, true, false, false, true, false, true]);
        let flags: Vec<_> = pdus.iter().map(|(head, _)| head.flags() & 5).collect();
        assert_eq!(flags, [0, 0, 0, 0, 0, 0, 0, 5], "the last one brings the status");
        let offsets: Vec<_> = pdus.iter().map(|(head, _)| head.word(40)).collect();
        assert_eq!(offsets, [0, 1000, 2000, 2500, 3500, 4500, 5000, 6000]);
        assert_eq!(pdus.concat_data(), expected);
        assert_eq!(pdus[7].0.word(24), 10, "it takes a number");
        assert_eq!(pdus[0].0.word(24), 0);
    }
}

trait ConcatData {
    fn concat_data(&self) -> Vec<u8>;
}

impl ConcatData for Vec<(Head, Vec<u8>)> {
    fn concat_data(&self) -> Vec<u8> {
        self.iter().flat_map(|(_, data)| data.clone()).collect()
    }
}

#[test]
fn nothing_to_read_sends_nothing_and_keeps_the_buffer() {
    let mut sender = sender(Parameters::default());
    let mut outbox = Outbox::new();
    let buffer = Buffer::zeroed(4096).unwrap();
    let data = scsi::DataIn::Buffer { buffer, len: 4096 };
    assert_eq!(sender.read(&mut outbox, &Read { itt: 1, len: 0, end: None }, data), 0);
    assert!(outbox.is_empty());
}
