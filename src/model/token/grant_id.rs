//! The name of a consent.

use std::{fmt, str::FromStr};

use crate::model::Random;

/// Names one consent for ever: random, and never used again after a reconnect, a disconnect or an import.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GrantId([u8; 16]);

/// Not 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidGrantId;

// === impl GrantId ===

impl GrantId {
    /// A new id.
    pub fn random(random: &Random) -> Self {
        Self(random.bytes())
    }

    /// As read from a store.
    pub const fn from_stored(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id's bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// 32 lower-case hexadecimal digits.
impl FromStr for GrantId {
    type Err = InvalidGrantId;

    fn from_str(text: &str) -> Result<Self, InvalidGrantId> {
        let mut id = [0; 16];
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(InvalidGrantId);
        }
        for (at, byte) in id.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| InvalidGrantId)?;
        }
        Ok(Self(id))
    }
}

// === impl InvalidGrantId ===

impl fmt::Display for InvalidGrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a grant id is 32 lower-case hexadecimal digits")
    }
}

impl std::error::Error for InvalidGrantId {}

#[cfg(test)]
mod tests {
    use super::GrantId;
    use crate::model::Random;

    #[test]
    fn grant_ids_survive_their_text_form() {
        let id = GrantId::random(&Random::system());
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("0".repeat(31).parse::<GrantId>().is_err());
        assert!("G".repeat(32).parse::<GrantId>().is_err());
    }
}
