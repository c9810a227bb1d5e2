//! READ, WRITE, WRITE AND VERIFY, VERIFY and their kin.

use disk::Op;

use super::harness::*;
use crate::scsi::{DataOut, Status, Work};

#[tokio::test]
async fn what_each_write_writes_each_read_reads() {
    let bench = bench();
    let data: Vec<u8> = (0..1536u32).map(|n| (n % 251) as u8).collect();
    let write6 = [0x0a, 0, 0, 4, 3, 0];
    let mut write12 = vec![0xaa, 0, 0, 0, 0, 40, 0, 0, 0, 3, 0, 0];
    for (lba, cdb) in [
        (4u64, write6.to_vec()),
        (12, cdb10(0x2a, 0, 12, 3)),
        (40, std::mem::take(&mut write12)),
        (90, cdb16(0x8a, 0x08, 90, 3)),
        (120, cdb10(0x2e, 0, 120, 3)),
        (140, cdb16(0x8e, 2, 140, 3)),
    ] {
        good(&bench.a, &cdb, &data).await;
        let low = u8::try_from(lba).unwrap();
        assert_eq!(good(&bench.b, &[0x08, 0, 0, low, 3, 0], &[]).await, data);
        assert_eq!(good(&bench.b, &cdb10(0x28, 0x18, low.into(), 3), &[]).await, data);
        let read12 = [0xa8, 0, 0, 0, 0, low, 0, 0, 0, 3, 0, 0];
        assert_eq!(good(&bench.b, &read12, &[]).await, data);
        assert_eq!(good(&bench.b, &cdb16(0x88, 0, lba, 3), &[]).await, data);
    }
}

#[tokio::test]
async fn a_read_is_one_operation_of_the_disk_and_a_write_too() {
    let bench = bench();
    let read = begin(&bench.a, &cdb10(0x28, 0, 8, 16)).unwrap();
    assert_eq!((read.data_in_len(), read.data_out_len()), (8192, 0));
    let work = read.start(DataOut::default(), &mut Fresh);
    let Work::Disk { op: Op::Read { start: 8, ref buffer }, .. } = work else { panic!("{work:?}") };
    assert_eq!(buffer.sectors(), 16);
    let write = begin(&bench.a, &cdb10(0x2a, 0, 8, 4)).unwrap();
    assert_eq!((write.data_in_len(), write.data_out_len()), (0, 2048));
    let work = write.start(data_out(&[7; 2048], 2048), &mut Fresh);
    let Work::Disk { op: Op::Write { start: 8, ref data, .. }, .. } = work else {
        panic!("{work:?}")
    };
    assert_eq!(data.len(), 2, "pieces go down as they came");
    finish(work).await;
    let flush = begin(&bench.a, &cdb10(0x35, 0, 0, 0)).unwrap();
    let work = flush.start(DataOut::default(), &mut Fresh);
    assert!(matches!(work, Work::Disk { op: Op::Flush, .. }));
}

#[tokio::test]
async fn what_lies_past_the_end_is_refused_before_data_is_asked_for() {
    let bench = bench();
    let last = u32::try_from(SECTORS).unwrap();
    for code in [0x28, 0x2a, 0x2e, 0x2f, 0x34, 0x35, 0x41] {
        let refused = begin(&bench.a, &cdb10(code, 0, last - 1, 2)).unwrap_err();
        assert_eq!(told_by(&refused), (5, 0x21, 0), "{code:#x}");
        assert_eq!(information(&refused), last);
    }
    for code in [0x88, 0x8a, 0x8b, 0x8e, 0x8f, 0x90, 0x91, 0x93] {
        let refused = begin(&bench.a, &cdb16(code, 0, u64::MAX, 1)).unwrap_err();
        assert_eq!(told_by(&refused), (5, 0x21, 0), "{code:#x}");
    }
    good(&bench.a, &cdb10(0x28, 0, last, 0), &[]).await;
    assert_eq!(refused(&bench.a, &cdb10(0x28, 0, last + 1, 0), &[]).await, (5, 0x21, 0));
}

#[tokio::test]
async fn more_than_the_limit_is_refused() {
    let bench = bench();
    bench.disk.grow(1 << 20);
    assert_eq!(refused(&bench.a, &READY, &[]).await, (6, 0x2a, 9));
    good(&bench.a, &cdb16(0x88, 0, 0, 16 << 10), &[]).await;
    assert_eq!(refused(&bench.a, &cdb16(0x88, 0, 0, (16 << 10) + 1), &[]).await, (5, 0x24, 0));
    assert_eq!(refused(&bench.a, &cdb16(0x8a, 0, 0, u32::MAX >> 13), &[]).await, (5, 0x24, 0));
}

#[tokio::test]
async fn protection_and_naca_are_refused() {
    let bench = bench();
    for code in [0x28, 0x2a, 0x2e, 0x2f] {
        assert_eq!(refused(&bench.a, &cdb10(code, 0x20, 0, 1), &[]).await, (5, 0x24, 0));
    }
    assert_eq!(refused(&bench.a, &[0, 0, 0, 0, 0, 4], &[]).await, (5, 0x24, 0));
    assert_eq!(refused(&bench.a, &[0xff; 6], &[]).await, (5, 0x20, 0));
}

#[tokio::test]
async fn blocks_that_came_are_written_and_parts_of_blocks_are_not() {
    let bench = bench();
    good(&bench.a, &cdb10(0x2a, 0, 0, 3), &[1; 512]).await;
    assert_eq!(good(&bench.a, &cdb10(0x28, 0, 0, 2), &[]).await, [[1; 512], [0; 512]].concat());
    good(&bench.a, &cdb10(0x2a, 0, 0, 3), &[]).await;
    assert_eq!(refused(&bench.a, &cdb10(0x2a, 0, 0, 1), &[2; 200]).await, (5, 0x0e, 3));
    good(&bench.a, &cdb10(0x2a, 0, 1, 1), &[3; 2048]).await;
    let all = good(&bench.a, &cdb10(0x28, 0, 0, 3), &[]).await;
    assert_eq!(all, [[1; 512], [3; 512], [0; 512]].concat());
}

#[tokio::test]
async fn verify_reads_compares_and_names_the_first_difference() {
    let bench = bench();
    let data: Vec<u8> = [vec![5; 512], vec![6; 512]].concat();
    good(&bench.a, &cdb10(0x2a, 0, 7, 2), &data).await;
    good(&bench.a, &cdb10(0x2f, 0, 7, 2), &[]).await;
    good(&bench.a, &cdb10(0x2f, 2, 7, 2), &data).await;
    let mut other = data.clone();
    other[700] = 0;
    let told = send(&bench.a, &cdb16(0x8f, 2, 7, 2), &other).await;
    assert_eq!((told_by(&told), information(&told)), ((0xe, 0x1d, 0), 700));
    good(&bench.a, &cdb10(0x2f, 6, 7, 1), &data[..512]).await;
    let told = send(&bench.a, &cdb10(0x2f, 6, 7, 2), &data[..512]).await;
    assert_eq!((told_by(&told), information(&told)), ((0xe, 0x1d, 0), 512));
    assert_eq!(refused(&bench.a, &cdb10(0x2f, 4, 7, 2), &[]).await, (5, 0x24, 0));
}

#[tokio::test]
async fn prefetch_and_synchronize_are_done_or_past_the_end() {
    let bench = bench();
    assert_eq!(send(&bench.a, &cdb10(0x34, 2, 0, 0), &[]).await.status, Status::Good);
    good(&bench.a, &cdb16(0x90, 2, 5, 9), &[]).await;
    good(&bench.a, &cdb10(0x35, 6, 0, 0), &[]).await;
    good(&bench.a, &cdb16(0x91, 2, 5, 9), &[]).await;
}

#[tokio::test]
async fn large_blocks_are_eight_sectors() {
    let bench = bench_of(settings(4096), std::sync::Arc::new(crate::scsi::NoKeeper));
    good(&bench.a, &cdb10(0x2a, 0, 1, 1), &[4; 4096]).await;
    assert_eq!(good(&bench.a, &cdb10(0x28, 0, 1, 1), &[]).await, [4; 4096]);
    let capacity = good(&bench.a, &[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[]).await;
    assert_eq!(capacity, [0, 0, 7, 0xff, 0, 0, 16, 0]);
    assert_eq!(refused(&bench.a, &cdb10(0x28, 0, 2048, 1), &[]).await, (5, 0x21, 0));
    assert_eq!(refused(&bench.a, &cdb10(0x2a, 0, 1, 1), &[4; 512]).await, (5, 0x0e, 3));
}

#[tokio::test]
async fn an_atomic_write_is_whole_or_refused() {
    let bench = bench();
    let mut cdb = cdb16(0x9c, 0, 3, 0);
    cdb[13] = 1;
    good(&bench.a, &cdb, &[9; 512]).await;
    assert_eq!(refused(&bench.a, &cdb, &[]).await, (5, 0x0e, 3));
    cdb[13] = 2;
    assert_eq!(refused(&bench.a, &cdb, &[9; 1024]).await, (5, 0x24, 0));
}
