//! What is inserted is found, in memory and in runs, before and after merging and reopening.

use base::units::Run as BlockRun;
use disk::MemShelf;

use super::*;

#[tokio::test]
async fn an_entry_is_found_from_its_own_and_from_older_marks() {
    let shelf: Arc<dyn Shelf> = Arc::new(MemShelf::new());
    let map = EpochMap::open(setup(&shelf), &MapManifest::default()).await.unwrap();
    map.insert(&[entry(7, 3), entry(7, 5), entry(9, 4)]);
    for _ in 0..2 {
        assert_eq!(map.lookup(7, 1).await.unwrap(), Some((3, entry(7, 3).1)));
        assert_eq!(map.lookup(7, 3).await.unwrap(), Some((3, entry(7, 3).1)));
        assert_eq!(map.lookup(7, 4).await.unwrap(), Some((5, entry(7, 5).1)));
        assert_eq!(map.lookup(7, 6).await.unwrap(), None);
        assert_eq!(map.lookup(8, 0).await.unwrap(), None);
        let hits = map.lookup_run(BlockRun::new(0, 100), 4).await.unwrap();
        let found: Vec<_> = hits.iter().map(|hit| (hit.block, hit.sequence)).collect();
        assert_eq!(found, [(7, 5), (9, 4)]);
        map.flush_memtable().await.unwrap();
    }
    let (manifest, _) = map.manifest();
    let map = EpochMap::open(setup(&shelf), &manifest).await.unwrap();
    assert_eq!(map.lookup(7, 4).await.unwrap(), Some((5, entry(7, 5).1)));
    assert_eq!(map.count(), 3);
}
