//! The oracle: a plain model of volumes, marks and views in memory, and what drives it beside a pool.
//!
//! The model holds a number for each sector of each image and copies whole images where the store shares
//! them; it has no journal, no index and no order of its own, so it has nothing in common with the store
//! but the meaning of the operations.

pub mod compare;
pub mod model;
pub mod op;
pub mod rig;
