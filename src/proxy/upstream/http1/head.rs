//! The head of a response, and its trailers (RFC 9112 sections 2 to 5).

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version};
use httparse::{EMPTY_HEADER, Header, ParserConfig, Status};
use memchr::memchr_iter;

/// The most fields of a response, or of its trailer section.
const MAX_FIELDS: usize = 100;

/// What every status line begins with that is read here.
const PROTOCOL: &[u8] = b"HTTP/1.";

const TOO_LARGE: Malformed = Malformed("a header over the limit");

/// Finds a response's head at the front of a buffer that grows.
#[derive(Debug)]
pub(super) struct HeadReader {
    /// Bytes that a head may have.
    limit: usize,
    /// Up to where no LF is left unseen.
    scanned: usize,
}

/// A response that cannot be read: what is wrong with it, in fixed words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// A trailer section, the empty line at its end included.
pub(super) fn read_trailers(section: Bytes) -> Result<HeaderMap, Malformed> {
    let mut fields = [EMPTY_HEADER; MAX_FIELDS];
    match httparse::parse_headers(&section, &mut fields)? {
        Status::Complete((length, fields)) if length == section.len() => collect(&section, fields),
        _ => Err(Malformed("trailers that do not end where they should")),
    }
}

// === impl HeadReader ===

impl HeadReader {
    pub(super) const fn new(limit: usize) -> Self {
        Self { limit, scanned: 0 }
    }

    /// Takes the head that `buffer` begins with; `None` while it has not ended. `buffer` begins with what it held at the
    /// last call.
    pub(super) fn read(&mut self, buffer: &mut BytesMut) -> Result<Option<Response<()>>, Malformed> {
        match self.end(buffer)? {
            Some(end) if end <= self.limit => {
                self.scanned = 0;
                parse(buffer.split_to(end).freeze()).map(Some)
            }
            None if buffer.len() <= self.limit => Ok(None),
            _ => Err(TOO_LARGE),
        }
    }

    /// Where the first empty line ends that a line stands before.
    fn end(&mut self, buffer: &[u8]) -> Result<Option<usize>, Malformed> {
        let begin = buffer.iter().take_while(|byte| b"\r\n".contains(byte)).count();
        let line = &buffer[begin..];
        if !line.starts_with(&PROTOCOL[..line.len().min(PROTOCOL.len())]) {
            return Err(Malformed("not HTTP/1"));
        }
        let from = self.scanned.max(begin);
        let ends = memchr_iter(b'\n', &buffer[from..]).map(|at| from + at + 1);
        for line in ends {
            match &buffer[line..] {
                [b'\n', ..] => return Ok(Some(line + 1)),
                [b'\r', b'\n', ..] => return Ok(Some(line + 2)),
                // Whether this is the empty line, what comes next will tell.
                [] | [b'\r'] => {
                    self.scanned = line - 1;
                    return Ok(None);
                }
                _ => {}
            }
        }
        self.scanned = buffer.len();
        Ok(None)
    }
}

fn parse(head: Bytes) -> Result<Response<()>, Malformed> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let parser = ParserConfig::default();
    match parser.parse_response_with_uninit_headers(&mut parsed, &head, &mut fields)? {
        Status::Complete(length) if length == head.len() => {}
        _ => return Err(Malformed("a header that does not end where it should")),
    }
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
    let mut response = Response::new(());
    *response.status_mut() = status.ok_or(Malformed("no valid status code"))?;
    *response.version_mut() = if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    *response.headers_mut() = collect(&head, parsed.headers)?;
    Ok(response)
}

/// Fields whose values lie in `section`, where they stay.
fn collect(section: &Bytes, fields: &[Header<'_>]) -> Result<HeaderMap, Malformed> {
    let mut map = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed("invalid header name"))?;
        let value = HeaderValue::from_maybe_shared(section.slice_ref(field.value));
        map.append(name, value.map_err(|_| Malformed("invalid header value"))?);
    }
    Ok(map)
}

// === impl Malformed ===

impl From<httparse::Error> for Malformed {
    fn from(error: httparse::Error) -> Self {
        Self(match error {
            httparse::Error::HeaderName => "invalid header name",
            httparse::Error::HeaderValue => "invalid header value",
            httparse::Error::NewLine => "invalid end of a line",
            httparse::Error::Status => "invalid status line",
            httparse::Error::Token => "invalid token",
            httparse::Error::TooManyHeaders => "more header fields than are taken",
            httparse::Error::Version => "not HTTP/1",
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use http::{StatusCode, Version};

    use super::{HeadReader, Malformed, TOO_LARGE};

    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nx-a: 1\r\nX-A:  2 \r\n\r\n";

    #[test]
    fn a_head_is_taken_as_soon_as_it_has_ended_and_not_before() {
        let (mut reader, mut buffer) = (HeadReader::new(HEAD.len()), BytesMut::new());
        for byte in HEAD[..HEAD.len() - 1].bytes() {
            buffer.extend_from_slice(&[byte]);
            assert!(reader.read(&mut buffer).unwrap().is_none());
        }
        buffer.extend_from_slice(b"\nrest");
        let response = reader.read(&mut buffer).unwrap().unwrap();
        assert_eq!((response.status(), response.version()), (StatusCode::OK, Version::HTTP_11));
        assert!(response.headers().get_all("x-a").iter().eq(["1", "2"]));
        assert_eq!((response.headers().len(), &buffer[..]), (3, &b"rest"[..]));
    }

    #[test]
    fn one_after_the_other_is_read() {
        let mut buffer = BytesMut::from("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 204 No Content\n\n");
        let mut reader = HeadReader::new(64);
        assert_eq!(reader.read(&mut buffer).unwrap().unwrap().status(), StatusCode::CONTINUE);
        let last = reader.read(&mut buffer).unwrap().unwrap();
        assert_eq!((last.status(), last.version()), (StatusCode::NO_CONTENT, Version::HTTP_10));
        assert!(buffer.is_empty());
    }

    #[test]
    fn what_is_no_head_is_told_from_one_as_early_as_can_be() {
        for (bytes, fault) in [
            ("SSH-", "not HTTP/1"),
            ("<", "not HTTP/1"),
            ("HTTP/2", "not HTTP/1"),
            ("HTTP/1.2 200 OK\r\n\r\n", "not HTTP/1"),
            ("HTTP/1.1 99 Low\r\n\r\n", "invalid status line"),
            ("HTTP/1.1 200 OK\r\n x: folded\r\n\r\n", "invalid header name"),
            ("HTTP/1.1 200 OK\r\nx : 1\r\n\r\n", "invalid header name"),
            ("HTTP/1.1 200 OK\r\nx: 1\r\n folded\r\n\r\n", "invalid header name"),
            ("HTTP/1.1 200 OK\r\nx: \0\r\n\r\n", "invalid header value"),
            ("HTTP/1.1 200 OK\r\nx: 1\rx\r\n\r\n", "invalid header value"),
        ] {
            let read = HeadReader::new(64).read(&mut BytesMut::from(bytes));
            assert_eq!(read.unwrap_err(), Malformed(fault), "{bytes:?}");
        }
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: 1\r\n".repeat(101));
        let read = HeadReader::new(1024).read(&mut BytesMut::from(&*many));
        assert_eq!(read.unwrap_err(), Malformed("more header fields than are taken"));
    }

    #[test]
    fn a_head_over_the_limit_is_refused_whole_or_in_part() {
        for bytes in [HEAD, &HEAD[..HEAD.len() - 1]] {
            let read = HeadReader::new(bytes.len() - 1).read(&mut BytesMut::from(bytes));
            assert_eq!(read.unwrap_err(), TOO_LARGE);
        }
    }
}
