//! Which block devices this host has, by what the kernel tells of them under `/sys/block`. None is opened.
//!
//! Source: Linux, Documentation/ABI/stable/sysfs-block; proc_swaps(5).

use std::fs;
use std::path::{Path, PathBuf};

/// Where the kernel tells of them.
pub const SYSFS: &str = "/sys/block";
const SWAPS: &str = "/proc/swaps";
/// The kernel counts sectors of this many bytes, whatever the device does.
const SECTOR_LEN: u64 = 512;
/// Devices that are not disks: what is in memory, what other files back, what is empty or reads discs.
const NO_DISKS: &[&str] = &["loop", "ram", "zram", "nbd", "sr", "fd", "ublkb"];

/// A block device, or a partition of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlockDevice {
    /// Where it is: `/dev/sdb`.
    pub path: PathBuf,
    /// Its number as `major:minor`.
    pub number: String,
    /// Bytes.
    pub len: u64,
    /// What its maker calls it; empty where the kernel does not know.
    pub model: String,
    /// Whether it takes no writes.
    pub is_read_only: bool,
    /// What it is a part of: `dm-0`, `md1`.
    pub holders: Vec<String>,
    /// Its partitions, by path.
    pub partitions: Vec<PathBuf>,
}

/// All of them, by path; disks before their partitions. What cannot be read is left out.
pub fn all(sysfs: &Path) -> Vec<BlockDevice> {
    let mut all = Vec::new();
    for disk in names(sysfs) {
        let is_disk = !NO_DISKS.iter().any(|prefix| {
            disk.strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        });
        let dir = sysfs.join(&disk);
        let Some(device) = is_disk.then(|| read(&dir, &disk)).flatten() else { continue };
        let model = device.model.clone();
        let parts: Vec<_> = names(&dir)
            .into_iter()
            .filter(|name| dir.join(name).join("partition").exists())
            .filter_map(|name| read(&dir.join(&name), &name))
            .map(|part| BlockDevice { model: model.clone(), ..part })
            .collect();
        let partitions = parts.iter().map(|part| part.path.clone()).collect();
        all.push(BlockDevice { partitions, ..device });
        all.extend(parts);
    }
    all
}

/// Devices and files that the kernel swaps to.
pub fn swaps() -> Vec<PathBuf> {
    let text = fs::read_to_string(SWAPS).unwrap_or_default();
    let first = text.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    first.map(PathBuf::from).collect()
}

fn read(dir: &Path, name: &str) -> Option<BlockDevice> {
    let text = |file: &str| fs::read_to_string(dir.join(file)).map(|text| text.trim().to_owned());
    let sectors: u64 = text("size").ok()?.parse().ok()?;
    if sectors == 0 {
        return None;
    }
    Some(BlockDevice {
        // The kernel writes the slash of a name such as cciss/c0d0 so.
        path: Path::new("/dev").join(name.replace('!', "/")),
        number: text("dev").ok()?,
        len: sectors.checked_mul(SECTOR_LEN)?,
        model: text("device/model").unwrap_or_default(),
        is_read_only: text("ro").is_ok_and(|text| text == "1"),
        holders: names(&dir.join("holders")),
        partitions: Vec::new(),
    })
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<_> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn disks_are_found_with_their_partitions_and_without_what_is_no_disk() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        file(root, "sdb/size", "8192\n");
        file(root, "sdb/dev", "8:16\n");
        file(root, "sdb/ro", "1\n");
        file(root, "sdb/device/model", "Disk of 1999 \n");
        file(root, "sdb/sdb1/size", "4096\n");
        file(root, "sdb/sdb1/dev", "8:17\n");
        file(root, "sdb/sdb1/partition", "1\n");
        file(root, "sdb/sdb1/holders/dm-0/x", "");
        file(root, "loop0/size", "8192\n");
        file(root, "loop0/dev", "7:0\n");
        file(root, "sdc/size", "0\n");
        file(root, "sdc/dev", "8:32\n");
        let all = all(root);
        assert_eq!(all.len(), 2, "{all:?}");
        let (disk, part) = (&all[0], &all[1]);
        assert_eq!((disk.path.to_str(), disk.len), (Some("/dev/sdb"), 4 << 20));
        assert_eq!(disk.partitions.first(), Some(&part.path));
        assert!(disk.is_read_only && disk.holders.is_empty() && disk.model == "Disk of 1999");
        assert_eq!(
            (part.holders.as_slice(), part.number.as_str()),
            (&["dm-0".to_owned()][..], "8:17")
        );
        assert_eq!(part.model, disk.model);
    }
}
