//! COMPARE AND WRITE and ORWRITE: alone with their blocks, on all paths.

use std::sync::Arc;

use super::harness::*;
use crate::scsi::Status;

fn caw(lba: u64, count: u8) -> Vec<u8> {
    let mut cdb = cdb16(0x89, 0, lba, 0);
    cdb[13] = count;
    cdb
}

#[tokio::test]
async fn what_compares_equal_is_written() {
    let bench = bench();
    let both = [vec![0; 1024], vec![8; 1024]].concat();
    good(&bench.a, &caw(5, 2), &both).await;
    assert_eq!(good(&bench.a, &cdb10(0x28, 0, 5, 2), &[]).await, [8; 1024]);
    let mut other = [vec![8; 1024], vec![1; 1024]].concat();
    other[600] = 1;
    let told = send(&bench.b, &caw(5, 2), &other).await;
    assert_eq!((told_by(&told), information(&told)), ((0xe, 0x1d, 0), 600));
    assert_eq!(good(&bench.a, &cdb10(0x28, 0, 5, 2), &[]).await, [8; 1024]);
    good(&bench.a, &caw(0, 0), &[]).await;
}

#[tokio::test]
async fn data_of_another_length_is_refused() {
    let bench = bench();
    for len in [512, 1536, 2048] {
        assert_eq!(refused(&bench.a, &caw(0, 1), &vec![0; len]).await, (5, 0x0e, 3), "{len}");
    }
}

#[tokio::test]
async fn of_many_that_compare_at_once_on_two_paths_one_wins_each_round() {
    let bench = Arc::new(bench());
    for round in 0..20u8 {
        let tasks: Vec<_> = (0..16u8)
            .map(|task| {
                let bench = Arc::clone(&bench);
                tokio::spawn(async move {
                    let nexus = if task % 2 == 0 { &bench.a } else { &bench.b };
                    let data = [[round; 512], [round + 1; 512]].concat();
                    send(nexus, &caw(0, 1), &data).await.status == Status::Good
                })
            })
            .collect();
        let mut won = 0;
        for task in tasks {
            won += usize::from(task.await.unwrap());
        }
        assert_eq!(won, 1, "round {round}");
    }
}

#[tokio::test]
async fn ordinary_commands_wait_for_one_that_is_alone() {
    let bench = bench();
    let extent = base::units::Extent::new(0, 1);
    let alone = bench.unit.ranges.alone(extent).await;
    let write = begin(&bench.a, &cdb10(0x2a, 0, 0, 1)).unwrap();
    let work = write.start(data_out(&[7; 512], 512), &mut Fresh);
    let crate::scsi::Work::Task(mut task) = work else { panic!("it went past: {work:?}") };
    assert!(futures_poll(&mut task).is_none());
    drop(alone);
    assert_eq!(task.await.status, Status::Good);
    assert_eq!(good(&bench.a, &cdb10(0x28, 0, 0, 1), &[]).await, [7; 512]);
}

fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(future).poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn orwrite_sets_bits() {
    let bench = bench();
    good(&bench.a, &cdb10(0x2a, 0, 3, 1), &[0x0f; 512]).await;
    good(&bench.b, &cdb16(0x8b, 0, 3, 2), &[0x30; 1024]).await;
    let found = good(&bench.a, &cdb10(0x28, 0, 3, 2), &[]).await;
    assert_eq!(found, [[0x3f; 512], [0x30; 512]].concat());
}
