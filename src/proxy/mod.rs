//! The corridor from a request to its answer: the data plane.

pub mod error;
pub mod headers;
pub mod path;
pub mod replay;
pub mod verdict;
