//! Claims about real block devices, made from files by the kernel's loop driver.
//!
//! They need the rights to set one up; without them each says so and passes.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use super::*;
use crate::contract::{SECTORS_MIN, Subject, compare_with_oracle, run};
use crate::{AnyDisk, Caching, Disk, EngineKind};

/// A loop device and the file behind it; taken down when dropped.
struct Loop {
    device: PathBuf,
    file: PathBuf,
    directory: tempfile::TempDir,
}

fn succeeds(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

impl Loop {
    fn set_up(block_len: u32) -> Option<Self> {
        let directory = tempfile::tempdir().ok()?;
        let file = directory.path().join("device.img");
        fs::File::create(&file).ok()?.set_len(SECTORS_MIN * 512).ok()?;
        let size = block_len.to_string();
        let mut command = Command::new("losetup");
        command.args(["--find", "--show", "--sector-size", &size]).arg(&file);
        match succeeds(&mut command) {
            Some(device) => Some(Self { device: device.into(), file, directory }),
            None => {
                eprintln!("skipped: no loop device of {block_len}-byte blocks can be set up here");
                None
            }
        }
    }

    fn pool(&self) -> PathBuf {
        self.directory.path().join("pool")
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = succeeds(Command::new("losetup").arg("--detach").arg(&self.device));
    }
}

fn options(engine: EngineKind, caching: Caching) -> FileOptions {
    FileOptions { engine, caching, ..FileOptions::default() }
}

#[tokio::test]
async fn block_devices_keep_the_contract_whatever_their_block() {
    for block_len in [512, 4096] {
        let Some(device) = Loop::set_up(block_len) else { return };
        let uring = crate::file::uring_is_allowed();
        let engine = if uring { EngineKind::Uring } else { EngineKind::Threads };
        for caching in [Caching::Direct, Caching::PageCache] {
            let (path, pool) = (device.device.clone(), device.pool());
            let make = move || -> AnyDisk {
                let disk: AnyDisk =
                    Arc::new(adopt(&path, &pool, &options(engine, caching)).unwrap());
                zero(&disk);
                disk
            };
            compare_with_oracle(&make(), 1, 60).await;
            run(&Subject::new(make)).await;
        }
    }
}

/// Zeroes all of a disk, as the contract wants fresh ones.
fn zero(disk: &AnyDisk) {
    let (reply, answer) = crate::Reply::one();
    let extent = base::units::Extent::new(0, disk.geometry().sectors);
    let durability = crate::Durability::Volatile;
    let op = crate::Op::WriteZeroes { extent, keep: crate::Keep::Nothing, durability };
    disk.submit(vec![crate::Request { op, reply }]);
    std::thread::spawn(move || answer.blocking_recv().unwrap().unwrap()).join().unwrap();
}

#[test]
fn a_block_device_is_adopted_by_one() {
    let Some(device) = Loop::set_up(512) else { return };
    let options = options(EngineKind::Threads, Caching::Direct);
    let disk = adopt(&device.device, &device.pool(), &options).unwrap();
    assert_eq!(disk.geometry().sectors, SECTORS_MIN);
    let second = adopt(&device.device, &device.pool(), &options);
    assert!(matches!(second, Err(DiskError::Busy(_))), "{second:?}");
    drop(disk);
    adopt(&device.device, &device.pool(), &options).unwrap();
}

#[test]
fn a_file_that_is_a_loop_device_is_refused_naming_it() {
    let Some(device) = Loop::set_up(512) else { return };
    let refused = adopt(&device.file, &device.pool(), &FileOptions::default()).unwrap_err();
    let name = device.device.display().to_string();
    assert!(
        matches!(refused, DiskError::Busy(_)) && refused.to_string().contains(&name),
        "{refused}"
    );
}

#[test]
fn a_mounted_device_is_refused_naming_the_place() {
    let Some(device) = Loop::set_up(512) else { return };
    let place = device.directory.path().join("mounted here");
    fs::create_dir(&place).unwrap();
    let made = succeeds(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&device.device));
    let mounted =
        made.and_then(|_| succeeds(Command::new("mount").arg(&device.device).arg(&place)));
    if mounted.is_none() {
        eprintln!("skipped: nothing can be mounted here");
        return;
    }
    let refused = adopt(&device.device, &device.pool(), &FileOptions::default());
    succeeds(Command::new("umount").arg(&place)).unwrap();
    let refused = refused.unwrap_err();
    let shown = place.display().to_string();
    assert!(
        matches!(refused, DiskError::Busy(_)) && refused.to_string().contains(&shown),
        "{refused}"
    );
}
