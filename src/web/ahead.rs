//! Browsers that look ahead: they fetch what their user may open next, and nobody has come yet.

use http::{HeaderMap, HeaderName};

const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");

/// Whether a request is one that a browser makes ahead of its user (Fetch standard, `Sec-Purpose`). What can be used
/// once is not used up by it.
pub fn is_ahead(headers: &HeaderMap) -> bool {
    headers.get_all(SEC_PURPOSE).iter().any(|purpose| !purpose.is_empty())
}
