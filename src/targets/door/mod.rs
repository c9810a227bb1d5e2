//! What every door is made of, whatever protocol is spoken there: listening sockets, who may negotiate,
//! replies on their way out, answers on their way back, and counts.

pub mod admission;
pub mod completions;
pub mod limits;
pub mod listener;
pub mod numbers;
pub mod outbox;
pub mod socket;
pub mod tally;

pub use listener::Address;
pub use numbers::SessionNumbers;
