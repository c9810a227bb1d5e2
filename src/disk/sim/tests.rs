//! Claims about the simulated machine: the tests of everybody else stand on these.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use base::units::{BLOCK_LEN, Extent, SECTOR_LEN};

use super::{Answering, Fault, Loss, OpKind, SimWorld, What};
use crate::answer::Reply;
use crate::{
    AnyDisk, Buffer, DiskError, Durability, Keep, MapKind, Op, Payload, Request, Shelf, Usage,
};

const SECTORS: u64 = 256;

fn world() -> (SimWorld, AnyDisk) {
    let world = SimWorld::new(1);
    let disk = world.shelf().create("d", SECTORS, Usage::Data).unwrap();
    (world, disk)
}

fn open(world: &SimWorld) -> AnyDisk {
    world.shelf().open("d", Usage::Data).unwrap()
}

fn payload(fill: u8, sectors: usize) -> Payload {
    Buffer::copy_of(&vec![fill; sectors * SECTOR_LEN]).unwrap().freeze()
}

/// The result of a future that needs no waiting, which is so where answers come inline.
fn now<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the simulated disk did not answer at once"),
    }
}

fn write(disk: &AnyDisk, start: u64, fill: u8, sectors: usize) -> Result<(), DiskError> {
    now(disk.write(start, vec![payload(fill, sectors)], Durability::Volatile))
}

/// The first byte of each sector.
fn firsts(world: &SimWorld, extent: Extent) -> Vec<u8> {
    let bytes = world.content("d", extent);
    assert!(bytes.chunks(SECTOR_LEN).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
    bytes.chunks(SECTOR_LEN).map(|sector| sector[0]).collect()
}

#[test]
fn what_a_flush_covers_survives_every_loss() {
    for seed in 0..200 {
        let (world, disk) = world();
        write(&disk, 3, 1, 20).unwrap();
        now(disk.discard(Extent::new(8, 8))).unwrap();
        now(disk.flush()).unwrap();
        assert_eq!(world.unflushed(), 0);
        let after = world.after_power_loss(Loss::Seeded(seed));
        let mut wanted = vec![1; 20];
        wanted[5..13].fill(0);
        assert_eq!(firsts(&after, Extent::new(3, 20)), wanted);
    }
}

#[test]
fn what_no_flush_covers_is_lost_kept_and_torn() {
    let mut seen = BTreeSet::new();
    for seed in 0..400 {
        let (world, disk) = world();
        write(&disk, 0, 1, 2).unwrap();
        now(disk.flush()).unwrap();
        write(&disk, 0, 2, 2).unwrap();
        write(&disk, 0, 3, 2).unwrap();
        assert_eq!(world.unflushed(), 2);
        seen.insert(firsts(&world.after_power_loss(Loss::Seeded(seed)), Extent::new(0, 2)));
    }
    let all: BTreeSet<Vec<u8>> = (1..=3).flat_map(|a| (1..=3).map(move |b| vec![a, b])).collect();
    assert_eq!(seen, all);
}

#[test]
fn a_subset_keeps_just_its_writes_and_a_torn_one_just_its_sectors() {
    let (world, disk) = world();
    for at in 0..4u8 {
        write(&disk, u64::from(at), at + 1, 1).unwrap();
    }
    write(&disk, 4, 9, 4).unwrap();
    let look = |loss| firsts(&world.if_power_went(loss), Extent::new(0, 8));
    assert_eq!(look(Loss::All), [0; 8]);
    assert_eq!(look(Loss::None), [1, 2, 3, 4, 9, 9, 9, 9]);
    assert_eq!(look(Loss::Subset(0b10101)), [1, 0, 3, 0, 9, 9, 9, 9]);
    let torn = Loss::Torn { kept: 0b1, index: 4, sectors: 0b0110 };
    assert_eq!(look(torn), [1, 0, 0, 0, 0, 9, 9, 0]);
    assert!(!world.is_off());
}

#[test]
fn a_flush_in_the_same_batch_covers_nothing_of_it() {
    let (world, disk) = world();
    let batch = [
        Op::Write { start: 0, data: vec![payload(1, 1)], durability: Durability::Volatile },
        Op::Flush,
    ];
    let (requests, answers): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .map(|op| {
            let (reply, answer) = Reply::one();
            (Request { op, reply }, answer)
        })
        .unzip();
    disk.submit(requests);
    assert!(answers.into_iter().all(|answer| now(answer).unwrap().is_ok()));
    assert_eq!(firsts(&world.after_power_loss(Loss::All), Extent::new(0, 1)), [0]);
}

#[test]
fn a_stable_write_survives_alone_and_is_not_undone_by_older_ones() {
    for seed in 0..200 {
        let (world, disk) = world();
        write(&disk, 0, 1, 4).unwrap();
        now(disk.write(1, vec![payload(2, 2)], Durability::Stable)).unwrap();
        let after = firsts(&world.after_power_loss(Loss::Seeded(seed)), Extent::new(0, 4));
        assert_eq!(after[1..3], [2, 2]);
        assert!([0, 1].contains(&after[0]) && [0, 1].contains(&after[3]));
    }
}

#[test]
fn a_flush_of_one_disk_does_nothing_for_another() {
    let (world, disk) = world();
    let other = world.shelf().create("e", SECTORS, Usage::Log).unwrap();
    write(&disk, 0, 1, 1).unwrap();
    now(other.flush()).unwrap();
    assert_eq!(firsts(&world.after_power_loss(Loss::All), Extent::new(0, 1)), [0]);
}

#[test]
fn every_step_can_be_the_last_and_nothing_after_it_happens() {
    let work = |world: &SimWorld| -> usize {
        let Ok(disk) = world.shelf().create("d", SECTORS, Usage::Data) else { return 0 };
        let mut done = 1;
        for at in 0..5u8 {
            done += usize::from(write(&disk, u64::from(at), at + 1, 1).is_ok());
            done += usize::from(now(disk.flush()).is_ok());
        }
        done
    };
    let whole = SimWorld::new(1);
    work(&whole);
    assert_eq!(whole.steps(), 11);
    for cut in 0..=whole.steps() {
        let world = SimWorld::new(1);
        world.cut_at(cut);
        assert_eq!(work(&world) as u64, cut, "{}", world.trace());
        let after = world.after_power_loss(Loss::All);
        if cut == 0 {
            assert!(after.shelf().list().unwrap().is_empty());
            assert_eq!(world.after_power_loss(Loss::None).shelf().list().unwrap(), ["d"]);
            continue;
        }
        // After the creation come pairs of a write and a flush.
        let flushed = (cut - 1) / 2;
        let wanted = [1u8, 2, 3, 4, 5].map(|at| if u64::from(at) <= flushed { at } else { 0 });
        assert_eq!(firsts(&after, Extent::new(0, 5)), wanted, "cut at {cut}");
        // The write in flight may have reached the medium.
        let kept = world.after_power_loss(Loss::None);
        let written = cut.div_ceil(2);
        let wanted = [1u8, 2, 3, 4, 5].map(|at| if u64::from(at) <= written { at } else { 0 });
        assert_eq!(firsts(&kept, Extent::new(0, 5)), wanted, "cut at {cut}");
    }
}

#[test]
fn a_killed_process_loses_nothing_but_its_writes_stay_unflushed() {
    let (world, disk) = world();
    write(&disk, 0, 1, 8).unwrap();
    let after = world.after_kill(7);
    assert!(matches!(write(&disk, 0, 9, 1), Err(DiskError::Closed)));
    assert_eq!(firsts(&after, Extent::new(0, 8)), [1; 8]);
    assert_eq!(after.unflushed(), 1);
    let left = after.if_power_went(Loss::All);
    assert_eq!(firsts(&left, Extent::new(0, 8)), [0; 8]);
    now(open(&after).flush()).unwrap();
    assert_eq!(firsts(&after.after_power_loss(Loss::All), Extent::new(0, 8)), [1; 8]);
}

#[test]
fn a_failed_flush_poisons_the_handle_and_a_forsaken_one_loses_for_good() {
    for (what, is_kept) in [(What::Error, true), (What::ErrorForGood, false)] {
        let (world, disk) = world();
        write(&disk, 0, 1, 1).unwrap();
        world.add_fault(Fault::new("d", OpKind::Flush, what).times(1));
        assert!(matches!(now(disk.flush()), Err(DiskError::Io { .. })));
        assert!(matches!(now(disk.flush()), Err(DiskError::Poisoned(_))));
        assert!(matches!(write(&disk, 1, 2, 1), Err(DiskError::Poisoned(_))));
        let refused = now(disk.write_zeroes(Extent::new(0, 1), Keep::Space));
        assert!(matches!(refused, Err(DiskError::Poisoned(_))));
        assert!(now(disk.read(Extent::new(0, 1))).is_ok());
        let again = open(&world);
        write(&again, 1, 2, 1).unwrap();
        now(again.flush()).unwrap();
        let after = world.after_power_loss(Loss::All);
        assert_eq!(firsts(&after, Extent::new(0, 2)), [u8::from(is_kept), 2]);
    }
}

#[test]
fn faults_do_what_they_say() {
    let fault = |what| {
        let (world, disk) = world();
        write(&disk, 0, 1, 16).unwrap();
        world.add_fault(Fault::new("d", OpKind::Any, what).times(1));
        (world, disk)
    };
    let (world, disk) = fault(What::Lost);
    write(&disk, 0, 2, 2).unwrap();
    assert_eq!(firsts(&world, Extent::new(0, 3)), [1, 1, 1]);
    let (world, disk) = fault(What::Short { sectors: 1 });
    assert!(write(&disk, 0, 2, 2).is_err());
    assert_eq!(firsts(&world, Extent::new(0, 3)), [2, 1, 1]);
    let (world, disk) = fault(What::Misdirected { by: 8 });
    write(&disk, 0, 2, 1).unwrap();
    assert_eq!(
        (firsts(&world, Extent::new(0, 1)), firsts(&world, Extent::new(8, 1))),
        (vec![1], vec![2])
    );
    let (_, disk) = fault(What::NoSpace);
    assert!(matches!(write(&disk, 0, 2, 1), Err(DiskError::NoSpace(_))));
    let (_, disk) = fault(What::Error);
    let damaged = now(disk.read(Extent::new(2, 3)));
    assert!(
        matches!(damaged, Err(DiskError::Medium { extent, .. }) if extent == Extent::new(2, 3))
    );
    assert!(now(disk.read(Extent::new(2, 3))).is_ok());
    let (_, disk) = fault(What::Flipped);
    let bytes = now(disk.read(Extent::new(0, 8))).unwrap();
    assert_eq!(bytes.iter().map(|byte| (byte ^ 1).count_ones()).sum::<u32>(), 1);
    let (world, disk) = fault(What::Lost);
    now(disk.flush()).unwrap();
    assert_eq!(firsts(&world.after_power_loss(Loss::All), Extent::new(0, 1)), [0]);
}

#[test]
fn a_slow_request_waits_and_a_silent_one_is_never_answered() {
    let (world, disk) = world();
    world.add_fault(Fault::new("d", OpKind::Write, What::Slow).times(1));
    world.add_fault(Fault::new("d", OpKind::Write, What::Silent).times(1));
    let slow = disk.write(0, vec![payload(1, 1)], Durability::Volatile);
    let silent = disk.write(1, vec![payload(2, 1)], Durability::Volatile);
    assert_eq!(firsts(&world, Extent::new(0, 2)), [0, 0]);
    world.settle();
    now(slow).unwrap();
    let mut silent = std::pin::pin!(silent);
    let mut context = Context::from_waker(Waker::noop());
    assert!(silent.as_mut().poll(&mut context).is_pending());
    drop((world, disk));
    assert!(matches!(silent.as_mut().poll(&mut context), Poll::Ready(Err(DiskError::Closed))));
}

#[test]
fn rot_changes_bits_for_good_and_only_there() {
    for seed in 0..100 {
        let (world, disk) = world();
        write(&disk, 0, 1, 24).unwrap();
        now(disk.flush()).unwrap();
        world.rot("d", Extent::new(8, 8), seed);
        for world in [&world, &world.after_power_loss(Loss::All)] {
            let bytes = world.content("d", Extent::new(0, 24));
            assert!(
                bytes[..BLOCK_LEN].iter().chain(&bytes[2 * BLOCK_LEN..]).all(|byte| *byte == 1)
            );
            assert!(bytes[BLOCK_LEN..2 * BLOCK_LEN].iter().any(|byte| *byte != 1));
        }
    }
}

#[test]
fn a_full_shelf_refuses_and_a_discard_makes_room() {
    let (world, disk) = world();
    world.set_capacity(Some(2 * BLOCK_LEN as u64));
    write(&disk, 0, 1, 16).unwrap();
    assert_eq!(world.shelf().space().unwrap().free, 0);
    assert!(matches!(write(&disk, 16, 1, 1), Err(DiskError::NoSpace(_))));
    write(&disk, 0, 2, 16).unwrap();
    let zeroes = now(disk.write_zeroes(Extent::new(16, 8), Keep::Space));
    assert!(matches!(zeroes, Err(DiskError::NoSpace(_))));
    let reserved = world.shelf().reserve("d", Extent::new(16, 8));
    assert!(matches!(reserved, Err(DiskError::NoSpace(_))));
    now(disk.discard(Extent::new(0, 8))).unwrap();
    world.shelf().reserve("d", Extent::new(16, 8)).unwrap();
    assert!(matches!(write(&disk, 0, 1, 1), Err(DiskError::NoSpace(_))));
    write(&disk, 16, 3, 8).unwrap();
}

#[test]
fn reserved_space_outlives_power_and_process() {
    let (world, disk) = world();
    write(&disk, 0, 1, 8).unwrap();
    now(disk.discard(Extent::new(0, 16))).unwrap();
    world.shelf().reserve("d", Extent::new(0, 16)).unwrap();
    for after in [world.if_power_went(Loss::None), world.after_kill(1)] {
        let map = now(open(&after).map(Extent::new(0, 16))).unwrap();
        assert!(map.iter().all(|stretch| stretch.kind != MapKind::Absent));
    }
}

#[test]
fn a_removed_disk_may_come_back_until_the_next_is_made() {
    let (world, disk) = world();
    write(&disk, 0, 1, 1).unwrap();
    now(disk.flush()).unwrap();
    world.shelf().remove("d").unwrap();
    assert!(world.shelf().list().unwrap().is_empty());
    let back = world.if_power_went(Loss::All);
    assert_eq!(firsts(&back, Extent::new(0, 1)), [1]);
    assert!(world.if_power_went(Loss::None).shelf().list().unwrap().is_empty());
    world.shelf().create("e", 8, Usage::Data).unwrap();
    assert_eq!(world.if_power_went(Loss::All).shelf().list().unwrap(), ["e"]);
}

#[test]
fn growth_is_stable_and_in_flight_goes_either_way() {
    let (world, disk) = world();
    world.shelf().grow("d", 300).unwrap();
    assert_eq!(disk.geometry().sectors, 300);
    world.cut_at(world.steps());
    assert!(matches!(world.shelf().grow("d", 400), Err(DiskError::Closed)));
    for (loss, sectors) in [(Loss::All, 300), (Loss::None, 400)] {
        assert_eq!(open(&world.after_power_loss(loss)).geometry().sectors, sectors);
    }
}

#[test]
fn an_adopted_disk_is_found_again_and_has_one_user() {
    let world = SimWorld::new(1);
    world.register("/dev/mail", SECTORS);
    let path = Path::new("/dev/mail");
    let disk = world.shelf().adopt(path).unwrap();
    assert!(matches!(world.shelf().adopt(path), Err(DiskError::Busy(_))));
    write(&disk, 0, 1, 1).unwrap();
    now(disk.flush()).unwrap();
    let after = world.after_power_loss(Loss::All);
    let again = after.shelf().adopt(path).unwrap();
    assert_eq!(now(again.read(Extent::new(0, 1))).unwrap()[..], [1; SECTOR_LEN]);
    assert!(after.shelf().list().unwrap().is_empty());
}

#[test]
fn shuffled_answers_come_in_many_orders_and_in_the_same_for_the_same_seed() {
    let order = |seed| {
        let world = SimWorld::new(seed);
        let disk = world.shelf().create("d", SECTORS, Usage::Data).unwrap();
        world.set_answering(Answering::Shuffled);
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        struct Seen(Arc<std::sync::Mutex<Vec<u64>>>);
        impl crate::Answers for Seen {
            fn answer(&self, ticket: u64, answer: crate::Answer) {
                answer.unwrap();
                self.0.lock().unwrap().push(ticket);
            }
        }
        let to: Arc<dyn crate::Answers> = Arc::new(Seen(Arc::clone(&seen)));
        let request = |ticket| {
            let data = vec![payload(1, 1)];
            let op = Op::Write { start: ticket, data, durability: Durability::Volatile };
            Request { op, reply: Reply::new(Arc::clone(&to), ticket) }
        };
        disk.submit((0..6).map(request).collect());
        assert!(seen.lock().unwrap().is_empty());
        world.settle();
        let order = seen.lock().unwrap().clone();
        assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 6);
        order
    };
    let orders: BTreeSet<Vec<u64>> = (0..50).map(order).collect();
    assert!(orders.len() > 40);
    assert_eq!(order(3), order(3));
}

#[tokio::test]
async fn a_pumped_world_answers_tasks_of_a_runtime() {
    let (world, disk) = world();
    world.set_answering(Answering::Shuffled);
    let pump = tokio::spawn(world.clone().pumping());
    disk.write(0, vec![payload(1, 1)], Durability::Volatile).await.unwrap();
    disk.flush().await.unwrap();
    pump.abort();
    assert_eq!(firsts(&world.after_power_loss(Loss::All), Extent::new(0, 1)), [1]);
}

#[test]
fn in_flight_writes_may_or_may_not_be_there_after_the_cut() {
    let mut seen = BTreeSet::new();
    for seed in 0..64 {
        let world = SimWorld::new(seed);
        let disk = world.shelf().create("d", SECTORS, Usage::Data).unwrap();
        world.set_answering(Answering::Shuffled);
        let answers: Vec<_> =
            (0..3).map(|at| disk.write(at, vec![payload(1, 1)], Durability::Stable)).collect();
        world.pump();
        let after = world.after_power_loss(Loss::Seeded(seed));
        for answer in answers {
            assert!(matches!(now(answer), Err(DiskError::Closed)));
        }
        seen.insert(firsts(&after, Extent::new(0, 3)));
    }
    assert_eq!(seen.len(), 8);
}

#[test]
fn the_trace_names_the_last_steps() {
    let (world, disk) = world();
    write(&disk, 5, 1, 2).unwrap();
    world.cut_at(2);
    let _ = write(&disk, 7, 1, 2);
    let trace = world.trace();
    assert!(trace.contains("d write 5+2: done"), "{trace}");
    assert!(trace.contains("d write 7+2: is in flight"), "{trace}");
}
