//! The corridor from a request to its answer: the data plane.
//!
//! ```text
//! guard -> route -> headers::outbound -> ReplayBody -> credential::pick -> upstream.send -> verdict: Deliver | Renew(once) -> headers::inbound
//! ```
//!
//! [`handle`] is the corridor itself, read top to bottom; every other file is one step of it, and no step calls another.

pub mod cors;
pub mod error;
pub mod guard;
pub mod headers;
pub mod path;
pub mod replay;
pub mod urls;
pub mod verdict;
