//! Reading everything that a pool holds and holding it against a model.

use base::name::MarkRef;
use base::units::Extent;
use disk::AnyDisk;
use store::DiskRef;

use super::model::{Image, Model, sector_of};
use super::rig::Rig;

/// The first difference between a pool and a model, in words; `None` where there is none.
pub async fn difference(rig: &Rig, model: &Model) -> Option<String> {
    if let Some(names) = difference_in_names(rig, model) {
        return Some(names);
    }
    for (name, volume) in &model.volumes {
        let live = match rig.disk(name) {
            Ok(disk) => disk,
            Err(error) => return Some(format!("{name}: {error}")),
        };
        if let Some(what) = difference_in(&live, &volume.live).await {
            return Some(format!("{name}, live: {what}"));
        }
        for mark in volume.marks.keys() {
            let of = MarkRef { volume: name.clone(), mark: mark.clone() };
            if let Some(what) = mark_difference(rig, model, &of).await {
                return Some(what);
            }
        }
    }
    None
}

/// The same of one mark.
pub async fn mark_difference(rig: &Rig, model: &Model, mark: &MarkRef) -> Option<String> {
    let disk = match rig.pool.disk(&DiskRef::Mark(mark.clone())) {
        Ok(disk) => disk,
        Err(error) => return Some(format!("{mark}: {error}")),
    };
    let image = &model.volumes[&mark.volume].marks[&mark.mark];
    difference_in(&disk, image).await.map(|what| format!("{mark}: {what}"))
}

/// Whether the pool has the volumes, views and marks of the model and no others.
pub fn difference_in_names(rig: &Rig, model: &Model) -> Option<String> {
    let mut there: Vec<_> = rig.pool.volumes().into_iter().map(|v| (v.name, false)).collect();
    there.extend(rig.pool.views().into_iter().map(|v| (v.name, true)));
    there.sort();
    let wanted: Vec<_> =
        model.volumes.iter().map(|(name, v)| (name.clone(), v.parent.is_some())).collect();
    if there != wanted {
        return Some(format!("volumes {there:?}, not {wanted:?}"));
    }
    for (name, volume) in &model.volumes {
        let marks = rig.pool.marks(name).unwrap_or_default();
        let mut there: Vec<_> = marks.into_iter().map(|mark| mark.name).collect();
        there.sort();
        let wanted: Vec<_> = volume.marks.keys().cloned().collect();
        if there != wanted {
            return Some(format!("{name}: marks {there:?}, not {wanted:?}"));
        }
        if rig.note(name) != volume.note.map(sector_of) {
            return Some(format!("{name}: another note than {:?}", volume.note));
        }
    }
    None
}

async fn difference_in(disk: &AnyDisk, image: &Image) -> Option<String> {
    let sectors = image.0.len() as u64;
    if disk.geometry().sectors != sectors {
        return Some(format!("{} sectors, not {sectors}", disk.geometry().sectors));
    }
    let bytes = match disk.read(Extent::new(0, sectors)).await {
        Ok(bytes) => bytes,
        Err(error) => return Some(error.to_string()),
    };
    let at = image.first_difference(&bytes)?;
    Some(format!("sector {at} differs, number {} is wanted there", image.0[at]))
}
