//! Claims about changes of parts of sectors.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use disk::MemDisk;
use proptest::prelude::*;

use super::*;

fn edged(sectors: u64) -> Edged {
    Edged { disk: Arc::new(MemDisk::new(sectors)), lock: Arc::default() }
}

/// Runs a future that never has to wait.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a disk in memory answers at once"),
    }
}

fn write(edged: &Edged, offset: u64, data: &[u8]) {
    let bytes = ByteExtent { offset, len: data.len() as u64 };
    let mut piece = Buffer::for_sectors(bytes.cover().sectors).unwrap();
    piece[bytes.head()..bytes.head() + data.len()].copy_from_slice(data);
    now(edged.write(bytes, vec![piece], Durability::Volatile)).unwrap();
}

fn content(edged: &Edged) -> Vec<u8> {
    let sectors = edged.disk.geometry().sectors;
    now(edged.disk.read(Extent::new(0, sectors))).unwrap().to_vec()
}

#[test]
fn a_change_waits_for_another_one_at_the_edges() {
    let edged = edged(4);
    let held = now(edged.lock.0.lock());
    let bytes = ByteExtent { offset: 1, len: 1 };
    let mut zeroing = pin!(edged.zero(bytes, Keep::Nothing, Durability::Volatile));
    let pieces = vec![Buffer::zeroed(512).unwrap()];
    let mut writing = pin!(edged.write(bytes, pieces, Durability::Volatile));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(zeroing.as_mut().poll(&mut cx).is_pending());
    assert!(writing.as_mut().poll(&mut cx).is_pending());
    drop(held);
    assert!(zeroing.as_mut().poll(&mut cx).is_ready());
    assert!(writing.as_mut().poll(&mut cx).is_ready());
}

#[test]
fn all_who_have_an_export_open_share_its_lock() {
    let locks = EdgeLocks::default();
    let first = locks.of("mail");
    assert!(Arc::ptr_eq(&first, &locks.of("mail")));
    assert!(!Arc::ptr_eq(&first, &locks.of("web")));
    let weak = Arc::downgrade(&first);
    drop(first);
    locks.of("other");
    assert!(weak.upgrade().is_none());
    assert_eq!(locks.0.lock().unwrap().len(), 1, "locks of closed exports are forgotten");
}

proptest! {
    #[test]
    fn only_the_bytes_that_were_meant_change(
        changes in proptest::collection::vec((0u64..4000, 1u64..1500, any::<bool>()), 1..12),
    ) {
        let edged = edged(16);
        let mut model = vec![0xaa; 8192];
        write(&edged, 0, &model);
        for (i, (offset, len, is_zeroing)) in changes.into_iter().enumerate() {
            let place = usize::try_from(offset).unwrap()..usize::try_from(offset + len).unwrap();
            if is_zeroing {
                let bytes = ByteExtent { offset, len };
                now(edged.zero(bytes, Keep::Nothing, Durability::Stable)).unwrap();
                model[place].fill(0);
            } else {
                let data = vec![u8::try_from(i + 1).unwrap(); place.len()];
                write(&edged, offset, &data);
                model[place].copy_from_slice(&data);
            }
            prop_assert!(content(&edged) == model);
        }
    }
}
