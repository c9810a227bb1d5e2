//! `alert`.

use std::path::Path;

use api::model::{ChannelChange, NewChannel, Removed, SettingsChange, Silence};
use base::name::Name;
use control::alerts::channel::{ChannelStatus, ChannelTest, Secret};
use control::alerts::life::AlertStatus;
use control::alerts::settings::Settings;
use control::status::Failure;

use super::{Desk, Outcome};
use crate::args::alert::{AlertCommand, AlertSet, ChannelCommand};
use crate::client::part;
use crate::failure::{CliError, FAILED};
use crate::output::{Shown, confirm};
use crate::secret;
use crate::table::{numbers, sheet, table, time, words, yes};

pub(super) async fn run(desk: &Desk, command: AlertCommand) -> Outcome {
    let shown = match command {
        AlertCommand::Channel(ChannelCommand::Test { name }) => return test(desk, &name).await,
        AlertCommand::Channel(command) => channels(desk, command).await,
        AlertCommand::Ls => {
            let all: Vec<AlertStatus> = desk.client.get("/alerts").await?;
            Shown::new(&all, open_table(&all, desk.now_ms))
        }
        AlertCommand::Show { id } => {
            let alert: AlertStatus = desk.client.get(format!("/alerts/{id}")).await?;
            Shown::new(&alert, about(&alert, desk.now_ms))
        }
        AlertCommand::History { limit, before } => {
            let before = before.map(|id| format!("&before={id}")).unwrap_or_default();
            let path = format!("/alert-history?limit={limit}{before}");
            let all: Vec<AlertStatus> = desk.client.get(path).await?;
            Shown::new(&all, history_table(&all, desk.now_ms))
        }
        AlertCommand::Ack { id } => {
            let path = format!("/alerts/{id}/acknowledge");
            let alert: AlertStatus = desk.client.post(path, None::<&()>).await?;
            Shown::new(&alert, format!("alert {id} of {} is acknowledged", alert.of))
        }
        AlertCommand::Silence { id, until } => {
            let path = format!("/alerts/{id}/silence");
            let alert: AlertStatus = desk.client.post(path, Some(&Silence { until })).await?;
            let until = alert.silenced_until_ms.map_or("-".to_owned(), |at| time(at, desk.now_ms));
            Shown::new(&alert, format!("nothing is told of {} until {until}", alert.of))
        }
        AlertCommand::Unsilence { id } => {
            let alert: AlertStatus = desk.client.delete(format!("/alerts/{id}/silence")).await?;
            Shown::new(&alert, format!("{} is told of again", alert.of))
        }
        AlertCommand::Settings => {
            let settings: Settings = desk.client.get("/alert-settings").await?;
            Shown::new(&settings, settings_sheet(&settings))
        }
        AlertCommand::Set(set) => {
            let change = settings_change(&set);
            let settings: Settings = desk.client.patch("/alert-settings", &change).await?;
            Shown::new(&settings, settings_sheet(&settings))
        }
    };
    Ok((shown?, None))
}

async fn channels(desk: &Desk, command: ChannelCommand) -> Result<Shown, CliError> {
    let at = |name: &Name| format!("/alert-channels/{}", part(name));
    match command {
        ChannelCommand::Add { name, more, to } => {
            // Whether the daemon is there is told before anybody types a secret.
            let _: Vec<ChannelStatus> = desk.client.get("/alert-channels").await?;
            let (to, has_secret) = to.destination().map_err(unusable)?;
            let file = more.secret_file.as_deref();
            let secret = (has_secret || file.is_some()).then(|| read(file, &name)).transpose()?;
            let least = more.least.map(Into::into).unwrap_or_default();
            let new = NewChannel { name, to, least, is_paused: false, secret };
            let made: ChannelStatus = desk.client.post("/alert-channels", Some(&new)).await?;
            let human = format!("added channel {0}; `alert channel test {0}` tries it", made.name);
            Shown::new(&made, human)
        }
        ChannelCommand::Ls => {
            let all: Vec<ChannelStatus> = desk.client.get("/alert-channels").await?;
            Shown::new(&all, channel_table(&all, desk.now_ms))
        }
        ChannelCommand::Set(set) => {
            let name = &set.name;
            let all: Vec<ChannelStatus> = desk.client.get("/alert-channels").await?;
            // One that is not there is told of by the daemon.
            let now = all.iter().find(|channel| channel.name == *name);
            let to = now.map(|now| set.destination(&now.to)).transpose().map_err(unusable)?;
            let file = set.secret_file.as_deref();
            let change = ChannelChange {
                to: to.flatten(),
                least: set.least.map(Into::into),
                is_paused: set.paused,
                secret: file.is_some().then(|| read(file, name)).transpose()?,
            };
            let changed: ChannelStatus = desk.client.patch(at(name), &change).await?;
            Shown::new(&changed, format!("changed channel {name}"))
        }
        ChannelCommand::Rm { name } => {
            confirm(&format!("Remove channel {name} with its secret?"), desk.is_sure)?;
            let gone: Removed = desk.client.delete(at(&name)).await?;
            Shown::new(&gone, format!("removed channel {name}"))
        }
        ChannelCommand::Test { name } => Ok(tried(desk, &name).await?.1),
    }
}

async fn test(desk: &Desk, name: &Name) -> Outcome {
    let (test, shown) = tried(desk, name).await?;
    let found = (!test.is_delivered).then(|| CliError::Found {
        detail: format!("channel {name} does not deliver: {}", test.said),
        exit_code: FAILED,
    });
    Ok((shown, found))
}

async fn tried(desk: &Desk, name: &Name) -> Result<(ChannelTest, Shown), CliError> {
    let path = format!("/alert-channels/{}/test", part(name));
    let test: ChannelTest = desk.client.post(path, None::<&()>).await?;
    let human = match test.is_delivered {
        true => format!("delivered in {} ms; the other side said: {}", test.took_ms, test.said),
        false => format!("not delivered after {} ms: {}", test.took_ms, test.said),
    };
    let shown = Shown::new(&test, human)?;
    Ok((test, shown))
}

fn read(file: Option<&Path>, name: &Name) -> Result<Secret, CliError> {
    secret::read_as(file, &format!("Secret of channel {name}"), "--secret-file FILE", Secret::new)
}

fn unusable(detail: String) -> CliError {
    let way_out = Some("`alert channel --help` shows what belongs to which kind".into());
    CliError::Told(Failure { code: "invalid".into(), detail, way_out })
}

fn settings_change(set: &AlertSet) -> SettingsChange {
    SettingsChange {
        mark_age_factor: set.mark_age_factor,
        space_warning_percent: set.space_warning,
        space_critical_percent: set.space_critical,
        repeat_hours: set.repeat_hours,
    }
}

fn settings_sheet(settings: &Settings) -> String {
    let repeat = match settings.repeat_hours {
        0 => "never".to_owned(),
        hours => format!("after {hours} h"),
    };
    sheet(&[
        ("a mark is too old", format!("after {} runs without one", settings.mark_age_factor)),
        ("space, warning", format!("from {} % on", settings.space_warning_percent)),
        ("space, critical", format!("from {} % on", settings.space_critical_percent)),
        ("what lasts is told again", repeat),
    ])
}

fn open_table(all: &[AlertStatus], now_ms: u64) -> String {
    let columns = [
        numbers("ID"),
        words("SEVERITY"),
        words("OF"),
        words("SINCE"),
        words("ACKNOWLEDGED"),
        words("WHAT"),
    ];
    let rows = all.iter().map(|alert| {
        vec![
            alert.id.to_string(),
            alert.severity.word().to_owned(),
            alert.of.clone(),
            time(alert.first_ms, now_ms),
            noted(alert, now_ms),
            alert.what.clone(),
        ]
    });
    table(&columns, rows.collect(), "no open alerts")
}

fn noted(alert: &AlertStatus, now_ms: u64) -> String {
    match (&alert.acknowledged, alert.silenced_until_ms) {
        (Some(noted), _) => format!("by {}", noted.by),
        (None, Some(until)) => format!("silenced until {}", time(until, now_ms)),
        (None, None) => "-".to_owned(),
    }
}

fn history_table(all: &[AlertStatus], now_ms: u64) -> String {
    let columns = [
        numbers("ID"),
        words("SEVERITY"),
        words("OF"),
        words("FROM"),
        words("TO"),
        numbers("CAME"),
        words("WHAT"),
    ];
    let rows = all.iter().map(|alert| {
        vec![
            alert.id.to_string(),
            alert.severity.word().to_owned(),
            alert.of.clone(),
            time(alert.first_ms, now_ms),
            alert.resolved_ms.map_or("-".to_owned(), |at| time(at, now_ms)),
            alert.count.to_string(),
            alert.what.clone(),
        ]
    });
    table(&columns, rows.collect(), "no alert has resolved yet")
}

fn about(alert: &AlertStatus, now_ms: u64) -> String {
    let at = |ms: Option<u64>| ms.map_or("-".to_owned(), |ms| time(ms, now_ms));
    let by = alert.acknowledged.as_ref();
    let by = by.map(|noted| format!("by {}, {}", noted.by, time(noted.at_ms, now_ms)));
    sheet(&[
        ("alert", alert.id.to_string()),
        ("severity", alert.severity.word().to_owned()),
        ("rule", alert.rule.word().to_owned()),
        ("of", alert.of.clone()),
        ("what", alert.what.clone()),
        ("way out", alert.way_out.clone().unwrap_or_else(|| "-".to_owned())),
        ("since", time(alert.first_ms, now_ms)),
        ("last seen", time(alert.last_ms, now_ms)),
        ("came", alert.count.to_string()),
        ("resolved", at(alert.resolved_ms)),
        ("acknowledged", by.unwrap_or_else(|| "-".to_owned())),
        ("silenced until", at(alert.silenced_until_ms)),
        ("last told", at(alert.told_ms)),
    ])
}

fn channel_table(all: &[ChannelStatus], now_ms: u64) -> String {
    let columns = [
        words("NAME"),
        words("KIND"),
        words("TO"),
        words("LEAST"),
        words("PAUSED"),
        numbers("WAITING"),
        numbers("LOST"),
        words("DELIVERED"),
        words("FAILURE"),
    ];
    let rows = all.iter().map(|channel| {
        vec![
            channel.name.to_string(),
            channel.to.kind().to_owned(),
            channel.to.place(),
            channel.least.word().to_owned(),
            yes(channel.is_paused),
            channel.waiting.to_string(),
            channel.lost.to_string(),
            channel.delivered_ms.map_or("-".to_owned(), |at| time(at, now_ms)),
            channel.failure.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    });
    let empty = "no channels; `alert channel add NAME mail --host HOST --from ADDRESS --to ADDRESS` adds one";
    table(&columns, rows.collect(), empty)
}
