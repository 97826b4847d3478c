//! A request's head, line by line (RFC 9112 sections 2 and 3).

use http::{Method, Uri};

use super::{
    MAX_TARGET, Refusal,
    fields::{Fields, Framing, Version, is_token},
};

/// The longest method; the registry's longest has seventeen letters.
const MAX_METHOD: usize = 64;

const VERSIONS: [(&[u8], Version); 2] = [(b"HTTP/1.1\r", Version::Http11), (b"HTTP/1.0\r", Version::Http10)];

/// Reads a head that grows in somebody else's buffer. Positions count from the buffer's first byte.
#[derive(Debug, Clone)]
pub(super) struct HeadReader {
    /// Where the current line begins.
    line: usize,
    /// Up to where no LF is left unseen.
    scanned: usize,
    /// An empty line before the request line, which RFC 9112 section 2.2 asks us to ignore; two are no client's habit.
    skip: usize,
    request: Option<RequestLine>,
    fields: Fields,
}

/// A complete and good head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes before the request line.
    pub(super) skip: usize,
    /// The end of the empty line.
    pub(super) end: usize,
    pub(super) framing: Framing,
}

#[derive(Debug, Clone, Copy)]
struct RequestLine {
    version: Version,
    fragment: bool,
}

// === impl HeadReader ===

impl HeadReader {
    pub(super) fn new(header_size: usize) -> Self {
        Self { line: 0, scanned: 0, skip: 0, request: None, fields: Fields::new(header_size) }
    }

    /// Judges what `buffer` holds of the head; it begins with the bytes of the last call. `None` while the head has not ended.
    pub(super) fn read(&mut self, buffer: &[u8]) -> Result<Option<Head>, Refusal> {
        while let Some(at) = buffer[self.scanned..].iter().position(|&byte| byte == b'\n') {
            let end = self.scanned + at;
            let line = &buffer[self.line..end];
            (self.line, self.scanned) = (end + 1, end + 1);
            match self.request {
                None if line == b"\r" && self.skip == 0 => self.skip = end + 1,
                None => self.request = Some(RequestLine::read(line)?),
                Some(request) if line == b"\r" => return self.finish(request).map(Some),
                Some(_) => self.fields.line(line)?,
            }
        }
        self.scanned = buffer.len();
        let partial = &buffer[self.line..];
        match self.request {
            Some(_) => self.fields.check_partial(partial)?,
            None if partial == b"\r" && self.skip == 0 => {}
            None => drop(split(partial)?),
        }
        Ok(None)
    }

    fn finish(&self, request: RequestLine) -> Result<Head, Refusal> {
        let framing = self.fields.framing(request.version)?;
        if request.fragment {
            return Err(Refusal::Fragment);
        }
        Ok(Head { skip: self.skip, end: self.line, framing })
    }
}

// === impl RequestLine ===

impl RequestLine {
    /// Reads a line with its CR and without its LF.
    fn read(line: &[u8]) -> Result<Self, Refusal> {
        let (method, target, version) = match split(line)? {
            (method, Some((target, Some(version)))) => (method, target, version),
            _ => return Err(Refusal::Malformed),
        };
        let (_, version) = VERSIONS.into_iter().find(|(text, _)| *text == version).ok_or(Refusal::Malformed)?;
        if !target.iter().all(|&byte| byte > b' ' && byte != 0x7f) {
            return Err(Refusal::Malformed);
        }
        let fragment = target.contains(&b'#');
        if !fragment && !is_target(method, target) {
            return Err(Refusal::Malformed);
        }
        Ok(Self { version, fragment })
    }
}

type Split<'a> = (&'a [u8], Option<(&'a [u8], Option<&'a [u8]>)>);

/// The parts of a request line that single spaces divide, as far as the line goes.
fn split(line: &[u8]) -> Result<Split<'_>, Refusal> {
    let (method, rest) = at_space(line);
    if method.len() > MAX_METHOD || !method.iter().all(|&byte| is_token(byte)) || (method.is_empty() && rest.is_some())
    {
        return Err(Refusal::Malformed);
    }
    let Some(rest) = rest else { return Ok((method, None)) };
    let (target, version) = at_space(rest);
    if target.len() > MAX_TARGET {
        return Err(Refusal::TargetTooLong);
    }
    if version.is_some_and(|version| !VERSIONS.iter().any(|(text, _)| text.starts_with(version))) {
        return Err(Refusal::Malformed);
    }
    Ok((method, Some((target, version))))
}

fn at_space(line: &[u8]) -> (&[u8], Option<&[u8]>) {
    match line.iter().position(|&byte| byte == b' ') {
        Some(at) => (&line[..at], Some(&line[at + 1..])),
        None => (line, None),
    }
}

/// Whether the target has the form that its method goes with (RFC 9112 section 3.2), and one that hyper reads.
fn is_target(method: &[u8], target: &[u8]) -> bool {
    let Ok(uri) = Uri::try_from(target) else { return false };
    let authority_only = uri.authority().is_some() && uri.scheme().is_none();
    match target {
        _ if method == Method::CONNECT.as_str().as_bytes() => authority_only,
        b"*" => method == Method::OPTIONS.as_str().as_bytes(),
        _ => target.starts_with(b"/") || uri.scheme().is_some(),
    }
}
