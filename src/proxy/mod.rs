//! The corridor from a request to its answer.

pub mod headers;
pub mod path;
