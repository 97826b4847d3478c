//! Answers that a browser would show as a document.
//!
//! Whatever Flexslot answers comes from the sidecar's own origin then, and a script in it could call for every tenant.
//! That somebody follows a link here is no reason to turn them away, so the answer is shown, and runs nothing.

use http::{HeaderMap, HeaderName, HeaderValue, header};

const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Browsers send it with what they navigate to, in a frame too, and with nothing else (Upgrade Insecure Requests section
/// 3.2.1): also by plain http, where they do not say where an answer goes.
const UPGRADE: HeaderName = HeaderName::from_static("upgrade-insecure-requests");

/// The destinations whose answers become documents (Fetch Metadata section 2.1). No API client names one.
const DOCUMENTS: [&str; 5] = ["document", "embed", "frame", "iframe", "object"];

/// Nothing runs, nothing is loaded; a file may still be saved.
const INERT: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox allow-downloads");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Whether a browser is about to show the answer to a request with these headers.
pub(super) fn is_shown(request: &HeaderMap) -> bool {
    match request.contains_key(SEC_FETCH_DEST) {
        false => request.contains_key(UPGRADE),
        true => request.get_all(SEC_FETCH_DEST).iter().any(|to| DOCUMENTS.iter().any(|document| to == document)),
    }
}

/// Lets the answer run and load nothing, besides what Flexslot forbids it itself.
pub(super) fn keep_inert(response: &mut HeaderMap) {
    response.append(header::CONTENT_SECURITY_POLICY, INERT);
    response.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
}

#[cfg(test)]
mod tests {
    use super::{is_shown, keep_inert};
    use http::{HeaderMap, HeaderValue, header};

    fn going_to(destination: &'static str) -> HeaderMap {
        [(super::SEC_FETCH_DEST, HeaderValue::from_static(destination))].into_iter().collect()
    }

    #[test]
    fn documents_are_told_from_what_programs_ask_for() {
        for document in ["document", "iframe", "object"] {
            assert!(is_shown(&going_to(document)), "{document}");
        }
        for other in ["empty", "image", "script", ""] {
            assert!(!is_shown(&going_to(other)), "{other}");
        }
        assert!(!is_shown(&HeaderMap::new()), "curl");
        let mut by_plain_http = HeaderMap::new();
        by_plain_http.insert("upgrade-insecure-requests", HeaderValue::from_static("1"));
        assert!(is_shown(&by_plain_http), "where browsers do not say what they ask for");
        by_plain_http.insert(super::SEC_FETCH_DEST, HeaderValue::from_static("empty"));
        assert!(!is_shown(&by_plain_http));
    }

    #[test]
    fn flexslots_own_policy_stays_beside_ours() {
        let mut response: HeaderMap =
            [(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("img-src x"))].into_iter().collect();
        keep_inert(&mut response);
        let policies: Vec<_> = response.get_all(header::CONTENT_SECURITY_POLICY).iter().collect();
        assert_eq!(policies, ["img-src x", "default-src 'none'; sandbox allow-downloads"]);
        assert_eq!(response[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
}
