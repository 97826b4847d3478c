//! What the upstream is told to do with a request.

use std::{fmt, time::Duration};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Order {
    #[default]
    Serve,
    /// This status, with a body of the upstream's own.
    Status(u16),
    /// Serve, and begin so late.
    Slow(Duration),
    /// The token is worth nothing from now on; the next one is.
    Unauthorized,
    /// The connection is reset in place of an answer.
    Reset,
    /// The connection is reset in the middle of the body.
    CutBody,
    /// A body of so many bytes.
    Body(u64),
    /// A body without an end, as fast as the other side takes it.
    Flood,
}

// === impl Order ===

impl Order {
    /// As it stands in the request's field; whatever else stands there is served.
    pub(crate) fn of(text: &str) -> Self {
        let (word, number) = text.split_once('=').unwrap_or((text, ""));
        let number = || number.parse::<u64>().unwrap_or_default();
        match word {
            "status" => Self::Status(u16::try_from(number()).unwrap_or(500)),
            "slow" => Self::Slow(Duration::from_millis(number())),
            "unauthorized" => Self::Unauthorized,
            "reset" => Self::Reset,
            "cut-body" => Self::CutBody,
            "body" => Self::Body(number()),
            "flood" => Self::Flood,
            _ => Self::Serve,
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serve => f.write_str("serve"),
            Self::Status(status) => write!(f, "status={status}"),
            Self::Slow(time) => write!(f, "slow={}", time.as_millis()),
            Self::Unauthorized => f.write_str("unauthorized"),
            Self::Reset => f.write_str("reset"),
            Self::CutBody => f.write_str("cut-body"),
            Self::Body(length) => write!(f, "body={length}"),
            Self::Flood => f.write_str("flood"),
        }
    }
}
