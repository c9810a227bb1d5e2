//! Reading a pool's structures as they lie, without opening it: for a stopped daemon, and for support.

use std::sync::Arc;

use base::units::BLOCK_LEN;
use disk::{DiskError, Shelf, Usage};
use serde::Serialize;

use crate::checkpoint;
use crate::error::StoreError;
use crate::event::{Event, Kind};
use crate::journal::frame::Record;
use crate::journal::scan::{Cursor, Scan};
use crate::open::JOURNAL;
use crate::registry::Registry;
use crate::superblock;

/// What lies on a shelf.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// The pool's identity.
    pub pool: String,
    /// How often it was opened.
    pub incarnation: u64,
    /// Bytes of the journal.
    pub journal_len: u64,
    /// The newest checkpoint's generation.
    pub checkpoint: u64,
    /// What is wrong with one of the two copies, where something is.
    pub checkpoint_damage: Option<String>,
    /// What the journal holds beyond the checkpoint.
    pub journal: JournalInspection,
    /// The volumes and views.
    pub volumes: Vec<VolumeInspection>,
}

/// What a journal holds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct JournalInspection {
    /// The number of the first frame that is still needed.
    pub first_frame: u64,
    /// How many frames are whole.
    pub frames: u64,
    /// How many writes are in them.
    pub writes: u64,
    /// Bytes of those writes.
    pub write_bytes: u64,
    /// How many writes that went to berths are told of in them.
    pub berthed: u64,
    /// Bytes of those writes.
    pub berthed_bytes: u64,
    /// How many records of zeroes.
    pub zeroes: u64,
    /// The events in them, in words.
    pub events: Vec<String>,
    /// What is wrong with it, where something is.
    pub damage: Option<String>,
}

/// A volume or view.
#[derive(Clone, Debug, Serialize)]
pub struct VolumeInspection {
    /// Its name.
    pub name: String,
    /// Its identity, which its disks on the shelf are named after.
    pub id: String,
    /// What its base is.
    pub base: String,
    /// How many sectors it has.
    pub sectors: u64,
    /// Its marks: sequence and name.
    pub marks: Vec<(u64, String)>,
}

/// Reads what lies on a shelf. Changes nothing.
///
/// # Errors
/// `NoPool`, `ForeignPool`, `Damaged` where not even the superblock and a checkpoint can be read.
pub async fn inspect(shelf: &Arc<dyn Shelf>) -> Result<Inspection, StoreError> {
    let disk = match shelf.open(superblock::NAME, Usage::Log) {
        Ok(disk) => disk,
        Err(DiskError::NotFound(_)) => return Err(StoreError::NoPool),
        Err(error) => return Err(error.into()),
    };
    let superblock = superblock::read(&disk).await?;
    let found = checkpoint::read(&**shelf).await?;
    let checkpoint = found.checkpoint;
    let mut registry = Registry::default();
    for event in &checkpoint.events {
        registry.apply(event);
    }
    let journal = shelf.open(JOURNAL, Usage::Log)?;
    let cursor = Cursor {
        number: checkpoint.first_frame,
        position: checkpoint.first_position,
        incarnation: checkpoint.first_incarnation,
    };
    let mut scan = Scan::new(&journal, superblock.journal_blocks, superblock.pool, cursor);
    let mut report =
        JournalInspection { first_frame: checkpoint.first_frame, ..JournalInspection::default() };
    loop {
        match scan.next().await {
            Ok(Some(frame)) => {
                let is_new = frame.head.number > checkpoint.events_through;
                note(&mut report, &mut registry, &frame.records, is_new);
            }
            Ok(None) => break,
            Err(error) => {
                report.damage = Some(error.to_string());
                break;
            }
        }
    }
    Ok(Inspection {
        pool: superblock.pool.to_string(),
        incarnation: superblock.incarnation,
        journal_len: superblock.journal_blocks * BLOCK_LEN as u64,
        checkpoint: checkpoint.generation,
        checkpoint_damage: found.damage,
        journal: report,
        volumes: volumes_of(&registry),
    })
}

fn note(report: &mut JournalInspection, registry: &mut Registry, records: &[Record], is_new: bool) {
    report.frames += 1;
    for record in records {
        match record {
            Record::Write { run, .. } => {
                report.writes += 1;
                report.write_bytes += run.bytes();
            }
            Record::Berthed { run, .. } => {
                report.berthed += 1;
                report.berthed_bytes += run.bytes();
            }
            Record::Zero { .. } => report.zeroes += 1,
            Record::Event(bytes) => match Event::decode(bytes) {
                Ok(event) => {
                    report.events.push(format!("{event:?}"));
                    if is_new {
                        registry.apply(&event);
                    }
                }
                Err(error) => report.events.push(format!("not readable: {error}")),
            },
            Record::Padding(_) => {}
        }
    }
}

fn volumes_of(registry: &Registry) -> Vec<VolumeInspection> {
    let base_of = |kind: &Kind| match kind {
        Kind::Thin => "thin".to_owned(),
        Kind::Adopted(path) => format!("adopted {path}"),
        Kind::View { parent, mark } => {
            let parent = registry.get(*parent);
            let name = parent.map_or_else(|| "?".to_owned(), |entry| entry.name.to_string());
            format!("view of {name}, mark {mark}")
        }
    };
    registry
        .volumes()
        .map(|entry| VolumeInspection {
            name: entry.name.to_string(),
            id: entry.id.to_string(),
            base: base_of(&entry.kind),
            sectors: entry.sectors,
            marks: entry.marks.iter().map(|(s, mark)| (*s, mark.name.to_string())).collect(),
        })
        .collect()
}
