//! `policy`.

use api::model::{PolicyChange, Removed, Rules};
use base::name::Name;
use control::policy::keep::{Class, Keep};
use control::policy::runs::{PolicyStatus, RunOutcome, RunStatus, VolumeOutlook};
use control::policy::schedule::local_zone;
use control::when;

use super::Desk;
use super::mark::freed;
use super::volume::word;
use crate::args::policy::{PolicyCommand, PolicyCreate, PolicySet};
use crate::client::part;
use crate::failure::CliError;
use crate::output::Shown;
use crate::table::{names, numbers, sheet, table, time, words, yes};

pub(super) async fn run(desk: &Desk, command: PolicyCommand) -> Result<Shown, CliError> {
    let at = |name: &Name| format!("/policies/{}", part(name));
    match command {
        PolicyCommand::Create(mut new) => {
            let preview = new.preview.take();
            let new = rules(new);
            if let Some(moment) = preview {
                let path = format!("/policy-preview?at={}", part(&moment));
                let seen: Vec<VolumeOutlook> = desk.client.post(path, Some(&new)).await?;
                return outlooks(&seen, desk.now_ms);
            }
            let made: PolicyStatus = desk.client.post("/policies", Some(&new)).await?;
            Shown::new(&made, format!("created policy {}; {}", new.name, next(&made, desk.now_ms)))
        }
        PolicyCommand::Ls => {
            let all: Vec<PolicyStatus> = desk.client.list("/policies").await?;
            Shown::new(&all, list(&all, desk.now_ms))
        }
        PolicyCommand::Show { name } => {
            let policy: PolicyStatus = desk.client.get(at(&name)).await?;
            Shown::new(&policy, about(&policy, desk.now_ms))
        }
        PolicyCommand::Set(set) => {
            let (name, change) = change(set);
            let changed: PolicyStatus = desk.client.patch(at(&name), &change).await?;
            Shown::new(&changed, format!("changed policy {name}; {}", next(&changed, desk.now_ms)))
        }
        PolicyCommand::Rm { name } => {
            let gone: Removed = desk.client.delete(at(&name)).await?;
            Shown::new(&gone, format!("removed policy {name}; its marks stay"))
        }
        PolicyCommand::Preview { name, at: moment } => {
            let path = format!("{}/preview?at={}", at(&name), part(&moment));
            let seen: Vec<VolumeOutlook> = desk.client.get(path).await?;
            outlooks(&seen, desk.now_ms)
        }
        PolicyCommand::Run { name } => {
            let path = format!("{}/run", at(&name));
            let run: RunStatus = desk.client.post(path, None::<&()>).await?;
            Shown::new(&run, what_came(&run))
        }
        PolicyCommand::Runs { name } => {
            let runs: Vec<RunStatus> = desk.client.list(format!("{}/runs", at(&name))).await?;
            Shown::new(&runs, history(&runs, desk.now_ms))
        }
    }
}

fn rules(new: PolicyCreate) -> Rules {
    Rules {
        name: new.name,
        volumes: new.volumes,
        group: new.group,
        every: new.every,
        cron: new.cron,
        changed: new.changed,
        passed: new.passed,
        skip_unchanged: new.skip_unchanged,
        zone: new.zone.unwrap_or_else(local_zone),
        keep: new.keep.0,
        lock: new.lock,
        grade: new.grade.into(),
        is_paused: new.paused,
        paused_until_ms: None,
    }
}

fn change(set: PolicySet) -> (Name, PolicyChange) {
    let change = PolicyChange {
        volumes: Some(set.volumes).filter(|volumes| !volumes.is_empty()),
        group: set.group,
        every: set.every,
        cron: set.cron,
        changed: set.changed,
        passed: set.passed,
        skip_unchanged: set.skip_unchanged,
        zone: set.zone,
        keep: set.keep.map(|keep| keep.0),
        lock: set.lock,
        grade: set.grade.map(Into::into),
        is_paused: set.paused,
        paused_until: set.paused_until,
    };
    (set.name, change)
}

fn next(policy: &PolicyStatus, now_ms: u64) -> String {
    match policy.next_ms {
        Some(at) => format!("it runs next at {}", time(at, now_ms)),
        None if policy.policy.rules.is_paused => "it pauses".to_owned(),
        None => "it runs when enough has changed".to_owned(),
    }
}

fn paused(rules: &Rules, now_ms: u64) -> String {
    match rules.paused_until_ms {
        Some(until) if rules.pauses(now_ms) => format!("until {}", time(until, now_ms)),
        _ => yes(rules.is_paused),
    }
}

fn times(rules: &Rules) -> String {
    let clock = match (&rules.every, &rules.cron) {
        (Some(every), _) => Some(format!("every {every}")),
        (None, Some(cron)) => Some(format!("at {cron}")),
        (None, None) => None,
    };
    let amount = rules.changed.map(|amount| format!("when {amount} changed"));
    let passed = rules.passed.map(|passed| format!("when {passed} passed"));
    let all: Vec<_> = clock.into_iter().chain(amount).chain(passed).collect();
    all.join(" or ")
}

fn targets(rules: &Rules) -> String {
    match &rules.group {
        Some(group) => format!("group {group}"),
        None => names(&rules.volumes),
    }
}

fn kept(keep: &Keep) -> String {
    let classes = Class::ALL.into_iter().filter(|class| keep.count(*class) > 0);
    let parts: Vec<_> =
        classes.map(|class| format!("{}={}", class.word(), keep.count(class))).collect();
    parts.join(",")
}

fn list(all: &[PolicyStatus], now_ms: u64) -> String {
    let columns = [
        words("NAME"),
        words("OF"),
        words("TIMES"),
        words("KEEPS"),
        numbers("MARKS"),
        words("NEXT"),
        words("LAST RUN"),
    ];
    let rows = all.iter().map(|status| {
        let rules = &status.policy.rules;
        let next = match status.next_ms {
            Some(at) => when::relative(at, now_ms),
            None if rules.is_paused => "paused".to_owned(),
            None => "-".to_owned(),
        };
        vec![
            rules.name.to_string(),
            targets(rules),
            times(rules),
            kept(&rules.keep),
            status.marks.to_string(),
            next,
            status.last_run.as_ref().map_or("-".to_owned(), outcome),
        ]
    });
    let empty =
        "no policies; `policy create NAME VOLUME --every 1h --keep last=24,daily=7` makes one";
    table(&columns, rows.collect(), empty)
}

fn about(status: &PolicyStatus, now_ms: u64) -> String {
    let rules = &status.policy.rules;
    let last = status.last_run.as_ref();
    sheet(&[
        ("name", rules.name.to_string()),
        ("of", targets(rules)),
        ("times", times(rules)),
        ("zone", rules.zone.clone()),
        ("only if changed", yes(rules.skip_unchanged)),
        ("keeps", kept(&rules.keep)),
        ("locks its marks for", rules.lock.map_or("-".to_owned(), |lock| lock.to_string())),
        ("grade", word(&rules.grade)),
        ("paused", paused(rules, now_ms)),
        ("marks", status.marks.to_string()),
        ("running", yes(status.is_running)),
        ("next", status.next_ms.map_or("-".to_owned(), |at| time(at, now_ms))),
        ("last run", last.map_or("-".to_owned(), |run| time(run.began_ms, now_ms))),
        ("outcome", last.map_or("-".to_owned(), outcome)),
    ])
}

fn outcome(run: &RunStatus) -> String {
    match &run.outcome {
        RunOutcome::Taken { mark } => format!("took {mark}"),
        RunOutcome::Unchanged => "nothing had changed".to_owned(),
        RunOutcome::Overlapped => "the run before it went on".to_owned(),
        RunOutcome::Failed { why, .. } => format!("failed: {why}"),
    }
}

fn what_came(run: &RunStatus) -> String {
    let mut lines = vec![outcome(run)];
    if !run.removed.is_empty() {
        lines.push(format!("removed {}", names(&run.removed)));
    }
    lines.extend(run.left.iter().map(|left| format!("left {left}")));
    if let RunOutcome::Failed { way_out: Some(way_out), .. } = &run.outcome {
        lines.push(way_out.clone());
    }
    lines.join("\n")
}

fn history(runs: &[RunStatus], now_ms: u64) -> String {
    let columns = [
        words("BEGAN"),
        words("CAUSE"),
        numbers("MISSED"),
        numbers("REMOVED"),
        numbers("LEFT"),
        words("OUTCOME"),
    ];
    let rows = runs.iter().map(|run| {
        vec![
            time(run.began_ms, now_ms),
            word(&run.cause),
            run.missed.to_string(),
            run.removed.len().to_string(),
            run.left.len().to_string(),
            outcome(run),
        ]
    });
    table(&columns, rows.collect(), "it has not run yet")
}

fn outlooks(seen: &[VolumeOutlook], now_ms: u64) -> Result<Shown, CliError> {
    let human: Vec<_> = seen.iter().map(|seen| foreseen(seen, now_ms)).collect();
    Shown::new(&seen, human.join("\n\n"))
}

fn foreseen(seen: &VolumeOutlook, now_ms: u64) -> String {
    let outlook = &seen.outlook;
    let heading = format!(
        "{} at {}: {} marks after {} runs, {} of those that exist gone, which gives back {}, {} of others beside them",
        seen.volume,
        when::local(seen.at_ms),
        outlook.marks.len(),
        outlook.runs,
        outlook.gone.len(),
        freed(seen.frees),
        seen.foreign,
    );
    let rows = outlook.marks.iter().map(|mark| {
        let classes: Vec<_> = mark.kept_for.iter().map(|class| class.word()).collect();
        let name = mark.name.as_ref().map_or("to come".to_owned(), ToString::to_string);
        vec![time(mark.taken_ms, now_ms), name, names(&classes)]
    });
    let columns = [words("TAKEN"), words("NAME"), words("KEPT FOR")];
    format!("{heading}\n{}", table(&columns, rows.collect(), "no marks"))
}
