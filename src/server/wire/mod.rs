//! The strict reader of HTTP/1.1 framing (RFC 9112) that sits between the socket and hyper.
//!
//! hyper is a tolerant reader: it drops a `Content-Length` beside `Transfer-Encoding`, takes a bare LF for a line's end
//! and forgets a fragment. A proxy must not be: what two readers can frame in two ways is how requests are smuggled. So
//! every byte passes the [`Judge`] first. A head is held back until it is complete and good; a body is followed to its
//! end, so that the next head begins where hyper will look for it.
//!
//! A head that is refused is replaced by a minimal request whose number in the connection is noted in [`WireState`].
//! The service answers that number with the [`Refusal`]'s status, in its turn after the answers to earlier pipelined
//! requests, and the connection closes.
//!
//! `Upgrade` is taken out of a head and given back to the service beside hyper: a connection on which hyper saw one is
//! ended without a flush, even where nothing was upgraded, and the end of its last answer is lost.

mod body;
mod detect;
mod fields;
mod guard;
mod head;
mod judge;
mod state;
mod timer;

use std::time::Duration;

use http::StatusCode;

pub use detect::{Detected, Protocol, Rewound, detect};
pub use guard::WireGuard;
pub use judge::{Judge, Progress};
pub use state::{Answering, Idle, WireState};
pub(in crate::server) use state::{Begun, Unsent};

/// The longest request target in bytes; what `http::Uri` can hold.
pub const MAX_TARGET: usize = u16::MAX as usize - 1;

/// The most header fields that a head or a trailer section may have; hyper's own limit.
pub const MAX_FIELDS: usize = 100;

/// What a connection may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireLimits {
    /// All header fields of a request together, in bytes; trailer fields likewise.
    pub header_size: usize,
    /// From the first byte of a head to its end, and until the first byte of a new connection. In HTTP/2, from the
    /// preface to the end of the first head.
    pub header_timeout: Duration,
    /// Between an answer and the next request.
    pub keep_alive_timeout: Duration,
    /// How long the client may take no byte of an answer; in HTTP/2, of any of its answers.
    pub write_timeout: Duration,
}

/// Why a request is not read any further. Handed to the service as a request extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not HTTP/1.x, or framed so that another reader could see another request: bare 400.
    Malformed,
    /// The head did not end within `header_timeout`: bare 408.
    Late,
    /// Bare 414.
    TargetTooLong,
    /// More header fields, or longer ones, than are taken: bare 431.
    FieldsTooLarge,
    /// A raw fragment in the target: 400 `path_invalid`.
    Fragment,
}

// === impl Refusal ===

impl Refusal {
    /// The status of the answer.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Malformed | Self::Fragment => StatusCode::BAD_REQUEST,
            Self::Late => StatusCode::REQUEST_TIMEOUT,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::FieldsTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        }
    }
}

#[cfg(test)]
pub(in crate::server) mod tests;
