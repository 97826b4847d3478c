//! The corridor from a request to its answer.

pub mod cors;
pub mod guard;
pub mod headers;
pub mod path;
pub mod urls;
