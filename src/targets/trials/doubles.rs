//! Disks that hold back, remember or fail, and a catalogue of exports.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base::units::Extent;
use disk::{AnyDisk, Disk, DiskError, Geometry, Op, Request};

use crate::export::{
    Context, ContextExtents, Contexts, Export, ExportError, ExportSummary, Exports,
};

/// A disk that keeps its requests until it is opened.
pub struct Held {
    disk: AnyDisk,
    state: Mutex<HeldState>,
}

#[derive(Default)]
struct HeldState {
    is_open: bool,
    waiting: Vec<Request>,
    batches: Vec<usize>,
}

impl Held {
    pub fn new(disk: AnyDisk) -> Arc<Self> {
        Arc::new(Self { disk, state: Mutex::default() })
    }

    /// Carries out what waits, and all that comes from now on.
    pub fn open(&self) {
        let waiting = {
            let mut state = self.state.lock().unwrap();
            state.is_open = true;
            std::mem::take(&mut state.waiting)
        };
        self.disk.submit(waiting);
    }

    pub fn waiting(&self) -> usize {
        self.state.lock().unwrap().waiting.len()
    }

    /// Drops what waits, unanswered.
    pub fn forget(&self) {
        let waiting = std::mem::take(&mut self.state.lock().unwrap().waiting);
        drop(waiting);
    }

    /// How many requests came at once, each time.
    pub fn batches(&self) -> Vec<usize> {
        self.state.lock().unwrap().batches.clone()
    }
}

impl Disk for Held {
    fn geometry(&self) -> Geometry {
        self.disk.geometry()
    }

    fn submit(&self, batch: Vec<Request>) {
        let mut state = self.state.lock().unwrap();
        state.batches.push(batch.len());
        if state.is_open {
            drop(state);
            self.disk.submit(batch);
        } else {
            state.waiting.extend(batch);
        }
    }
}

/// A disk that answers every request that touches an extent with one error.
pub struct Faulty {
    pub disk: AnyDisk,
    pub extent: Extent,
    pub error: DiskError,
}

impl Disk for Faulty {
    fn geometry(&self) -> Geometry {
        self.disk.geometry()
    }

    fn submit(&self, batch: Vec<Request>) {
        for request in batch {
            let touched = request.op.extent();
            let is_flush = matches!(request.op, Op::Flush);
            if is_flush || touched.is_some_and(|one| !one.intersect(self.extent).is_empty()) {
                request.reply.send(Err(self.error.clone()));
            } else {
                self.disk.submit(vec![request]);
            }
        }
    }
}

/// A context whose every other block is dirty.
pub struct Striped(pub &'static str);

impl Context for Striped {
    fn name(&self) -> String {
        self.0.to_owned()
    }

    fn extents(&self, extent: Extent) -> ContextExtents<'_> {
        Box::pin(async move {
            let blocks = extent.cover();
            let dirty = |block: u64| u32::from(block % 2 == 1);
            let first = extent.intersect(base::units::Run::new(blocks.start, 1).extent());
            let rest = (blocks.start + 1..blocks.end()).map(|block| (8, dirty(block)));
            Ok(std::iter::once((first.sectors, dirty(blocks.start))).chain(rest).collect())
        })
    }
}

struct Entry {
    disk: AnyDisk,
    is_read_only: bool,
    guard: Option<Arc<dyn Any + Send + Sync>>,
}

/// Exports by name; the first one is the default.
#[derive(Default)]
pub struct Catalogue(BTreeMap<String, Entry>);

impl Catalogue {
    pub fn with(mut self, name: &str, disk: AnyDisk) -> Self {
        self.0.insert(name.to_owned(), Entry { disk, is_read_only: false, guard: None });
        self
    }

    pub fn with_read_only(mut self, name: &str, disk: AnyDisk) -> Self {
        self.0.insert(name.to_owned(), Entry { disk, is_read_only: true, guard: None });
        self
    }

    pub fn with_guard(mut self, name: &str, guard: Arc<dyn Any + Send + Sync>) -> Self {
        self.0.get_mut(name).unwrap().guard = Some(guard);
        self
    }
}

impl Exports for Catalogue {
    fn list(&self) -> Vec<ExportSummary> {
        let summary = |name: &String| ExportSummary {
            name: name.clone(),
            description: format!("volume {name}"),
        };
        self.0.keys().map(summary).collect()
    }

    fn open(&self, name: &str) -> Result<Export, ExportError> {
        let entry = self.0.get(name).ok_or(ExportError::Unknown)?;
        let contexts: Vec<Arc<dyn Context>> =
            vec![Arc::new(Striped("tidemark:since:m")), Arc::new(Striped("qemu:dirty-bitmap:m"))];
        Ok(Export {
            name: name.to_owned(),
            description: format!("volume {name}"),
            disk: Arc::clone(&entry.disk),
            is_read_only: entry.is_read_only,
            contexts: Arc::new(contexts) as Arc<dyn Contexts>,
            guard: entry.guard.clone().map(|guard| Box::new(guard) as Box<dyn Any + Send + Sync>),
        })
    }

    fn default_name(&self) -> Option<String> {
        self.0.keys().next().cloned()
    }
}
