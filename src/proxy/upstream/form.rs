//! The form of a request on the wire: origin-form and `Host` for HTTP/1.1, pseudo-header fields for HTTP/2, and framing
//! that follows from the body alone.

use http::{
    HeaderMap, HeaderValue, Request, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING},
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body::Body;

use super::connect::Protocol;
use crate::{model::Origin, proxy::replay::ReplayBody};

/// The origin's part of every request.
#[derive(Debug, Clone)]
pub(super) struct Form {
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
}

// === impl Form ===

impl Form {
    /// `None` where the authority cannot stand in a header.
    pub(super) fn of(origin: &Origin) -> Option<Self> {
        let host = HeaderValue::from_str(origin.authority().as_str()).ok()?;
        Some(Self { scheme: origin.scheme().clone(), authority: origin.authority().clone(), host })
    }

    /// Path and query stay as they are, byte for byte; everything else of the target is ours.
    pub(super) fn apply(&self, request: &mut Request<ReplayBody>, protocol: Protocol) {
        let target = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let mut uri = http::uri::Parts::default();
        uri.path_and_query = Some(target);
        match protocol {
            Protocol::Http1 => {
                *request.version_mut() = Version::HTTP_11;
                request.headers_mut().insert(HOST, self.host.clone());
                // TE speaks of this connection alone, and has to be named (RFC 9110 section 10.1.4).
                if request.headers().contains_key(TE) {
                    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("TE"));
                }
            }
            Protocol::Http2 => {
                *request.version_mut() = Version::HTTP_2;
                request.headers_mut().remove(HOST);
                uri.scheme = Some(self.scheme.clone());
                uri.authority = Some(self.authority.clone());
            }
        }
        // These parts always fit together: either the path alone or all three.
        if let Ok(uri) = Uri::from_parts(uri) {
            *request.uri_mut() = uri;
        }
        let (length, absent) = (request.body().size_hint().exact(), request.body().is_absent());
        frame(request.headers_mut(), length, absent, protocol);
    }
}

/// RFC 9112 section 6: the body that is there decides, whatever the header said about it.
fn frame(headers: &mut HeaderMap, length: Option<u64>, absent: bool, protocol: Protocol) {
    headers.remove(TRANSFER_ENCODING);
    match length {
        // A request without a body may say so or not; as its sender had it.
        Some(0) if absent => {
            let said = headers.contains_key(CONTENT_LENGTH);
            // Equal lines are one statement (RFC 9110 section 8.6), and go out as one.
            if said && headers.get_all(CONTENT_LENGTH).iter().all(|length| length == "0") {
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            } else {
                headers.remove(CONTENT_LENGTH);
            }
        }
        Some(length) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        None => {
            headers.remove(CONTENT_LENGTH);
            // Said aloud, because hyper takes a GET of unknown length for one without a body.
            if protocol == Protocol::Http1 {
                headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{
        Request, Version,
        header::{CONTENT_LENGTH, HOST},
    };

    use super::{Form, Protocol, ReplayBody};

    #[test]
    fn http2_names_the_authority_in_the_target_and_nowhere_else() {
        let form = Form::of(&"https://api.test".parse().unwrap()).unwrap();
        let mut request =
            Request::get("/cards?x=%2f").header(HOST, "localhost:3539").body(ReplayBody::empty()).unwrap();
        form.apply(&mut request, Protocol::Http2);
        assert_eq!(request.uri(), "https://api.test/cards?x=%2f");
        assert_eq!((request.version(), request.headers().get(HOST)), (Version::HTTP_2, None));
        form.apply(&mut request, Protocol::Http1);
        assert_eq!(request.uri(), "/cards?x=%2f");
        assert_eq!((request.version(), &request.headers()[HOST]), (Version::HTTP_11, &"api.test".parse().unwrap()));
    }

    #[test]
    fn the_length_of_no_body_is_said_once_or_not_at_all() {
        let form = Form::of(&"https://api.test".parse().unwrap()).unwrap();
        for (said, sent) in
            [(&[][..], &[][..]), (&["0"], &["0"]), (&["0", "0"], &["0"]), (&["7"], &[]), (&["0", "7"], &[])]
        {
            let mut request = Request::post("/cards").body(ReplayBody::empty()).unwrap();
            for line in said {
                request.headers_mut().append(CONTENT_LENGTH, line.parse().unwrap());
            }
            form.apply(&mut request, Protocol::Http1);
            assert!(request.headers().get_all(CONTENT_LENGTH).iter().eq(sent), "{said:?}");
        }
    }
}
