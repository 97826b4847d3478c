//! Where a response ends (RFC 9112 section 6.3), and whether its connection lives on (section 9.3).

use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};

use super::head::Malformed;

/// How the end of a response's content is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes; zero where there is no content.
    Length(u64),
    Chunked,
    /// With the connection.
    UntilClose,
}

/// Whether a connection takes another request after this response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Persistence {
    Persists,
    Ends,
}

// === impl Framing ===

impl Framing {
    /// That of the answer to a request of this method. What two readers could frame in two ways is refused, also where no
    /// content follows.
    pub(super) fn of(method: &Method, response: &Response<()>) -> Result<Self, Malformed> {
        if let Some(fault) = framing_fault(response.headers()) {
            return Err(Malformed(fault));
        }
        let has_no_content =
            *method == Method::HEAD || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if has_no_content {
            return Ok(Self::Length(0));
        }
        let length = response.headers().get(CONTENT_LENGTH);
        match (response.headers().contains_key(TRANSFER_ENCODING), length) {
            (true, _) if response.version() == Version::HTTP_11 => Ok(Self::Chunked),
            (true, _) => Err(Malformed("chunks in HTTP/1.0")),
            (false, None) => Ok(Self::UntilClose),
            (false, Some(length)) => {
                let length = length.to_str().ok().and_then(|length| length.parse().ok());
                length.map(Self::Length).ok_or(Malformed("a length beyond all bounds"))
            }
        }
    }
}

/// What leaves it open where a response ends, to one reader or another. Equal lengths are one statement (RFC 9110 section
/// 8.6).
pub(in crate::proxy::upstream) fn framing_fault(headers: &HeaderMap) -> Option<&'static str> {
    let is_number = |length: &HeaderValue| !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit);
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if let Some(first) = lengths.next()
        && !(is_number(first) && lengths.all(|other| other == first))
    {
        return Some("a length that is not one number");
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = codings.next()?.as_bytes().eq_ignore_ascii_case(b"chunked");
    if !is_chunked || codings.next().is_some() {
        Some("a transfer coding other than chunked")
    } else if headers.contains_key(CONTENT_LENGTH) {
        Some("a length beside a transfer coding")
    } else {
        None
    }
}

// === impl Persistence ===

impl Persistence {
    pub(super) fn of(response: &Response<()>, framing: Framing) -> Self {
        let says = |option: &[u8]| {
            let lines = response.headers().get_all(CONNECTION).iter();
            let mut options = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
            options.any(|said| said.trim_ascii().eq_ignore_ascii_case(option))
        };
        let persists = framing != Framing::UntilClose
            && !says(b"close")
            && (response.version() == Version::HTTP_11 || says(b"keep-alive"));
        if persists { Self::Persists } else { Self::Ends }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue, Method, Response, Version};

    use super::{Framing, Persistence};

    fn response(status: u16, version: Version, fields: &str) -> Response<()> {
        let mut response = Response::builder().status(status).version(version).body(()).unwrap();
        for (name, value) in fields.lines().filter_map(|line| line.split_once(": ")) {
            let (name, value): (HeaderName, HeaderValue) = (name.parse().unwrap(), value.parse().unwrap());
            response.headers_mut().append(name, value);
        }
        response
    }

    #[test]
    fn the_end_is_found_as_rfc_9112_says_and_where_it_is_not_clear_there_is_none() {
        use Framing::{Chunked, Length, UntilClose};
        for (method, status, version, fields, end) in [
            ("GET", 200, Version::HTTP_11, "content-length: 7", Some(Length(7))),
            ("GET", 200, Version::HTTP_11, "content-length: 7\ncontent-length: 7", Some(Length(7))),
            ("GET", 200, Version::HTTP_11, "content-length: 7\ncontent-length: 07", None),
            ("GET", 200, Version::HTTP_11, "content-length: 7\ncontent-length: 8", None),
            ("GET", 200, Version::HTTP_11, "content-length: 99999999999999999999", None),
            ("GET", 200, Version::HTTP_11, "content-length: +7", None),
            ("GET", 200, Version::HTTP_11, "content-length: ", None),
            ("GET", 200, Version::HTTP_11, "transfer-encoding: Chunked", Some(Chunked)),
            ("GET", 200, Version::HTTP_11, "transfer-encoding: chunked\ncontent-length: 7", None),
            ("GET", 200, Version::HTTP_11, "transfer-encoding: gzip, chunked", None),
            ("GET", 200, Version::HTTP_10, "transfer-encoding: chunked", None),
            ("GET", 200, Version::HTTP_11, "", Some(UntilClose)),
            ("GET", 204, Version::HTTP_11, "", Some(Length(0))),
            ("GET", 304, Version::HTTP_11, "content-length: 7", Some(Length(0))),
            ("HEAD", 200, Version::HTTP_11, "content-length: 7", Some(Length(0))),
            ("HEAD", 200, Version::HTTP_11, "content-length: 7\ncontent-length: 8", None),
            ("HEAD", 200, Version::HTTP_11, "transfer-encoding: gzip", None),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let found = Framing::of(&method, &response(status, version, fields));
            assert_eq!(found.ok(), end, "{method} {status} {fields}");
        }
    }

    #[test]
    fn a_connection_lives_on_where_both_sides_know_the_end_and_nobody_ends_it() {
        use Persistence::{Ends, Persists};
        for (version, fields, framing, persistence) in [
            (Version::HTTP_11, "", Framing::Chunked, Persists),
            (Version::HTTP_11, "", Framing::UntilClose, Ends),
            (Version::HTTP_11, "connection: x, Close", Framing::Length(1), Ends),
            (Version::HTTP_11, "connection: x\nconnection: close", Framing::Length(1), Ends),
            (Version::HTTP_11, "connection: closed", Framing::Length(1), Persists),
            (Version::HTTP_10, "", Framing::Length(1), Ends),
            (Version::HTTP_10, "connection: Keep-Alive", Framing::Length(1), Persists),
            (Version::HTTP_10, "connection: keep-alive, close", Framing::Length(1), Ends),
        ] {
            assert_eq!(Persistence::of(&response(200, version, fields), framing), persistence, "{version:?} {fields}");
        }
    }
}
