//! The form of a request on the wire: origin-form and `Host` for HTTP/1.1, pseudo-header fields for HTTP/2, and framing
//! that follows from the body alone.

use bytes::{BufMut, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING},
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body::Body;

use super::{Added, Outgoing};
use crate::{model::Origin, proxy::replay::ReplayBody};

/// The origin's part of every request.
#[derive(Debug, Clone)]
pub(super) struct Form {
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
}

/// What is said of a body's end (RFC 9112 section 6): the body that is there decides, whatever the header said about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// A request without a body may say so or not.
    Unsaid,
    Length(u64),
    /// Its length is not known. HTTP/1.1 sends chunks.
    Open,
}

/// Said anew, whatever a request says of them.
const OURS: [HeaderName; 4] = [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING];

// === impl Form ===

impl Form {
    /// `None` where the authority cannot stand in a header.
    pub(super) fn of(origin: &Origin) -> Option<Self> {
        let host = HeaderValue::from_str(origin.authority().as_str()).ok()?;
        Some(Self { scheme: origin.scheme().clone(), authority: origin.authority().clone(), host })
    }

    /// The head of a request as it goes over HTTP/1.1. Path and query stay as they are, byte for byte.
    pub(super) fn write_http1(&self, request: &Outgoing<'_>, added: &Added, extent: Extent, out: &mut BytesMut) {
        let Outgoing { method, target, headers } = *request;
        out.reserve(MOST_HEADS);
        put(out, [method.as_str().as_bytes(), b" ", target.as_str().as_bytes(), b" HTTP/1.1\r\n"]);
        put_field(out, &HOST, self.host.as_bytes());
        for (name, value) in kept(headers, added) {
            put_field(out, name, value.as_bytes());
        }
        for (name, value) in set(added) {
            put_field(out, name, value.as_bytes());
        }
        // TE speaks of this connection alone, and has to be named (RFC 9110 section 10.1.4).
        if headers.contains_key(TE) {
            put_field(out, &CONNECTION, b"TE");
        }
        match extent {
            Extent::Unsaid => {}
            Extent::Length(length) => put_field(out, &CONTENT_LENGTH, itoa::Buffer::new().format(length).as_bytes()),
            Extent::Open => put_field(out, &TRANSFER_ENCODING, b"chunked"),
        }
        out.put_slice(b"\r\n");
    }

    /// A request as it goes over HTTP/2.
    pub(super) fn http2(&self, request: &Outgoing<'_>, added: Added, body: ReplayBody) -> Request<ReplayBody> {
        let extent = Extent::of(request.headers, &body);
        let mut headers = HeaderMap::with_capacity(request.headers.keys_len() + 4);
        for (name, value) in kept(request.headers, &added) {
            headers.append(name, value.clone());
        }
        headers.extend(set(&added).map(|(name, value)| (name.clone(), value.clone())));
        if let Extent::Length(length) = extent {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        let mut made = Request::new(body);
        *made.method_mut() = request.method.clone();
        *made.version_mut() = Version::HTTP_2;
        *made.uri_mut() = self.absolute(request.target);
        *made.headers_mut() = headers;
        made
    }

    fn absolute(&self, target: &PathAndQuery) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(target.clone());
        // The three always fit together.
        Uri::from_parts(parts).unwrap_or_default()
    }
}

/// What most heads have room in, in bytes.
const MOST_HEADS: usize = 1024;

/// What goes out as it is: all but what is said anew.
fn kept<'h>(headers: &'h HeaderMap, added: &Added) -> impl Iterator<Item = (&'h HeaderName, &'h HeaderValue)> {
    let is_added = |name| added.iter().flatten().any(|(added, _)| added == name);
    headers.iter().filter(move |(name, _)| !OURS.contains(name) && !is_added(*name))
}

/// The fields of an attempt that have values.
fn set(added: &Added) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    added.iter().flatten().filter_map(|(name, value)| Some((name, value.as_ref()?)))
}

/// A field line.
pub(super) fn put_field(out: &mut BytesMut, name: &HeaderName, value: &[u8]) {
    put(out, [name.as_str().as_bytes(), b": ", value, b"\r\n"]);
}

fn put(out: &mut BytesMut, parts: [&[u8]; 4]) {
    for part in parts {
        out.put_slice(part);
    }
}

// === impl Extent ===

impl Extent {
    pub(super) fn of(headers: &HeaderMap, body: &ReplayBody) -> Self {
        let mut said = headers.get_all(CONTENT_LENGTH).iter().peekable();
        match body.size_hint().exact() {
            // As its sender had it. Equal lines are one statement (RFC 9110 section 8.6), and go out as one.
            Some(0) if body.is_absent() && said.peek().is_some() && said.all(|length| length == "0") => Self::Length(0),
            Some(0) if body.is_absent() => Self::Unsaid,
            Some(length) => Self::Length(length),
            None => Self::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use http::{HeaderMap, HeaderValue, Method, Version, header};

    use super::{Added, Extent, Form, Outgoing, ReplayBody};

    fn form() -> Form {
        Form::of(&"https://api.test".parse().unwrap()).unwrap()
    }

    #[test]
    fn the_origin_is_named_where_each_protocol_has_its_place_for_it_and_only_once() {
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("localhost:3539"))]);
        let target = "/cards?x=%2f".parse().unwrap();
        let outgoing = Outgoing { method: &Method::GET, target: &target, headers: &headers };
        let request = form().http2(&outgoing, Added::default(), ReplayBody::empty());
        assert_eq!(request.uri(), "https://api.test/cards?x=%2f");
        assert_eq!((request.version(), request.headers().get(header::HOST)), (Version::HTTP_2, None));
        let mut out = BytesMut::new();
        form().write_http1(&outgoing, &Added::default(), Extent::Unsaid, &mut out);
        assert_eq!(out, "GET /cards?x=%2f HTTP/1.1\r\nhost: api.test\r\n\r\n");
    }

    #[test]
    fn what_is_added_stands_in_the_place_of_what_was_there() {
        let headers =
            [(header::AUTHORIZATION, "Basic x"), (header::ACCEPT, "a"), (header::COOKIE, "c"), (header::ACCEPT, "b")];
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_static(value));
        }
        let given = Some((header::AUTHORIZATION, Some(HeaderValue::from_static("Bearer y"))));
        let added = [given, Some((header::COOKIE, None)), None, None];
        let (method, target) = (Method::GET, "/".parse().unwrap());
        let outgoing = Outgoing { method: &method, target: &target, headers: &map };
        let mut out = BytesMut::new();
        form().write_http1(&outgoing, &added, Extent::Unsaid, &mut out);
        assert_eq!(
            out,
            "GET / HTTP/1.1\r\nhost: api.test\r\naccept: a\r\naccept: b\r\nauthorization: Bearer y\r\n\r\n"
        );
        let request = form().http2(&outgoing, added, ReplayBody::empty());
        assert!(request.headers().get_all(header::AUTHORIZATION).iter().eq(["Bearer y"]));
        assert!(request.headers().get_all(header::ACCEPT).iter().eq(["a", "b"]));
        assert!(!request.headers().contains_key(header::COOKIE));
    }

    #[test]
    fn the_length_of_no_body_is_said_once_or_not_at_all() {
        for (said, extent) in [
            (&[][..], Extent::Unsaid),
            (&["0"], Extent::Length(0)),
            (&["0", "0"], Extent::Length(0)),
            (&["7"], Extent::Unsaid),
            (&["0", "7"], Extent::Unsaid),
        ] {
            let mut headers = HeaderMap::new();
            for line in said {
                headers.append(header::CONTENT_LENGTH, line.parse().unwrap());
            }
            assert_eq!(Extent::of(&headers, &ReplayBody::empty()), extent, "{said:?}");
        }
    }
}
