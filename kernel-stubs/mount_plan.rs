//! How a file system is to be mounted: decided from what was found, without touching anything.
//!
//! - A **copy** (a view, a mark) carries the identity of its original, which may be mounted beside it.
//!   ext4 does not mind; XFS refuses without `nouuid`; btrfs confuses the two before Linux 6.7.
//! - On a **read-only** device no journal can be replayed, and a mount that would have to is refused by
//!   every file system unless it is told to leave the journal alone.
//! - Devices and set-user-id programs of what was stored on a disk have no power on this host.

use std::fmt;

use nix::mount::MsFlags;

use crate::error::AttachError;
use crate::filesystem::{Btrfs, Ext, Found};

/// The first kernel that gives a copy of a btrfs a passing identity of its own.
const BTRFS_COPIES: Version = (6, 7);
/// The first kernel that knows btrfs' `rescue=`.
const BTRFS_RESCUE: Version = (5, 9);

/// Major and minor version of the kernel.
pub type Version = (u32, u32);

/// Where a device comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Origin {
    /// The device refuses changes.
    pub is_read_only: bool,
    /// It is a copy of something that may be mounted on this host too.
    pub is_copy: bool,
}

/// What has to be known of this host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Host {
    /// The kernel's version.
    pub kernel: Version,
    /// Whether a btrfs of the same identity is mounted.
    pub is_fsid_mounted: bool,
}

/// How to mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MountPlan {
    /// The kernel's name of the file system.
    pub kind: &'static str,
    /// The options that every file system knows.
    pub flags: MsFlags,
    /// The options of this one.
    pub data: Vec<&'static str>,
    /// What people should know before they trust what they see.
    pub notes: Vec<String>,
}

impl fmt::Display for MountPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = [
            (MsFlags::MS_RDONLY, "ro"),
            (MsFlags::MS_NODEV, "nodev"),
            (MsFlags::MS_NOSUID, "nosuid"),
            (MsFlags::MS_NOEXEC, "noexec"),
        ];
        let named =
            flags.iter().filter(|(flag, _)| self.flags.contains(*flag)).map(|(_, name)| *name);
        let all: Vec<&str> = named.chain(self.data.iter().copied()).collect();
        write!(f, "{} {}", self.kind, all.join(","))
    }
}

/// Decides how to mount what was found.
///
/// # Errors
/// `Unmountable` where it cannot be, with the way out.
pub fn plan(found: &Found, origin: Origin, host: Host) -> Result<MountPlan, AttachError> {
    let mut plan = match found {
        Found::Ext(ext) => of_ext(*ext, origin),
        Found::Xfs { .. } => of_xfs(origin),
        Found::Btrfs(btrfs) => of_btrfs(*btrfs, origin, host)?,
        Found::Partitions(table) => {
            return Err(AttachError::Unmountable(format!(
                "the disk holds {table}, and not a file system: name the partition to mount"
            )));
        }
        Found::Other(what) => {
            return Err(AttachError::Unmountable(format!(
                "the disk holds {what}, which Tidemark does not mount: attach it without mounting, and use the device"
            )));
        }
        Found::Unknown => {
            return Err(AttachError::Unmountable(
                "the disk holds no file system that Tidemark knows (ext2, ext3, ext4, XFS, btrfs): \
                 attach it without mounting, and make one on the device or mount it by hand"
                    .to_owned(),
            ));
        }
    };
    plan.flags |= MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
    if origin.is_read_only {
        plan.flags |= MsFlags::MS_RDONLY;
    }
    Ok(plan)
}

fn plain(kind: &'static str) -> MountPlan {
    MountPlan { kind, flags: MsFlags::empty(), data: Vec::new(), notes: Vec::new() }
}

/// The driver of ext4 serves its elders too.
fn of_ext(ext: Ext, origin: Origin) -> MountPlan {
    let mut plan = plain("ext4");
    if origin.is_read_only && ext.has_journal {
        plan.data.push("noload");
        if ext.needs_recovery {
            plan.notes.push(not_replayed("journal"));
        }
    }
    plan
}

fn of_xfs(origin: Origin) -> MountPlan {
    let mut plan = plain("xfs");
    if origin.is_read_only {
        plan.data.push("norecovery");
        // Whether the log is empty cannot be seen without reading it; that of a mark hardly ever is.
        plan.notes.push(not_replayed("log"));
    }
    if origin.is_read_only || origin.is_copy {
        plan.data.push("nouuid");
    }
    plan
}

fn of_btrfs(btrfs: Btrfs, origin: Origin, host: Host) -> Result<MountPlan, AttachError> {
    if btrfs.devices != 1 {
        return Err(AttachError::Unmountable(format!(
            "this btrfs lies on {} devices: attach all of them without mounting, then mount one of them",
            btrfs.devices
        )));
    }
    if host.is_fsid_mounted && host.kernel < BTRFS_COPIES {
        let (major, minor) = host.kernel;
        return Err(AttachError::Unmountable(format!(
            "a btrfs of the same identity is mounted, and Linux {major}.{minor} confuses the two: \
             unmount the other first, or use a host with Linux 6.7 or later"
        )));
    }
    let mut plan = plain("btrfs");
    if origin.is_read_only {
        let is_new = host.kernel >= BTRFS_RESCUE;
        plan.data.push(if is_new { "rescue=nologreplay" } else { "nologreplay" });
        if btrfs.has_log {
            plan.notes.push(not_replayed("log"));
        }
    }
    Ok(plan)
}

fn not_replayed(what: &str) -> String {
    format!(
        "the device is read-only, so the {what} was not replayed and the newest changes may be missing or torn: \
         mount a view to see them whole"
    )
}

/// The version in a kernel's release, such as `6.1.0-13-amd64`.
pub fn version_of(release: &str) -> Option<Version> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOLUME: Origin = Origin { is_read_only: false, is_copy: false };
    const VIEW: Origin = Origin { is_read_only: false, is_copy: true };
    const MARK: Origin = Origin { is_read_only: true, is_copy: true };
    const NEW: Host = Host { kernel: (6, 18), is_fsid_mounted: true };
    const OLD: Host = Host { kernel: (6, 1), is_fsid_mounted: true };

    fn shown(found: &Found, origin: Origin, host: Host) -> String {
        plan(found, origin, host).map_or_else(|e| e.to_string(), |plan| plan.to_string())
    }

    fn ext(version: u8, has_journal: bool) -> Found {
        Found::Ext(Ext { version, has_journal, needs_recovery: true })
    }

    fn btrfs(devices: u64) -> Found {
        Found::Btrfs(Btrfs { fsid: [1; 16], devices, has_log: true })
    }

    #[test]
    fn ext_is_mounted_plainly_and_a_mark_without_its_journal() {
        assert_eq!(shown(&ext(4, true), VOLUME, NEW), "ext4 nodev,nosuid");
        assert_eq!(shown(&ext(3, true), VIEW, NEW), "ext4 nodev,nosuid");
        assert_eq!(shown(&ext(4, true), MARK, NEW), "ext4 ro,nodev,nosuid,noload");
        assert_eq!(shown(&ext(2, false), MARK, NEW), "ext4 ro,nodev,nosuid");
        assert_eq!(plan(&ext(4, true), MARK, NEW).unwrap().notes.len(), 1);
    }

    #[test]
    fn a_copy_of_an_xfs_may_lie_beside_its_original() {
        let xfs = Found::Xfs { uuid: [1; 16] };
        assert_eq!(shown(&xfs, VOLUME, NEW), "xfs nodev,nosuid");
        assert_eq!(shown(&xfs, VIEW, NEW), "xfs nodev,nosuid,nouuid");
        assert_eq!(shown(&xfs, MARK, NEW), "xfs ro,nodev,nosuid,norecovery,nouuid");
    }

    #[test]
    fn a_copy_of_a_btrfs_waits_for_a_kernel_that_can_tell_them_apart() {
        assert_eq!(shown(&btrfs(1), VIEW, NEW), "btrfs nodev,nosuid");
        assert!(shown(&btrfs(1), VIEW, OLD).contains("unmount the other"));
        let alone = Host { is_fsid_mounted: false, ..OLD };
        assert_eq!(shown(&btrfs(1), VIEW, alone), "btrfs nodev,nosuid");
        assert_eq!(shown(&btrfs(1), MARK, NEW), "btrfs ro,nodev,nosuid,rescue=nologreplay");
        let ancient = Host { kernel: (5, 4), is_fsid_mounted: false };
        assert_eq!(shown(&btrfs(1), MARK, ancient), "btrfs ro,nodev,nosuid,nologreplay");
        assert!(shown(&btrfs(3), VOLUME, NEW).contains("3 devices"));
    }

    #[test]
    fn what_cannot_be_mounted_says_what_to_do() {
        assert!(shown(&Found::Unknown, VOLUME, NEW).contains("without mounting"));
        assert!(shown(&Found::Other("swap space"), VOLUME, NEW).contains("swap space"));
    }

    #[test]
    fn versions_of_real_kernels_are_understood() {
        assert_eq!(version_of("6.1.0-13-amd64"), Some((6, 1)));
        assert_eq!(version_of("5.14.0"), Some((5, 14)));
        assert_eq!(version_of("6.7-rc1"), Some((6, 7)));
        assert_eq!(version_of("six"), None);
    }
}
