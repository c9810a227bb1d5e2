//! Who is measured over iSCSI, at what, and what the project wants of Tidemark there.

use crate::cell::{Cell, Pattern, plain};
use crate::contender::Who;
use crate::initiator::Digests;
use crate::tgt;

/// One row of the tables: a disk of a server, and how it is reached.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name in tables.
    pub name: &'static str,
    /// Whose it is.
    pub who: Who,
    /// The logical unit.
    pub lun: u8,
    /// Whether PDUs carry checksums.
    pub digests: Digests,
}

const fn row(name: &'static str, who: Who, lun: u8) -> Row {
    Row { name, who, lun, digests: Digests::None }
}

/// The logical unit of Tidemark: the lowest one.
const TIDEMARK_LUN: u8 = 0;
/// The bare disk.
pub const RAW: Row = row("raw", Who::Raw, 0);
/// A target with no disk behind it.
pub const NULL: Row = row("null (tgt)", Who::Tgt, tgt::NULL_LUN);
/// Tidemark.
pub const TIDEMARK: Row = row("tidemark", Who::Tidemark, TIDEMARK_LUN);
/// Tidemark with checksums.
pub const TIDEMARK_DIGESTS: Row =
    Row { digests: Digests::Crc32c, ..row("tidemark, digests", Who::Tidemark, TIDEMARK_LUN) };
/// The peer.
pub const TGT: Row = row("tgt †", Who::Tgt, tgt::FILE_LUN);
/// The peer with checksums.
pub const TGT_DIGESTS: Row =
    Row { digests: Digests::Crc32c, ..row("tgt †, digests", Who::Tgt, tgt::FILE_LUN) };

/// Everyone, in the order of a round: who is compared stands side by side.
pub const ROWS: [Row; 6] = [RAW, NULL, TGT, TIDEMARK, TIDEMARK_DIGESTS, TGT_DIGESTS];

impl Row {
    /// Whether it takes part in a cell: after a mark only Tidemark does.
    pub fn runs(&self, cell: &Cell) -> bool {
        !cell.is_marked || self.name == TIDEMARK.name
    }
}

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;

/// Every cell, in the order in which a round visits them. The goal is a multiple of tgt; after a mark, of
/// Tidemark's own rate without one.
pub const CELLS: &[Cell] = &[
    Cell { goal: 1.7, ..plain("read", "4 KiB random read, QD32", Pattern::RandomRead) },
    Cell {
        len: MIB,
        depth: 8,
        goal: 1.1,
        ..plain("sread", "1 MiB sequential read, QD8", Pattern::SequentialRead)
    },
    Cell { goal: 2.2, ..plain("write", "4 KiB random write, QD32", Pattern::RandomWrite) },
    Cell {
        depth: 1,
        flush_every: 1,
        goal: 1.6,
        ..plain("sync", "4 KiB random write and SYNCHRONIZE CACHE, QD1", Pattern::RandomWrite)
    },
    Cell {
        len: 64 * KIB,
        depth: 16,
        goal: 1.3,
        ..plain("mail", "64 KiB random, 70 % reads, QD16", Pattern::Mixed)
    },
    Cell {
        len: MIB,
        depth: 8,
        goal: 1.8,
        ..plain("swrite", "1 MiB sequential write, QD8", Pattern::SequentialWrite)
    },
    Cell {
        is_marked: true,
        goal: 0.85,
        ..plain("first", "first 4 KiB writes after a mark, QD32", Pattern::EachOnce)
    },
];

/// What is held against a rate without a mark, and which one that is.
pub const UNMARKED: [(&str, &str); 1] = [("first", "write")];
/// The most processor time of the server for each request, in microseconds.
pub const CPU_GOALS: [(&str, f64); 2] = [("read", 18.0), ("write", 22.0)];
/// What checksums must leave of the rate.
pub const DIGESTS_GOAL: f64 = 0.9;
/// What the slowest of many sessions must get, of the mean.
pub const FAIR_GOAL: f64 = 0.5;
