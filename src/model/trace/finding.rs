//! What was found of a tenant's credentials when one of them was picked for a request.

use std::fmt;

use crate::model::{
    CredentialKind, PatSource, Scope, Version,
    observe::FallbackCause,
    refresh::FailureClass,
    token::{DisconnectReason, Freshness},
};

/// One kind of credential that was considered for a request, and what became of it. No secret is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    OAuth(GrantFinding),
    Pat(PatFinding),
}

/// Why a grant was taken or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantFinding {
    /// The best there is, as far as its freshness lets it be sent.
    Taken(Pair),
    /// It lacks the scope, and nothing else may be used: Flexslot judges.
    TakenWithoutScope(Scope, Pair),
    LacksScope(Scope),
    /// There is none, and was none.
    NeverConnected,
    Ended(DisconnectReason),
    /// It belongs to another origin than the upstream.
    OtherOrigin,
    /// It was given to an OAuth client that is not configured.
    OtherClient,
    /// Its tokens are bound to a key (RFC 9449), which cannot be presented.
    Bound,
    /// Its access token cannot stand in a header.
    Malformed,
    /// Its token has expired or was refused, and could not be refreshed for this request.
    NotRefreshed(FailureClass),
    /// The path takes a PAT only.
    PatOnlyPath,
    /// The tenant's `credentials` do not list it.
    NotListed,
}

/// Why a PAT was taken or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatFinding {
    Taken(PatSource),
    /// Taken in place of a grant.
    StandsIn(PatSource, FallbackCause),
    Absent,
    /// Flexslot has refused it three times in a row.
    Rejected(PatSource),
    /// It belongs to another origin than the upstream.
    OtherOrigin,
    /// It has characters that cannot stand in a header.
    Malformed,
    /// There is, or was, a grant, and the tenant's `pat_fallback` does not let the PAT stand in for it.
    NotAllowed,
    /// The tenant's `credentials` do not list it.
    NotListed,
}

/// Which tokens of a grant were found, and how fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    pub version: Version,
    pub freshness: Freshness,
}

/// What one decision looked at, in its order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Considered {
    findings: [Option<Finding>; MOST],
}

/// Both kinds, and the grant once more where it is taken for want of anything better.
const MOST: usize = 3;

// === impl Finding ===

impl Finding {
    /// Which kind was considered.
    pub const fn kind(self) -> CredentialKind {
        match self {
            Self::OAuth(_) => CredentialKind::OAuth,
            Self::Pat(_) => CredentialKind::Pat,
        }
    }

    /// The word in the API.
    pub const fn code(self) -> &'static str {
        match self {
            Self::OAuth(finding) => finding.code(),
            Self::Pat(finding) => finding.code(),
        }
    }

    /// The tokens that were taken, if any were.
    pub const fn pair(self) -> Option<Pair> {
        match self {
            Self::OAuth(GrantFinding::Taken(pair) | GrantFinding::TakenWithoutScope(_, pair)) => Some(pair),
            Self::OAuth(_) | Self::Pat(_) => None,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OAuth(finding) => finding.fmt(f),
            Self::Pat(finding) => finding.fmt(f),
        }
    }
}

// === impl GrantFinding ===

impl GrantFinding {
    const fn code(self) -> &'static str {
        match self {
            Self::Taken(_) => "taken",
            Self::TakenWithoutScope(..) => "taken_without_scope",
            Self::LacksScope(_) => "lacks_scope",
            Self::NeverConnected => "never_connected",
            Self::Ended(_) => "ended",
            Self::OtherOrigin => "other_origin",
            Self::OtherClient => "other_client",
            Self::Bound => "bound",
            Self::Malformed => "malformed",
            Self::NotRefreshed(_) => "not_refreshed",
            Self::PatOnlyPath => "pat_only_path",
            Self::NotListed => "not_listed",
        }
    }
}

impl fmt::Display for GrantFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(Pair { version, freshness: Freshness::Expired }) => {
                write!(f, "taken, to be refreshed first: version {version} has expired")
            }
            Self::Taken(pair) => write!(f, "taken, {pair}"),
            Self::TakenWithoutScope(scope, pair) => {
                write!(
                    f,
                    "taken, although its scopes lack {scope}: nothing else may be used, and Flexslot judges; {pair}"
                )
            }
            Self::LacksScope(scope) => write!(f, "passed over: scopes lack {scope}"),
            Self::NeverConnected => f.write_str("absent: never connected"),
            Self::Ended(reason) => write!(f, "ended: {}", reason.as_str()),
            Self::OtherOrigin => f.write_str("passed over: it belongs to another origin than upstream.url"),
            Self::OtherClient => f.write_str(
                "passed over: it was given to an OAuth client that neither the configuration nor the store has",
            ),
            Self::Bound => f.write_str("passed over: its tokens are bound to a key (DPoP)"),
            Self::Malformed => f.write_str("passed over: its access token cannot stand in a header"),
            Self::NotRefreshed(_) => f.write_str("passed over: it could not be refreshed"),
            Self::PatOnlyPath => f.write_str("passed over: this path takes a personal access token only"),
            Self::NotListed => f.write_str("not listed in the tenant's `credentials`"),
        }
    }
}

// === impl PatFinding ===

impl PatFinding {
    const fn code(self) -> &'static str {
        match self {
            Self::Taken(_) => "taken",
            Self::StandsIn(..) => "stands_in",
            Self::Absent => "absent",
            Self::Rejected(_) => "rejected",
            Self::OtherOrigin => "other_origin",
            Self::Malformed => "malformed",
            Self::NotAllowed => "not_allowed",
            Self::NotListed => "not_listed",
        }
    }
}

impl fmt::Display for PatFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(source) => write!(f, "taken, from the {}", source.as_str()),
            Self::StandsIn(source, cause) => {
                let why = match cause {
                    FallbackCause::Disconnected => "the connection has ended",
                    FallbackCause::Scope => "the connection lacks the scope",
                    FallbackCause::RefreshUnavailable => "the connection could not be refreshed",
                    FallbackCause::Misconfigured => "the connection cannot be used as configured",
                };
                write!(f, "stands in, from the {}: {why}", source.as_str())
            }
            Self::Absent => f.write_str("absent"),
            Self::Rejected(source) => {
                write!(f, "rejected: Flexslot has refused the one from the {} three times in a row", source.as_str())
            }
            Self::OtherOrigin => f.write_str("passed over: it belongs to another origin than upstream.url"),
            Self::Malformed => f.write_str("passed over: it has characters that cannot stand in a header"),
            Self::NotAllowed => f.write_str("not allowed by pat_fallback"),
            Self::NotListed => f.write_str("not listed in the tenant's `credentials`"),
        }
    }
}

// === impl Pair ===

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, version {}", self.freshness.as_str(), self.version)
    }
}

// === impl Considered ===

impl Considered {
    /// One more; what is over the room that both kinds need is not kept.
    pub fn push(&mut self, finding: Finding) {
        if let Some(free) = self.findings.iter_mut().find(|finding| finding.is_none()) {
            *free = Some(finding);
        }
    }

    /// In the order in which they were considered.
    pub fn iter(&self) -> impl Iterator<Item = Finding> {
        self.findings.into_iter().flatten()
    }
}
