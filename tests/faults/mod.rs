//! What goes wrong short of losing power: bytes that change behind the store's back, requests that fail,
//! a shelf that is full.
//!
//! Short runs are tests of their own here; long ones have their tests in `crash`, where release code runs
//! them, and call in here.

pub mod corruption;
pub mod full;
mod judge;
pub mod nth;
#[cfg(test)]
mod scrub;
