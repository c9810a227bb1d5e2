//! The API as a document for programs: OpenAPI 3.1, made from the types that handlers take and give.
//!
//! Schemas come from the types themselves, in the form in which they are read (bodies) or written
//! (answers). Which types an operation has is told in `told`, its role and command in `operations`.

mod document;
mod told;

pub use document::document;
