//! `capacity`.

use api::model::{Growth, PreservedRule, Removed};
use base::name::Name;
use control::capacity::forecast::{Forecast, Outlook};
use control::capacity::told::{
    CapacityHistory, CapacityStatus, GrowthStatus, PreservedCapacity, VolumeCapacity,
};
use control::status::VolumeKind;
use control::when;

use super::Desk;
use crate::args::capacity::{
    CapacityCommand, CapacitySet, CapacityUnset, GrowthOfVolume, LimitOfPreserved, PercentArg,
};
use crate::client::part;
use crate::failure::CliError;
use crate::output::Shown;
use crate::table::{numbers, percent, sheet, size, table, time, words};

pub(super) async fn run(desk: &Desk, command: CapacityCommand) -> Result<Shown, CliError> {
    let at = |name: &Name| format!("/capacity/volumes/{}", part(name));
    match command {
        CapacityCommand::Show => {
            let told: CapacityStatus = desk.client.get("/capacity").await?;
            Shown::new(&told, about(&told))
        }
        CapacityCommand::History { volume, days } => {
            let of = volume.as_ref().map_or("/capacity".to_owned(), at);
            let path = format!("{of}/history?days={days}");
            let told: CapacityHistory = desk.client.get(path).await?;
            Shown::new(&told, history(&told, desk.now_ms))
        }
        CapacityCommand::Set(CapacitySet::Volume(rule)) => {
            let GrowthOfVolume { name, grow_at, by, up_to } = rule;
            let growth = Growth { grow_at: grow_at.0, by, up_to };
            let set: VolumeCapacity = desk.client.patch(at(&name), &growth).await?;
            Shown::new(&set, format!("{name}, {} now, grows {}", set.size, rule_text(&growth)))
        }
        CapacityCommand::Set(CapacitySet::Preserved(set)) => {
            let rule = preserved_rule(&set);
            let told: PreservedCapacity = desk.client.patch("/capacity/preserved", &rule).await?;
            Shown::new(&told, limited(&told, &rule))
        }
        CapacityCommand::Unset(CapacityUnset::Preserved) => {
            let gone: Removed = desk.client.delete("/capacity/preserved").await?;
            Shown::new(&gone, "preserved blocks may take as much as there is")
        }
        CapacityCommand::Unset(CapacityUnset::Volume { name }) => {
            let gone: Removed = desk.client.delete(at(&name)).await?;
            Shown::new(&gone, format!("{name} grows by itself no more"))
        }
    }
}

fn preserved_rule(set: &LimitOfPreserved) -> PreservedRule {
    // The parser has seen to it that all three are there or none.
    let growth = set.grow_at.zip(set.by).zip(set.up_to);
    let growth = growth.map(|((PercentArg(grow_at), by), up_to)| Growth { grow_at, by, up_to });
    PreservedRule { limit: set.limit, growth }
}

fn limited(told: &PreservedCapacity, rule: &PreservedRule) -> String {
    let grows = rule.growth.map(|rule| format!("; that grows {}", rule_text(&rule)));
    let used = size(told.used_bytes);
    let grows = grows.unwrap_or_default();
    format!("preserved blocks take {used}, and may take {}{grows}", rule.limit)
}

fn rule_text(rule: &Growth) -> String {
    format!("at {}% by {}, up to {}", rule.grow_at, rule.by, rule.up_to)
}

fn about(told: &CapacityStatus) -> String {
    let (pool, now_ms) = (&told.pool, told.now_ms);
    let room = format!("{} free of {}", size(pool.free_bytes), size(pool.total_bytes));
    let mut parts = vec![sheet(&[
        ("where the pool lies", room),
        ("full", when_full(&pool.forecast, now_ms)),
        ("volumes and views", size(pool.base_bytes)),
        ("preserved for marks", preserved(&told.preserved, now_ms)),
        ("journal", size(pool.journal_bytes)),
        ("reserve", size(pool.reserve_bytes)),
        ("everything else", size(pool.other_bytes)),
    ])];
    parts.push(volume_table(&told.volumes, now_ms));
    let of_preserved = told.preserved.growth.as_ref().map(|growth| ("preserved".into(), growth));
    let of_volumes = told.volumes.iter();
    let of_volumes =
        of_volumes.filter_map(|one| Some((one.name.to_string(), one.growth.as_ref()?)));
    let troubles = of_preserved
        .into_iter()
        .chain(of_volumes)
        .filter_map(|(of, growth)| Some(format!("warning: {of}: {}", growth.trouble.as_ref()?)));
    let troubles: Vec<String> = troubles.collect();
    if !troubles.is_empty() {
        parts.push(troubles.join("\n"));
    }
    parts.join("\n\n")
}

fn preserved(told: &PreservedCapacity, now_ms: u64) -> String {
    let mut text = size(told.used_bytes);
    if let Some(bytes) = told.bytes_per_day {
        text += &format!(", {}", pace(bytes));
    }
    if let Some(limit) = told.limit {
        text += &format!("; limit {limit}, full {}", when_full(&told.forecast, now_ms));
    }
    if let Some(growth) = &told.growth {
        text += &format!("; grows {}", growth_text(growth, now_ms));
    }
    text
}

fn volume_table(volumes: &[VolumeCapacity], now_ms: u64) -> String {
    let columns = [
        words("VOLUME"),
        numbers("SIZE"),
        numbers("USED"),
        numbers("%"),
        numbers("PRESERVED"),
        numbers("MARKS"),
        words("FULL"),
        words("GROWS"),
    ];
    let rows = volumes.iter().map(|volume| {
        let full = volume.forecast.as_ref();
        vec![
            volume.name.to_string(),
            volume.size.to_string(),
            size(volume.allocated_bytes),
            percent(volume.allocated_bytes, volume.size.0),
            size(volume.preserved_bytes),
            volume.marks.to_string(),
            full.map_or("-".to_owned(), |forecast| when_full(forecast, now_ms)),
            grows(volume, now_ms),
        ]
    });
    table(&columns, rows.collect(), "no volumes yet; `volume create NAME --size 4G` makes one")
}

fn grows(volume: &VolumeCapacity, now_ms: u64) -> String {
    match (&volume.growth, &volume.kind) {
        (Some(growth), _) => growth_text(growth, now_ms),
        (None, VolumeKind::Thin) => "by hand".to_owned(),
        (None, VolumeKind::Adopted { .. }) => "-".to_owned(),
    }
}

fn growth_text(growth: &GrowthStatus, now_ms: u64) -> String {
    let GrowthStatus { grow_at, by, up_to, grown_ms, .. } = *growth;
    let last = grown_ms.map(|at| format!(", did {}", when::relative(at, now_ms)));
    format!("{}{}", rule_text(&Growth { grow_at, by, up_to }), last.unwrap_or_default())
}

/// When something is full, in words: the likely day, and the range.
pub(super) fn when_full(forecast: &Forecast, now_ms: u64) -> String {
    let day = |at_ms: Option<u64>| at_ms.map(date);
    match forecast.outlook {
        Outlook::Full => "now".to_owned(),
        Outlook::Never => "never at this rate".to_owned(),
        Outlook::NotEnoughHistory => match forecast.enough_ms {
            Some(at) if at > now_ms => {
                format!("not enough history; {}", when::relative(at, now_ms))
            }
            Some(_) | None => "not enough history".to_owned(),
        },
        Outlook::Fills => {
            let likely = day(forecast.likely_ms).unwrap_or_default();
            let earliest = day(forecast.earliest_ms).unwrap_or_default();
            match day(forecast.latest_ms) {
                Some(latest) if latest == earliest => likely,
                Some(latest) => format!("{likely} ({earliest} to {latest})"),
                None => format!("{likely} ({earliest}, or never)"),
            }
        }
    }
}

fn date(at_ms: u64) -> String {
    when::local(at_ms).chars().take_while(|c| *c != ' ').collect()
}

fn pace(bytes_per_day: i64) -> String {
    let sign = if bytes_per_day < 0 { '-' } else { '+' };
    format!("{sign}{} a day", size(bytes_per_day.unsigned_abs()))
}

fn history(told: &CapacityHistory, now_ms: u64) -> String {
    let columns = [words("WHEN"), numbers("USED"), numbers("OF"), numbers("PRESERVED")];
    let rows = told.points.iter().map(|point| {
        vec![
            time(point.at_ms, now_ms),
            size(point.used_bytes),
            size(point.size_bytes),
            size(point.preserved_bytes),
        ]
    });
    table(&columns, rows.collect(), "nothing was measured yet; look again in a few minutes")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 86_400_000;
    const NOW_MS: u64 = 1_795_600_800_000;

    #[test]
    fn a_forecast_reads_as_the_likely_day_and_its_range() {
        let mut forecast = Forecast {
            outlook: Outlook::Fills,
            earliest_ms: Some(NOW_MS + DAY_MS),
            likely_ms: Some(NOW_MS + 2 * DAY_MS),
            latest_ms: Some(NOW_MS + 5 * DAY_MS),
            ..Forecast::default()
        };
        let [one, two, five] = [1, 2, 5].map(|days| date(NOW_MS + days * DAY_MS));
        assert_eq!(when_full(&forecast, NOW_MS), format!("{two} ({one} to {five})"));
        forecast.latest_ms = None;
        assert_eq!(when_full(&forecast, NOW_MS), format!("{two} ({one}, or never)"));
        forecast.outlook = Outlook::NotEnoughHistory;
        forecast.enough_ms = Some(NOW_MS + 3_600_000);
        assert_eq!(when_full(&forecast, NOW_MS), "not enough history; in 1 h");
        assert_eq!((pace(-(5 << 30)), pace(1 << 20)), ("-5G a day".into(), "+1M a day".into()));
    }
}
