//! Protocol data units: the numbers of the wire, the header they share, what initiators ask and what a
//! target says.

pub mod condition;
pub mod head;
pub mod request;
pub mod response;
pub mod wire;

pub use head::{Head, padding};
