//! Reception: the appliance over HTTP and JSON, under `/api/v1`, for the command line and the console.
//!
//! Handlers are thin: they turn a request into a call of the office and its answer into JSON. Nothing
//! else in the house knows HTTP. Errors are problem details (RFC 9457).

#![forbid(unsafe_code)]

pub mod assets;
pub mod certificate;
pub mod extract;
pub mod guard;
mod guests;
pub mod health;
pub mod https;
pub mod inside;
pub mod metrics;
pub mod model;
pub mod once;
pub mod openapi;
pub mod operations;
pub mod paged;
pub mod problem;
pub mod routes;
pub mod server;
pub mod tags;

pub use certificate::Certificates;
pub use https::Https;
pub use inside::Inside;
pub use problem::Problem;
pub use server::serve;
