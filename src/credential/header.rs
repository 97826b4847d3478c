//! The only maker of `Authorization` values.

use http::HeaderValue;

use crate::model::Secret;

/// `Bearer <token>` (RFC 6750 section 2.1), marked sensitive, so that it is neither printed nor indexed by HPACK.
/// `None` for a token that cannot stand in a header.
pub(super) fn bearer(token: &Secret) -> Option<HeaderValue> {
    of_scheme("Bearer", token)
}

/// The same for a token that is bound to a key (RFC 9449 section 7.1). It goes with a proof.
pub(super) fn dpop(token: &Secret) -> Option<HeaderValue> {
    of_scheme("DPoP", token)
}

fn of_scheme(scheme: &str, token: &Secret) -> Option<HeaderValue> {
    if !token.is_header_safe() {
        return None;
    }
    // Made at its full length, so that no shorter copy is left behind; its clones share it, and the last one wipes it.
    let mut text = String::with_capacity(scheme.len() + 1 + token.expose().len());
    text.extend([scheme, " ", token.expose()]);
    let mut value = HeaderValue::from_maybe_shared(Secret::new(text).into_bytes()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What stands where a token is still to come. No request goes out with it; one that did would be refused.
pub(super) const fn without_token() -> HeaderValue {
    HeaderValue::from_static("Bearer")
}

#[cfg(test)]
mod tests {
    use super::{bearer, dpop};
    use crate::model::Secret;

    #[test]
    fn the_value_is_sensitive() {
        let value = bearer(&Secret::new("flx_pat_1")).unwrap();
        assert_eq!((value.as_bytes(), value.is_sensitive()), (&b"Bearer flx_pat_1"[..], true));
        assert!(!format!("{value:?}").contains("flx_pat_1"));
    }

    /// That the last of them wipes it is shown by `it::wiping`.
    #[test]
    fn clones_are_one_in_memory() {
        let value = bearer(&Secret::new("flx_pat_1")).unwrap();
        assert_eq!(value.clone().as_bytes().as_ptr(), value.as_bytes().as_ptr());
    }

    #[test]
    fn a_bound_token_has_a_scheme_of_its_own() {
        let value = dpop(&Secret::new("at-1")).unwrap();
        assert_eq!((value.as_bytes(), value.is_sensitive()), (&b"DPoP at-1"[..], true));
    }

    #[test]
    fn a_token_that_would_split_the_header_makes_none() {
        for token in ["", "a b", "a\r\nX: y", "ä", "a\0"] {
            assert!(bearer(&Secret::new(token)).is_none() && dpop(&Secret::new(token)).is_none(), "{token:?}");
        }
    }
}
