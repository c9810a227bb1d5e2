//! Disks of the host that could become volumes, and what stands in the way. Nothing is opened: what only opening a
//! disk tells is found out when it is adopted.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use base::size::ByteSize;
use base::units::SECTOR_LEN;
use kernel_stubs::block_device::{self, BlockDevice, SYSFS};
use kernel_stubs::mount_table::{self, Mount};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::VolumeKind;

use crate::appliance::Appliance;
use crate::error::ControlError;

/// A disk of the host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is a block device, and no file.
    pub is_device: bool,
    /// Bytes.
    pub size: ByteSize,
    /// What its maker calls it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Why it cannot be adopted as it is now; nothing, where nothing is known against it.
    pub obstacle: Option<String>,
}

impl Appliance {
    /// The disks of this host, or the one at a path, which may be a file. Blocks.
    ///
    /// # Errors
    /// `Invalid` where the path does not start at the root, or nothing is there.
    pub fn candidates(&self, path: Option<&Path>) -> Result<Vec<Candidate>, ControlError> {
        let mounts = mount_table::all().unwrap_or_default();
        let swaps = block_device::swaps();
        let devices = block_device::all(Path::new(SYSFS));
        let look = |device: &BlockDevice| {
            let obstacle = self.adopted_as(&device.path);
            let obstacle = obstacle.or_else(|| in_the_way(device, &devices, &mounts, &swaps));
            Candidate {
                path: device.path.clone(),
                is_device: true,
                size: ByteSize(device.len),
                model: device.model.clone(),
                obstacle,
            }
        };
        let Some(path) = path else { return Ok(devices.iter().map(look).collect()) };
        if !path.is_absolute() {
            return Err(ControlError::Invalid {
                why: format!("{} is a relative path", path.display()),
                way_out: "give the whole path, starting with /".into(),
            });
        }
        let real = path.canonicalize().map_err(|error| not_there(path, &error))?;
        if let Some(device) = devices.iter().find(|device| device.path == real) {
            return Ok(vec![Candidate { path: path.to_owned(), ..look(device) }]);
        }
        let found = fs::metadata(&real).map_err(|error| not_there(path, &error))?;
        Ok(vec![self.file(path, &real, &found)])
    }

    /// Refuses what no disk can be made of, where that is seen without opening it.
    ///
    /// # Errors
    /// `Invalid`, with the obstacle.
    pub(crate) fn check_adoptable(&self, path: &Path) -> Result<(), ControlError> {
        // What is not there the store tells.
        let Ok(real) = path.canonicalize() else { return Ok(()) };
        let Ok(found) = fs::metadata(&real) else { return Ok(()) };
        // Those that are adopted already it tells as well, and devices only when they are opened.
        if found.file_type().is_block_device() || self.adopted_as(&real).is_some() {
            return Ok(());
        }
        let Some(obstacle) = self.file(path, &real, &found).obstacle else { return Ok(()) };
        Err(ControlError::Invalid {
            why: format!("{} cannot become a volume: {obstacle}", path.display()),
            way_out: "`volume candidates` shows what the host has, and what stands in the way"
                .into(),
        })
    }

    fn file(&self, path: &Path, real: &Path, found: &fs::Metadata) -> Candidate {
        let is_device = found.file_type().is_block_device();
        let obstacle = match () {
            () if is_device => Some("it is a device that the kernel tells nothing of".into()),
            () if !found.is_file() => Some("it is neither a file nor a block device".into()),
            () if found.len() == 0 => Some("it is empty".into()),
            () if !found.len().is_multiple_of(SECTOR_LEN as u64) => {
                Some("its length is no whole number of 512-byte sectors".into())
            }
            () if self.state().is_own(real) => Some("it is a file of the appliance itself".into()),
            () => self.adopted_as(real),
        };
        let size = ByteSize(found.len());
        Candidate { path: path.to_owned(), is_device, size, model: String::new(), obstacle }
    }

    /// The volume that has the disk at this path already.
    fn adopted_as(&self, real: &Path) -> Option<String> {
        let is_it =
            |adopted: &str| Path::new(adopted).canonicalize().is_ok_and(|path| path == real);
        let volumes = self.pool().volumes().into_iter();
        let mut of = volumes.filter(|volume| match &volume.kind {
            VolumeKind::Adopted { path } => is_it(path),
            VolumeKind::Thin => false,
        });
        of.next().map(|volume| format!("volume {} has adopted it", volume.name))
    }
}

fn not_there(path: &Path, error: &std::io::Error) -> ControlError {
    ControlError::Invalid {
        why: format!("{} cannot be looked at: {error}", path.display()),
        way_out: "give the path of a disk or image on the daemon's host".into(),
    }
}

/// What uses a device, or one of its partitions.
fn in_the_way(
    device: &BlockDevice,
    devices: &[BlockDevice],
    mounts: &[Mount],
    swaps: &[PathBuf],
) -> Option<String> {
    if device.is_read_only {
        return Some("it takes no writes".into());
    }
    let parts = devices.iter().filter(|other| device.partitions.contains(&other.path));
    for one in std::iter::once(device).chain(parts) {
        let what = if one.path == device.path {
            "it".to_owned()
        } else {
            format!("its partition {}", one.path.display())
        };
        if let Some(mount) = mounts.iter().find(|mount| mount.number == one.number) {
            return Some(format!("{what} is mounted at {}", mount.dir.display()));
        }
        if let Some(holder) = one.holders.first() {
            return Some(format!("{what} is part of {holder}"));
        }
        if swaps.contains(&one.path) {
            return Some(format!("{what} is used for swap"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, number: &str) -> BlockDevice {
        BlockDevice {
            path: Path::new("/dev").join(name),
            number: number.into(),
            len: 1 << 20,
            model: String::new(),
            is_read_only: false,
            holders: Vec::new(),
            partitions: Vec::new(),
        }
    }

    #[test]
    fn what_uses_a_disk_or_a_part_of_it_is_named() {
        let disk = BlockDevice { partitions: vec!["/dev/sdb1".into()], ..device("sdb", "8:16") };
        let part = device("sdb1", "8:17");
        let all = [disk.clone(), part.clone()];
        let look = |mounts: &[Mount], swaps: &[PathBuf]| in_the_way(&disk, &all, mounts, swaps);
        assert_eq!(look(&[], &[]), None);
        let mount = Mount {
            number: "8:17".into(),
            dir: "/var/mail".into(),
            kind: "ext4".into(),
            source: "/dev/sdb1".into(),
        };
        let told = look(&[mount], &[]).unwrap();
        assert_eq!(told, "its partition /dev/sdb1 is mounted at /var/mail");
        assert!(look(&[], &["/dev/sdb".into()]).unwrap().contains("swap"));
        let held = [disk.clone(), BlockDevice { holders: vec!["md0".into()], ..part }];
        assert!(in_the_way(&disk, &held, &[], &[]).unwrap().contains("part of md0"));
        let stuck = BlockDevice { is_read_only: true, ..disk };
        assert!(in_the_way(&stuck, &all, &[], &[]).is_some());
    }
}
