//! A user-space double: attaches nothing to the kernel, and keeps to the same order and the same record.
//!
//! For tests of what stands above. Its device is a path that does not exist; a mount makes the directory
//! and nothing more.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use disk::AnyDisk;

use super::{AttachOptions, Attacher, Attachment, Availability, Held, Kind, Pending};
use crate::error::AttachError;
use crate::mount_plan::MountPlan;
use crate::record::AttachRecord;

/// Attaches in name only.
#[derive(Clone, Debug, Default)]
pub struct Double {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    count: usize,
    attached: Vec<PathBuf>,
    mounted: Vec<(PathBuf, String)>,
    is_busy: bool,
    missing: Option<String>,
}

impl Double {
    /// A double that works.
    pub fn new() -> Self {
        Self::default()
    }

    /// A double that says of itself that it does not work here.
    pub fn unavailable(why: &str) -> Self {
        let double = Self::default();
        double.lock().missing = Some(why.to_owned());
        double
    }

    /// From now on, pretends that somebody uses what is attached or mounted, or no longer.
    pub fn set_busy(&self, is_busy: bool) {
        self.lock().is_busy = is_busy;
    }

    /// The devices that are attached.
    pub fn attached(&self) -> Vec<PathBuf> {
        self.lock().attached.clone()
    }

    /// The directories that are mounted, each with its options.
    pub fn mounted(&self) -> Vec<(PathBuf, String)> {
        self.lock().mounted.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_busy(&self, what: &Path) -> Result<(), AttachError> {
        if self.lock().is_busy {
            return Err(AttachError::Busy { what: what.display().to_string(), users: Vec::new() });
        }
        Ok(())
    }
}

impl Attacher for Double {
    fn kind(&self) -> Kind {
        Kind::Double
    }

    fn name(&self) -> &'static str {
        "a double"
    }

    fn availability(&self) -> Availability {
        self.lock().missing.clone().map_or(Availability::Yes, Availability::No)
    }

    fn attach(&self, disk: AnyDisk, options: AttachOptions) -> Pending<'_, Attachment> {
        Box::pin(async move {
            if let Availability::No(why) = self.availability() {
                return Err(AttachError::Unavailable(why));
            }
            options.check_free()?;
            let device = {
                let mut state = self.lock();
                state.count += 1;
                PathBuf::from(format!("/dev/double{}", state.count))
            };
            let mut record = AttachRecord::fresh(options.name.clone(), Kind::Double);
            record.device = Some(device.clone());
            record.save(&options.record)?;
            self.lock().attached.push(device.clone());
            let held = HeldDouble { double: self.clone(), device };
            Ok(Attachment::new(Box::new(held), disk, record, &options))
        })
    }
}

struct HeldDouble {
    double: Double,
    device: PathBuf,
}

impl Held for HeldDouble {
    fn device(&self) -> &Path {
        &self.device
    }

    fn refresh_size(&mut self) -> Pending<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn release(&mut self) -> Pending<'_, ()> {
        Box::pin(async {
            self.double.check_busy(&self.device)?;
            self.double.lock().attached.retain(|device| *device != self.device);
            Ok(())
        })
    }

    fn mount(&self, dir: PathBuf, plan: MountPlan) -> Pending<'_, ()> {
        Box::pin(async move {
            self.double.lock().mounted.push((dir, plan.to_string()));
            Ok(())
        })
    }

    fn unmount(&self, dir: PathBuf) -> Pending<'_, ()> {
        Box::pin(async move {
            self.double.check_busy(&dir)?;
            self.double.lock().mounted.retain(|(mounted, _)| *mounted != dir);
            Ok(())
        })
    }
}
