//! Clean-up after the holder of an attachment was killed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;

use kernel_stubs::attach::double::Double;
use kernel_stubs::cleanup::{Cleanup, cleanup};
use kernel_stubs::mount::MountHow;
use kernel_stubs::record::MountRecord;
use kernel_stubs::{AttachOptions, AttachRecord, Attacher, Kind};

use crate::support::{CountingDisk, Place, attachers, eventually, is_mounted, is_there, sh};

const WHERE: &str = "TIDEMARK_TEST_HOLDER";
const KIND: &str = "TIDEMARK_TEST_KIND";
const PLAIN: MountHow = MountHow { is_copy: false, is_exec_allowed: true };

/// Run by the tests below in a process of its own, which they kill.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of other tests, which start it as a process of its own"]
async fn holder() {
    let dir = std::env::var_os(WHERE).expect("started by another test");
    let kind = std::env::var(KIND).unwrap();
    let mut attachers = attachers(Path::new(&dir)).into_iter();
    let attacher = attachers.find(|one| format!("{:?}", one.kind()) == kind).unwrap();
    let record = Path::new(&dir).join("records/mail.json");
    let options = AttachOptions { name: "mail".parse().unwrap(), is_read_only: false, record };
    let disk = CountingDisk::new(64 << 20);
    let mut attachment = attacher.attach(disk.clone(), options).await.unwrap();
    sh(&format!("mkfs.ext4 -q {}", attachment.device().display())).await;
    if Path::new(&dir).join("with-mount").exists() {
        attachment.mount(&Path::new(&dir).join("mnt"), &PLAIN).await.unwrap();
    }
    std::fs::write(Path::new(&dir).join("ready"), "").unwrap();
    if Path::new(&dir).join("with-stall").exists() {
        disk.is_stalled.store(true, Ordering::SeqCst);
        attachment.detach().await.unwrap();
    }
    std::future::pending::<()>().await;
}

async fn start(place: &Place, is_mounted: bool) -> Child {
    let dir = place.dir.path();
    if is_mounted {
        std::fs::write(dir.join("with-mount"), "").unwrap();
    }
    let holder = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "crash::holder", "--nocapture"])
        .env(WHERE, dir)
        .env(KIND, format!("{:?}", place.attacher.kind()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let ready = dir.join("ready");
    eventually("an attachment by the holder", || ready.exists()).await;
    holder
}

/// Whether a thread of the holder or of its children waits for the device, where no signal reaches it.
fn waits(holder: &Child) -> bool {
    let stat_of = |task: &Path| {
        let stat = std::fs::read_to_string(task.join("stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(") ").map(|(_, after)| after.to_owned());
        let mut fields = after_name.unwrap_or_default();
        fields.truncate(fields.match_indices(' ').nth(1).map_or(0, |(at, _)| at));
        fields
    };
    let id = holder.id().to_string();
    std::fs::read_dir("/proc").unwrap().flatten().any(|process| {
        let is_child = stat_of(&process.path()).ends_with(&format!(" {id}"));
        if !is_child && process.file_name() != id.as_str() {
            return false;
        }
        let tasks = std::fs::read_dir(process.path().join("task")).into_iter().flatten().flatten();
        tasks.into_iter().any(|task| stat_of(&task.path()).starts_with('D'))
    })
}

fn kill(holder: &mut Child) {
    holder.kill().unwrap();
    holder.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_holder_mounted_is_taken_away() {
    for place in Place::all() {
        let mut holder = start(&place, true).await;
        let mount = place.mount_point("mnt");
        // Dirty data that can no longer be written must not hold the clean-up up.
        sh(&format!("dd if=/dev/urandom of={}/dirty bs=1M count=8 2>&1", mount.display())).await;
        kill(&mut holder);

        let path = place.record("mail");
        let record = AttachRecord::load(&path).unwrap();
        let device = record.device.clone().unwrap();
        assert!(is_there(&device, &record.token));
        let said = cleanup(&path).await.unwrap();
        assert!(said.is_complete(), "{said:?}");
        let steps = if record.kind == Kind::FuseLoop { 4 } else { 2 };
        assert_eq!(said.done.len(), steps, "{said:?}");
        assert!(!mount.exists() && !path.exists() && !is_there(&device, &record.token));
        assert!(record.fuse_dir.is_none_or(|dir| !dir.exists()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_holder_attached_is_taken_away_while_others_stay() {
    for place in Place::all() {
        let mut other = place.attach("other", &CountingDisk::new(1 << 20)).await;
        let mut holder = start(&place, false).await;
        kill(&mut holder);
        assert!(cleanup(&place.record("mail")).await.unwrap().is_complete());
        let device = other.device().display().to_string();
        sh(&format!("dd if=/dev/zero of={device} bs=4k count=4 oflag=direct 2>&1")).await;
        other.detach().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_mount_in_use_goes_and_the_rest_when_its_user_does() {
    for place in Place::all() {
        let mut holder = start(&place, true).await;
        let mount = place.mount_point("mnt");
        let mut user = Command::new("sleep").arg("600").current_dir(&mount).spawn().unwrap();
        kill(&mut holder);

        let path = place.record("mail");
        let first = cleanup(&path).await.unwrap();
        assert!(!is_mounted(&mount));
        assert!(!first.is_complete() && path.exists(), "{first:?}");
        user.kill().unwrap();
        user.wait().unwrap();
        let second = cleanup(&path).await.unwrap();
        assert!(second.is_complete() && !path.exists(), "{second:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_mount_on_a_dead_device_is_named_and_left() {
    for place in Place::all() {
        let mut holder = start(&place, false).await;
        let record = AttachRecord::load(&place.record("mail")).unwrap();
        let foreign = place.mount_point("foreign");
        let device = record.device.clone().unwrap();
        sh(&format!("mkdir {0}; mount {1} {0}", foreign.display(), device.display())).await;
        kill(&mut holder);
        let first = cleanup(&place.record("mail")).await.unwrap();
        assert!(first.left[0].contains("foreign"), "{first:?}");
        assert!(is_mounted(&foreign));
        sh(&format!("umount {}", foreign.display())).await;
        assert!(cleanup(&place.record("mail")).await.unwrap().is_complete());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_another_boot_removes_only_empty_directories() {
    for place in Place::all() {
        let mut holder = start(&place, false).await;
        let path = place.record("mail");
        let real = std::fs::read(&path).unwrap();
        let mut old = AttachRecord::load(&path).unwrap();
        old.boot = "another".to_owned();
        old.save(&path).unwrap();
        // The device of this boot is not touched by it, although its token is the same.
        cleanup(&path).await.unwrap();
        assert!(is_there(&old.device.clone().unwrap(), &old.token));
        assert!(old.fuse_dir.is_none_or(|dir| is_mounted(&dir)));
        kill(&mut holder);
        std::fs::write(&path, real).unwrap();
        assert!(cleanup(&path).await.unwrap().is_complete());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_whose_disk_has_stalled_can_be_killed_amid_a_detach() {
    for place in Place::all() {
        std::fs::write(place.dir.path().join("with-stall"), "").unwrap();
        let mut holder = start(&place, true).await;
        eventually("a wait for the disk", || waits(&holder)).await;
        holder.kill().unwrap();
        eventually("the end of the holder", || holder.try_wait().unwrap().is_some()).await;
        let path = place.record("mail");
        assert!(cleanup(&path).await.unwrap().is_complete());
        assert!(!place.mount_point("mnt").exists());
    }
}

#[tokio::test]
async fn mounts_that_a_record_names_and_others_made_are_not_touched() {
    if Place::all().is_empty() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mail.json");
    let options =
        AttachOptions { name: "mail".parse().unwrap(), is_read_only: false, record: path.clone() };
    let double = Double::new();
    let attachment = double.attach(CountingDisk::new(1 << 20), options).await.unwrap();
    let mut record = attachment.record().clone();
    let (fuse, mount) = (dir.path().join("fuse"), dir.path().join("mnt"));
    sh(&format!(
        "for d in {} {}; do mkdir $d; mount -t tmpfs other $d; done",
        fuse.display(),
        mount.display()
    ))
    .await;
    record.kind = Kind::FuseLoop;
    record.pid_start += 1;
    record.fuse_dir = Some(fuse.clone());
    record.mount = Some(MountRecord { dir: mount.clone(), is_dir_ours: true });
    record.save(&path).unwrap();
    let said = cleanup(&path).await.unwrap();
    assert_eq!(said, Cleanup::default());
    assert!(is_mounted(&fuse) && is_mounted(&mount) && !path.exists());
    sh(&format!("umount {} {}", fuse.display(), mount.display())).await;
}
