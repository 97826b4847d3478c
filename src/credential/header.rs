//! The only maker of `Authorization` values.

use http::HeaderValue;

use crate::model::Secret;

/// `Bearer <token>` (RFC 6750 section 2.1), marked sensitive, so that it is neither printed nor indexed by HPACK.
/// `None` for a token that cannot stand in a header.
pub(super) fn bearer(token: &Secret) -> Option<HeaderValue> {
    if !token.is_header_safe() {
        return None;
    }
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What stands where a token is still to come. No request goes out with it; one that did would be refused.
pub(super) const fn without_token() -> HeaderValue {
    HeaderValue::from_static("Bearer")
}

#[cfg(test)]
mod tests {
    use super::bearer;
    use crate::model::Secret;

    #[test]
    fn the_value_is_sensitive() {
        let value = bearer(&Secret::new("flx_pat_1")).unwrap();
        assert_eq!((value.as_bytes(), value.is_sensitive()), (&b"Bearer flx_pat_1"[..], true));
        assert!(!format!("{value:?}").contains("flx_pat_1"));
    }

    #[test]
    fn a_token_that_would_split_the_header_makes_none() {
        for token in ["", "a b", "a\r\nX: y", "ä", "a\0"] {
            assert!(bearer(&Secret::new(token)).is_none(), "{token:?}");
        }
    }
}
