//! SANITIZE.

use super::harness::*;

fn overwrite(pattern: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let len = u16::try_from(pattern.len()).unwrap();
    let list = [&[1, 0][..], &len.to_be_bytes(), pattern].concat();
    let [high, low] = (len + 4).to_be_bytes();
    (vec![0x48, 1, 0, 0, 0, 0, 0, high, low, 0], list)
}

#[tokio::test]
async fn overwriting_leaves_the_pattern_everywhere() {
    let bench = bench();
    let (cdb, list) = overwrite(&[0xaa; 512]);
    good(&bench.a, &cdb, &list).await;
    for lba in [0, 1000, u32::try_from(SECTORS).unwrap() - 1] {
        assert_eq!(good(&bench.b, &cdb10(0x28, 0, lba, 1), &[]).await, [0xaa; 512]);
    }
    let (cdb, list) = overwrite(&[1, 2, 3, 4]);
    good(&bench.a, &cdb, &list).await;
    assert_eq!(good(&bench.b, &cdb10(0x28, 0, 77, 1), &[]).await, [1, 2, 3, 4].repeat(128));
}

#[tokio::test]
async fn wrong_lists_are_refused() {
    let bench = bench();
    for len in [0, 1, 4] {
        let cdb = [0x48, 1, 0, 0, 0, 0, 0, 0, len, 0];
        assert_eq!(refused(&bench.a, &cdb, &[1; 8]).await, (5, 0x24, 0));
    }
    let (mut cdb, mut list) = overwrite(&[7; 512]);
    list[0] = 0;
    assert_eq!(refused(&bench.a, &cdb, &list).await, (5, 0x26, 0));
    (list[0], list[2]) = (1, 0);
    assert_eq!(refused(&bench.a, &cdb, &list).await, (5, 0x26, 0));
    cdb[8] += 1;
    assert_eq!(refused(&bench.a, &cdb, &[list, vec![0]].concat()).await, (5, 0x24, 0));
    assert_eq!(refused(&bench.a, &[0x48, 2, 0, 0, 0, 0, 0, 0, 8, 0], &[0; 8]).await, (5, 0x24, 0));
    assert_eq!(refused(&bench.a, &[0x48, 9, 0, 0, 0, 0, 0, 0, 0, 0], &[]).await, (5, 0x24, 0));
    assert_eq!(refused(&bench.a, &[0x48, 0x42, 0, 0, 0, 0, 0, 0, 0, 0], &[]).await, (5, 0x24, 0));
}

#[tokio::test]
async fn erasing_gives_everything_up() {
    let bench = bench();
    for action in [2, 3] {
        good(&bench.a, &cdb10(0x2a, 0, 9, 1), &[5; 512]).await;
        good(&bench.a, &[0x48, action, 0, 0, 0, 0, 0, 0, 0, 0], &[]).await;
        assert_eq!(good(&bench.a, &cdb10(0x28, 0, 9, 1), &[]).await, [0; 512]);
        let told = good(&bench.a, &cdb16(0x9e, 0x12, 0, 256), &[]).await;
        assert_eq!((told.len(), told[20]), (24, 1));
    }
    good(&bench.a, &[0x48, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0], &[]).await;
}

#[tokio::test]
async fn while_it_runs_only_what_tells_of_the_unit_is_let_through() {
    let bench = bench();
    let (mut cdb, list) = overwrite(&[3; 512]);
    cdb[1] |= 0x80;
    good(&bench.a, &cdb, &list).await;
    for cdb in [READY.to_vec(), cdb10(0x28, 0, 0, 1), vec![0x1b, 0, 0, 0, 1, 0], cdb.clone()] {
        assert_eq!(refused(&bench.b, &cdb, &[]).await, (2, 4, 0x1b), "{cdb:02x?}");
    }
    good(&bench.b, &[0x12, 0, 0, 0, 96, 0], &[]).await;
    let sensed = good(&bench.b, &[0x03, 0, 0, 0, 18, 0], &[]).await;
    assert_eq!((sensed[2], sensed[12], sensed[13], sensed[15]), (2, 4, 0x1b, 0x80));
    bench.a.manage(crate::scsi::TaskManagement::LunReset, 0).await;
    drop(bench.a);
    while !send(&bench.b, &READY, &[]).await.sense.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(good(&bench.b, &cdb10(0x28, 0, 5, 1), &[]).await, [3; 512]);
}
