//! Capacity: what is taken, when it will be full, and what grows by itself before it is.
//!
//! `history` keeps what was measured, `forecast` tells from it when something is full, `growth` whether something must
//! grow now: all three are values in, values out; `candidates` is what rules are asked about. `office` holds them for an appliance and `runner` looks once a
//! minute; `kept` has the files, `told` what programs are told.

mod candidates;
pub mod forecast;
pub mod growth;
pub mod history;
mod kept;
mod office;
mod runner;
pub mod told;

pub use office::Capacity;
pub use told::Forecasts;
