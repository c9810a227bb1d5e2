//! Reading preserved blocks back: neighbours in one request, everything at once, each through its sum.

use std::collections::BTreeMap;

use base::units::Extent;
use disk::{Answer, AnyDisk, Buffer, DiskError, Done, Op, Payload, Reply, Request};
use tokio::sync::oneshot::Receiver;

use super::chunk::CHUNK_SECTORS_MAX;
use super::error::StoreReadError;
use super::extent;
use super::place::{Key, Place};
use super::store::PreservedStore;

/// Sectors between two extents that are read along rather than asked for apart: two heads.
const GAP_SECTORS_MAX: u32 = 16;

/// Extents of one segment that are read at once.
struct Group {
    start: u32,
    end: u32,
    /// Which of those wanted.
    members: Vec<usize>,
}

impl PreservedStore {
    /// Reads one preserved block.
    ///
    /// # Errors
    /// `Damaged` where it is not what was preserved, `Disk` where it cannot be read.
    pub(crate) async fn read(&self, key: Key, place: Place) -> Result<Payload, StoreReadError> {
        let stored = match place.sectors {
            0 => Buffer::zeroed(0),
            sectors => match self.handles.get(place.segment) {
                Ok(disk) => disk.read(extent_of(place.sector, u32::from(sectors))).await,
                Err(error) => Err(error),
            },
        };
        self.decode((key, place), stored.map(Buffer::freeze))
    }

    /// Reads many preserved blocks; the answers come in the order of the asking. One that is damaged
    /// does not hide the others.
    pub(crate) async fn read_many(
        &self,
        wanted: &[(Key, Place)],
    ) -> Vec<Result<Payload, StoreReadError>> {
        let mut answers: Vec<Option<Result<Payload, StoreReadError>>> = Vec::new();
        answers.resize_with(wanted.len(), || None);
        for (group, answer) in self.ask(wanted) {
            let read = match answer.await.unwrap_or(Err(DiskError::Closed)) {
                Ok(Done::Read(buffer)) => Ok(buffer.freeze()),
                Ok(_) => Err(DiskError::Closed),
                Err(error) => Err(error),
            };
            for member in &group.members {
                let (key, place) = wanted[*member];
                answers[*member] = Some(match &read {
                    Ok(all) => {
                        let offset = u64::from(place.sector - group.start);
                        self.decode((key, place), Ok(all.slice(offset, u64::from(place.sectors))))
                    }
                    // Alone, so that only what is damaged fails.
                    Err(_) if group.members.len() > 1 => self.read(key, place).await,
                    Err(error) => self.decode((key, place), Err(error.clone())),
                });
            }
        }
        let mut all = Vec::with_capacity(wanted.len());
        for ((key, place), answer) in wanted.iter().zip(answers) {
            all.push(match answer {
                Some(answer) => answer,
                None => self.read(*key, *place).await,
            });
        }
        all
    }

    /// Hands all requests down, those of a segment as one batch. What is not asked for here is a flag,
    /// or lies in a segment that cannot be opened.
    fn ask(&self, wanted: &[(Key, Place)]) -> Vec<(Group, Receiver<Answer>)> {
        let mut asked = Vec::new();
        for (segment, groups) in group(wanted) {
            let Ok(disk) = self.handles.get(segment) else { continue };
            let mut batch = Vec::with_capacity(groups.len());
            for group in groups {
                let extent = extent_of(group.start, group.end - group.start);
                let Ok(buffer) = Buffer::for_sectors(extent.sectors) else { continue };
                let (reply, answer) = Reply::one();
                batch.push(Request { op: Op::Read { start: extent.start, buffer }, reply });
                asked.push((group, answer));
            }
            AnyDisk::as_ref(&disk).submit(batch);
        }
        asked
    }

    fn decode(
        &self,
        (key, place): (Key, Place),
        stored: Result<Payload, DiskError>,
    ) -> Result<Payload, StoreReadError> {
        let Key { block, sequence } = key;
        let stored = stored.map_err(|source| StoreReadError::Disk { block, sequence, source })?;
        extent::decode(self.volume, (key, place), stored).map_err(|why| {
            let Place { segment, sector, .. } = place;
            StoreReadError::Damaged { block, sequence, segment, sector, why }
        })
    }
}

fn extent_of(start: u32, sectors: u32) -> Extent {
    Extent::new(u64::from(start), u64::from(sectors))
}

/// Neighbours joined, by segment.
fn group(wanted: &[(Key, Place)]) -> BTreeMap<u32, Vec<Group>> {
    let mut order: Vec<usize> = (0..wanted.len()).filter(|i| wanted[*i].1.sectors > 0).collect();
    order.sort_by_key(|index| (wanted[*index].1.segment, wanted[*index].1.sector));
    let mut groups: BTreeMap<u32, Vec<Group>> = BTreeMap::new();
    for index in order {
        let place = wanted[index].1;
        let (start, end) = (place.sector, place.sector.saturating_add(u32::from(place.sectors)));
        let of_segment = groups.entry(place.segment).or_default();
        match of_segment.last_mut() {
            Some(group)
                if start <= group.end.saturating_add(GAP_SECTORS_MAX)
                    && end - group.start <= CHUNK_SECTORS_MAX =>
            {
                group.end = group.end.max(end);
                group.members.push(index);
            }
            _ => of_segment.push(Group { start, end, members: vec![index] }),
        }
    }
    groups
}
