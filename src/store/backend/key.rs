//! Which row: its kind and its name.

use std::{fmt, ops::RangeInclusive};

/// The kinds of record. The number is stored and never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A tenant's grant, connected or not; named by the tenant.
    Grant,
    /// A tenant's PAT; named by the tenant.
    Pat,
    /// An OAuth client with its secret; named by its `client_id`.
    Client,
    /// A connect session, a flow that it has begun at Flexslot, or a sign-in link; named by the hash of what opens it.
    Flow,
    /// A refresh token that Flexslot has still to be told to revoke; named by tenant and grant id.
    Revocation,
    /// A grant id that must never come back; named by it.
    Tombstone,
    /// What the store knows of itself, the key check for one.
    Meta,
    /// Whose a tenant's grant is at Flexslot; named by the tenant.
    Identity,
}

/// Which row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    pub kind: Kind,
    pub name: String,
}

// === impl Kind ===

impl Kind {
    /// The number that engines store.
    pub const fn code(self) -> u8 {
        match self {
            Self::Grant => 1,
            Self::Pat => 2,
            Self::Client => 3,
            Self::Flow => 4,
            Self::Revocation => 5,
            Self::Tombstone => 6,
            Self::Meta => 7,
            Self::Identity => 8,
        }
    }

    /// All that this version knows, in the order in which they are sealed anew: first what says with which key.
    pub const ALL: [Self; 8] = [
        Self::Meta,
        Self::Grant,
        Self::Pat,
        Self::Client,
        Self::Flow,
        Self::Revocation,
        Self::Tombstone,
        Self::Identity,
    ];

    /// The numbers of all kinds that this version knows. A newer one, on the same store, may write others.
    pub const CODES: RangeInclusive<u8> = 1..=8;

    /// The kind with that number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The word for it: in messages, and in what a sealed value is bound to, so it never changes either.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Pat => "pat",
            Self::Client => "client",
            Self::Flow => "flow",
            Self::Revocation => "revocation",
            Self::Tombstone => "tombstone",
            Self::Meta => "meta",
            Self::Identity => "identity",
        }
    }
}

// === impl Key ===

impl Key {
    /// The row of `kind` named `name`.
    pub fn new(kind: Kind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }
}

/// `grant acme`; how messages name a record.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn every_number_in_the_range_is_a_kind_and_no_other_is() {
        for code in 0..=u8::MAX {
            assert_eq!(Kind::from_code(code).is_some(), Kind::CODES.contains(&code), "{code}");
        }
    }
}
