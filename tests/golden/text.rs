//! The disks of a machine as text: what is zero is left out, what repeats is counted.
//!
//! `disk NAME SECTORS` begins a disk. A line `OFFSET HEX` holds 32 bytes, both in hexadecimal; `* N` says
//! that they come N times more.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base::units::{Extent, SECTOR_LEN};
use disk::sim::SimWorld;
use disk::{Shelf, Usage};

const ROW: usize = 32;

/// A disk as the text tells it.
pub struct DiskText {
    pub name: String,
    pub sectors: u64,
    /// The sectors that hold something.
    pub content: BTreeMap<u64, Vec<u8>>,
}

/// All disks of a machine.
pub fn show(machine: &SimWorld) -> String {
    let mut text = String::new();
    for name in machine.shelf().list().unwrap() {
        let sectors = machine.shelf().open(&name, Usage::Data).unwrap().geometry().sectors;
        let bytes = machine.content(&name, Extent::new(0, sectors));
        // Writing to a string does not fail.
        let _ = writeln!(text, "disk {name} {sectors}");
        let mut rows = bytes.chunks(ROW).enumerate().peekable();
        while let Some((index, row)) = rows.next() {
            if row.iter().all(|byte| *byte == 0) {
                continue;
            }
            let hex: String = row.iter().map(|byte| format!("{byte:02x}")).collect();
            let _ = writeln!(text, "{:x} {hex}", index * ROW);
            let mut more = 0;
            while rows.next_if(|(_, next)| *next == row).is_some() {
                more += 1;
            }
            if more > 0 {
                let _ = writeln!(text, "* {more}");
            }
        }
    }
    text
}

/// Takes a text apart.
pub fn parse(text: &str) -> Vec<DiskText> {
    let mut disks: Vec<DiskText> = Vec::new();
    let (mut at, mut row) = (0, Vec::new());
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["disk", name, sectors] => disks.push(DiskText {
                name: name.to_owned(),
                sectors: sectors.parse().unwrap(),
                content: BTreeMap::new(),
            }),
            ["*", more] => {
                for _ in 0..more.parse::<usize>().unwrap() {
                    at += ROW;
                    disks.last_mut().unwrap().put(at, &row);
                }
            }
            [offset, hex] => {
                at = usize::from_str_radix(offset, 16).unwrap();
                let byte = |pair: usize| u8::from_str_radix(&hex[pair..pair + 2], 16).unwrap();
                row = (0..hex.len()).step_by(2).map(byte).collect();
                disks.last_mut().unwrap().put(at, &row);
            }
            _ => panic!("what is {line}?"),
        }
    }
    disks
}

impl DiskText {
    fn put(&mut self, at: usize, row: &[u8]) {
        let sector = self.content.entry((at / SECTOR_LEN) as u64).or_insert(vec![0; SECTOR_LEN]);
        sector[at % SECTOR_LEN..at % SECTOR_LEN + ROW].copy_from_slice(row);
    }
}

#[test]
fn what_was_shown_is_parsed() {
    let machine = SimWorld::new(1);
    machine.shelf().create("d", 9, Usage::Data).unwrap();
    let bytes: Vec<u8> = (0..9 * SECTOR_LEN).map(|at| u8::from(at % 1000 > 500)).collect();
    machine.plant("d", 0, &bytes);
    let disks = parse(&show(&machine));
    assert_eq!((disks.len(), disks[0].name.as_str(), disks[0].sectors), (1, "d", 9));
    for (index, sector) in bytes.chunks(SECTOR_LEN).enumerate() {
        assert_eq!(disks[0].content[&(index as u64)], sector, "sector {index}");
    }
}
