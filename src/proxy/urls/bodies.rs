//! `rewrite_urls = "bodies"`: texts in JSON that begin with the upstream's address begin with the caller's own instead.
//!
//! The body is looked at as it streams by, chunk by chunk, and every other byte of it stays as it is. What is compressed,
//! or is a part of something (206), passes untouched; requests ask for neither compression nor, by themselves, parts.

use std::mem;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use memchr::{memchr, memchr2};

use super::CallerBase;
use crate::{model::Origin, proxy::path::BASE};

/// Say how long the upstream's bytes were, or what they hash to. `Content-MD5` is of RFC 1864, the others are of RFC 9530
/// and of what it replaced.
const OF_THE_BYTES: [HeaderName; 5] = [
    header::CONTENT_LENGTH,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
];

/// Rewrites one body.
#[derive(Debug)]
pub struct BodyRewriter {
    /// What is sought behind an opening quote.
    sought: Vec<u8>,
    /// What takes its place, with slashes as they are and with the backslash that JSON allows before them.
    plain: Vec<u8>,
    escaped: Vec<u8>,
    state: State,
    /// What has been read of a text that may begin with what is sought.
    held: Vec<u8>,
}

/// Where in the JSON the next byte stands. It is not checked: what is no JSON passes as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Outside,
    /// In a text whose first bytes are as far as `matched` what is sought; `slash` says what stands before the next one.
    Beginning {
        matched: usize,
        slash: Slash,
    },
    Inside,
    /// Behind a backslash in a text.
    Escaped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slash {
    Bare,
    Escaped,
}

/// Whether the body of such a response is looked into.
pub fn is_rewritten(status: StatusCode, headers: &HeaderMap) -> bool {
    status != StatusCode::PARTIAL_CONTENT && is_json(headers) && !is_encoded(headers)
}

/// Fits a request to answers that are looked into: what is compressed cannot be, nor can a part be joined to a whole that
/// was changed. Tags are those that the caller was given: an `If-Match` compares strongly (RFC 9110 section 13.1.1), and
/// means the upstream's.
pub fn fit(request: &mut HeaderMap) {
    request.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    request.remove(header::RANGE);
    request.remove(header::IF_RANGE);
    let header::Entry::Occupied(mut tags) = request.entry(header::IF_MATCH) else { return };
    for value in tags.iter_mut() {
        if let Some(strong) = strengthened(value.as_bytes()) {
            *value = strong;
        }
    }
}

/// A list of tags without the mark of weak ones, where it has any.
fn strengthened(tags: &[u8]) -> Option<HeaderValue> {
    let tags = std::str::from_utf8(tags).ok().filter(|tags| tags.contains("W/\""))?;
    HeaderValue::try_from(tags.replace("W/\"", "\"")).ok()
}

/// Takes out of `headers` what is true of the upstream's bytes only, and keeps what is true of both.
pub fn loosen(headers: &mut HeaderMap) {
    for name in &OF_THE_BYTES {
        headers.remove(name);
    }
    headers.remove(header::ACCEPT_RANGES);
    weaken(headers);
}

/// The same for trailers.
pub fn loosen_trailers(trailers: &mut HeaderMap) {
    for name in &OF_THE_BYTES {
        trailers.remove(name);
    }
}

/// Bytes that are not the same do not have the same strong validator (RFC 9110 section 8.8.1). Also for 304, whose tag
/// is that of the response that the client has.
pub fn weaken(headers: &mut HeaderMap) {
    let weak = headers.get(header::ETAG).filter(|tag| tag.as_bytes().starts_with(b"\""));
    let weak = weak.and_then(|tag| HeaderValue::from_maybe_shared(Bytes::from([b"W/", tag.as_bytes()].concat())).ok());
    if let Some(weak) = weak {
        headers.insert(header::ETAG, weak);
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else { return false };
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONTENT_ENCODING).iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

// === impl BodyRewriter ===

impl BodyRewriter {
    /// For a response of `upstream` to `caller`.
    pub fn new(upstream: &Origin, caller: CallerBase<'_>) -> Self {
        let plain = format!("{}{}{BASE}", caller.root(), caller.prefix);
        Self {
            sought: format!("{}{BASE}", upstream.as_str()).into_bytes(),
            escaped: plain.replace('/', "\\/").into_bytes(),
            plain: plain.into_bytes(),
            state: State::Outside,
            held: Vec::new(),
        }
    }

    /// What goes on to the caller now. May be empty, where the end of `chunk` could be the beginning of what is sought.
    pub fn pass(&mut self, chunk: Bytes) -> Bytes {
        let mut out = mem::take(&mut self.held);
        let before = out.len();
        let mut at = 0;
        let mut changed = before > 0;
        // Where in `out` the text begins that is being compared.
        let mut begins = 0;
        while at < chunk.len() {
            let rest = &chunk[at..];
            match self.state {
                State::Outside | State::Inside => {
                    let next =
                        if self.state == State::Outside { memchr(b'"', rest) } else { memchr2(b'"', b'\\', rest) };
                    let Some(next) = next else {
                        out.extend_from_slice(rest);
                        break;
                    };
                    out.extend_from_slice(&rest[..=next]);
                    at += next + 1;
                    self.state = match (self.state, rest[next]) {
                        (State::Outside, _) => State::Beginning { matched: 0, slash: Slash::Bare },
                        (_, b'"') => State::Outside,
                        _ => State::Escaped,
                    };
                    begins = out.len();
                }
                State::Escaped => {
                    out.push(rest[0]);
                    at += 1;
                    self.state = State::Inside;
                }
                State::Beginning { matched, slash } => {
                    let byte = rest[0];
                    out.push(byte);
                    at += 1;
                    self.state = self.after(matched, slash, byte);
                    if self.state == State::Inside && matched + 1 == self.sought.len() && byte == b'/' {
                        let new = if slash == Slash::Escaped { &self.escaped } else { &self.plain };
                        out.truncate(begins);
                        out.extend_from_slice(new);
                        changed = true;
                    }
                }
            }
        }
        if let State::Beginning { .. } = self.state {
            self.held = out.split_off(begins);
        }
        // The chunk itself where nothing is new, so that nothing is kept twice.
        if !changed && self.held.is_empty() { chunk } else { out.into() }
    }

    /// What has been held back, now that nothing follows.
    pub fn end(&mut self) -> Bytes {
        mem::take(&mut self.held).into()
    }

    /// Whether something is held back.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Where `byte` leads in a text that is as far as `matched` what is sought.
    fn after(&self, matched: usize, slash: Slash, byte: u8) -> State {
        let sought = self.sought[matched];
        match byte {
            b'\\' if sought == b'/' && slash == Slash::Bare => State::Beginning { matched, slash: Slash::Escaped },
            _ if byte == sought && (sought == b'/' || slash == Slash::Bare) => match matched + 1 {
                all if all == self.sought.len() => State::Inside,
                matched => State::Beginning { matched, slash: Slash::Bare },
            },
            // Behind a backslash, whatever it is has been escaped.
            _ if slash == Slash::Escaped => State::Inside,
            b'"' => State::Outside,
            b'\\' => State::Escaped,
            _ => State::Inside,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BodyRewriter, fit, is_rewritten, loosen, weaken};
    use crate::proxy::urls::{CallerBase, CallerScheme};
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, StatusCode, header};
    use proptest::prelude::*;

    const CALLER: CallerBase<'_> =
        CallerBase { scheme: CallerScheme::Http, authority: Some("localhost:3539"), prefix: "/t/acme" };

    fn rewriter() -> BodyRewriter {
        BodyRewriter::new(&"https://api.flexslot.gg".parse().unwrap(), CALLER)
    }

    fn whole(chunks: impl IntoIterator<Item = Bytes>) -> String {
        let mut rewriter = rewriter();
        let mut out: Vec<u8> = chunks.into_iter().flat_map(|chunk| rewriter.pass(chunk)).collect();
        out.extend(rewriter.end());
        String::from_utf8(out).unwrap()
    }

    fn rewritten(text: &str) -> String {
        whole([Bytes::copy_from_slice(text.as_bytes())])
    }

    const PAGE: &str = r#"{"count": 3, "next": "https://api.flexslot.gg/api/public/v1/decks/?page=2", "previous":null,
        "results":[{"name":"a \"https:\/\/ b","image":"https:\/\/api.flexslot.gg\/api\/public\/v1\/img\/1"}]}"#;
    const PAGE_HERE: &str = r#"{"count": 3, "next": "http://localhost:3539/t/acme/api/public/v1/decks/?page=2", "previous":null,
        "results":[{"name":"a \"https:\/\/ b","image":"http:\/\/localhost:3539\/t\/acme\/api\/public\/v1\/img\/1"}]}"#;

    #[test]
    fn urls_of_the_upstream_become_the_callers_in_the_way_they_are_written() {
        assert_eq!(rewritten(PAGE), PAGE_HERE);
    }

    #[test]
    fn what_only_looks_like_one_stays() {
        for text in [
            r#"{"a":"see https://api.flexslot.gg/api/public/v1/decks/"}"#,
            r#"{"a":"https://api.flexslot.gg"}"#,
            r#"{"a":"https://api.flexslot.gg/docs/"}"#,
            r#"{"a":"https://api.flexslot.gg.evil.example/api/public/v1/"}"#,
            r#"{"a":"https://api.flexslot.gg:444/api/public/v1/"}"#,
            r#"{"a":"http://api.flexslot.gg/api/public/v1/"}"#,
            r#"{"a":"\"https://api.flexslot.gg/api/public/v1/"}"#,
            r#"{"a":"\\","b":"\\https://api.flexslot.gg/api/public/v1/"}"#,
            r#"{"a":"https:\n/api.flexslot.gg/api/public/v1/"}"#,
            r#"["https:/"#,
            "",
        ] {
            assert_eq!(rewritten(text), text);
        }
    }

    #[test]
    fn a_chunk_in_which_nothing_changes_is_passed_as_it_is() {
        let chunk = Bytes::from_static(br#"{"a":"b"}"#);
        let passed = rewriter().pass(chunk.clone());
        assert_eq!(passed.as_ptr(), chunk.as_ptr());
    }

    #[test]
    fn only_whole_json_that_is_not_compressed_is_looked_into() {
        let headers = |kind: &'static str, coding: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            headers.extend(coding.map(|coding| (header::CONTENT_ENCODING, HeaderValue::from_static(coding))));
            headers
        };
        let ok = StatusCode::OK;
        for kind in ["application/json", "Application/JSON; charset=utf-8", "application/problem+json"] {
            assert!(is_rewritten(ok, &headers(kind, None)), "{kind}");
            assert!(is_rewritten(ok, &headers(kind, Some("identity"))), "{kind}");
            assert!(!is_rewritten(ok, &headers(kind, Some("gzip"))), "{kind}");
            assert!(!is_rewritten(StatusCode::PARTIAL_CONTENT, &headers(kind, None)), "{kind}");
        }
        for kind in ["text/html", "text/json", "application/jsonx", "image/svg+json"] {
            assert!(!is_rewritten(ok, &headers(kind, None)), "{kind}");
        }
        assert!(!is_rewritten(ok, &HeaderMap::new()));
    }

    #[test]
    fn what_a_caller_was_given_means_the_upstreams() {
        let mut request = HeaderMap::new();
        for (name, value) in [
            ("if-match", "W/\"1\", \"2\""),
            ("if-none-match", "W/\"1\""),
            ("range", "bytes=5-"),
            ("if-range", "W/\"1\""),
            ("accept-encoding", "gzip"),
        ] {
            request.insert(name, HeaderValue::from_static(value));
        }
        fit(&mut request);
        assert_eq!(request[header::IF_MATCH], "\"1\", \"2\"");
        assert_eq!(request[header::IF_NONE_MATCH], "W/\"1\"", "compares weakly");
        assert_eq!(request[header::ACCEPT_ENCODING], "identity");
        assert!(!request.contains_key(header::RANGE) && !request.contains_key(header::IF_RANGE));
    }

    #[test]
    fn nothing_is_said_of_bytes_that_are_not_sent() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-length", "9"),
            ("digest", "sha-256=x"),
            ("content-digest", "x"),
            ("repr-digest", "x"),
            ("content-md5", "x"),
            ("etag", "\"1\""),
            ("content-type", "application/json"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        loosen(&mut headers);
        assert_eq!(headers.len(), 2, "{headers:?}");
        assert_eq!(headers[header::CONTENT_TYPE], "application/json");
        assert_eq!(headers[header::ETAG], "W/\"1\"");
        weaken(&mut headers);
        assert_eq!(headers[header::ETAG], "W/\"1\"", "once");
    }

    proptest! {
        #[test]
        fn however_the_body_is_cut_the_outcome_is_the_same(cuts in prop::collection::vec(1..40_usize, 0..40)) {
            let (mut rest, mut chunks) = (Bytes::from_static(PAGE.as_bytes()), Vec::new());
            for cut in cuts {
                chunks.push(rest.split_to(cut.min(rest.len())));
            }
            chunks.push(rest);
            prop_assert_eq!(whole(chunks), PAGE_HERE);
        }

        #[test]
        fn what_has_no_url_of_the_upstream_stays_byte_for_byte(text in "[\"\\\\/htps:.aflexotgiub1v{}, ]{0,80}") {
            prop_assume!(!text.contains("api.flexslot.gg"));
            prop_assert_eq!(rewritten(&text), text);
        }
    }
}
