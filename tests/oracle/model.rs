//! What a pool must hold.

use std::collections::BTreeMap;

use base::name::Name;

/// Sectors in a block.
pub const BLOCK: u64 = 8;

/// A number for each sector; 0 is a sector of zeroes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Image(pub Vec<u64>);

impl Image {
    /// The first sector that these bytes do not hold.
    pub fn first_difference(&self, bytes: &[u8]) -> Option<usize> {
        self.0.iter().zip(bytes.chunks(512)).position(|(tag, sector)| !fits(*tag, sector))
    }

    fn fill(&mut self, start: u64, sectors: u64, tag: u64) {
        for (index, sector) in (start..start + sectors).enumerate() {
            let tag = if tag == 0 { 0 } else { tag + index as u64 };
            self.0[usize::try_from(sector).unwrap()] = tag;
        }
    }
}

/// The 512 bytes of a sector with this number.
pub fn sector_of(tag: u64) -> Vec<u8> {
    words_of(tag).flat_map(u64::to_le_bytes).collect()
}

fn fits(tag: u64, sector: &[u8]) -> bool {
    let mut words = sector.chunks_exact(8);
    words_of(tag).all(|word| words.next() == Some(word.to_le_bytes().as_slice()))
}

/// Noise for odd numbers, the same over and over for even ones, zeroes for 0.
fn words_of(tag: u64) -> impl Iterator<Item = u64> {
    let noise = |state: u64| {
        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
    };
    let next = move |state: &u64| Some(if tag % 2 == 1 { noise(*state) } else { *state });
    std::iter::successors(Some(tag), next).take(64)
}

/// A volume or view.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Volume {
    /// Its live contents.
    pub live: Image,
    /// Its marks by name.
    pub marks: BTreeMap<Name, Image>,
    /// The mark that a view shows.
    pub parent: Option<(Name, Name)>,
    /// The mark that undoes the last rollback.
    pub safety: Option<Name>,
    /// The number of what a door wants remembered of it.
    pub note: Option<u64>,
}

/// A pool.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Model {
    /// Volumes and views by name.
    pub volumes: BTreeMap<Name, Volume>,
}

impl Model {
    /// A volume of this many sectors.
    pub fn create(&mut self, name: &Name, sectors: u64) {
        let live = Image(vec![0; usize::try_from(sectors).unwrap()]);
        self.volumes.insert(name.clone(), Volume { live, ..Volume::default() });
    }

    /// Numbers each sector of an extent `tag`, `tag + 1`, ...; zeroes where `tag` is 0.
    pub fn write(&mut self, name: &Name, start: u64, sectors: u64, tag: u64) {
        self.volumes.get_mut(name).unwrap().live.fill(start, sectors, tag);
    }

    /// Copies the live contents of these volumes under a name.
    pub fn mark(&mut self, names: &[Name], mark: &Name) {
        for name in names {
            let volume = self.volumes.get_mut(name).unwrap();
            volume.marks.insert(mark.clone(), volume.live.clone());
        }
    }

    /// Makes the live contents those of a mark, and keeps what was there under `safety`.
    pub fn rollback(&mut self, name: &Name, mark: &Name, safety: &Name) {
        let volume = self.volumes.get_mut(name).unwrap();
        volume.marks.insert(safety.clone(), volume.live.clone());
        let mut live = volume.marks[mark].clone();
        live.0.resize(volume.live.0.len(), 0);
        volume.live = live;
        volume.safety = Some(safety.clone());
    }

    /// A view of a mark.
    pub fn view(&mut self, view: &Name, name: &Name, mark: &Name) {
        let live = self.volumes[name].marks[mark].clone();
        let parent = Some((name.clone(), mark.clone()));
        self.volumes.insert(view.clone(), Volume { live, parent, ..Volume::default() });
    }

    /// Whether a view shows this mark.
    pub fn is_viewed(&self, name: &Name, mark: &Name) -> bool {
        let shown = Some((name.clone(), mark.clone()));
        self.volumes.values().any(|volume| volume.parent == shown)
    }
}
