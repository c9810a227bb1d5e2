//! The journal: one append-only ring of frames per pool, in one total order.
//!
//! Here are its format (`frame`), its arithmetic (`ring`), and reading it back after a crash (`scan`).
//! Who appends and what is done with records is the pool's business.

pub mod frame;
pub mod ring;
pub mod scan;
