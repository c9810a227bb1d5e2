//! What is appended is read back; room, reserve and numbers are as they are said to be.

use disk::MemShelf;

use super::*;

#[tokio::test]
async fn what_was_appended_is_read_back_and_found_again() {
    let shelf: Arc<dyn Shelf> = Arc::new(MemShelf::new());
    let (store, found) =
        PreservedStore::recover(setup(&shelf, 1), &Manifest::default()).await.unwrap();
    assert_eq!(found, []);
    let mut all = Vec::new();
    for sequence in 1..6 {
        let items = (0..40).map(|block| preserve(Key::new(block, sequence))).collect();
        all.extend(store.append(items).await.unwrap());
    }
    check_all(&store, &all).await;
    store.flush().await.unwrap();
    drop(store);
    let (store, found) =
        PreservedStore::recover(setup(&shelf, 2), &Manifest::default()).await.unwrap();
    assert_eq!(found, all);
    check_all(&store, &all).await;
}

#[tokio::test]
async fn recovery_starts_at_the_cut_of_the_manifest() {
    let shelf: Arc<dyn Shelf> = Arc::new(MemShelf::new());
    let (store, _) = PreservedStore::recover(setup(&shelf, 1), &Manifest::default()).await.unwrap();
    let old = store.append((0..40).map(|b| preserve(Key::new(b, 1))).collect()).await.unwrap();
    store.advance(store.cut());
    let middle = store.append((0..40).map(|b| preserve(Key::new(b, 2))).collect()).await.unwrap();
    let (manifest, _) = store.checkpoint().await.unwrap();
    let new = store.append((0..40).map(|b| preserve(Key::new(b, 3))).collect()).await.unwrap();
    let (bytes, entries) = (store.preserved_bytes(), store.live_entries());
    drop(store);

    let mut writer = base::codec::Writer::new();
    manifest.encode(&mut writer);
    let encoded = writer.into_bytes();
    let manifest = Manifest::decode(&mut base::codec::Reader::new(&encoded)).unwrap();
    let (store, found) = PreservedStore::recover(setup(&shelf, 2), &manifest).await.unwrap();
    assert_eq!(found, [middle.clone(), new.clone()].concat());
    assert_eq!((store.preserved_bytes(), store.live_entries()), (bytes, entries));
    for part in [old, middle, new] {
        check_all(&store, &part).await;
    }
}
