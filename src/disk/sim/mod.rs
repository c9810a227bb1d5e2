//! The simulated disk: a machine whose power can be cut at any step, and whose disks lie, rot and fail.
//!
//! A [`SimWorld`] is one machine. Its [`SimShelf`] holds disks that keep the contract to the letter and
//! no further: what was flushed is there after the power came back; of everything else each sector is
//! there or not. Every change and every flush on any of its disks, and every change of the shelf, is a
//! *step*. A test runs its work once to learn how many steps it takes ([`SimWorld::steps`]), then once
//! more for each of them with [`SimWorld::cut_at`], and opens what [`SimWorld::after_power_loss`] leaves.
//!
//! # What the power takes
//!
//! The step at which the power goes is in flight: it may have happened, or a part of it. Of all changes
//! that no flush covers each is kept, lost, or torn at a sector; overlapping ones may have reached the
//! medium in either order. A [`Loss`] says which. A flush covers what was *answered before it was handed
//! down*, so a write in the same batch as a flush is not covered by it. Killing the process
//! ([`SimWorld::after_kill`]) loses nothing that was answered, but what was not flushed stays unflushed.
//!
//! # Use
//!
//! ```
//! use disk::sim::{Loss, SimWorld};
//! use disk::{Shelf, Usage};
//!
//! let work = |world: &SimWorld| world.shelf().create("journal", 2048, Usage::Log).map(drop);
//! let whole = SimWorld::new(1);
//! work(&whole).unwrap();
//! for step in 0..whole.steps() {
//!     let world = SimWorld::new(1);
//!     world.cut_at(step);
//!     assert!(work(&world).is_err());
//!     for seed in 0..4 {
//!         let after = world.after_power_loss(Loss::Seeded(seed));
//!         assert!(after.shelf().list().unwrap().len() <= 1, "{}", world.trace());
//!     }
//! }
//! ```
//!
//! # Chance
//!
//! Everything follows from the seeds that were given and from the order of the calls. There are no
//! threads and no clocks in here.

#[cfg(test)]
mod chance_tests;
mod change;
mod fault;
mod loss;
mod machine;
mod medium;
mod shelf;
#[cfg(test)]
mod tests;
mod trace;
mod world;

pub use fault::{Fault, OpKind, What};
pub use loss::Loss;
pub use shelf::{SimDisk, SimShelf};
pub use world::{Answering, SimWorld};
