//! The name under which a caller's Flexslot connection is kept.

use std::{fmt, str::FromStr, sync::Arc};

/// The longest tenant name, in bytes.
const MAX_LEN: usize = 128;

/// A tenant's name: `[A-Za-z0-9][A-Za-z0-9._:@+|=-]{0,127}`. Cheap to clone.
///
/// [`FromStr`] is the only way in, so a `TenantId` can stand in a log line, a path or a store key as it is.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Arc<str>);

/// How the tenant of a request was named; stands in the trace and the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    Header,
    Path,
    Listener,
    Default,
}

/// Why a text is no tenant name. Names the position, never the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidTenant {
    /// No text at all.
    Empty,
    /// More than 128 bytes.
    TooLong,
    /// The byte at this offset is not allowed there.
    Byte(usize),
}

// === impl TenantId ===

impl TenantId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantId {
    type Err = InvalidTenant;

    fn from_str(text: &str) -> Result<Self, InvalidTenant> {
        if text.is_empty() {
            return Err(InvalidTenant::Empty);
        }
        if text.len() > MAX_LEN {
            return Err(InvalidTenant::TooLong);
        }
        let allowed = |(at, byte): (usize, u8)| byte.is_ascii_alphanumeric() || (at > 0 && b"._:@+|=-".contains(&byte));
        match text.bytes().enumerate().find(|&(at, byte)| !allowed((at, byte))) {
            Some((at, _)) => Err(InvalidTenant::Byte(at)),
            None => Ok(Self(text.into())),
        }
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

// === impl NamedBy ===

impl NamedBy {
    /// The word in traces and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Path => "path",
            Self::Listener => "listener",
            Self::Default => "default",
        }
    }
}

impl fmt::Display for NamedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "The tenant header",
            Self::Path => "the path",
            Self::Listener => "the listener",
            Self::Default => "the default",
        })
    }
}

// === impl InvalidTenant ===

impl fmt::Display for InvalidTenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a tenant name has at least one character"),
            Self::TooLong => write!(f, "a tenant name has at most {MAX_LEN} bytes"),
            Self::Byte(at) => write!(
                f,
                "character {} is not allowed in a tenant name (letters and digits; after the first also . _ : @ + | = -)",
                at + 1
            ),
        }
    }
}

impl std::error::Error for InvalidTenant {}

#[cfg(test)]
mod tests {
    use super::{InvalidTenant, TenantId};

    #[test]
    fn accepts_what_identity_providers_use_as_ids() {
        for name in ["acme", "9", "auth0|5f7c8ec7c33c6c004bbafe82", "george@example.com", "a=b", "org:1.2_x+y-z"] {
            assert_eq!(name.parse::<TenantId>().map(|t| t.to_string()).as_deref(), Ok(name));
        }
    }

    #[test]
    fn names_the_position_of_the_first_bad_byte() {
        assert_eq!("".parse::<TenantId>(), Err(InvalidTenant::Empty));
        assert_eq!("-a".parse::<TenantId>(), Err(InvalidTenant::Byte(0)));
        assert_eq!("ac/me".parse::<TenantId>(), Err(InvalidTenant::Byte(2)));
        assert_eq!("né".parse::<TenantId>(), Err(InvalidTenant::Byte(1)));
        assert_eq!("a".repeat(129).parse::<TenantId>(), Err(InvalidTenant::TooLong));
        assert!("a".repeat(128).parse::<TenantId>().is_ok());
    }
}
