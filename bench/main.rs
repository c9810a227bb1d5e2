//! How fast Tidemark is, and what limits it: one program, one question per file.
//!
//! Every figure stands beside peers that were measured in the same run. `README.md` has the method.

#![forbid(unsafe_code)]

mod api;
mod busy;
mod cell;
mod check;
mod client;
mod contender;
mod counters;
mod curves;
mod deletion;
mod entries;
mod fio;
mod growth;
mod house;
mod initiator;
mod iscsi;
mod lab;
mod libiscsi;
mod mail;
mod marker;
mod marks;
mod measure;
mod memory;
mod nbd;
mod office;
mod payload;
mod plan;
mod plot;
mod raw;
mod recovery;
mod report;
mod route;
mod sections;
mod settings;
mod tally;
mod tgt;
mod values;

use std::error::Error;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::contender::Site;
use crate::settings::{Arguments, Question, Settings};

/// What a step gives, or why there is nothing to give.
type Outcome<T> = Result<T, Box<dyn Error>>;

/// What a question gives.
struct Findings {
    /// Every measurement, as JSON.
    json: String,
    /// Tables by the name of their section, as Markdown.
    sections: Vec<(&'static str, String)>,
    /// Plots by the name of their file, as SVG.
    plots: Vec<(String, String)>,
    /// What must hold on any machine and does not.
    complaints: Vec<String>,
}

impl Findings {
    fn of(measured: &impl Serialize, section: &'static str, tables: String) -> Outcome<Self> {
        let json = serde_json::to_string_pretty(measured)?;
        let sections = vec![(section, tables)];
        Ok(Self { json, sections, plots: Vec::new(), complaints: Vec::new() })
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
    let settings = question.settings().clone().completed();
    let programs = programs()?;
    let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(&settings.dir)?;
    let site = Site {
        dir: dir.path().canonicalize()?,
        programs: programs.clone(),
        size: settings.size.0,
        // Any free port: the registered one may be taken.
        doors: &["--iscsi", "127.0.0.1:0"],
    };
    let findings = found(&question, &settings, &site).await?;
    if let Some(path) = &settings.json {
        std::fs::write(path, &findings.json)?;
    }
    let mut facts: Vec<String> =
        house::facts(&programs).iter().map(|(name, fact)| format!("- {name}: {fact}\n")).collect();
    facts.push(format!("- run: {}\n", settings.line()));
    let facts = facts.concat();
    for (name, tables) in &findings.sections {
        print!("## {name}\n\n{facts}{tables}\n");
    }
    if let Some(path) = &settings.results {
        keep(path, &facts, &findings)?;
    }
    if findings.complaints.is_empty() { Ok(()) } else { Err(findings.complaints.join("\n").into()) }
}

async fn found(question: &Question, settings: &Settings, site: &Site) -> Outcome<Findings> {
    Ok(match question {
        Question::Nbd(_) => {
            let measures = nbd::ask(settings, site.clone()).await?;
            let report = nbd::report(&measures);
            let complaints = if settings.smoke { check::complaints(&report) } else { Vec::new() };
            Findings { complaints, ..Findings::of(&measures, "nbd", nbd::markdown(&report))? }
        }
        Question::Iscsi { client, .. } => {
            let measured = iscsi::ask(settings, site.clone(), *client).await?;
            let complaints = if settings.smoke { measured.complaints() } else { Vec::new() };
            Findings {
                complaints,
                ..Findings::of(&measured, measured.section(), measured.markdown())?
            }
        }
        Question::Marks(_) => {
            let figures = marks::ask(settings, site).await?;
            Findings::of(&figures, "marks", marks::markdown(&figures))?
        }
        Question::Busy { others, .. } => {
            let measured = busy::ask(settings, site, others).await?;
            Findings::of(&measured, "busy", busy::markdown(&measured))?
        }
        Question::Curves { reach, .. } => {
            let points = curves::ask(settings, site, reach).await?;
            let json = serde_json::to_string_pretty(&points)?;
            let (sections, plots) = (growth::sections(&points), growth::plots(&points));
            Findings { json, sections, plots, complaints: Vec::new() }
        }
        Question::Memory { entries_max, .. } => {
            let memory = memory::ask(settings, site, *entries_max).await?;
            Findings::of(&memory, "memory", memory::markdown(&memory))?
        }
        Question::Office(_) => {
            let figures = office::ask(settings, site).await?;
            Findings::of(&figures, "office", office::markdown(&figures))?
        }
        Question::Recovery(_) => {
            let recoveries = recovery::ask(settings, site).await?;
            Findings::of(&recoveries, "recovery", recovery::markdown(&recoveries))?
        }
    })
}

/// Puts the sections that were measured into the file of results, and their plots beside it.
fn keep(path: &Path, facts: &str, findings: &Findings) -> Outcome<()> {
    let mut document = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        read => read?,
    };
    for (name, tables) in &findings.sections {
        document = sections::replaced(&document, name, &format!("{facts}{tables}"));
    }
    std::fs::write(path, document)?;
    let folder = path.with_file_name("curves");
    if !findings.plots.is_empty() {
        std::fs::create_dir_all(&folder)?;
    }
    for (name, svg) in &findings.plots {
        std::fs::write(folder.join(name), svg)?;
    }
    Ok(())
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
