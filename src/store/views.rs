//! Views: read-write disks over a mark, with everything a volume has.
//!
//! A view's base holds its own writes only; what was never written comes from the mark. Promotion copies
//! the rest in the background while the view is in use, and makes it a thin volume of its own.

use base::limits::VIEW_DEPTH_MAX;
use base::name::{MarkRef, Name};
use base::size::ByteSize;
use base::units::{BLOCK_LEN, Run, SECTOR_LEN, SECTORS_PER_BLOCK};
use disk::{Buffer, Usage};

use crate::checksum_table::Code;
use crate::dirty::Epochs;
use crate::error::StoreError;
use crate::event::{Event, Kind};
use crate::image::Point;
use crate::kept::check_may_leave;
use crate::open::Names;
use crate::pool::{Core, Pool};
use crate::registry::VolumeEntry;
use crate::rollback::copy_of;
use crate::status::{CopyProgress, ViewStatus, VolumeState};

/// Blocks of a parent that are copied at once.
const COPY_BLOCKS: u64 = 256;

impl Pool {
    /// Makes a read-write view of a mark.
    ///
    /// # Errors
    /// `UnknownVolume`, `UnknownMark`, `NameTaken`, `Limit`; what the shelf says.
    pub async fn create_view(&self, view: &Name, of: &MarkRef) -> Result<ViewStatus, StoreError> {
        let _admin = self.admin.lock().await;
        let (kind, sectors) = {
            let core = self.lock();
            let (parent, mark) = core.registry.mark(of)?;
            let depth = depth_of(&core, parent);
            if depth >= VIEW_DEPTH_MAX {
                return Err(StoreError::Limit(format!(
                    "views lie at most {VIEW_DEPTH_MAX} deep on each other; promote one below first"
                )));
            }
            let kind = Kind::View { parent: parent.number, mark };
            (kind, parent.marks[&mark].sectors)
        };
        let sectors = sectors.next_multiple_of(SECTORS_PER_BLOCK);
        let entry = self.new_entry(view, kind, sectors)?;
        let base = self.shelf.create(&Names::of(entry.id).base, sectors, Usage::Data)?;
        self.add_volume(entry, base).await?;
        self.view(view)
    }

    /// Removes a view; its own writes are lost, the mark stays.
    ///
    /// # Errors
    /// `UnknownView`; `Busy` where it has marks with views of their own, or locked ones.
    pub async fn remove_view(&self, view: &Name) -> Result<(), StoreError> {
        let admin = self.admin.lock().await;
        let number = {
            let core = self.lock_now();
            let entry = named_view(&core, view)?;
            check_may_leave(&core.registry, entry)?;
            entry.number
        };
        let disks = self.forget_volume(number).await?;
        drop(admin);
        self.remove_disks(disks).await
    }

    /// Starts to make a view independent of its parent. It stays in use meanwhile; its status tells how
    /// far that is, and when it is done it is a volume of the same name.
    ///
    /// # Errors
    /// `UnknownView`.
    pub async fn promote_view(&self, view: &Name) -> Result<(), StoreError> {
        let _admin = self.admin.lock().await;
        let number = {
            let mut core = self.lock();
            let entry = named_view(&core, view)?;
            if entry.is_promoting {
                return Ok(());
            }
            let (number, total) = (entry.number, entry.sectors.div_ceil(SECTORS_PER_BLOCK));
            if let Some(live) = core.volumes.get_mut(&number) {
                live.copied = (0, total);
            }
            number
        };
        self.commit(Event::PromotionStarted { volume: number }, |_| ()).await?;
        self.work.notify_one();
        Ok(())
    }

    /// All views by name.
    pub fn views(&self) -> Vec<ViewStatus> {
        let core = self.lock();
        let entries = core.registry.volumes();
        let mut all: Vec<_> = entries.filter_map(|entry| view_status(&core, entry)).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// One view.
    ///
    /// # Errors
    /// `UnknownView`.
    pub fn view(&self, name: &Name) -> Result<ViewStatus, StoreError> {
        let core = self.lock();
        let status = view_status(&core, named_view(&core, name)?);
        status.ok_or_else(|| StoreError::UnknownView(name.clone()))
    }

    /// Copies a bounded part of what a view that is being promoted still takes from its parent.
    pub(crate) async fn promote_step(&self, number: u32) -> Result<(), StoreError> {
        let (volume, parent, mark, from, total) = {
            let core = self.lock();
            let (Some(live), Some(entry)) = (core.volumes.get(&number), core.registry.get(number))
            else {
                return Ok(());
            };
            let Kind::View { parent, mark } = entry.kind else { return Ok(()) };
            let total = entry.sectors.div_ceil(SECTORS_PER_BLOCK);
            (std::sync::Arc::clone(&live.volume), parent, mark, live.copied.0, total)
        };
        let run = Run::new(from, COPY_BLOCKS.min(total.saturating_sub(from)));
        if run.is_empty() {
            return self.end_of_pass(number, Event::Promoted { volume: number }).await;
        }
        let blocks = self.image_blocks(parent, Point::Mark(mark))?;
        let codes = volume.sums.get(run).await?;
        let mut copies = Vec::new();
        for (block, code) in (run.start..run.end()).zip(codes) {
            if code != Code::Absent || block >= blocks {
                continue;
            }
            let mut content = Buffer::zeroed(BLOCK_LEN)?;
            let one = Run::new(block, 1);
            self.read_run(parent, Point::Mark(mark), one, &mut content).await?;
            // Where the parent has zeroes, nothing is needed: so reads a thin volume without content.
            if content.iter().any(|byte| *byte != 0) {
                copies.push((block, copy_of(one, content)));
            }
        }
        self.journal_copies(number, copies, Epochs::ALL, run.end())
    }
}

fn named_view<'a>(core: &'a Core, view: &Name) -> Result<&'a VolumeEntry, StoreError> {
    let entry = core.registry.named(view).ok().filter(|entry| entry.is_view());
    entry.ok_or_else(|| StoreError::UnknownView(view.clone()))
}

/// How many views lie below, this one included.
fn depth_of(core: &Core, entry: &VolumeEntry) -> usize {
    let mut depth = 0;
    let mut at = Some(entry);
    while let Some(VolumeEntry { kind: Kind::View { parent, .. }, .. }) = at {
        depth += 1;
        at = core.registry.get(*parent);
    }
    depth
}

fn view_status(core: &Core, entry: &VolumeEntry) -> Option<ViewStatus> {
    let Kind::View { parent, mark } = entry.kind else { return None };
    let parent = core.registry.get(parent)?;
    let live = core.volumes.get(&entry.number);
    let (done_blocks, total_blocks) = live.map_or((0, 0), |live| live.copied);
    Some(ViewStatus {
        name: entry.name.clone(),
        id: entry.id,
        of: MarkRef { volume: parent.name.clone(), mark: parent.marks.get(&mark)?.name.clone() },
        size: ByteSize(entry.sectors * SECTOR_LEN as u64),
        allocated_bytes: live.map_or(0, |live| live.allocated_blocks * BLOCK_LEN as u64),
        created_ms: entry.created_ms,
        state: live.map_or(VolumeState::Ready, |live| live.state.clone()),
        promotion: entry.is_promoting.then_some(CopyProgress { done_blocks, total_blocks }),
    })
}
