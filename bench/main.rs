//! How fast Tidemark is, and what limits it: one program, one question per file.
//!
//! Every figure stands beside peers that were measured in the same run. `README.md` has the method.

#![forbid(unsafe_code)]

mod api;
mod cell;
mod check;
mod client;
mod contender;
mod counters;
mod fio;
mod house;
mod marks;
mod measure;
mod nbd;
mod payload;
mod plan;
mod recovery;
mod report;
mod tally;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use base::size::ByteSize;
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::contender::Site;
use crate::report::Report;

/// What a step gives, or why there is nothing to give.
type Outcome<T> = Result<T, Box<dyn Error>>;

/// Measures Tidemark beside its peers
#[derive(Parser)]
#[command(name = "bench", version)]
struct Arguments {
    #[command(subcommand)]
    question: Question,
}

#[derive(Subcommand)]
enum Question {
    /// Speed over NBD beside peers, the bare disk and the bare protocol
    Nbd(Settings),
    /// What a mark costs under load, and what many marks cost
    Marks(Settings),
    /// How soon it serves again after SIGKILL under load
    Recovery(Settings),
}

/// How to measure.
#[derive(Args, Clone, Debug)]
struct Settings {
    /// How often everything is measured
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// How long each cell runs; 2, or 60 with --sustained
    #[arg(long)]
    seconds: Option<f64>,
    /// Size of the volume
    #[arg(long, default_value = "1G")]
    size: ByteSize,
    /// What goes on for ever, instead of bursts
    #[arg(long)]
    sustained: bool,
    /// One short round, judged by what must hold on any machine
    #[arg(long, conflicts_with_all = ["rounds", "size", "cells", "contenders", "sustained"])]
    smoke: bool,
    /// Only these cells, by name, with commas between
    #[arg(long, value_delimiter = ',')]
    cells: Vec<String>,
    /// Only contenders whose name contains one of these; raw and null are always there
    #[arg(long, value_delimiter = ',')]
    contenders: Vec<String>,
    /// A folder on the disk to be measured; what is made there is removed again
    #[arg(long, default_value = "target")]
    dir: PathBuf,
    /// Write the measurements to this file, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write the tables to this file
    #[arg(long)]
    results: Option<PathBuf>,
}

/// A smoke test counts requests; time only keeps a slow machine from taking for ever.
const SMOKE_SECONDS: f64 = 2.0;
const SMOKE_SIZE: ByteSize = ByteSize(128 << 20);

impl Settings {
    fn completed(mut self) -> Self {
        let usual = if self.sustained { 60.0 } else { 2.0 };
        if self.smoke {
            self.rounds = 1;
            self.size = SMOKE_SIZE;
        }
        let seconds = if self.smoke { SMOKE_SECONDS } else { usual };
        self.seconds.get_or_insert(seconds);
        self
    }

    fn line(&self) -> String {
        let (rounds, seconds, size) = (self.rounds, self.time().as_secs_f64(), self.size);
        format!("{rounds} rounds, cells of {seconds} s, a volume of {size}")
    }

    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.unwrap_or_default())
    }

    fn has_cell(&self, name: &str) -> bool {
        self.cells.is_empty() || self.cells.iter().any(|wanted| wanted == name)
    }

    fn has_contender(&self, name: &str) -> bool {
        let is_reference = name.starts_with("raw") || name.starts_with("null");
        let is_wanted = self.contenders.iter().any(|wanted| name.contains(wanted.as_str()));
        self.contenders.is_empty() || is_reference || is_wanted
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(answer_unless_interrupted(arguments.question)),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// An end by a signal is an error like others: what was started is stopped, and what was made is removed.
async fn answer_unless_interrupted(question: Question) -> Outcome<()> {
    let mut end = signal(SignalKind::terminate())?;
    tokio::select! {
        done = answer(question) => done,
        _ = end.recv() => Err("told to end".into()),
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    }
}

async fn answer(question: Question) -> Outcome<()> {
    let (Question::Nbd(settings) | Question::Marks(settings) | Question::Recovery(settings)) =
        &question;
    let settings = settings.clone().completed();
    let programs = programs()?;
    let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(&settings.dir)?;
    let site =
        Site { dir: dir.path().canonicalize()?, programs: programs.clone(), size: settings.size.0 };
    let mut complaints = Vec::new();
    let (json, tables) = match question {
        Question::Nbd(_) => {
            let measures = nbd::ask(&settings, site).await?;
            let report = Report::of(&measures);
            if settings.smoke {
                complaints = check::complaints(&report);
            }
            (serde_json::to_string_pretty(&measures)?, report.markdown())
        }
        Question::Marks(_) => {
            let figures = marks::ask(&settings, &site).await?;
            (serde_json::to_string_pretty(&figures)?, marks::markdown(&figures))
        }
        Question::Recovery(_) => {
            let recoveries = recovery::ask(&settings, &site).await?;
            (serde_json::to_string_pretty(&recoveries)?, recovery::markdown(&recoveries))
        }
    };
    if let Some(path) = &settings.json {
        std::fs::write(path, json)?;
    }
    let mut text = String::from("# Results\n\n");
    for (name, fact) in house::facts(&programs) {
        text += &format!("- {name}: {fact}\n");
    }
    text += &format!("- run: {}\n{tables}", settings.line());
    print!("{text}");
    if let Some(path) = &settings.results {
        std::fs::write(path, text)?;
    }
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n").into()) }
}

/// The folder of Tidemark's programs: that of `TIDEMARK_BIN`, or where this one lies.
fn programs() -> Outcome<PathBuf> {
    let programs = match std::env::var_os("TIDEMARK_BIN") {
        Some(dir) => PathBuf::from(dir),
        None => std::env::current_exe()?.parent().map(Path::to_owned).unwrap_or_default(),
    };
    if !programs.join("tidemarkd").exists() {
        let where_to = programs.display();
        return Err(format!("no tidemarkd in {where_to}: cargo build --release --bins").into());
    }
    Ok(programs)
}
