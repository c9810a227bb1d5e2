//! What is told of capacity. Field names are part of the API and stay.

use std::collections::BTreeMap;

use base::name::Name;
use base::size::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::VolumeKind;

use super::forecast::Forecast;
use super::growth::Growth;
use super::history::Point;

/// Everything about capacity now.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CapacityStatus {
    /// When this was, milliseconds since 1970.
    pub now_ms: u64,
    /// The file system where the pool lies.
    pub pool: PoolCapacity,
    /// What preserved blocks take, all volumes together.
    pub preserved: PreservedCapacity,
    /// The volumes, by name.
    pub volumes: Vec<VolumeCapacity>,
}

/// The file system where the pool lies, and what takes its room.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PoolCapacity {
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes that can still be taken.
    pub free_bytes: u64,
    /// Bytes that thin volumes and views hold.
    pub base_bytes: u64,
    /// Bytes that preserved blocks take.
    pub preserved_bytes: u64,
    /// Bytes of the journal.
    pub journal_bytes: u64,
    /// Bytes set aside so that copies in flight always finish.
    pub reserve_bytes: u64,
    /// Bytes that something else takes: the pool's own tables, and what does not belong to it.
    pub other_bytes: u64,
    /// When it is full.
    pub forecast: Forecast,
}

/// What preserved blocks take, all volumes together.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PreservedCapacity {
    /// Bytes that they take.
    pub used_bytes: u64,
    /// Bytes that they can take: up to their limit, and no more than there is room for.
    pub size_bytes: u64,
    /// Their limit; none for as much as there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<ByteSize>,
    /// The rule by which the limit grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth: Option<GrowthStatus>,
    /// How many bytes a day they take more; none without enough history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_day: Option<i64>,
    /// When there is no room for more.
    pub forecast: Forecast,
}

/// A volume.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct VolumeCapacity {
    /// Its name.
    pub name: Name,
    /// What its base is.
    #[serde(flatten)]
    pub kind: VolumeKind,
    /// Its size.
    pub size: ByteSize,
    /// Bytes of its base that hold something.
    pub allocated_bytes: u64,
    /// Bytes that its preserved blocks take.
    pub preserved_bytes: u64,
    /// How many bytes a day its preserved blocks take more; none without enough history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preserved_bytes_per_day: Option<i64>,
    /// How many marks it has.
    pub marks: usize,
    /// When all of a thin volume is allocated. An adopted disk has all of its room already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
    /// The rule by which it grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth: Option<GrowthStatus>,
}

/// A rule, and what came of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct GrowthStatus {
    /// From how many percent in use on.
    pub grow_at: u8,
    /// Bytes of each step.
    pub by: ByteSize,
    /// Bytes that it never exceeds.
    pub up_to: ByteSize,
    /// When it last grew by it, milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grown_ms: Option<u64>,
    /// Why it does not grow though it should, and the way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl GrowthStatus {
    pub(super) fn of(rule: Growth, grown_ms: Option<u64>, trouble: Option<String>) -> Self {
        let Growth { grow_at, by, up_to } = rule;
        Self { grow_at, by, up_to, grown_ms, trouble }
    }
}

/// What was measured of something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CapacityHistory {
    /// The points, oldest first: those that lie further back further apart.
    pub points: Vec<Point>,
}

/// When each thing is full, for whoever must warn in time.
#[derive(Clone, PartialEq, Debug)]
pub struct Forecasts {
    /// When this was, milliseconds since 1970.
    pub now_ms: u64,
    /// The file system where the pool lies.
    pub pool: Forecast,
    /// The room for preserved blocks.
    pub preserved: Forecast,
    /// Each thin volume.
    pub volumes: BTreeMap<Name, Forecast>,
}

impl Forecasts {
    /// Each thing with the days until it is likely full, the soonest first: `pool`, `preserved store`, `volume NAME`.
    /// Infinite where it never is at this rate; things without enough history are left out.
    pub fn days_to_full(&self) -> Vec<(String, f64)> {
        let volumes = self.volumes.iter().map(|(name, one)| (format!("volume {name}"), one));
        let pool =
            [("pool".to_owned(), &self.pool), ("preserved store".to_owned(), &self.preserved)];
        let all = pool.into_iter().chain(volumes);
        let mut known: Vec<_> = all
            .filter_map(|(of, forecast)| Some((of, forecast.days_to_full(self.now_ms)?)))
            .collect();
        known.sort_by(|a, b| a.1.total_cmp(&b.1));
        known
    }
}
