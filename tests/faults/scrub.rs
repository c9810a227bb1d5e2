//! A scrub finds damage wherever some image needs the block.

use base::units::Extent;
use disk::Shelf;
use disk::sim::SimWorld;
use store::{Progress, ScrubReport};

use crate::oracle::model::BLOCK;
use crate::oracle::op::{Op, name};
use crate::oracle::rig::{Rig, runtime};

fn write(start: u64) -> Op {
    Op::Write { volume: name("a"), start, sectors: BLOCK, is_stable: false }
}

fn mark(mark: &str) -> Op {
    Op::Mark { volumes: vec![name("a")], mark: name(mark) }
}

async fn scrub(rig: &Rig) -> ScrubReport {
    rig.pool.scrub(&name("a"), &Progress::new()).await.unwrap()
}

/// The disks of a machine whose name holds `part` and that hold something.
fn disks(machine: &SimWorld, part: &str) -> Vec<String> {
    let names = machine.shelf().list().unwrap();
    let holds = |disk: &String| {
        disk.contains(part)
            && machine.content(disk, Extent::new(0, BLOCK)).iter().any(|byte| *byte != 0)
    };
    names.into_iter().filter(holds).collect()
}

#[test]
fn a_scrub_reads_what_every_mark_keeps_of_a_block() {
    runtime().block_on(async {
        let machine = SimWorld::new(1);
        let mut rig = Rig::create(&machine, 1).await.unwrap();
        for turn in 0..4 {
            rig.apply(&write(0)).await;
            while rig.pool.upkeep_step().await.unwrap() {}
            rig.apply(&mark(&format!("m{turn}"))).await;
        }
        rig.apply(&write(0)).await;
        while rig.pool.upkeep_step().await.unwrap() {}
        assert!(scrub(&rig).await.damaged.is_empty());
        // Four old blocks, each in a chunk of its own behind a head of one block.
        let segment = disks(&machine, ".preserved-").remove(0);
        for chunk in 0..4 {
            let place = Extent::new(chunk * 2 * BLOCK + BLOCK, 1);
            let before = machine.content(&segment, place);
            machine.plant(&segment, place.start, &[7; 512]);
            assert_eq!(scrub(&rig).await.damaged.len(), 1, "old block {chunk}");
            machine.plant(&segment, place.start, &before);
        }
    });
}

#[test]
fn a_scrub_reads_the_base_for_marks_though_newer_contents_are_in_the_journal() {
    runtime().block_on(async {
        let machine = SimWorld::new(2);
        let mut rig = Rig::create(&machine, 1).await.unwrap();
        rig.apply(&write(BLOCK)).await;
        while rig.pool.upkeep_step().await.unwrap() {}
        rig.apply(&mark("m")).await;
        rig.apply(&write(BLOCK)).await;
        for base in machine.shelf().list().unwrap().iter().filter(|disk| disk.ends_with(".base")) {
            machine.rot(base, Extent::new(BLOCK, BLOCK), 5);
        }
        let report = scrub(&rig).await;
        let extents: Vec<Extent> = report.damaged.iter().map(|finding| finding.extent).collect();
        assert_eq!(extents, [Extent::new(BLOCK, BLOCK)]);
    });
}
