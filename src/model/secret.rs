//! Values that must not leave the process by accident.

use std::fmt;

use bytes::Bytes;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A token, a PAT, a client secret or a key: text that is wiped when dropped, and that `Debug` shows as `[redacted]`.
///
/// The only way to the text is [`Secret::expose`], so that every place where a secret leaves its wrapper can be found
/// by searching for that word.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

// === impl Secret ===

impl Secret {
    /// Wraps `text`; the caller's own copies are not wiped.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The text as bytes, for libraries that pass them on without a copy: wiped when the last clone is dropped.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self.0)
    }

    /// Whether it can stand in a header as a token: at least one character, and visible ASCII throughout. (RFC 6750
    /// section 2.1 allows less; what Flexslot hands out is presented as it is.)
    pub fn is_header_safe(&self) -> bool {
        !self.is_empty() && self.0.bytes().all(|byte| byte.is_ascii_graphic())
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Takes the same time wherever the first difference is, so that a caller's guess cannot be improved byte by byte.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_never_shows_the_text() {
        let secret = Secret::new("flx_pat_canary");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "[redacted] Some([redacted])");
    }

    #[test]
    fn only_visible_ascii_is_safe_in_a_header() {
        assert!(Secret::new("flx_pat_~1").is_header_safe());
        for text in ["", "a b", "a\r\nX: y", "ä", "a\0", "a\x7f"] {
            assert!(!Secret::new(text).is_header_safe(), "{text:?}");
        }
    }

    #[test]
    fn equality_compares_the_text() {
        assert_eq!(Secret::new("a"), Secret::new("a"));
        assert_ne!(Secret::new("a"), Secret::new("b"));
        assert_ne!(Secret::new("a"), Secret::new("aa"));
    }
}
