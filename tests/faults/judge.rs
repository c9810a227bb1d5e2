//! The law of damage: every block that is read is right, or is refused by an error that names it.

use base::name::{MarkRef, Name};
use base::units::{Extent, SECTORS_PER_BLOCK};
use disk::{AnyDisk, DiskError};
use store::{DiskRef, Progress};

use crate::oracle::compare::difference_in_names;
use crate::oracle::model::{Image, Model};
use crate::oracle::rig::Rig;

/// What was not served.
#[derive(Default, Debug)]
pub struct Refused {
    pub blocks: u64,
    pub first: Option<String>,
}

/// Reads everything and holds it against the models that are allowed, the newest last.
///
/// # Errors
/// What breaks the law, in words, for each of the models.
pub async fn judge(rig: &Rig, allowed: &[Model]) -> Result<Refused, String> {
    let mut why = Vec::new();
    for model in allowed.iter().rev() {
        match judge_by(rig, model).await {
            Ok(refused) => return Ok(refused),
            Err(what) => why.push(what),
        }
    }
    Err(why.join("; or "))
}

async fn judge_by(rig: &Rig, model: &Model) -> Result<Refused, String> {
    if let Some(names) = difference_in_names(rig, model) {
        return Err(names);
    }
    let mut refused = Refused::default();
    for (name, volume) in &model.volumes {
        let disk = rig.disk(name).map_err(|error| format!("{name}: {error}"))?;
        judge_image(&disk, &volume.live, &format!("{name}, live"), &mut refused).await?;
        for (mark, image) in &volume.marks {
            let of = MarkRef { volume: name.clone(), mark: mark.clone() };
            let disk = rig.pool.disk(&DiskRef::Mark(of)).map_err(|error| error.to_string())?;
            judge_image(&disk, image, &format!("{name}@{mark}"), &mut refused).await?;
        }
    }
    Ok(refused)
}

async fn judge_image(
    disk: &AnyDisk,
    image: &Image,
    place: &str,
    refused: &mut Refused,
) -> Result<(), String> {
    let sectors = image.0.len() as u64;
    if let Ok(bytes) = disk.read(Extent::new(0, sectors)).await {
        return match image.first_difference(&bytes) {
            None => Ok(()),
            Some(at) => Err(format!("{place}: sector {at} is served wrong")),
        };
    }
    for start in (0..sectors).step_by(8) {
        let extent = Extent::new(start, SECTORS_PER_BLOCK.min(sectors - start));
        let from = usize::try_from(start).unwrap();
        let part = &image.0[from..from + usize::try_from(extent.sectors).unwrap()];
        match disk.read(extent).await {
            Ok(bytes) => {
                if let Some(at) = Image(part.to_vec()).first_difference(&bytes) {
                    return Err(format!("{place}: sector {} is served wrong", from + at));
                }
            }
            Err(error) => {
                if !names(&error, extent) {
                    return Err(format!("{place}: sectors from {start} on: {error:?}"));
                }
                refused.blocks += 1;
                refused.first.get_or_insert_with(|| format!("{place}: {error}"));
            }
        }
    }
    Ok(())
}

/// Whether an error says that these sectors are damaged.
fn names(error: &DiskError, extent: Extent) -> bool {
    let (DiskError::Medium { extent: named, .. } | DiskError::OutOfBounds { extent: named, .. }) =
        error
    else {
        return false;
    };
    !named.intersect(extent).is_empty()
}

/// What a scrub of everything reports.
#[derive(Default, Debug)]
pub struct Scrubbed {
    pub damaged: usize,
    pub repaired: u64,
    pub failed: Option<String>,
}

/// Scrubs all volumes and views.
pub async fn scrub(rig: &Rig) -> Scrubbed {
    let mut all = Scrubbed::default();
    let names: Vec<Name> = rig.model.volumes.keys().cloned().collect();
    for name in names {
        match rig.pool.scrub(&name, &Progress::new()).await {
            Ok(report) => {
                all.damaged += report.damaged.len();
                all.repaired += report.repaired;
            }
            Err(error) => all.failed = Some(format!("{name}: {error}")),
        }
    }
    all
}
