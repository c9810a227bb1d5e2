//! Seeds of the store: what a small pool with marks, a view and a group leaves on its shelf.

use std::sync::Arc;

use base::codec::Writer;
use base::units::{BLOCK_LEN, Extent, SECTOR_LEN};
use disk::{Buffer, Durability, MemShelf, Shelf, Usage};
use store::{DiskRef, Grade, MarkRequest, Pool};

use super::Seed;
use crate::oracle::rig::{options, runtime, world};

/// Seeds for every entry point of the store.
pub fn seeds() -> Vec<Seed> {
    let shelf: Arc<dyn Shelf> = Arc::new(MemShelf::new());
    runtime().block_on(async {
        Pool::create(&shelf, &options(), &world(1)).await.unwrap();
        let mut seeds = vec![seed("superblock", "fresh", first(&shelf, "superblock", 1).await)];
        let pool = Pool::open(Arc::clone(&shelf), options(), world(2)).await.unwrap();
        fill(&pool).await;
        let journal = first(&shelf, "journal", 8 * 12).await;
        let checkpoint = checkpoint(&shelf).await;
        seeds.push(seed("checkpoint", "fresh", checkpoint.clone()));
        seeds.push(seed("journal", "events-and-writes", journal.clone()));
        seeds.push(seed("pool", "events-and-writes", joined(&checkpoint, &journal)));
        pool.close().await.unwrap();
        let checkpoint = self::checkpoint(&shelf).await;
        seeds.push(seed("checkpoint", "closed", checkpoint.clone()));
        seeds.push(seed("pool", "closed", joined(&checkpoint, &[])));
        seeds.push(seed("superblock", "opened", first(&shelf, "superblock", 1).await));
        for name in shelf.list().unwrap() {
            if name.contains(".preserved-") {
                seeds.push(seed("chunk_head", "chunk", first(&shelf, &name, 8).await));
            }
        }
        seeds.push(seed("map_page", "page", map_page()));
        seeds
    })
}

/// A page of an epoch map by its table: three blocks, each preserved for two marks. Its checksum is left
/// for the entry point to put right.
fn map_page() -> Vec<u8> {
    let mut writer = Writer::new();
    writer.u32(u32::from_le_bytes(*b"TMPG")).u16(1).u16(6).u128(7).u64(1).u32(0).u32(0);
    writer.u64(100).u64(3).u32(0).u32(8).u8(1).u8(1).u8(0).u8(2).reserved(4);
    for block in 0..3u8 {
        for mark in 0..2u8 {
            let sector = u16::from(block) * 16 + u16::from(mark) * 8;
            writer.u8(block).u8(mark).u16(sector).u8(8 | 1 << 4).u32(0x1234_5678);
        }
    }
    writer.reserved(BLOCK_LEN - writer.len());
    writer.into_bytes()
}

fn seed(target: &'static str, name: &str, bytes: Vec<u8>) -> Seed {
    Seed { target, name: name.to_owned(), bytes }
}

/// Takes a pool through everything that makes an event, and some of what makes data.
async fn fill(pool: &Arc<Pool>) {
    let name = |text: &str| text.parse().unwrap();
    for volume in ["a", "b"] {
        pool.create_volume(&name(volume), base::size::ByteSize(1 << 20)).await.unwrap();
    }
    let disk = pool.disk(&DiskRef::Volume(name("a"))).unwrap();
    for round in 0..3u8 {
        for at in [0, 8, 16, 800] {
            let data: Vec<u8> = (0..4096u32).map(|i| i.to_le_bytes()[0] ^ round).collect();
            let data = Buffer::copy_of(&data).unwrap().freeze();
            disk.write(at, vec![data], Durability::Volatile).await.unwrap();
        }
        let mark = MarkRequest { name: name(&format!("m{round}")), grade: Grade::Crash };
        pool.take_mark(&[name("a"), name("b")], mark).await.unwrap();
    }
    disk.discard(Extent::new(8, 16)).await.unwrap();
    disk.flush().await.unwrap();
    pool.create_group(&name("g"), &[name("a"), name("b")]).await.unwrap();
    pool.create_view(&name("v"), &"a@m1".parse().unwrap()).await.unwrap();
    pool.hold_mark(&"a@m0".parse().unwrap(), None).await.unwrap();
    pool.rollback(&"a@m0".parse().unwrap()).await.unwrap();
    pool.remove_mark(&"b@m1".parse().unwrap()).await.unwrap();
}

async fn first(shelf: &Arc<dyn Shelf>, name: &str, sectors: u64) -> Vec<u8> {
    let disk = shelf.open(name, Usage::Log).unwrap();
    disk.read(Extent::new(0, sectors)).await.unwrap().to_vec()
}

/// The bytes in use of the checkpoint in the first slot.
async fn checkpoint(shelf: &Arc<dyn Shelf>) -> Vec<u8> {
    let head = first(shelf, "checkpoint-0", 1).await;
    let len = u64::from_le_bytes(head[40..48].try_into().unwrap());
    let mut bytes = first(shelf, "checkpoint-0", len.div_ceil(SECTOR_LEN as u64)).await;
    bytes.truncate(usize::try_from(len).unwrap());
    bytes
}

/// The input of `pool`.
fn joined(checkpoint: &[u8], journal: &[u8]) -> Vec<u8> {
    let len = u16::try_from(checkpoint.len()).unwrap();
    [&len.to_le_bytes(), checkpoint, journal].concat()
}
