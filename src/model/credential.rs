//! The two kinds of credential that Flexslot takes.

use std::fmt;

/// What stands behind the `Authorization` header of a forwarded request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// An access token of an OAuth grant.
    OAuth,
    /// A personal access token.
    Pat,
}

/// May the PAT stand in for a tenant that has, or had, a grant? One that never had a grant always uses its PAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PatFallback {
    #[default]
    Always,
    /// Not after `invalid_grant` or a disconnect: whoever took the consent back meant it.
    UnlessRevoked,
    Never,
}

/// Where a PAT comes from, which is where another one has to be put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatSource {
    /// The configuration: `[[tenants]]`, or `FLEXSLOT_PAT`.
    Configuration,
    Store,
}

// === impl CredentialKind ===

impl CredentialKind {
    /// The value of `Flexslot-Proxy-Credential` and of the metrics' label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OAuth => "oauth",
            Self::Pat => "pat",
        }
    }
}

impl fmt::Display for CredentialKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl PatSource ===

impl PatSource {
    /// As logs and traces name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Store => "store",
        }
    }
}
