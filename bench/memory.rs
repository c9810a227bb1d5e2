//! The question: how much memory does Tidemark take, and how much space do marks take for what changes?
//!
//! Memory is what the kernel counts as resident, at rest: right after work it holds spare buffers too, so
//! each figure is also taken after a restart, which leaves what must be there.

use std::fmt::Write;

use base::size::ByteSize;
use serde::Serialize;

use crate::cell;
use crate::client::Limit;
use crate::contender::Site;
use crate::entries::Entries;
use crate::lab::Lab;
use crate::mail::MailLoad;
use crate::payload::Content;
use crate::plan::{Area, Plan};
use crate::{Outcome, Settings};

const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
/// Blocks written to a sparse volume, spread over all of it.
const SPREAD: u64 = 1 << 11;
/// How many marks a mail store gets, and how much is written between two of them, in requests.
const MAIL_MARKS: u32 = 8;
const MAIL_REQUESTS: u64 = 2000;

/// Memory by two counts, in MiB.
#[derive(Clone, Copy, Debug, Serialize)]
struct Both {
    /// What the kernel counts as resident.
    resident_mib: f64,
    /// What the daemon counts in its caches and indices.
    counted_mib: f64,
}

/// Memory at one moment, and what it is held against.
#[derive(Debug, Serialize)]
pub struct Held {
    what: String,
    /// As it ran.
    ran: Both,
    /// After a restart.
    restarted: Both,
    /// Seconds from a restart until it served.
    open_s: f64,
    /// What is divided by, for a figure per unit: TiB, million entries.
    units: f64,
    /// The unit, and the row whose memory is taken off first.
    per: Option<(&'static str, usize)>,
}

/// What a mail-like load changed and what marks kept of it.
#[derive(Debug, Serialize)]
pub struct MailSpace {
    round: u32,
    written_mib: f64,
    changed_mib: f64,
    preserved_mib: f64,
}

/// All that this question gives.
#[derive(Debug, Serialize)]
pub struct Memory {
    held: Vec<Held>,
    mail: Vec<MailSpace>,
}

/// Measures at rest, with large volumes, with many entries, and with mail.
///
/// # Errors
/// Where Tidemark fails.
pub async fn ask(settings: &Settings, site: &Site, entries_max: u64) -> Outcome<Memory> {
    let mut lab = Lab::open(settings, site).await?;
    let mut held = vec![look(&mut lab, "a fresh pool", 1.0, None).await?];
    if settings.has_cell("volumes") {
        of_volumes(&mut lab, settings.size.0, &mut held).await?;
    }
    if settings.has_cell("entries") {
        of_entries(&mut lab, entries_max, &mut held).await?;
    }
    let mut mail = Vec::new();
    let rounds = if settings.has_cell("mail") { settings.rounds } else { 0 };
    for round in 0..rounds {
        mail.push(mail_space(&lab, round, settings.size.0.min(GIB)).await?);
        eprintln!("{:?}", mail.last());
    }
    lab.close().await?;
    Ok(Memory { held, mail })
}

/// Large sparse volumes, and a small one that is full.
async fn of_volumes(lab: &mut Lab, size: u64, held: &mut Vec<Held>) -> Outcome<()> {
    for tib in [1, 8] {
        let per = Some(("TiB", 0));
        lab.api.create_volume("large", tib * TIB)?;
        let what = format!("a volume of {tib} TiB, nothing written");
        held.push(look(lab, &what, tib as f64, per).await?);
        lab.fill("large", Area::spread(tib * TIB, SPREAD), Content::Random).await?;
        let what = format!("the same, {SPREAD} blocks written all over it");
        held.push(look(lab, &what, tib as f64, per).await?);
        lab.api.remove_volume("large")?;
    }
    lab.api.create_volume("dense", size)?;
    let empty = held.len();
    held.push(look(lab, "a small volume, nothing written", 1.0, Some(("volume", 0))).await?);
    lab.fill("dense", Area::dense(0, size, 4096), Content::Random).await?;
    let what = format!("the same, {} of it written in a row", ByteSize(size));
    let per = Some(("TiB written", empty));
    held.push(look(lab, &what, size as f64 / TIB as f64, per).await?);
    lab.api.remove_volume("dense")
}

/// The epoch map with many entries, before and after it was read.
async fn of_entries(lab: &mut Lab, entries_max: u64, held: &mut Vec<Held>) -> Outcome<()> {
    let mut entries = Entries::of(lab, "past", entries_max).await?;
    let without = held.len();
    let what = "a volume that was written, without marks";
    held.push(look(lab, what, 1.0, Some(("volume", 0))).await?);
    entries.grow_to(lab, entries_max).await?;
    let what = format!("the same with {entries_max} map entries");
    let per = Some(("million entries", without));
    held.push(look(lab, &what, entries_max as f64 / 1e6, per).await?);
    held.push(after_reads(lab, &entries, &held[without + 1], without).await?);
    lab.api.remove_volume("past")
}

/// Memory as it is once the work is done, and after a restart.
async fn look(
    lab: &mut Lab,
    what: &str,
    units: f64,
    per: Option<(&'static str, usize)>,
) -> Outcome<Held> {
    let ran = both(lab).await?;
    let open_s = lab.restart().await?.as_secs_f64();
    let restarted = both(lab).await?;
    let held = Held { what: what.to_owned(), ran, restarted, open_s, units, per };
    eprintln!("{held:?}");
    Ok(held)
}

async fn both(lab: &Lab) -> Outcome<Both> {
    lab.settle().await?;
    let counted = lab.api.look("/status")?["pool"]["memory_bytes"].as_f64();
    let counted = counted.ok_or("the status has no memory of the pool")?;
    Ok(Both { resident_mib: lab.resident_mib()?, counted_mib: counted / f64::from(1 << 20) })
}

/// A map that was opened has read nothing yet: what it holds beside its index shows once a mark was read.
async fn after_reads(lab: &Lab, entries: &Entries, opened: &Held, without: usize) -> Outcome<Held> {
    let read = *cell::named("read")?;
    let mut plan = Plan::over(read, entries.making(), 1);
    lab.run(&entries.oldest_mark(), &mut plan, read.depth, Limit::time(lab.time())).await?;
    let read = both(lab).await?;
    let held = Held {
        what: "the same, restarted and then the oldest mark read".to_owned(),
        ran: read,
        restarted: read,
        open_s: opened.open_s,
        units: opened.units,
        per: Some(("million entries", without)),
    };
    eprintln!("{held:?}");
    Ok(held)
}

/// A mail store that is half full and gets marks while it is written to.
async fn mail_space(lab: &Lab, round: u32, size: u64) -> Outcome<MailSpace> {
    let volume = format!("mail-{round}");
    lab.api.create_volume(&volume, size)?;
    lab.fill(&volume, Area::dense(0, size / 2, 4096), Content::Mail).await?;
    lab.settle().await?;
    let mut load = MailLoad::new(size / 4096, size / 8192, round.into());
    let (mut written, mut changed) = (0, 0);
    let mut client = lab.server.connect_to(&volume).await?;
    client.write(Content::Mail);
    for mark in 0..MAIL_MARKS {
        lab.api.take_mark(&volume, &format!("mail-{mark}"))?;
        let limit = Limit::time(std::time::Duration::MAX).requests(MAIL_REQUESTS);
        written += client.run(&mut load, 8, limit).await?.bytes_written;
        changed += load.take_changed_bytes();
    }
    client.disconnect().await?;
    lab.settle().await?;
    let mib = f64::from(1 << 20);
    let preserved_mib = lab.figure(&volume, "preserved_bytes")? / mib;
    lab.api.remove_volume(&volume)?;
    let (written_mib, changed_mib) = (written as f64 / mib, changed as f64 / mib);
    Ok(MailSpace { round, written_mib, changed_mib, preserved_mib })
}

/// The figures as Markdown.
pub fn markdown(memory: &Memory) -> String {
    let mut text = String::from(
        "\n### Memory at rest\n\n\
         | with | resident as it ran / after a restart, MiB | counted by the daemon, the same, MiB | \
         more by: resident after a restart / counted as it ran / counted after a restart | serves again after, s |\n|---|---|---|---|---|\n",
    );
    for held in &memory.held {
        let more = held.per.map_or("–".to_owned(), |(unit, row)| {
            let without = &memory.held[row];
            let more = [
                held.restarted.resident_mib - without.restarted.resident_mib,
                held.ran.counted_mib - without.ran.counted_mib,
                held.restarted.counted_mib - without.restarted.counted_mib,
            ];
            let [resident, ran, restarted] = more.map(|mib| mib / held.units);
            format!("{resident:.1} / {ran:.1} / {restarted:.1} MiB per {unit}")
        });
        let Held { what, ran, restarted, open_s, .. } = held;
        let _ = writeln!(
            text,
            "| {what} | {:.1} / {:.1} | {:.1} / {:.1} | {more} | {open_s:.2} |",
            ran.resident_mib, restarted.resident_mib, ran.counted_mib, restarted.counted_mib
        );
    }
    if memory.mail.is_empty() {
        return text;
    }
    text += "\n### Space of marks under a mail-like load\n\n\
        | round | written, MiB | changed between marks, MiB | preserved, MiB | preserved per changed |\n\
        |---|---|---|---|---|\n";
    for mail in &memory.mail {
        let MailSpace { round, written_mib, changed_mib, preserved_mib } = mail;
        let ratio = preserved_mib / changed_mib;
        let _ = writeln!(
            text,
            "| {round} | {written_mib:.0} | {changed_mib:.0} | {preserved_mib:.0} | {ratio:.2} |"
        );
    }
    text
}
