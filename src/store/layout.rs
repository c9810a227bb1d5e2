//! Which parts of an image are data, zero or absent.

use base::units::{Extent, Run, SECTORS_PER_BLOCK};
use disk::{DiskError, MapExtent, MapKind};

use crate::event::Kind;
use crate::image::{Part, Point};
use crate::pool::Pool;

/// Blocks that one answer covers at most: bounds its memory and the time it takes.
const BLOCKS_MAX: u64 = 32 * 1024;

impl Pool {
    /// The parts of `extent` of an image, from its start on without gaps; possibly not to its end.
    ///
    /// # Errors
    /// `Closed` where the image is gone; what the disks say.
    pub(crate) async fn map_extent(
        &self,
        number: u32,
        point: Point,
        extent: Extent,
    ) -> Result<Vec<MapExtent>, DiskError> {
        if extent.is_empty() {
            return Ok(Vec::new());
        }
        let cover = extent.cover();
        if let Some(run) = self.untouched(number, point, cover).await? {
            let extent = run.extent().intersect(extent);
            return Ok(vec![MapExtent { extent, kind: MapKind::Absent }]);
        }
        let run = Run::new(cover.start, cover.blocks.min(BLOCKS_MAX));
        let mut out: Vec<MapExtent> = Vec::new();
        for (part, source) in self.parts(number, point, run).await? {
            for (part, kind) in self.kinds(part, &source).await? {
                let clipped = part.extent().intersect(extent);
                match out.last_mut() {
                    Some(last) if last.kind == kind && last.extent.end() == clipped.start => {
                        last.extent.sectors += clipped.sectors;
                    }
                    _ => out.push(MapExtent { extent: clipped, kind }),
                }
            }
        }
        Ok(out)
    }

    async fn kinds(&self, run: Run, source: &Part) -> Result<Vec<(Run, MapKind)>, DiskError> {
        Ok(match source {
            Part::Zero(false) | Part::Absent => vec![(run, MapKind::Absent)],
            Part::Zero(true) => vec![(run, MapKind::Zero)],
            Part::Base(_) | Part::Journal(_) => vec![(run, MapKind::Data)],
            Part::Preserved(places) => places
                .iter()
                .map(|(key, place)| {
                    let is_zero = place.form == crate::preserved::Form::Zero;
                    let kind = if is_zero { MapKind::Zero } else { MapKind::Data };
                    (Run::new(key.block, 1), kind)
                })
                .collect(),
            Part::Other(number, point) => self.kinds_of_other(*number, *point, run).await?,
        })
    }

    async fn kinds_of_other(
        &self,
        number: u32,
        point: Point,
        run: Run,
    ) -> Result<Vec<(Run, MapKind)>, DiskError> {
        let blocks = self.image_blocks(number, point)?;
        let mut out = Vec::new();
        let mut at = run.start;
        let end = run.end().min(blocks);
        while at < end {
            let extent = Run::new(at, end - at).extent();
            let there = Box::pin(self.map_extent(number, point, extent)).await?;
            for piece in there {
                let run = piece.extent.cover();
                out.push((run, piece.kind));
                at = at.max(run.end());
            }
        }
        if run.end() > end.max(run.start) {
            let from = end.max(run.start);
            out.push((Run::new(from, run.end() - from), MapKind::Absent));
        }
        Ok(out)
    }

    /// The blocks from the start of `run` on of which a thin volume knows nothing at all, where those are
    /// many: a hole in its checksum table. Saves a walk through the table of a large empty volume.
    async fn untouched(
        &self,
        number: u32,
        point: Point,
        run: Run,
    ) -> Result<Option<Run>, DiskError> {
        if run.blocks <= BLOCKS_MAX {
            return Ok(None);
        }
        let volume = {
            let core = self.lock();
            let entry = core.registry.get(number).ok_or(DiskError::Closed)?;
            let live = core.volumes.get(&number).ok_or(DiskError::Closed)?;
            let is_plain = entry.kind == Kind::Thin && entry.copying_rollback().is_none();
            if !is_plain || !matches!(point, Point::Live) || !live.dirty.is_empty() {
                return Ok(None);
            }
            std::sync::Arc::clone(&live.volume)
        };
        let hole = volume.sums.hole_from(run.start).await?;
        let hole = Run::new(run.start, hole.min(run.blocks));
        debug_assert!(hole.extent().sectors.is_multiple_of(SECTORS_PER_BLOCK));
        Ok((hole.blocks > 0).then_some(hole))
    }
}
