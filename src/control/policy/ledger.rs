//! Which marks of a volume which policy took: a note of the volume, so that it is kept with the marks and goes
//! where they go.
//!
//! It is written before a mark is taken, with the name that the mark will have, and says from the next writing
//! on which mark that became. So a mark is never without its policy, whenever the daemon ends: a promise that no
//! mark redeemed is dropped, and a mark of that name that was there before does not redeem it.
//!
//! | offset | size | meaning |
//! |---|---|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 2 | number of entries |
//! | 3 | | entries: policy (16), then 0 and the mark (1, 16), or 1, the least sequence and the name (1, 8, text) |

use std::collections::{BTreeMap, BTreeSet};

use base::codec::{CodecError, Reader, Writer};
use base::id::Id;
use base::limits::MARKS_PER_VOLUME_MAX;
use base::name::Name;
use store::{MarkStatus, NoteKind};

use super::rules::POLICIES_MAX;

const VERSION: u8 = 1;
/// Entries of a ledger: each mark once, and each policy with one promise.
const ENTRIES_MAX: usize = MARKS_PER_VOLUME_MAX + POLICIES_MAX;

/// The number of the note; that of reservations is 0.
pub(super) const fn note_kind() -> NoteKind {
    match NoteKind::new(1) {
        Some(kind) => kind,
        None => unreachable!(),
    }
}

/// What one volume's note says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Ledger {
    /// The policy of each mark.
    known: BTreeMap<Id, Id>,
    promised: Vec<Promise>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Promise {
    policy: Id,
    name: Name,
    from_sequence: u64,
}

impl Promise {
    fn is_redeemed_by(&self, mark: &MarkStatus) -> bool {
        self.name == mark.name && mark.sequence >= self.from_sequence
    }
}

impl Ledger {
    /// The policy that took a mark.
    pub(super) fn policy_of(&self, mark: &MarkStatus) -> Option<Id> {
        let promised = || self.promised.iter().find(|promise| promise.is_redeemed_by(mark));
        self.known.get(&mark.id).copied().or_else(|| promised().map(|promise| promise.policy))
    }

    /// Promises become the marks that redeemed them; what has no mark goes, unless it is still `awaited`.
    pub(super) fn settle(&mut self, marks: &[MarkStatus], awaited: impl Fn(&Name) -> bool) {
        let there: BTreeSet<Id> = marks.iter().map(|mark| mark.id).collect();
        self.known.retain(|mark, _| there.contains(mark));
        let known = &mut self.known;
        self.promised.retain(|promise| {
            match marks.iter().find(|mark| promise.is_redeemed_by(mark)) {
                Some(mark) => {
                    known.entry(mark.id).or_insert(promise.policy);
                    false
                }
                None => awaited(&promise.name),
            }
        });
    }

    /// The next mark of this name, taken after all of these, is this policy's.
    pub(super) fn promise(&mut self, policy: Id, name: &Name, marks: &[MarkStatus]) {
        let newest = marks.iter().map(|mark| mark.sequence).max();
        let from_sequence = newest.map_or(0, |newest| newest + 1);
        self.promised.push(Promise { policy, name: name.clone(), from_sequence });
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        let count = self.known.len() + self.promised.len();
        w.u8(VERSION).u16(u16::try_from(count).unwrap_or(u16::MAX));
        for (mark, policy) in &self.known {
            w.u128(policy.0).u8(0).u128(mark.0);
        }
        for Promise { policy, name, from_sequence } in &self.promised {
            w.u128(policy.0).u8(1).u64(*from_sequence).text(name.as_str());
        }
        w.into_bytes()
    }

    /// # Errors
    /// What does not fit.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut r = Reader::new(bytes);
        let version = r.u8()?;
        if version != VERSION {
            return Err(CodecError::Invalid { field: "ledger version", value: version.into() });
        }
        let count = r.u16()?;
        if usize::from(count) > ENTRIES_MAX {
            return Err(CodecError::Invalid { field: "ledger entries", value: count.into() });
        }
        let mut ledger = Self::default();
        for _ in 0..count {
            let policy = Id(r.u128()?);
            match r.u8()? {
                0 => {
                    ledger.known.insert(Id(r.u128()?), policy);
                }
                1 => {
                    let from_sequence = r.u64()?;
                    let bad = CodecError::Invalid { field: "ledger name", value: from_sequence };
                    let name = r.text()?.parse().map_err(|_| bad)?;
                    ledger.promised.push(Promise { policy, name, from_sequence });
                }
                other => {
                    return Err(CodecError::Invalid { field: "ledger entry", value: other.into() });
                }
            }
        }
        match r.left() {
            0 => Ok(ledger),
            left => Err(CodecError::Invalid { field: "ledger length", value: left as u64 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use base::size::ByteSize;
    use proptest::prelude::*;
    use store::{Grade, Proof};

    use super::*;

    fn mark(id: u128, name: &str, sequence: u64) -> MarkStatus {
        MarkStatus {
            volume: "mail".parse().unwrap(),
            name: name.parse().unwrap(),
            id: Id(id),
            sequence,
            taken_ms: 0,
            size: ByteSize(0),
            grade: Grade::Crash,
            proof: Proof::Unverified,
            is_held: false,
            held_until_ms: None,
            is_locked: false,
            locked_until_ms: None,
            frees_most_bytes: 0,
            views: vec![],
            group: None,
        }
    }

    #[test]
    fn a_mark_is_known_by_its_promise_then_by_its_identity_whatever_it_is_called() {
        let mut ledger = Ledger::default();
        let before = [mark(1, "p-1", 5)];
        ledger.promise(Id(7), &"p-1".parse().unwrap(), &before);
        assert_eq!(ledger.policy_of(&before[0]), None, "it was there before");
        let taken = mark(2, "p-1", 6);
        assert_eq!(ledger.policy_of(&taken), Some(Id(7)));
        ledger.settle(std::slice::from_ref(&taken), |_| false);
        let ledger = Ledger::decode(&ledger.encode()).unwrap();
        assert_eq!(ledger.policy_of(&mark(2, "renamed", 6)), Some(Id(7)));
        assert_eq!(ledger.policy_of(&mark(3, "p-1", 7)), None, "another took the name");
    }

    #[test]
    fn what_has_no_mark_goes_unless_it_is_awaited() {
        let mut ledger = Ledger::default();
        ledger.promise(Id(7), &"p-1".parse().unwrap(), &[]);
        ledger.settle(&[], |_| true);
        assert_eq!(ledger.policy_of(&mark(2, "p-1", 0)), Some(Id(7)));
        ledger.settle(&[], |_| false);
        assert_eq!(ledger, Ledger::default());
    }

    #[test]
    fn a_full_ledger_fits_a_note() {
        let mut ledger = Ledger::default();
        for index in 0..256 {
            ledger.promise(Id(7), &format!("{:064}", index).parse().unwrap(), &[]);
        }
        assert!(ledger.encode().len() < store::NOTE_LEN_MAX);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Ledger::decode(&bytes);
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            if let Ok(ledger) = Ledger::decode(&bytes) {
                prop_assert_eq!(Ledger::decode(&ledger.encode()), Ok(ledger));
            }
        }
    }
}
