//! The requests, and what their answers have to be.

use serde::{Deserialize, Serialize};

pub(crate) const MEBIBYTE: u64 = 1024 * 1024;

/// What bodies of requests are made of.
static PIECE: [u8; 65536] = [b'x'; 65536];

/// A request that a load generator sends again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Work {
    /// A GET that is answered with 1 KiB.
    Get,
    /// A POST with 4 KiB, of a tenant with an OAuth grant: the sidecar keeps the body, to send it again after a 401.
    Post,
    /// A GET that is answered with 64 MiB.
    Download,
    /// A POST with 64 MiB.
    Upload,
}

/// Somebody with a credential.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tenant {
    pub(crate) name: &'static str,
    /// A word of the contract's: the kind of credential.
    pub(crate) kind: &'static str,
    pub(crate) token: &'static str,
}

/// With a personal access token.
pub(crate) const STUDIO: Tenant =
    Tenant { name: "studio", kind: "pat", token: "flx_pat_0123456789abcdef0123456789abcdef01234567" };

/// With an OAuth grant.
pub(crate) const PLAYER: Tenant = Tenant {
    name: "player",
    kind: "oauth",
    token: "flx_at_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
};

// === impl Tenant ===

impl Tenant {
    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }
}

// === impl Work ===

impl Work {
    pub(crate) fn tenant(self) -> Tenant {
        match self {
            Self::Get | Self::Download => STUDIO,
            Self::Post | Self::Upload => PLAYER,
        }
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Get => "/api/public/v1/decks/0190c2f4-7b1e-7c3a-9d52-6f1e8a4b2c10",
            Self::Post => "/api/public/v1/decks",
            Self::Download => "/api/public/v1/exports/64m",
            Self::Upload => "/api/public/v1/decks/import",
        }
    }

    /// Bytes of the request's body.
    pub(crate) fn sends(self) -> u64 {
        match self {
            Self::Get | Self::Download => 0,
            Self::Post => 4096,
            Self::Upload => 64 * MEBIBYTE,
        }
    }

    /// Bytes of the answer's body.
    pub(crate) fn receives(self) -> u64 {
        match self {
            Self::Get => 1024,
            Self::Post | Self::Upload => 17,
            Self::Download => 64 * MEBIBYTE,
        }
    }

    /// The request's head. Behind a relay, which adds nothing, it brings its credential along.
    pub(crate) fn head(self, authorized: bool) -> String {
        let (method, body) = match self.sends() {
            0 => ("GET", String::new()),
            length => ("POST", format!("content-type: application/json\r\ncontent-length: {length}\r\n")),
        };
        let tenant = self.tenant();
        let authorization = match authorized {
            true => format!("authorization: {}\r\n", tenant.authorization()),
            false => String::new(),
        };
        format!(
            "{method} {} HTTP/1.1\r\nhost: localhost\r\nuser-agent: compare/1\r\naccept: application/json\r\n\
             accept-encoding: gzip\r\nx-flexslot-tenant: {}\r\ncookie: session=0123456789abcdef\r\n\
             traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n{authorization}{body}\r\n",
            self.path(),
            tenant.name,
        )
    }
}

/// The part of an endless row of pieces that begins at `offset`, up to the end of a piece or to `end`.
pub(crate) fn piece(offset: u64, end: u64) -> &'static [u8] {
    let from = usize::try_from(offset % PIECE.len() as u64).unwrap_or(0);
    let left = usize::try_from(end - offset).unwrap_or(usize::MAX);
    &PIECE[from..PIECE.len().min(from.saturating_add(left))]
}
