//! The corridor from a request to its answer: the data plane.
//!
//! ```text
//! guard -> route -> headers::outbound -> ReplayBody -> credential::pick -> upstream.send -> verdict: Deliver | Renew(once) -> headers::inbound
//! ```
//!
//! [`handle`] is the corridor itself, read top to bottom, and `exchange` its far end, where a 401 may send a request
//! around once more; every other file is one step, and no step calls another.

mod body;
mod busy;
pub mod challenge;
pub mod chunked;
pub mod cors;
pub mod error;
mod exchange;
mod facts;
pub mod guard;
pub mod handle;
pub mod headers;
pub mod path;
mod proxy_status;
pub mod replay;
mod route;
mod shown;
pub mod upstream;
pub mod urls;
pub mod verdict;

pub use body::ResponseBody;
pub use facts::Facts;
pub use handle::{Caller, Corridor, Failure, Settings};
