//! Claims about a directory as a shelf.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::{Buffer, Durability, MapKind};

fn shelf() -> (tempfile::TempDir, DirectoryShelf) {
    let directory = tempfile::tempdir().unwrap();
    let shelf = DirectoryShelf::open(&directory.path().join("deep/pool")).unwrap();
    (directory, shelf)
}

#[tokio::test]
async fn disks_are_there_again_after_reopening() {
    let (_directory, shelf) = shelf();
    let path = shelf.path().to_owned();
    for usage in [Usage::Log, Usage::Data] {
        let name = format!("{usage:?}");
        let disk = shelf.create(&name, 64, usage).unwrap();
        let data = vec![Buffer::copy_of(&[3; 4096]).unwrap().freeze()];
        disk.write(8, data, Durability::Stable).await.unwrap();
        assert!(matches!(shelf.create(&name, 64, usage), Err(DiskError::Busy(_))));
    }
    drop(shelf);
    let shelf = DirectoryShelf::open(&path).unwrap();
    assert_eq!(shelf.list().unwrap(), ["Data", "Log"]);
    for name in ["Log", "Data"] {
        let disk = shelf.open(name, Usage::Data).unwrap();
        assert_eq!(disk.geometry().sectors, 64);
        assert_eq!(disk.read(Extent::new(8, 8)).await.unwrap()[..], [3; 4096]);
    }
    shelf.remove("Log").unwrap();
    shelf.remove("Log").unwrap();
    assert!(matches!(shelf.open("Log", Usage::Log), Err(DiskError::NotFound(_))));
    assert_eq!(shelf.list().unwrap(), ["Data"]);
}

#[test]
fn a_second_opener_is_told_who_has_it() {
    let (_directory, shelf) = shelf();
    let second = DirectoryShelf::open(shelf.path()).unwrap_err();
    assert!(matches!(second, DiskError::Busy(_)));
    let pid = format!("pid {}", std::process::id());
    assert!(second.to_string().contains(&pid), "{second}");
    let path = shelf.path().to_owned();
    drop(shelf);
    DirectoryShelf::open(&path).unwrap();
}

#[test]
fn nobody_else_may_read_what_it_holds() {
    let (_directory, shelf) = shelf();
    shelf.create("journal", 8, Usage::Log).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(shelf.path()), 0o700);
    assert_eq!(mode(&shelf.path().join("journal")), 0o600);
}

#[tokio::test]
async fn growth_is_seen_by_open_handles_and_never_shrinks() {
    let (_directory, shelf) = shelf();
    let disks = [Usage::Log, Usage::Data].map(|usage| {
        let _ = shelf.create("d", 16, usage);
        shelf.open("d", usage).unwrap()
    });
    shelf.grow("d", 32).unwrap();
    shelf.grow("d", 8).unwrap();
    for disk in disks {
        assert_eq!(disk.geometry().sectors, 32);
        assert_eq!(disk.read(Extent::new(16, 16)).await.unwrap()[..], [0; 8192]);
    }
    assert!(matches!(shelf.grow("none", 8), Err(DiskError::NotFound(_))));
}

#[tokio::test]
async fn reserved_space_is_not_absent() {
    let (_directory, shelf) = shelf();
    let disk = shelf.create("d", 128, Usage::Data).unwrap();
    shelf.reserve("d", Extent::new(0, 64)).unwrap();
    let map = disk.map(Extent::new(0, 64)).await.unwrap();
    assert!(map.iter().all(|stretch| stretch.kind != MapKind::Absent), "{map:?}");
    let past = shelf.reserve("d", Extent::new(100, 64));
    assert!(matches!(past, Err(DiskError::OutOfBounds { .. })));
}

#[test]
fn no_name_leads_out_of_the_directory_or_to_the_shelf_s_own_files() {
    let (_directory, shelf) = shelf();
    let long = "a".repeat(NAME_LEN_MAX + 1);
    for name in
        ["", ".", "..", "../up", "/etc/passwd", "a/b", ".lock", ".new-a", "a\0b", "é", &long]
    {
        assert!(shelf.create(name, 8, Usage::Data).is_err(), "{name:?}");
        assert!(shelf.open(name, Usage::Data).is_err(), "{name:?}");
        assert!(shelf.remove(name).is_err(), "{name:?}");
        assert!(shelf.grow(name, 8).is_err(), "{name:?}");
        assert!(shelf.reserve(name, Extent::new(0, 1)).is_err(), "{name:?}");
    }
    assert!(matches!(shelf.create("huge", u64::MAX, Usage::Data), Err(DiskError::TooLarge { .. })));
    assert!(shelf.list().unwrap().is_empty());
}

#[test]
fn what_an_interrupted_creation_left_is_swept_away() {
    let (_directory, shelf) = shelf();
    let path = shelf.path().to_owned();
    drop(shelf);
    std::fs::write(path.join(".new-base"), [0; 100]).unwrap();
    let shelf = DirectoryShelf::open(&path).unwrap();
    assert!(!path.join(".new-base").exists());
    shelf.create("base", 8, Usage::Data).unwrap();
}

#[test]
fn its_space_is_that_of_the_file_system() {
    let (_directory, shelf) = shelf();
    let space = shelf.space().unwrap();
    assert!(space.total > 0 && space.free <= space.total);
}

#[tokio::test]
async fn every_engine_serves_the_same_bytes() {
    for data_engine in [DataEngine::Auto, DataEngine::Uring, DataEngine::Positional] {
        if data_engine == DataEngine::Uring && !file::uring_is_allowed() {
            continue;
        }
        let directory = tempfile::tempdir().unwrap();
        let runtime = Some(tokio::runtime::Handle::current());
        let options = DirectoryOptions { data_engine, runtime };
        let shelf = DirectoryShelf::open_with(directory.path(), options).unwrap();
        let disk = shelf.create("d", 64, Usage::Data).unwrap();
        let data = vec![Buffer::copy_of(&[9; 1024]).unwrap().freeze()];
        disk.write(5, data, Durability::Volatile).await.unwrap();
        disk.flush().await.unwrap();
        let again = shelf.open("d", Usage::Log).unwrap();
        assert_eq!(again.read(Extent::new(5, 2)).await.unwrap()[..], [9; 1024]);
    }
}
