//! Notes: small byte strings that a front door wants remembered of a volume or view, such as who has
//! reserved it. The store keeps them with the volume and does not know what they say.
//!
//! A note is an event in the journal: it is stable when it was answered, a checkpoint has it, and it goes
//! with its volume. Who keeps notes knows a volume by its identity, which outlives names.

use base::id::Id;
use base::name::MarkRef;

use crate::error::StoreError;
use crate::event::Event;
use crate::pool::{Core, Pool};
use crate::registry::VolumeEntry;
use crate::status::{DiskRef, VolumeState};

/// Bytes of a note: fits a frame of the journal four times, and a few hundred registrations of initiators.
pub const NOTE_LEN_MAX: usize = 64 * 1024;
/// Notes of a volume: what the doors and the policies need, and 512 MiB of a checkpoint in the worst case.
pub const NOTES_PER_VOLUME_MAX: u8 = 2;

/// Which of a volume's notes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct NoteKind(pub(crate) u8);

impl NoteKind {
    /// The note with this number, where a volume has that many.
    pub const fn new(number: u8) -> Option<Self> {
        if number < NOTES_PER_VOLUME_MAX { Some(Self(number)) } else { None }
    }
}

/// A disk that was found by its identity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Located {
    /// What it is called now.
    pub disk: DiskRef,
    /// Why it cannot be used, where it has failed.
    pub failure: Option<String>,
}

impl Pool {
    /// Keeps a note of a volume or view, in the place of the one before; `None` forgets it. It is stable
    /// when this returns.
    ///
    /// # Errors
    /// `UnknownId`, `Limit` where it is too long; why the pool takes no changes.
    pub async fn keep_note(
        &self,
        of: Id,
        kind: NoteKind,
        bytes: Option<Vec<u8>>,
    ) -> Result<(), StoreError> {
        let len = bytes.as_ref().map_or(0, Vec::len);
        if len > NOTE_LEN_MAX {
            return Err(StoreError::Limit(format!(
                "a note has at most {NOTE_LEN_MAX} bytes, and this one has {len}"
            )));
        }
        let volume = {
            let core = self.lock();
            core.registry.of_id(of).ok_or(StoreError::UnknownId(of))?.number
        };
        // Not among what `admin` serialises: it depends on nothing, and draining a volume would hold it up.
        self.commit(Event::NoteKept { volume, kind, bytes }, |_| ()).await
    }

    /// A note of a volume or view; `None` where there is none, or no such volume.
    pub fn note(&self, of: Id, kind: NoteKind) -> Option<Vec<u8>> {
        self.lock().registry.of_id(of)?.notes.get(&kind).cloned()
    }

    /// The identity of a volume, mark or view.
    ///
    /// # Errors
    /// `UnknownVolume`, `UnknownMark`, `UnknownView`.
    pub fn id_of(&self, disk: &DiskRef) -> Result<Id, StoreError> {
        let core = self.lock();
        match disk {
            DiskRef::Mark(mark) => {
                let (entry, sequence) = core.registry.mark(mark)?;
                Ok(entry.marks[&sequence].id)
            }
            DiskRef::Volume(name) => {
                let entry = core.registry.named(name).ok().filter(|entry| !entry.is_view());
                Ok(entry.ok_or_else(|| StoreError::UnknownVolume(name.clone()))?.id)
            }
            DiskRef::View(name) => {
                let entry = core.registry.named(name).ok().filter(|entry| entry.is_view());
                Ok(entry.ok_or_else(|| StoreError::UnknownView(name.clone()))?.id)
            }
        }
    }

    /// The volume, mark or view with this identity.
    pub fn locate(&self, id: Id) -> Option<Located> {
        let core = self.lock();
        if let Some(entry) = core.registry.of_id(id) {
            let name = entry.name.clone();
            let disk = if entry.is_view() { DiskRef::View(name) } else { DiskRef::Volume(name) };
            return Some(Located { disk, failure: failure_of(&core, entry) });
        }
        core.registry.volumes().find_map(|entry| {
            let mark = entry.marks.values().find(|mark| mark.id == id)?;
            let of = MarkRef { volume: entry.name.clone(), mark: mark.name.clone() };
            Some(Located { disk: DiskRef::Mark(of), failure: failure_of(&core, entry) })
        })
    }
}

fn failure_of(core: &Core, entry: &VolumeEntry) -> Option<String> {
    match &core.volumes.get(&entry.number)?.state {
        VolumeState::FailStop { reason } => Some(reason.clone()),
        VolumeState::Ready | VolumeState::ReadOnly { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base::codec::CodecError;
    use disk::{MemShelf, Shelf};

    use super::*;
    use crate::registry::Registry;
    use crate::{PoolOptions, World};

    const KIND: NoteKind = NoteKind(0);

    async fn pool(shelf: &Arc<MemShelf>) -> Arc<Pool> {
        let shelf: Arc<dyn Shelf> = Arc::clone(shelf) as Arc<dyn Shelf>;
        let options = PoolOptions { journal_len: "8M".parse().unwrap(), ..PoolOptions::default() };
        if !Pool::exists(&shelf).await.unwrap() {
            Pool::create(&shelf, &options, &World::system()).await.unwrap();
        }
        Pool::open(shelf, options, World::system()).await.unwrap()
    }

    #[tokio::test]
    async fn a_note_outlives_the_process_by_the_journal_and_by_a_checkpoint() {
        let shelf = Arc::new(MemShelf::new());
        let before = pool(&shelf).await;
        let name = "mail".parse().unwrap();
        let id = before.create_volume(&name, "1M".parse().unwrap()).await.unwrap().id;
        before.keep_note(id, KIND, Some(vec![1; 100])).await.unwrap();
        before.keep_note(id, KIND, Some(vec![7; NOTE_LEN_MAX])).await.unwrap();
        drop(before);
        let replayed = pool(&shelf).await;
        assert_eq!(replayed.note(id, KIND), Some(vec![7; NOTE_LEN_MAX]));
        assert_eq!(replayed.note(id, NoteKind(1)), None);
        let upkeep = Arc::clone(&replayed);
        let running = tokio::spawn(upkeep.run());
        replayed.close().await.unwrap();
        running.await.unwrap();
        drop(replayed);
        let reopened = pool(&shelf).await;
        assert_eq!(reopened.note(id, KIND), Some(vec![7; NOTE_LEN_MAX]));
        reopened.keep_note(id, KIND, None).await.unwrap();
        drop(reopened);
        assert_eq!(pool(&shelf).await.note(id, KIND), None);
    }

    #[tokio::test]
    async fn a_note_goes_with_its_volume_and_is_refused_where_it_is_too_long() {
        let pool = pool(&Arc::new(MemShelf::new())).await;
        let name = "mail".parse().unwrap();
        let id = pool.create_volume(&name, "1M".parse().unwrap()).await.unwrap().id;
        let long = pool.keep_note(id, KIND, Some(vec![0; NOTE_LEN_MAX + 1])).await;
        assert!(matches!(long, Err(StoreError::Limit(_))), "{long:?}");
        pool.keep_note(id, KIND, Some(Vec::new())).await.unwrap();
        assert_eq!(pool.note(id, KIND), Some(Vec::new()), "an empty note is a note");
        pool.remove_volume(&name).await.unwrap();
        assert_eq!(pool.note(id, KIND), None);
        let gone = pool.keep_note(id, KIND, None).await;
        assert!(matches!(gone, Err(StoreError::UnknownId(_))), "{gone:?}");
    }

    #[tokio::test]
    async fn a_disk_is_found_by_its_identity_whatever_it_is_called() {
        let pool = pool(&Arc::new(MemShelf::new())).await;
        let name = "mail".parse().unwrap();
        pool.create_volume(&name, "1M".parse().unwrap()).await.unwrap();
        let request =
            crate::MarkRequest { name: "monday".parse().unwrap(), grade: crate::Grade::Crash };
        pool.take_mark(std::slice::from_ref(&name), request).await.unwrap();
        let of = "mail@monday".parse().unwrap();
        pool.create_view(&"look".parse().unwrap(), &of).await.unwrap();
        for text in ["mail", "mail@monday", "view/look"] {
            let disk: DiskRef = text.parse().unwrap();
            let found = pool.locate(pool.id_of(&disk).unwrap()).unwrap();
            assert_eq!((found.disk, found.failure), (disk, None));
        }
        let id = pool.id_of(&DiskRef::Mark(of.clone())).unwrap();
        pool.rename_mark(&of, &"tuesday".parse().unwrap()).await.unwrap();
        assert_eq!(pool.locate(id).unwrap().disk, "mail@tuesday".parse().unwrap());
        assert!(pool.id_of(&"view/mail".parse().unwrap()).is_err());
        assert_eq!(pool.locate(Id(5)), None);
    }

    #[test]
    fn a_note_is_read_as_it_was_written_and_what_cannot_be_is_refused() {
        for bytes in [None, Some(Vec::new()), Some(vec![3; 1000])] {
            let event = Event::NoteKept { volume: 3, kind: NoteKind(1), bytes };
            assert_eq!(Event::decode(&event.encode()), Ok(event));
        }
        let kept = Event::NoteKept { volume: 3, kind: KIND, bytes: Some(vec![9]) };
        let mut bytes = kept.encode();
        bytes[5] = NOTES_PER_VOLUME_MAX;
        let refused = Event::decode(&bytes);
        assert!(matches!(refused, Err(CodecError::Invalid { field: "note kind", .. })));
        let mut bytes = kept.encode();
        bytes[7..11].copy_from_slice(&u32::MAX.to_le_bytes());
        let refused = Event::decode(&bytes);
        assert!(matches!(refused, Err(CodecError::Invalid { field: "note length", .. })));
        let mut registry = Registry::default();
        registry.apply(&kept);
        assert_eq!(registry, Registry::default(), "a note of nothing changes nothing");
    }
}
