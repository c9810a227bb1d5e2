//! PDUs on their way out: numbered, with digests, read data by reference.
//!
//! Source: RFC 7143 11.7, 13.1.

use std::ops::Range;

use super::intake::{Digests, digest_of};
use super::parameters::Parameters;
use super::pdu::response::{DataIn, Residual};
use super::pdu::{Head, padding};
use super::window::{Numbering, Window};
use crate::door::outbox::Outbox;
use crate::scsi;

/// Appends PDUs to what waits to be sent.
#[derive(Debug)]
pub struct Sender {
    /// The sequence numbers.
    pub window: Window,
    /// Bytes of data of one PDU that the initiator takes.
    pub segment_len_max: usize,
    burst_len_max: usize,
    digests: Digests,
}

/// Read data, and what its last PDU says about the end of the command.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    /// The tag of the command.
    pub itt: u32,
    /// Bytes that are sent of it.
    pub len: usize,
    /// The end of the command, where the last PDU brings it.
    pub end: Option<Residual>,
}

impl Sender {
    /// One that speaks as was agreed on.
    pub fn new(window: Window, parameters: &Parameters) -> Self {
        let in_memory = |len: u32| usize::try_from(len).unwrap_or(usize::MAX);
        Self {
            window,
            segment_len_max: in_memory(parameters.send_len_max),
            burst_len_max: in_memory(parameters.burst_len_max),
            digests: Digests::from(parameters),
        }
    }

    /// Appends a PDU with this data, which is short enough.
    pub fn say(&mut self, out: &mut Outbox, head: Head, numbering: Numbering, data: &[u8]) {
        let head = self.window.stamp(head.with_data_len(data.len()), numbering);
        let digests = self.digests;
        out.head(|bytes| {
            push_head(bytes, &head, digests);
            bytes.extend_from_slice(data);
            push_tail(bytes, data, digests);
        });
    }

    /// Appends read data as PDUs, in sequences; gives how many.
    pub fn read(&mut self, out: &mut Outbox, read: &Read, data: scsi::DataIn) -> u32 {
        let mut data_sn = 0;
        let mut at = 0;
        while at < read.len {
            let in_burst = self.burst_len_max - at % self.burst_len_max;
            let len = (read.len - at).min(self.segment_len_max).min(in_burst);
            let is_last = at + len == read.len;
            let pdu = DataIn {
                itt: read.itt,
                data_sn,
                offset: u32::try_from(at).unwrap_or(u32::MAX),
                len,
                is_final: is_last || len == in_burst,
                end: read.end.filter(|_| is_last),
            };
            self.data(out, &pdu, &data, at..at + len);
            at += len;
            data_sn += 1;
        }
        if let scsi::DataIn::Buffer { buffer, .. } = data {
            out.end_data(buffer);
        }
        data_sn
    }

    fn data(&mut self, out: &mut Outbox, pdu: &DataIn, data: &scsi::DataIn, place: Range<usize>) {
        let has_end = pdu.end.is_some();
        let numbering = if has_end { Numbering::Counted } else { Numbering::Unnumbered };
        match data {
            scsi::DataIn::None => {}
            scsi::DataIn::Bytes(bytes) => self.say(out, pdu.head(), numbering, &bytes[place]),
            scsi::DataIn::Buffer { buffer, .. } => {
                let head = self.window.stamp(pdu.head(), numbering);
                let digests = self.digests;
                out.head(|bytes| push_head(bytes, &head, digests));
                out.data(place.clone());
                out.head(|bytes| push_tail(bytes, &buffer[place], digests));
            }
        }
    }
}

fn push_head(out: &mut Vec<u8>, head: &Head, digests: Digests) {
    out.extend_from_slice(&head.0);
    if digests.header {
        out.extend_from_slice(&digest_of(base::checksum::append(0, &head.0)));
    }
}

/// What follows data: what fills up its last word, and the digest of both.
fn push_tail(out: &mut Vec<u8>, data: &[u8], digests: Digests) {
    let zeroes = &[0; 3][..padding(data.len())];
    out.extend_from_slice(zeroes);
    if digests.data && !data.is_empty() {
        let sum = base::checksum::append(base::checksum::append(0, data), zeroes);
        out.extend_from_slice(&digest_of(sum));
    }
}

#[cfg(test)]
#[path = "sender_tests.rs"]
mod tests;
