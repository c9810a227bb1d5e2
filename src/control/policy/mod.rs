//! Protection by policy: when marks are taken, which of them stay, and what there will be at a date.
//!
//! `schedule`, `keep`, `fit`, `planner`, `rules`, `preview` and `ledger` are pure: values in, values out. `runner` acts
//! on them, `office` is what may be done to policies, `kept` is where they are, and `taken` where they were once.
//! `desk` holds what is in force, also while the catalogue cannot be used.

mod desk;
mod fit;
pub mod keep;
mod kept;
mod ledger;
mod office;
pub mod planner;
pub mod preview;
mod protection;
pub mod rules;
mod runner;
pub mod runs;
pub mod schedule;
mod taken;

pub use desk::Policies;
pub(crate) use protection::Protection;
