//! Whether the pool that is there is the one that should be: the disk that it lies on may not be mounted, or be
//! another. Then nothing is made or served in its place unless somebody gives the known one up by its name.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base::id::Id;
use disk::Shelf;
use store::{Pool, PoolOptions, World};

use super::{Inventory, rows};
use crate::catalogue::{Catalogue, on_a_thread};
use crate::error::ControlError;
use crate::inspect::open_shelf;
use crate::state::StateDir;

/// A pool that is given up, with its volumes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ForgottenPool {
    /// That of this identity.
    Known(Id),
    /// The one that was there, where nothing says which it was.
    Unknown,
}

/// Why a text names no pool to give up.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no pool: write the 32 hexadecimal digits by which the daemon told of it, or `unknown`"
)]
pub struct BadForgottenPool(String);

impl FromStr for ForgottenPool {
    type Err = BadForgottenPool;

    fn from_str(text: &str) -> Result<Self, BadForgottenPool> {
        match text {
            "unknown" => Ok(Self::Unknown),
            _ => text.parse().map(Self::Known).map_err(|_| BadForgottenPool(text.to_owned())),
        }
    }
}

impl fmt::Display for ForgottenPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(id) => id.fmt(f),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

impl Inventory {
    /// Opens the pool, and makes it at the first start.
    ///
    /// # Errors
    /// `Conflict` where it is another than was known, or none though there was one; what the store says.
    pub(crate) async fn open_pool(
        &self,
        shelf: Arc<dyn Shelf>,
        options: PoolOptions,
        world: &World,
    ) -> Result<Arc<Pool>, ControlError> {
        let found = Pool::identity(&shelf).await?;
        self.check(found).await?;
        if found.is_none() {
            Pool::create(&shelf, &options, world).await?;
            tracing::info!(dir = %self.dir.pool().display(), "made a new pool");
        }
        Ok(Pool::open(shelf, options, world.clone()).await?)
    }

    /// Whether the pool that was found may be opened, or one be made where there is none.
    ///
    /// # Errors
    /// `Conflict`, naming both.
    async fn check(&self, found: Option<Id>) -> Result<(), ControlError> {
        let Some(expected) = self.expected().await else { return Ok(()) };
        let fits = match (expected, found) {
            (ForgottenPool::Known(known), Some(found)) => known == found,
            (ForgottenPool::Unknown, Some(_)) => true,
            (_, None) => false,
        };
        if fits {
            return Ok(());
        }
        if self.forgotten != Some(expected) {
            return Err(refusal(&self.dir, expected, found));
        }
        tracing::warn!(pool = %expected, found = ?found, "the pool that was known is given up");
        if found.is_some() {
            // What the other knew of itself is not lost with the first copy of this catalogue.
            on_a_thread(&self.catalogue, Catalogue::put_copy_aside).await?;
        }
        Ok(())
    }

    /// The pool that should be there; nothing where there never was one.
    async fn expected(&self) -> Option<ForgottenPool> {
        let read = |catalogue: &Catalogue| catalogue.read(rows::read_pool);
        let known = match on_a_thread(&self.catalogue, read).await {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(%error, "nothing tells which pool this should be");
                None
            }
        };
        let of_the_past = self.has_past.then_some(ForgottenPool::Unknown);
        known.map(ForgottenPool::Known).or(of_the_past)
    }
}

/// Why the pool that was found, or none, is not taken for the one that should be there.
pub(crate) fn refusal(
    state: &StateDir,
    expected: ForgottenPool,
    found: Option<Id>,
) -> ControlError {
    let dir = state.pool().display().to_string();
    let there = match found {
        Some(found) => format!("the one in {dir} is {found}"),
        None => format!("there is none in {dir}"),
    };
    let why = match expected {
        ForgottenPool::Known(id) => format!("this appliance has the pool {id}, and {there}"),
        ForgottenPool::Unknown => format!("this appliance has had a pool, and {there}"),
    };
    let instead = if found.is_some() { "that one" } else { "a new one" };
    let way_out = format!(
        "mount the disk that it lies on, or put it back, and start again; to give it up with all its volumes and begin \
         with {instead}, `tidemarkd --forget-pool {expected}`"
    );
    ControlError::Conflict { why, way_out }
}

/// The pool in a state directory that no daemon uses; nothing where there is none. Changes nothing.
///
/// # Errors
/// `StateInUse` where somebody has it, or what the store says.
pub(crate) async fn pool_at(state: &StateDir) -> Result<Option<Id>, ControlError> {
    let dir = state.pool();
    // Where no pool ever was, opening it would leave a lock there.
    if !dir.join(".lock").exists() {
        return Ok(None);
    }
    Ok(Pool::identity(&open_shelf(&dir)?).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_to_give_up_is_named_as_it_is_told() {
        for pool in [ForgottenPool::Known(Id(7)), ForgottenPool::Unknown] {
            assert_eq!(pool.to_string().parse(), Ok(pool));
        }
        assert!("7".parse::<ForgottenPool>().unwrap_err().to_string().contains("unknown"));
    }
}
