//! The cells: shapes of load, each of which asks one question of a server.

use serde::Serialize;

use crate::Outcome;

/// Which requests, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Pattern {
    /// Reads anywhere.
    RandomRead,
    /// Writes anywhere.
    RandomWrite,
    /// Writes in random order, each place once: right after a mark each is a first write.
    EachOnce,
    /// Seven reads to three writes, anywhere.
    Mixed,
    /// Reads from the start to the end, and again.
    SequentialRead,
    /// Writes from the start to the end, and again.
    SequentialWrite,
}

/// One shape of load.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cell {
    /// Its name in tables and on the command line.
    pub name: &'static str,
    /// What it asks, for people.
    pub about: &'static str,
    /// Which requests.
    pub pattern: Pattern,
    /// Bytes of one request.
    pub len: u32,
    /// How many requests are in flight.
    pub depth: usize,
    /// A FLUSH follows each so many writes; 0 is never.
    pub flush_every: u32,
    /// A mark is taken right before.
    pub is_marked: bool,
    /// What the project wants of Tidemark here, as a ratio to L.
    pub goal: f64,
}

impl Cell {
    /// Whether a FLUSH follows several writes that are in flight together.
    pub fn is_grouped(&self) -> bool {
        self.flush_every > 1
    }
}

/// The cell of this name.
///
/// # Errors
/// Where there is none.
pub fn named(name: &str) -> Outcome<&'static Cell> {
    Ok(CELLS.iter().find(|cell| cell.name == name).ok_or_else(|| format!("no cell {name}"))?)
}

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;

/// 4 KiB at QD32, never flushed and without a mark: what other cells differ from.
pub const fn plain(name: &'static str, about: &'static str, pattern: Pattern) -> Cell {
    let (len, depth, flush_every, is_marked) = (4 * KIB, 32, 0, false);
    Cell { name, about, pattern, len, depth, flush_every, is_marked, goal: 0.8 }
}

/// Every cell, in the order in which a round visits them: reads first, on the freshest volume.
pub const CELLS: &[Cell] = &[
    plain("read", "4 KiB random read, QD32", Pattern::RandomRead),
    Cell {
        len: MIB,
        depth: 8,
        goal: 1.2,
        ..plain("sread", "1 MiB sequential read, QD8", Pattern::SequentialRead)
    },
    plain("write", "4 KiB random write, QD32", Pattern::RandomWrite),
    Cell {
        flush_every: 32,
        goal: 0.7,
        ..plain("group", "4 KiB random write, QD32, a FLUSH after each 32", Pattern::RandomWrite)
    },
    Cell {
        depth: 1,
        flush_every: 1,
        goal: 0.7,
        ..plain("sync", "4 KiB random write and FLUSH, QD1", Pattern::RandomWrite)
    },
    Cell {
        len: 64 * KIB,
        depth: 16,
        goal: 0.95,
        ..plain("mail", "64 KiB random, 70 % reads, QD16", Pattern::Mixed)
    },
    Cell {
        len: MIB,
        depth: 8,
        goal: 0.75,
        ..plain("swrite", "1 MiB sequential write, QD8", Pattern::SequentialWrite)
    },
    Cell {
        is_marked: true,
        goal: 0.7,
        ..plain("first", "first 4 KiB writes after a mark, QD32", Pattern::EachOnce)
    },
    Cell {
        depth: 1,
        flush_every: 1,
        is_marked: true,
        goal: 0.65,
        ..plain("sync+mark", "4 KiB first write and FLUSH after a mark, QD1", Pattern::EachOnce)
    },
    Cell {
        len: 64 * KIB,
        depth: 16,
        is_marked: true,
        ..plain("mail+mark", "64 KiB random, 70 % reads, QD16, after a mark", Pattern::Mixed)
    },
    Cell {
        len: MIB,
        depth: 8,
        is_marked: true,
        goal: 0.45,
        ..plain(
            "swrite+mark",
            "1 MiB sequential write, QD8, after a mark",
            Pattern::SequentialWrite,
        )
    },
];
