//! A request's head, line by line (RFC 9112 sections 2 and 3).

use std::ops::Range;

use http::{Method, Uri};
use memchr::memchr;

use super::{
    MAX_TARGET, Refusal,
    fields::{Fields, Framing, Line, Version, is_token, letters_digits_and},
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
    spaces: Spaces,
    request: Option<RequestLine>,
    fields: Fields,
    upgrades: Vec<Range<usize>>,
}

/// The parts of a request line, as far as it has come. Each byte is looked at once, or a target that drips in would
/// cost its square.
#[derive(Debug, Clone, Default)]
struct Spaces {
    scanned: usize,
    method_end: Option<usize>,
    target_end: Option<usize>,
}

/// A complete and good head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes before the request line.
    pub(super) skip: usize,
    /// The end of the empty line.
    pub(super) end: usize,
    /// The lines of `Upgrade`.
    pub(super) upgrades: Vec<Range<usize>>,
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
        Self {
            line: 0,
            scanned: 0,
            skip: 0,
            spaces: Spaces::default(),
            upgrades: Vec::new(),
            request: None,
            fields: Fields::new(header_size),
        }
    }

    /// Judges what `buffer` holds of the head; it begins with the bytes of the last call. `None` while the head has not
    /// ended.
    pub(super) fn read(&mut self, buffer: &[u8]) -> Result<Option<Head>, Refusal> {
        while let Some(at) = memchr(b'\n', &buffer[self.scanned..]) {
            let end = self.scanned + at;
            let line = &buffer[self.line..end];
            let start = self.line;
            (self.line, self.scanned) = (end + 1, end + 1);
            match self.request {
                None if line == b"\r" && self.skip == 0 => self.skip = end + 1,
                None => self.request = Some(self.spaces.finish(line)?),
                Some(request) if line == b"\r" => return self.finish(request).map(Some),
                Some(_) => match self.fields.line(line)? {
                    Line::Upgrade => self.upgrades.push(start..end + 1),
                    Line::Other => {}
                },
            }
        }
        self.scanned = buffer.len();
        let partial = &buffer[self.line..];
        match self.request {
            Some(_) => self.fields.check_partial(partial)?,
            None if partial == b"\r" && self.skip == 0 => {}
            None => self.spaces.advance(partial)?,
        }
        Ok(None)
    }

    fn finish(&mut self, request: RequestLine) -> Result<Head, Refusal> {
        let framing = self.fields.framing(request.version)?;
        if request.fragment {
            return Err(Refusal::Fragment);
        }
        Ok(Head { skip: self.skip, end: self.line, upgrades: std::mem::take(&mut self.upgrades), framing })
    }
}

// === impl Spaces ===

impl Spaces {
    /// Judges the bytes that `line` has more than at the last call.
    fn advance(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let mut at = self.scanned;
        while let Some(&byte) = line.get(at) {
            match (self.method_end, self.target_end) {
                (None, _) if byte == b' ' && at > 0 => self.method_end = Some(at),
                (None, _) if is_token(byte) && at < MAX_METHOD => {}
                (Some(_), None) if byte == b' ' => self.target_end = Some(at),
                (Some(start), None) if at - start > MAX_TARGET => return Err(Refusal::TargetTooLong),
                (Some(start), None) if is_visible(byte) => {
                    // As many as may follow: a target is most of a line.
                    let most = start + MAX_TARGET - at;
                    at += line[at + 1..].iter().take(most).take_while(|&&byte| is_visible(byte)).count();
                }
                // All that there is of it at once.
                (_, Some(end)) if VERSIONS.iter().any(|(text, _)| text.starts_with(&line[end + 1..])) => break,
                _ => return Err(Refusal::Malformed),
            }
            at += 1;
        }
        self.scanned = line.len();
        Ok(())
    }

    /// Reads a line that is complete, with its CR and without its LF.
    fn finish(&mut self, line: &[u8]) -> Result<RequestLine, Refusal> {
        self.advance(line)?;
        let (Some(method_end), Some(target_end)) = (self.method_end, self.target_end) else {
            return Err(Refusal::Malformed);
        };
        let (method, target, version) =
            (&line[..method_end], &line[method_end + 1..target_end], &line[target_end + 1..]);
        let (_, version) = VERSIONS.into_iter().find(|(text, _)| *text == version).ok_or(Refusal::Malformed)?;
        let fragment = target.contains(&b'#');
        if fragment || is_target(method, target) {
            Ok(RequestLine { version, fragment })
        } else {
            Err(Refusal::Malformed)
        }
    }
}

/// What a target may be made of, as far as its bytes go.
fn is_visible(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f
}

/// What most targets are made of; hyper's reader of targets takes all of it.
const PLAIN: [bool; 256] = letters_digits_and(b"-._~!$&'()*+,;=:@%/?");

/// Whether the target has the form that its method goes with (RFC 9112 section 3.2), and one that hyper reads.
fn is_target(method: &[u8], target: &[u8]) -> bool {
    if target.starts_with(b"/") && target.iter().all(|&byte| PLAIN[usize::from(byte)]) {
        return method != Method::CONNECT.as_str().as_bytes();
    }
    let Ok(uri) = Uri::try_from(target) else { return false };
    let authority_only = uri.authority().is_some() && uri.scheme().is_none();
    match target {
        _ if method == Method::CONNECT.as_str().as_bytes() => authority_only,
        b"*" => method == Method::OPTIONS.as_str().as_bytes(),
        _ => target.starts_with(b"/") || uri.scheme().is_some(),
    }
}
