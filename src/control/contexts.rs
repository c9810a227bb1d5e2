//! What clients may ask about a disk's extents: for each mark before its own point, which blocks were
//! written since. Under two names: `tidemark:since:MARK`, and `qemu:dirty-bitmap:MARK` for tools that
//! know that one. The flag of a stretch is 1 where it changed.

use std::sync::Arc;

use base::name::Name;
use base::units::Extent;
use disk::DiskError;
use store::{DiskRef, Pool};
use targets::{Context, ContextExtents, Contexts};

const PREFIXES: [&str; 2] = ["tidemark:since:", "qemu:dirty-bitmap:"];
const CHANGED: u32 = 1;

/// The contexts of one disk of a pool.
pub struct DiskContexts {
    pool: Arc<Pool>,
    disk: DiskRef,
}

impl DiskContexts {
    /// The contexts of this disk.
    pub fn new(pool: Arc<Pool>, disk: DiskRef) -> Self {
        Self { pool, disk }
    }

    /// The marks since which something can be asked, oldest first.
    fn marks(&self) -> Vec<Name> {
        let (volume, before) = match &self.disk {
            DiskRef::Volume(name) | DiskRef::View(name) => (name, u64::MAX),
            DiskRef::Mark(of) => (&of.volume, self.pool.mark(of).map_or(0, |mark| mark.sequence)),
        };
        let marks = self.pool.marks(volume).unwrap_or_default().into_iter();
        marks.filter(|mark| mark.sequence < before).map(|mark| mark.name).collect()
    }
}

impl Contexts for DiskContexts {
    fn names(&self) -> Vec<String> {
        let marks = self.marks();
        let names =
            PREFIXES.iter().flat_map(|prefix| marks.iter().map(move |m| format!("{prefix}{m}")));
        names.collect()
    }

    fn get(&self, name: &str) -> Option<Arc<dyn Context>> {
        let since = since_of(name).filter(|since| self.marks().contains(since))?;
        Some(Arc::new(Changes {
            name: name.to_owned(),
            pool: Arc::clone(&self.pool),
            disk: self.disk.clone(),
            since,
        }))
    }
}

/// The mark in a context's name.
fn since_of(context: &str) -> Option<Name> {
    PREFIXES.iter().find_map(|prefix| context.strip_prefix(prefix))?.parse().ok()
}

struct Changes {
    name: String,
    pool: Arc<Pool>,
    disk: DiskRef,
    since: Name,
}

impl Context for Changes {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn extents(&self, extent: Extent) -> ContextExtents<'_> {
        Box::pin(async move {
            let changes = self.pool.changed(&self.disk, &self.since, extent).await;
            // A mark that went since the session chose this context leaves nothing to compare with.
            let changes = changes.map_err(|error| DiskError::NotFound(error.to_string().into()))?;
            let flags = |is_changed| if is_changed { CHANGED } else { 0 };
            let told = changes.iter().map(|part| (part.extent.sectors, flags(part.is_changed)));
            Ok(told.collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_names_of_a_context_mean_the_same_mark() {
        assert_eq!(since_of("tidemark:since:monday"), since_of("qemu:dirty-bitmap:monday"));
        assert_eq!(since_of("tidemark:since:monday").unwrap().as_str(), "monday");
        for other in ["base:allocation", "tidemark:since:", "tidemark:since:a/b", "since:monday"] {
            assert_eq!(since_of(other), None, "{other}");
        }
    }
}
