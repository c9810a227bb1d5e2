//! Events: everything that changes what the pool knows about volumes, marks, views and groups.
//!
//! An event is a record in the journal; the registry is what all events so far make. The same codec
//! serves a checkpoint, which is nothing but the shortest list of events that makes the same registry.

use base::codec::{CodecError, Reader, Writer};
use base::id::Id;
use base::limits::VOLUME_LEN_MAX;
use base::name::Name;
use base::units::SECTOR_LEN;

use crate::kept::Kept;
use crate::notes::{NOTE_LEN_MAX, NoteKind};
use crate::status::{Grade, MarksFullPolicy, Proof, StoreFullPolicy, SyncPolicy};

/// What a volume's base is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A sparse disk in the pool; what was never written reads as zeroes.
    Thin,
    /// A disk that existed before, used in place, at this path.
    Adopted(String),
    /// A sparse disk in the pool over a mark; what was never written reads as in the mark.
    View {
        /// The number of the volume whose mark it is.
        parent: u32,
        /// The mark's sequence.
        mark: u64,
    },
}

/// A mark of one volume.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MarkEntry {
    /// Its identity, the same at every site.
    pub id: Id,
    /// Its name, unique in its volume.
    pub name: Name,
    /// When it was taken, milliseconds since 1970 by the wall clock.
    pub taken_ms: u64,
    /// How many sectors the volume had then.
    pub sectors: u64,
    /// How consistent it is.
    pub grade: Grade,
    /// Whether a view of it was checked.
    pub proof: Proof,
    /// What keeps it, beside views.
    pub kept: Kept,
    /// What the marks taken together with it share.
    pub group: Option<Id>,
}

/// The policies of a volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Policies {
    /// What an answer to a write promises.
    pub sync: SyncPolicy,
    /// What happens at the 257th mark.
    pub when_marks_full: MarksFullPolicy,
    /// What happens when there is no room to preserve.
    pub when_store_full: StoreFullPolicy,
}

/// One change of the registry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A volume or view was made.
    Created {
        /// Its number, never used twice.
        volume: u32,
        /// Its identity.
        id: Id,
        /// Its name.
        name: Name,
        /// What its base is.
        kind: Kind,
        /// How many sectors it has.
        sectors: u64,
        /// When, milliseconds since 1970.
        created_ms: u64,
    },
    /// A volume has more sectors now.
    Grown {
        /// Which.
        volume: u32,
        /// How many.
        sectors: u64,
    },
    /// A volume or view is gone, with all its marks.
    Removed {
        /// Which.
        volume: u32,
    },
    /// A volume's policies are these now.
    PoliciesSet {
        /// Which.
        volume: u32,
        /// All of them.
        policies: Policies,
    },
    /// Marks were taken of these volumes at one instant.
    Marked {
        /// The volume, the mark's sequence, the mark.
        marks: Vec<(u32, u64, MarkEntry)>,
    },
    /// A mark is gone.
    MarkRemoved {
        /// The volume.
        volume: u32,
        /// The mark's sequence.
        sequence: u64,
    },
    /// A mark's name, hold or lock changed.
    MarkChanged {
        /// The volume.
        volume: u32,
        /// The mark's sequence.
        sequence: u64,
        /// The mark as it is now.
        mark: MarkEntry,
    },
    /// A volume's contents are those of a mark from now on.
    RolledBack {
        /// The volume.
        volume: u32,
        /// The mark to which.
        to: u64,
        /// The sequence of the mark of what was there before.
        safety: u64,
        /// That mark: taken by this very event.
        mark: MarkEntry,
    },
    /// All contents of a rollback were copied.
    RollbackCopied {
        /// The volume.
        volume: u32,
    },
    /// A view is being made independent.
    PromotionStarted {
        /// The view.
        volume: u32,
    },
    /// A view needs its parent no more: it is a thin volume now.
    Promoted {
        /// The view.
        volume: u32,
    },
    /// A group of volumes has this name.
    GroupSet {
        /// Its name.
        name: Name,
        /// Its members.
        volumes: Vec<u32>,
    },
    /// A group is gone; its volumes are not.
    GroupRemoved {
        /// Its name.
        name: Name,
    },
    /// What a door wants remembered of a volume or view is this now.
    NoteKept {
        /// Which.
        volume: u32,
        /// Which of its notes.
        kind: NoteKind,
        /// The note; `None` forgets it.
        bytes: Option<Vec<u8>>,
    },
    /// The pool has lived so long, by which holds and locks end.
    Lived {
        /// Milliseconds.
        ms: u64,
    },
    /// Sequences and numbers up to these were used (in checkpoints only).
    Counters {
        /// The next volume's number.
        next_number: u32,
        /// The volume and its next mark's sequence.
        next_sequences: Vec<(u32, u64)>,
    },
}

impl Event {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Self::Created { volume, id, name, kind, sectors, created_ms } => {
                w.u8(1).u32(*volume).u128(id.0).text(name.as_str());
                encode_kind(&mut w, kind);
                w.u64(*sectors).u64(*created_ms);
            }
            Self::Grown { volume, sectors } => {
                w.u8(2).u32(*volume).u64(*sectors);
            }
            Self::Removed { volume } => {
                w.u8(3).u32(*volume);
            }
            Self::PoliciesSet { volume, policies } => {
                w.u8(4).u32(*volume).u8(policies.sync as u8);
                w.u8(policies.when_marks_full as u8).u8(policies.when_store_full as u8);
            }
            Self::Marked { marks } => {
                w.u8(5).u16(u16::try_from(marks.len()).unwrap_or(u16::MAX));
                for (volume, sequence, mark) in marks {
                    w.u32(*volume).u64(*sequence);
                    encode_mark(&mut w, mark);
                }
            }
            Self::MarkRemoved { volume, sequence } => {
                w.u8(6).u32(*volume).u64(*sequence);
            }
            Self::MarkChanged { volume, sequence, mark } => {
                w.u8(7).u32(*volume).u64(*sequence);
                encode_mark(&mut w, mark);
            }
            Self::RolledBack { volume, to, safety, mark } => {
                w.u8(8).u32(*volume).u64(*to).u64(*safety);
                encode_mark(&mut w, mark);
            }
            Self::RollbackCopied { volume } => {
                w.u8(9).u32(*volume);
            }
            Self::PromotionStarted { volume } => {
                w.u8(10).u32(*volume);
            }
            Self::Promoted { volume } => {
                w.u8(11).u32(*volume);
            }
            Self::GroupSet { name, volumes } => {
                w.u8(12).text(name.as_str()).u16(u16::try_from(volumes.len()).unwrap_or(u16::MAX));
                for volume in volumes {
                    w.u32(*volume);
                }
            }
            Self::GroupRemoved { name } => {
                w.u8(13).text(name.as_str());
            }
            Self::Counters { next_number, next_sequences } => {
                let count = u32::try_from(next_sequences.len()).unwrap_or(u32::MAX);
                w.u8(14).u32(*next_number).u32(count);
                for (volume, sequence) in next_sequences {
                    w.u32(*volume).u64(*sequence);
                }
            }
            Self::NoteKept { volume, kind, bytes } => {
                w.u8(15).u32(*volume).u8(kind.0).u8(u8::from(bytes.is_some()));
                let bytes = bytes.as_deref().unwrap_or_default();
                w.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX)).bytes(bytes);
            }
            Self::Lived { ms } => {
                w.u8(16).u64(*ms);
            }
        }
        w.into_bytes()
    }

    /// Takes one event apart.
    ///
    /// # Errors
    /// `Short` or `Invalid`, naming the field that does not fit.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut r = Reader::new(bytes);
        let event = Self::decode_from(&mut r)?;
        if r.left() > 0 {
            return Err(CodecError::Invalid { field: "event length", value: r.left() as u64 });
        }
        Ok(event)
    }

    fn decode_from(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(match r.u8()? {
            1 => Self::Created {
                volume: number(r)?,
                id: Id(r.u128()?),
                name: name(r)?,
                kind: decode_kind(r)?,
                sectors: sectors(r)?,
                created_ms: r.u64()?,
            },
            2 => Self::Grown { volume: number(r)?, sectors: sectors(r)? },
            3 => Self::Removed { volume: number(r)? },
            4 => Self::PoliciesSet { volume: number(r)?, policies: decode_policies(r)? },
            5 => Self::Marked {
                marks: many(r, |r| Ok((number(r)?, r.counter()?, decode_mark(r)?)))?,
            },
            6 => Self::MarkRemoved { volume: number(r)?, sequence: r.counter()? },
            7 => Self::MarkChanged {
                volume: number(r)?,
                sequence: r.counter()?,
                mark: decode_mark(r)?,
            },
            8 => Self::RolledBack {
                volume: number(r)?,
                to: r.counter()?,
                safety: r.counter()?,
                mark: decode_mark(r)?,
            },
            9 => Self::RollbackCopied { volume: number(r)? },
            10 => Self::PromotionStarted { volume: number(r)? },
            11 => Self::Promoted { volume: number(r)? },
            12 => Self::GroupSet { name: name(r)?, volumes: many(r, number)? },
            13 => Self::GroupRemoved { name: name(r)? },
            14 => {
                let next_number = number(r)?;
                let count = r.u32()?;
                let pairs: Result<_, _> =
                    (0..count).map(|_| Ok((number(r)?, r.counter()?))).collect();
                Self::Counters { next_number, next_sequences: pairs? }
            }
            15 => Self::NoteKept { volume: number(r)?, kind: note_kind(r)?, bytes: note(r)? },
            16 => Self::Lived { ms: r.counter()? },
            kind => return Err(CodecError::Invalid { field: "event kind", value: kind.into() }),
        })
    }
}

fn many<'a, T>(
    r: &mut Reader<'a>,
    mut one: impl FnMut(&mut Reader<'a>) -> Result<T, CodecError>,
) -> Result<Vec<T>, CodecError> {
    let count = r.u16()?;
    (0..count).map(|_| one(r)).collect()
}

/// A volume's number: never the last one, so that there is always a next.
fn number(r: &mut Reader<'_>) -> Result<u32, CodecError> {
    match r.u32()? {
        u32::MAX => Err(CodecError::Invalid { field: "volume number", value: u32::MAX.into() }),
        number => Ok(number),
    }
}

fn sectors(r: &mut Reader<'_>) -> Result<u64, CodecError> {
    let sectors = r.u64()?;
    if sectors <= VOLUME_LEN_MAX / SECTOR_LEN as u64 {
        Ok(sectors)
    } else {
        Err(CodecError::Invalid { field: "sectors", value: sectors })
    }
}

fn name(r: &mut Reader<'_>) -> Result<Name, CodecError> {
    let text = r.text()?;
    text.parse().map_err(|_| CodecError::Invalid { field: "name", value: text.len() as u64 })
}

fn note_kind(r: &mut Reader<'_>) -> Result<NoteKind, CodecError> {
    let kind = r.u8()?;
    NoteKind::new(kind).ok_or(CodecError::Invalid { field: "note kind", value: kind.into() })
}

fn note(r: &mut Reader<'_>) -> Result<Option<Vec<u8>>, CodecError> {
    let (is_there, len) = (r.u8()?, r.u32()?);
    match (is_there, len as usize) {
        (0, 0) => Ok(None),
        (1, len) if len <= NOTE_LEN_MAX => Ok(Some(r.bytes(len)?.to_vec())),
        _ => Err(CodecError::Invalid { field: "note length", value: len.into() }),
    }
}

fn encode_kind(w: &mut Writer, kind: &Kind) {
    match kind {
        Kind::Thin => w.u8(0),
        Kind::Adopted(path) => w.u8(1).text(path),
        Kind::View { parent, mark } => w.u8(2).u32(*parent).u64(*mark),
    };
}

fn decode_kind(r: &mut Reader<'_>) -> Result<Kind, CodecError> {
    match r.u8()? {
        0 => Ok(Kind::Thin),
        1 => Ok(Kind::Adopted(r.text()?.to_owned())),
        2 => Ok(Kind::View { parent: number(r)?, mark: r.counter()? }),
        kind => Err(CodecError::Invalid { field: "volume kind", value: kind.into() }),
    }
}

fn decode_policies(r: &mut Reader<'_>) -> Result<Policies, CodecError> {
    let invalid = |value: u8| CodecError::Invalid { field: "policy", value: value.into() };
    Ok(Policies {
        sync: match r.u8()? {
            0 => SyncPolicy::Volatile,
            1 => SyncPolicy::Always,
            other => return Err(invalid(other)),
        },
        when_marks_full: match r.u8()? {
            0 => MarksFullPolicy::Refuse,
            1 => MarksFullPolicy::Thin,
            other => return Err(invalid(other)),
        },
        when_store_full: match r.u8()? {
            0 => StoreFullPolicy::DropOldest,
            1 => StoreFullPolicy::ProtectMarks,
            other => return Err(invalid(other)),
        },
    })
}

fn encode_mark(w: &mut Writer, mark: &MarkEntry) {
    w.u128(mark.id.0).text(mark.name.as_str()).u64(mark.taken_ms).u64(mark.sectors);
    w.u8(mark.grade as u8).u8(mark.proof as u8).u8(mark.kept.flags());
    // Room for application metadata and origin, which come with the agent and with replication.
    w.u128(mark.group.map_or(0, |group| group.0)).reserved(16);
    mark.kept.encode_ends(w);
}

fn decode_mark(r: &mut Reader<'_>) -> Result<MarkEntry, CodecError> {
    let invalid = |field, value: u8| CodecError::Invalid { field, value: value.into() };
    let (id, name) = (Id(r.u128()?), name(r)?);
    let (taken_ms, sectors) = (r.u64()?, sectors(r)?);
    let grade = match r.u8()? {
        0 => Grade::Crash,
        1 => Grade::Filesystem,
        2 => Grade::Application,
        other => return Err(invalid("grade", other)),
    };
    let proof = match r.u8()? {
        0 => Proof::Unverified,
        1 => Proof::Verified,
        2 => Proof::Failed,
        other => return Err(invalid("proof", other)),
    };
    let flags = r.u8()?;
    let group = Some(Id(r.u128()?)).filter(|id| id.0 != 0);
    r.reserved(16)?;
    let kept = Kept::decode(flags, r)?;
    Ok(MarkEntry { id, name, taken_ms, sectors, grade, proof, kept, group })
}
