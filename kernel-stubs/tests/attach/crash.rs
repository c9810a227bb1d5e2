//! Clean-up after the holder of an attachment was killed.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use kernel_stubs::cleanup::cleanup;
use kernel_stubs::mount::MountHow;
use kernel_stubs::{AttachOptions, AttachRecord, Kind};

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
    let mut attachment = attacher.attach(disk, options).await.unwrap();
    sh(&format!("mkfs.ext4 -q {}", attachment.device().display())).await;
    if Path::new(&dir).join("with-mount").exists() {
        attachment.mount(&Path::new(&dir).join("mnt"), &PLAIN).await.unwrap();
    }
    std::fs::write(Path::new(&dir).join("ready"), "").unwrap();
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
