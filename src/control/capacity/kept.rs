//! The two files in the state directory: the rules, and the history. Each is replaced whole or not at all.
//!
//! The history does not lie in the catalogue, because that is copied whole into the pool every minute: a file of its
//! own is written once an hour, and at the end. Most values are what they were before, so that only differences are
//! written, a byte each where nothing changed; what a killed daemon measured since the last hour is lost.
//!
//! ```text
//! offset  size  meaning
//! 0       8     magic "TMCAPACT"
//! 8       4     version, 1
//! 12      4     crc32c of what follows, salted
//! 16      4     how many things, then for each:
//!         1       kind: 0 the pool, 1 the journal, 2 a volume
//!         16      id of the volume, else 0
//!         3 x     a tier, finest first: 4 how many points, then for each four differences from the point
//!                 before it, of time, use, size and preserved bytes: zigzag, 7 bits a byte, lowest first
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base::checksum::{self, Kind};
use base::codec::{CodecError, Reader, Writer};
use base::id::Id;
use base::limits::VOLUMES_PER_POOL_MAX;
use base::name::Name;
use base::size::ByteSize;
use serde::{Deserialize, Serialize};

use super::growth::{Growth, PreservedRule};
use super::history::{Point, Series, TIERS, Thing};
use crate::error::ControlError;
use crate::files;

const RULES: &str = "capacity.toml";
const HISTORY: &str = "capacity-history";
const HEADING: &str = "# Kept by tidemarkd. Stop it before you change anything here.\n";
const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"TMCAPACT";
/// Bytes of the file of rules: some 200 for each volume that there can be.
const RULES_LEN_MAX: u64 = 2 << 20;
/// Bytes of the history: a fifth of what all volumes that there can be would fill if every value always changed.
const HISTORY_LEN_MAX: u64 = 128 << 20;

/// What is kept of a volume's rule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct KeptRule {
    /// Of which volume.
    pub id: Id,
    /// What it was called when the rule was set, for who reads the file.
    pub name: Name,
    /// When it last grew by the rule, milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grown_ms: Option<u64>,
    /// The rule.
    pub growth: Growth,
}

/// What is kept of the limit of preserved blocks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct KeptLimit {
    /// When it last grew by its rule, milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grown_ms: Option<u64>,
    /// Bytes that they may take.
    pub limit: ByteSize,
    /// The rule by which that grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth: Option<Growth>,
}

impl KeptLimit {
    /// As it was set.
    pub(super) fn rule(&self) -> PreservedRule {
        PreservedRule { limit: self.limit, growth: self.growth }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Book {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    preserved: Option<KeptLimit>,
    #[serde(default)]
    volumes: Vec<KeptRule>,
}

/// All rules.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct RuleBook {
    pub preserved: Option<KeptLimit>,
    pub volumes: BTreeMap<Id, KeptRule>,
}

/// Where they are.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    dir: PathBuf,
}

impl Kept {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The rules that were kept; none, where there is no file.
    ///
    /// # Errors
    /// `Conflict`, naming the file and what is wrong in it.
    pub(super) fn rules(&self) -> Result<RuleBook, ControlError> {
        let path = self.dir.join(RULES);
        let Some(bytes) = read(&path, RULES_LEN_MAX).map_err(|why| damaged(&path, &why))? else {
            return Ok(RuleBook::default());
        };
        let text = String::from_utf8(bytes).map_err(|error| damaged(&path, &error.to_string()))?;
        let book: Book =
            toml::from_str(&text).map_err(|error| damaged(&path, &error.to_string()))?;
        if book.version != VERSION {
            let why = format!("its version is {}, and this program knows {VERSION}", book.version);
            return Err(damaged(&path, &why));
        }
        if let Some(kept) = &book.preserved {
            kept.rule().check().map_err(|error| damaged(&path, &error.to_string()))?;
        }
        let mut rules = RuleBook { preserved: book.preserved, ..RuleBook::default() };
        for rule in book.volumes {
            rule.growth.check().map_err(|error| damaged(&path, &error.to_string()))?;
            let name = rule.name.clone();
            if rules.volumes.insert(rule.id, rule).is_some() {
                return Err(damaged(&path, &format!("the volume {name} is there twice")));
            }
        }
        Ok(rules)
    }

    /// # Errors
    /// `State`, with what the operating system says; then what was kept before is.
    pub(super) fn save_rules(&self, rules: &RuleBook) -> Result<(), ControlError> {
        let RuleBook { preserved, volumes } = rules.clone();
        let book = Book { version: VERSION, preserved, volumes: volumes.into_values().collect() };
        let path = self.dir.join(RULES);
        let text = toml::to_string(&book).map_err(|error| damaged(&path, &error.to_string()))?;
        write(&path, format!("{HEADING}{text}").as_bytes())
    }

    /// What was measured. History that cannot be read is told in the log and begins anew.
    pub(super) fn history(&self) -> BTreeMap<Thing, Series> {
        let path = self.dir.join(HISTORY);
        let series = read(&path, HISTORY_LEN_MAX).and_then(|bytes| match bytes {
            Some(bytes) => decode(&bytes).map_err(|error| error.to_string()),
            None => Ok(BTreeMap::new()),
        });
        series.unwrap_or_else(|why| {
            tracing::warn!(file = %path.display(), %why, "the history of capacity begins anew");
            BTreeMap::new()
        })
    }

    /// # Errors
    /// `State`, with what the operating system says; then what was kept before is.
    pub(super) fn save_history(&self, bytes: &[u8]) -> Result<(), ControlError> {
        write(&self.dir.join(HISTORY), bytes)
    }
}

/// The history as it is kept.
pub(super) fn encode(history: &BTreeMap<Thing, Series>) -> Vec<u8> {
    let mut body = Writer::new();
    body.u32(u32::try_from(history.len()).unwrap_or(u32::MAX));
    for (thing, series) in history {
        let (kind, id) = match thing {
            Thing::Pool => (0, Id(0)),
            Thing::Journal => (1, Id(0)),
            Thing::Volume(id) => (2, *id),
        };
        body.u8(kind).u128(id.0);
        for tier in &series.tiers {
            body.u32(u32::try_from(tier.len()).unwrap_or(u32::MAX));
            let mut before = Point::default();
            for point in tier {
                for (now, then) in values(point).into_iter().zip(values(&before)) {
                    put_difference(&mut body, now, then);
                }
                before = *point;
            }
        }
    }
    let body = body.into_bytes();
    let mut all = Writer::new();
    all.bytes(MAGIC).u32(VERSION).u32(checksum::of(Kind::CapacityHistory, &body)).bytes(&body);
    all.into_bytes()
}

fn decode(bytes: &[u8]) -> Result<BTreeMap<Thing, Series>, CodecError> {
    let invalid = |field, value| CodecError::Invalid { field, value };
    let mut reader = Reader::new(bytes);
    if reader.bytes(MAGIC.len())? != MAGIC {
        return Err(invalid("magic", 0));
    }
    let version = reader.u32()?;
    if version != VERSION {
        return Err(invalid("version", version.into()));
    }
    let sum = reader.u32()?;
    if checksum::of(Kind::CapacityHistory, &bytes[bytes.len() - reader.left()..]) != sum {
        return Err(invalid("checksum", sum.into()));
    }
    let things = reader.u32()?;
    if things as usize > VOLUMES_PER_POOL_MAX + 2 {
        return Err(invalid("things", things.into()));
    }
    let mut all = BTreeMap::new();
    for _ in 0..things {
        let (kind, id) = (reader.u8()?, Id(reader.u128()?));
        let thing = match kind {
            0 => Thing::Pool,
            1 => Thing::Journal,
            2 => Thing::Volume(id),
            _ => return Err(invalid("kind", kind.into())),
        };
        let mut series = Series::default();
        for (tier, (_, most)) in series.tiers.iter_mut().zip(TIERS) {
            let count = reader.u32()?;
            if count as usize > most {
                return Err(invalid("points", count.into()));
            }
            let mut before = [0; 4];
            for _ in 0..count {
                let mut now = [0; 4];
                for (now, before) in now.iter_mut().zip(before) {
                    *now = take_difference(&mut reader, before)?;
                }
                let [at_ms, used_bytes, size_bytes, preserved_bytes] = now;
                if tier.back().is_some_and(|last: &Point| last.at_ms >= at_ms) {
                    return Err(invalid("time", at_ms));
                }
                tier.push_back(Point { at_ms, used_bytes, size_bytes, preserved_bytes });
                before = now;
            }
        }
        all.insert(thing, series);
    }
    match reader.left() {
        0 => Ok(all),
        left => Err(invalid("length", left as u64)),
    }
}

fn values(point: &Point) -> [u64; 4] {
    [point.at_ms, point.used_bytes, point.size_bytes, point.preserved_bytes]
}

fn put_difference(writer: &mut Writer, now: u64, before: u64) {
    let difference = now.wrapping_sub(before).cast_signed();
    let mut rest = ((difference << 1) ^ (difference >> 63)).cast_unsigned();
    loop {
        let [low, ..] = (rest & 0x7f).to_le_bytes();
        rest >>= 7;
        writer.u8(if rest == 0 { low } else { low | 0x80 });
        if rest == 0 {
            return;
        }
    }
}

fn take_difference(reader: &mut Reader<'_>, before: u64) -> Result<u64, CodecError> {
    let mut folded = 0u64;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = reader.u8()?;
        let part = u64::from(byte & 0x7f);
        if part << shift >> shift != part {
            return Err(CodecError::Invalid { field: "difference", value: byte.into() });
        }
        folded |= part << shift;
        if byte & 0x80 == 0 {
            let difference = (folded >> 1) ^ (folded & 1).wrapping_neg();
            return Ok(before.wrapping_add(difference));
        }
    }
    Err(CodecError::Invalid { field: "difference", value: folded })
}

fn read(path: &Path, len_max: u64) -> Result<Option<Vec<u8>>, String> {
    match fs::metadata(path) {
        Ok(found) if found.len() > len_max => {
            Err("it is too long to be what tidemarkd wrote".into())
        }
        Ok(_) => fs::read(path).map(Some).map_err(|error| error.to_string()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ControlError> {
    files::replace(path, bytes)
        .map_err(|error| ControlError::state(format!("write {}", path.display()), &error))
}

fn damaged(path: &Path, why: &str) -> ControlError {
    ControlError::Conflict {
        why: format!("{}: {}", path.display(), why.trim_end()),
        way_out: "correct it, or move it away and set rules anew; then restart tidemarkd".into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(id: u128, name: &str) -> KeptRule {
        let growth = Growth { grow_at: 85, by: ByteSize(1 << 30), up_to: ByteSize(1 << 40) };
        KeptRule { id: Id(id), name: name.parse().unwrap(), grown_ms: Some(5), growth }
    }

    #[test]
    fn rules_are_read_back_and_damage_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let kept = Kept::new(temp.path());
        assert_eq!(kept.rules().unwrap(), RuleBook::default());
        let volumes = BTreeMap::from([(Id(1), rule(1, "mail")), (Id(2), rule(2, "logs"))]);
        let growth = Some(rule(1, "mail").growth);
        let preserved = Some(KeptLimit { grown_ms: None, limit: ByteSize(1 << 30), growth });
        for rules in [
            RuleBook { preserved, volumes: volumes.clone() },
            RuleBook { preserved: None, volumes },
        ] {
            kept.save_rules(&rules).unwrap();
            assert_eq!(kept.rules().unwrap(), rules);
        }
        let path = temp.path().join(RULES);
        let text = fs::read_to_string(&path).unwrap();
        let same_id = text.replace(&Id(2).to_string(), &Id(1).to_string());
        for text in [same_id.as_str(), "version = 2", "=", &text.replace("85", "850")] {
            fs::write(&path, text).unwrap();
            let error = kept.rules().unwrap_err();
            assert!(error.to_string().contains(RULES), "{error}");
            assert!(error.way_out().unwrap().contains("restart"));
        }
    }

    #[test]
    fn damaged_history_begins_anew_and_stops_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let kept = Kept::new(temp.path());
        let mut series = Series::default();
        series.add(Point { at_ms: 9_000_000, used_bytes: 5, size_bytes: 6, preserved_bytes: 7 });
        let history = BTreeMap::from([(Thing::Pool, series)]);
        let bytes = encode(&history);
        kept.save_history(&bytes).unwrap();
        assert_eq!(kept.history(), history);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            kept.save_history(&damaged).unwrap();
            assert!(kept.history().is_empty(), "byte {at}");
            kept.save_history(&bytes[..at]).unwrap();
            assert!(kept.history().is_empty(), "cut at {at}");
        }
    }

    proptest! {
        #[test]
        fn history_reads_back_as_it_was(
            points in prop::collection::vec((1..1_000_000_000u64, any::<[u64; 3]>()), 0..200), id: u128,
        ) {
            let mut series = Series::default();
            let mut at_ms = 0;
            for (step, [used_bytes, size_bytes, preserved_bytes]) in points {
                at_ms += step;
                series.add(Point { at_ms, used_bytes, size_bytes, preserved_bytes });
            }
            let history = BTreeMap::from([
                (Thing::Pool, Series::default()),
                (Thing::Journal, series.clone()),
                (Thing::Volume(Id(id)), series),
            ]);
            prop_assert_eq!(decode(&encode(&history)).unwrap(), history);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut all = Writer::new();
            all.bytes(MAGIC).u32(VERSION).u32(checksum::of(Kind::CapacityHistory, &bytes)).bytes(&bytes);
            let _ = decode(&all.into_bytes());
            let _ = decode(&bytes);
        }
    }
}
