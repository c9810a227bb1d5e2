//! What clients may ask about changed blocks: which marks there are to compare with, and what is told.

use std::sync::Arc;

use base::name::Name;
use base::units::{BLOCK_LEN, Extent};
use control::exports::PoolExports;
use control::status::Grade;
use control::uses::Uses;
use disk::{Buffer, Durability};
use targets::{ExportError, Exports};

use super::office::Office;

const SECTORS: u64 = (16 << 20) / 512;

async fn write_block(office: &Office, block: u64) {
    let data = Buffer::copy_of(&[7; BLOCK_LEN]).unwrap().freeze();
    let disk = office.appliance.pool().disk(&"mail".parse().unwrap()).unwrap();
    disk.write(block * 8, vec![data], Durability::Volatile).await.unwrap();
}

async fn take(office: &Office, mark: &str) {
    let volumes: [Name; 1] = ["mail".parse().unwrap()];
    office.appliance.take_mark(&volumes, Some(mark.parse().unwrap()), Grade::Crash).await.unwrap();
}

/// A volume with block 3 written before the first mark, 5 before the second, 6 since.
async fn with_history() -> (Office, PoolExports) {
    let office = Office::start().await;
    let size = "16M".parse().unwrap();
    office.appliance.create_volume(&"mail".parse().unwrap(), size).await.unwrap();
    for (block, mark) in [(3, Some("one")), (5, Some("two")), (6, None)] {
        write_block(&office, block).await;
        if let Some(mark) = mark {
            take(&office, mark).await;
        }
    }
    let exports = PoolExports::new(Arc::clone(office.appliance.traffic()), Uses::default(), None);
    (office, exports)
}

/// The changed blocks that a context of an export tells of, asked about from the start to the end.
async fn changed(exports: &PoolExports, export: &str, context: &str) -> Vec<u64> {
    let export = exports.open(export).unwrap();
    let context = export.contexts.get(context).unwrap();
    let (mut at, mut blocks) = (0, Vec::new());
    while at < SECTORS {
        let told = context.extents(Extent::new(at, SECTORS - at)).await.unwrap();
        assert!(told.iter().any(|(sectors, _)| *sectors > 0));
        for (sectors, flags) in told {
            if flags == 1 {
                blocks.extend(at / 8..(at + sectors) / 8);
            }
            at += sectors;
        }
    }
    blocks
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_tells_exactly_the_blocks_written_since_its_mark() {
    let (office, exports) = with_history().await;
    assert_eq!(changed(&exports, "mail", "tidemark:since:one").await, [5, 6]);
    assert_eq!(changed(&exports, "mail", "tidemark:since:two").await, [6]);
    assert_eq!(changed(&exports, "mail", "qemu:dirty-bitmap:two").await, [6]);
    assert_eq!(changed(&exports, "mail@two", "tidemark:since:one").await, [5]);
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_is_compared_with_older_ones_alone() {
    let (office, exports) = with_history().await;
    let names = |export: &str| exports.open(export).unwrap().contexts.names();
    assert_eq!(names("mail@one"), Vec::<String>::new());
    assert_eq!(names("mail@two"), ["tidemark:since:one", "qemu:dirty-bitmap:one"]);
    assert_eq!(names("mail").len(), 4);
    let mail = exports.open("mail").unwrap();
    for other in ["tidemark:since:none", "tidemark:until:one", "base:allocation", "since:one"] {
        assert!(mail.contexts.get(other).is_none(), "{other}");
    }
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_export_counts_as_a_use_until_it_is_dropped() {
    let office = Office::start().await;
    let size = "16M".parse().unwrap();
    let mail: Name = "mail".parse().unwrap();
    office.appliance.create_volume(&mail, size).await.unwrap();
    let uses = Uses::default();
    let exports = PoolExports::new(Arc::clone(office.appliance.traffic()), uses.clone(), None);
    let scope = control::uses::Scope::Whole(mail);
    let open = exports.open("mail").unwrap();
    assert_eq!(uses.inside(&scope).len(), 1);
    drop(open);
    let closing = uses.close(scope).await.unwrap();
    assert!(matches!(exports.open("mail"), Err(ExportError::Unavailable(_))));
    drop(closing);
    assert!(exports.open("mail").is_ok());
    office.stop().await;
}
