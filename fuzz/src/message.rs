//! HTTP/1.1 messages as a strict reader takes them, for both ends of the sidecar.

use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memmem;

/// The first line of a message, and its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub line: String,
    pub fields: HeaderMap,
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Length(usize),
    Chunked,
    /// With the connection; answers only.
    Close,
}

/// A body as far as it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub data: Vec<u8>,
    /// How many bytes it took, with its coding; `None` while there is more to come.
    pub length: Option<usize>,
}

/// Header lines, `name: value` with LF between them. What cannot be a field is left out.
pub fn fields(text: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in text.split(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let name = HeaderName::from_bytes(line[..colon].trim_ascii());
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            // A map that takes no more is none of ours to try.
            let _ = fields.try_append(name, value);
        }
    }
    fields
}

/// Where `what` begins in `bytes`.
pub fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    memmem::find(bytes, what)
}

// === impl Head ===

impl Head {
    /// The head at the front of `bytes` and its length; `None` while there is more to come, `Err` where it is none.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, String> {
        let Some(end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
        let mut lines = bytes[..end].split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let line = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
        let mut fields = HeaderMap::new();
        for field in lines {
            let fault = || format!("not a field: {}", field.escape_ascii());
            let colon = field.iter().position(|&byte| byte == b':').ok_or_else(fault)?;
            let name = HeaderName::from_bytes(&field[..colon]).map_err(|_| fault())?;
            let value = HeaderValue::from_bytes(field[colon + 1..].trim_ascii()).map_err(|_| fault())?;
            fields.append(name, value);
        }
        Ok(Some((Self { line, fields }, end + 4)))
    }

    /// A word of the first line.
    pub fn word(&self, at: usize) -> &str {
        self.line.split(' ').nth(at).unwrap_or_default()
    }

    /// The status of an answer.
    pub fn status(&self) -> u16 {
        self.word(1).parse().unwrap_or_default()
    }

    /// The one value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(|value| value.to_str().ok())
    }

    /// Where the body ends; `Err` where two readers could see two ends. `without` is what a message has that says nothing
    /// of it.
    pub fn framing(&self, without: Framing) -> Result<Framing, String> {
        let lengths: Vec<_> = self.fields.get_all("content-length").iter().collect();
        let codings: Vec<_> = self.fields.get_all("transfer-encoding").iter().collect();
        match (&lengths[..], &codings[..]) {
            ([], []) => Ok(without),
            ([length], []) => {
                let length = length.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                let length = length.and_then(|length| length.parse().ok());
                length.map(Framing::Length).ok_or_else(|| format!("no length: {self:?}"))
            }
            ([], [coding]) if *coding == "chunked" => Ok(Framing::Chunked),
            _ => Err(format!("framed in two ways, or in none that is known: {self:?}")),
        }
    }
}

// === impl Framing ===

impl Framing {
    /// The body at the front of `bytes`, as far as it is there.
    pub fn read(self, bytes: &[u8]) -> Result<Content, String> {
        match self {
            Self::Length(length) if bytes.len() >= length => {
                Ok(Content { data: bytes[..length].to_vec(), length: Some(length) })
            }
            Self::Length(_) | Self::Close => Ok(Content { data: bytes.to_vec(), length: None }),
            Self::Chunked => chunks(bytes),
        }
    }
}

fn chunks(bytes: &[u8]) -> Result<Content, String> {
    let (mut data, mut at) = (Vec::new(), 0);
    loop {
        let Some(line) = find(&bytes[at..], b"\r\n") else { return Ok(Content { data, length: None }) };
        let digits = str::from_utf8(&bytes[at..at + line]).ok();
        let size = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let size = size.ok_or_else(|| format!("no chunk: {}", bytes[at..at + line].escape_ascii()))?;
        at += line + 2;
        if size == 0 {
            break;
        }
        let end = at + size;
        if bytes.len() < end + 2 {
            data.extend_from_slice(&bytes[at..end.min(bytes.len())]);
            return Ok(Content { data, length: None });
        }
        if &bytes[end..end + 2] != b"\r\n" {
            return Err("a chunk that does not end where it says".to_owned());
        }
        data.extend_from_slice(&bytes[at..end]);
        at = end + 2;
    }
    // Trailers end with an empty line.
    loop {
        let Some(line) = find(&bytes[at..], b"\r\n") else { return Ok(Content { data, length: None }) };
        at += line + 2;
        if line == 0 {
            return Ok(Content { data, length: Some(at) });
        }
    }
}
