//! The command line: which question, and how to measure.

use std::path::PathBuf;
use std::time::Duration;

use base::size::ByteSize;
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;

/// Measures Tidemark beside its peers
#[derive(Parser)]
#[command(name = "bench", version)]
pub struct Arguments {
    /// What to ask.
    #[command(subcommand)]
    pub question: Question,
}

/// A question, with what only it needs to know.
#[derive(Subcommand)]
pub enum Question {
    /// Speed over NBD beside peers, the bare disk and the bare protocol
    Nbd(Settings),
    /// Speed over iSCSI beside tgt, the bare disk and the bare protocol
    Iscsi {
        #[command(flatten)]
        settings: Settings,
        /// Whose initiator sends the load
        #[arg(long, value_enum, default_value_t = Initiator::Own, conflicts_with = "smoke")]
        client: Initiator,
    },
    /// What a mark costs under load, what many marks cost, and what becomes of a deleted one
    Marks(Settings),
    /// What is left of the foreground while marks, a view and a scrub go on beside it
    Busy {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        others: Others,
    },
    /// Cost as volumes, marks, connections and map entries grow
    Curves {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        reach: Reach,
    },
    /// Memory at rest, for each TiB and for each million map entries; bytes preserved for bytes changed
    Memory {
        #[command(flatten)]
        settings: Settings,
        /// How many map entries are made, in all
        #[arg(long, default_value_t = 1_000_000)]
        entries_max: u64,
    },
    /// How soon lists are answered, what a thousand policies cost, and what being watched does
    Office(Settings),
    /// How soon it serves again after SIGKILL under load
    Recovery(Settings),
}

impl Question {
    /// How to measure.
    pub fn settings(&self) -> &Settings {
        match self {
            Self::Nbd(settings)
            | Self::Marks(settings)
            | Self::Office(settings)
            | Self::Recovery(settings) => settings,
            Self::Iscsi { settings, .. } => settings,
            Self::Busy { settings, .. } => settings,
            Self::Curves { settings, .. } => settings,
            Self::Memory { settings, .. } => settings,
        }
    }
}

/// An initiator of iSCSI.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ValueEnum)]
pub enum Initiator {
    /// The bench's own.
    Own,
    /// One that uses libiscsi; without checksums and many sessions
    Libiscsi,
}

/// How to measure.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// How often everything is measured
    #[arg(long, default_value_t = 3)]
    pub rounds: u32,
    /// How long each cell runs; 2, or 60 with --sustained
    #[arg(long)]
    pub seconds: Option<f64>,
    /// Size of the volume
    #[arg(long, default_value = "1G")]
    pub size: ByteSize,
    /// What goes on for ever, instead of bursts
    #[arg(long)]
    pub sustained: bool,
    /// One short round, judged by what must hold on any machine
    #[arg(long, conflicts_with_all = ["rounds", "size", "cells", "contenders", "sustained"])]
    pub smoke: bool,
    /// Only these cells, by name, with commas between
    #[arg(long, value_delimiter = ',')]
    pub cells: Vec<String>,
    /// Only contenders whose name contains one of these; raw and null are always there
    #[arg(long, value_delimiter = ',')]
    pub contenders: Vec<String>,
    /// A folder on the disk to be measured; what is made there is removed again
    #[arg(long, default_value = "target")]
    pub dir: PathBuf,
    /// Write the measurements to this file, as JSON
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Write the tables into this file, in place of those of an earlier run of the same question; plots
    /// go into the folder `curves` beside it
    #[arg(long)]
    pub results: Option<PathBuf>,
}

/// What goes on beside the foreground.
#[derive(Args, Clone, Debug)]
pub struct Others {
    /// Only these: marks, view, scrub
    #[arg(long, value_delimiter = ',')]
    pub beside: Vec<String>,
    /// MiB a second that the other client reads of a view
    #[arg(long, default_value_t = 50.0)]
    pub view_mib: f64,
}

/// Which curves, and how far they go.
#[derive(Args, Clone, Debug)]
pub struct Reach {
    /// Only these curves: size, marks, connections, entries
    #[arg(long, value_delimiter = ',')]
    pub curves: Vec<String>,
    /// The largest volume
    #[arg(long, default_value = "16T")]
    pub size_max: ByteSize,
    /// The most marks held
    #[arg(long, default_value_t = 256)]
    pub marks_max: u64,
    /// The most connections
    #[arg(long, default_value_t = 64)]
    pub connections_max: u64,
    /// The most map entries; ten million take some ten minutes and 10 GB
    #[arg(long, default_value_t = 1_000_000)]
    pub entries_max: u64,
}

/// A smoke test counts requests; time only keeps a slow machine from taking for ever.
const SMOKE_SECONDS: f64 = 2.0;
const SMOKE_SIZE: ByteSize = ByteSize(128 << 20);

impl Settings {
    /// The same with everything that was left out.
    pub fn completed(mut self) -> Self {
        let usual = if self.sustained { 60.0 } else { 2.0 };
        if self.smoke {
            self.rounds = 1;
            self.size = SMOKE_SIZE;
        }
        let seconds = if self.smoke { SMOKE_SECONDS } else { usual };
        self.seconds.get_or_insert(seconds);
        self
    }

    /// One line on the run.
    pub fn line(&self) -> String {
        let (rounds, seconds, size) = (self.rounds, self.time().as_secs_f64(), self.size);
        format!("{rounds} rounds, cells of {seconds} s, a volume of {size}")
    }

    /// How long a cell runs.
    pub fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.unwrap_or_default())
    }

    /// Whether a cell is asked for.
    pub fn has_cell(&self, name: &str) -> bool {
        self.cells.is_empty() || self.cells.iter().any(|wanted| wanted == name)
    }

    /// Whether a contender is asked for.
    pub fn has_contender(&self, name: &str) -> bool {
        let is_reference = name.starts_with("raw") || name.starts_with("null");
        let is_wanted = self.contenders.iter().any(|wanted| name.contains(wanted.as_str()));
        self.contenders.is_empty() || is_reference || is_wanted
    }
}

impl Others {
    /// Whether one of them is asked for.
    pub fn has(&self, name: &str) -> bool {
        self.beside.is_empty() || self.beside.iter().any(|wanted| wanted == name)
    }
}

impl Reach {
    /// Whether a curve is asked for.
    pub fn has(&self, curve: &str) -> bool {
        self.curves.is_empty() || self.curves.iter().any(|wanted| wanted == curve)
    }
}
