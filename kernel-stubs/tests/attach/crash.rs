//! Clean-up after the holder of an attachment was killed.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use kernel_stubs::cleanup::cleanup;
use kernel_stubs::mount::MountHow;
use kernel_stubs::{AttachRecord, loop_device};

use crate::support::{CountingDisk, Place, eventually, is_mounted, sh};

const WHERE: &str = "TIDEMARK_TEST_HOLDER";
const PLAIN: MountHow = MountHow { is_copy: false, is_exec_allowed: true };

/// Run by the tests below in a process of its own, which they kill.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of other tests, which start it as a process of its own"]
async fn holder() {
    let dir = std::env::var_os(WHERE).expect("started by another test");
    let mut place = Place::find().unwrap();
    place.attacher = kernel_stubs::attach::fuse_loop::FuseLoop::new(Path::new(&dir).join("run"));
    let mut options = place.options("mail", false);
    options.record = Path::new(&dir).join("records/mail.json");
    let disk = CountingDisk::new(64 << 20);
    use kernel_stubs::Attacher;
    let mut attachment = place.attacher.attach(disk, options).await.unwrap();
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
    let Some(place) = Place::find() else { return };
    let mut holder = start(&place, true).await;
    let mount = place.mount_point("mnt");
    // Dirty data that can no longer be written must not hold the clean-up up.
    sh(&format!("dd if=/dev/urandom of={}/dirty bs=1M count=8 2>&1", mount.display())).await;
    kill(&mut holder);

    let path = place.record("mail");
    let record = AttachRecord::load(&path).unwrap();
    assert_eq!(loop_device::backed_by(&record.token).len(), 1);
    let said = cleanup(&path).await.unwrap();
    assert!(said.is_complete(), "{said:?}");
    assert_eq!(said.done.len(), 4, "{said:?}");
    assert!(!mount.exists() && !path.exists());
    assert!(!record.fuse_dir.unwrap().exists());
    assert_eq!(loop_device::backed_by(&record.token), Vec::<std::path::PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_holder_attached_is_taken_away_while_others_stay() {
    let Some(place) = Place::find() else { return };
    let mut other = place.attach("other", &CountingDisk::new(1 << 20)).await;
    let mut holder = start(&place, false).await;
    kill(&mut holder);
    assert!(cleanup(&place.record("mail")).await.unwrap().is_complete());
    let device = other.device().display().to_string();
    sh(&format!("dd if=/dev/zero of={device} bs=4k count=4 oflag=direct 2>&1")).await;
    other.detach().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_mount_in_use_goes_and_the_rest_when_its_user_does() {
    let Some(place) = Place::find() else { return };
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

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_mount_on_a_dead_device_is_named_and_left() {
    let Some(place) = Place::find() else { return };
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

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_another_boot_removes_only_empty_directories() {
    let Some(place) = Place::find() else { return };
    let mut holder = start(&place, false).await;
    let path = place.record("mail");
    let real = std::fs::read(&path).unwrap();
    let mut old = AttachRecord::load(&path).unwrap();
    old.boot = "another".to_owned();
    old.save(&path).unwrap();
    // The device of this boot is not touched by it, although its token is the same.
    cleanup(&path).await.unwrap();
    assert_eq!(loop_device::backed_by(&old.token).len(), 1);
    assert!(is_mounted(&old.fuse_dir.clone().unwrap()));
    kill(&mut holder);
    std::fs::write(&path, real).unwrap();
    assert!(cleanup(&path).await.unwrap().is_complete());
}
