//! Header and trailer fields (RFC 9112 section 5), and what they say about the body (section 6).

use memchr::memchr;

use super::{MAX_FIELDS, Refusal};

/// The longest field name; hyper cannot hold one that is much longer.
const MAX_NAME: usize = 1024;

/// The longest `Content-Length` in digits: 2^63 has nineteen.
const MAX_LENGTH_DIGITS: usize = 18;

/// A field section, line by line.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    limit: usize,
    bytes: usize,
    count: usize,
    hosts: usize,
    length: Option<u64>,
    codings: usize,
}

/// How long a request's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Zero where there is no body.
    Length(u64),
    Chunked,
}

/// What a line is to the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    Upgrade,
    Other,
}

/// The two versions that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Http10,
    Http11,
}

// === impl Fields ===

impl Fields {
    /// A section of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, bytes: 0, count: 0, hosts: 0, length: None, codings: 0 }
    }

    /// Judges a line that has not ended yet.
    pub(super) fn check_partial(&self, line: &[u8]) -> Result<(), Refusal> {
        // The CR may belong to the empty line, which is not counted.
        if line != b"\r" && self.bytes + line.len() > self.limit { Err(Refusal::FieldsTooLarge) } else { Ok(()) }
    }

    /// Takes a line, with its CR and without its LF.
    pub(super) fn line(&mut self, line: &[u8]) -> Result<Line, Refusal> {
        self.bytes += line.len() + 1;
        self.count += 1;
        if self.bytes > self.limit || self.count > MAX_FIELDS {
            return Err(Refusal::FieldsTooLarge);
        }
        let (name, value) = split(line)?;
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host(value)?,
            7 if name.eq_ignore_ascii_case(b"upgrade") => return Ok(Line::Upgrade),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.length(value)?,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.coding(value)?,
            _ => {}
        }
        Ok(Line::Other)
    }

    fn host(&mut self, value: &[u8]) -> Result<(), Refusal> {
        self.hosts += 1;
        if is_host(value) { Ok(()) } else { Err(Refusal::Malformed) }
    }

    /// Takes one plain number. A repeated one is refused even where it says the same: RFC 9112 section 6.3 leaves the
    /// choice.
    fn length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let digits = (1..=MAX_LENGTH_DIGITS).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
        if !digits || self.length.is_some() {
            return Err(Refusal::Malformed);
        }
        self.length = Some(value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0')));
        Ok(())
    }

    fn coding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        self.codings += 1;
        if value.eq_ignore_ascii_case(b"chunked") { Ok(()) } else { Err(Refusal::Malformed) }
    }

    /// What a request's section says about its body, once the section has ended.
    pub(super) fn framing(&self, version: Version) -> Result<Framing, Refusal> {
        let hosts = match version {
            Version::Http10 => self.hosts <= 1,
            Version::Http11 => self.hosts == 1,
        };
        match (self.codings, self.length, version) {
            _ if !hosts => Err(Refusal::Malformed),
            (0, length, _) => Ok(Framing::Length(length.unwrap_or(0))),
            (1, None, Version::Http11) => Ok(Framing::Chunked),
            _ => Err(Refusal::Malformed),
        }
    }
}

/// The name and the value of a line. A folded line (section 5.2) begins with a space, which no name has.
fn split(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let line = line.strip_suffix(b"\r").ok_or(Refusal::Malformed)?;
    let colon = memchr(b':', line).ok_or(Refusal::Malformed)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.len() > MAX_NAME {
        return Err(Refusal::FieldsTooLarge);
    }
    let good = !name.is_empty() && name.iter().all(|&byte| is_token(byte)) && is_text(value);
    if good { Ok((name, value.trim_ascii())) } else { Err(Refusal::Malformed) }
}

/// RFC 9110 section 5.6.2.
pub(super) const fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

const TOKEN: [bool; 256] = letters_digits_and(b"!#$%&'*+-.^_`|~");

/// What a registered name or an IPv4 address is made of (RFC 3986 section 3.2.2).
const NAME: [bool; 256] = letters_digits_and(b"-._~!$&'()*+,;=%");

/// Those of ASCII, and these. By byte, because every byte of every head is asked for.
pub(super) const fn letters_digits_and(more: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128_u8 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < more.len() {
        table[more[at] as usize] = true;
        at += 1;
    }
    table
}

/// RFC 9110 section 5.5: visible characters, spaces, tabs, and bytes beyond ASCII. Without a branch for each byte, since
/// nearly all are good; the processor then looks at many at once.
pub(super) fn is_text(value: &[u8]) -> bool {
    let is_good = |byte: u8| (byte == b'\t') | ((byte >= b' ') & (byte != 0x7f));
    value.iter().fold(true, |good, &byte| good & is_good(byte))
}

/// RFC 9112 section 3.2: `uri-host [ ":" port ]`, or nothing where the target has no authority.
fn is_host(value: &[u8]) -> bool {
    let (name, port) = match value.strip_prefix(b"[").map(|rest| rest.iter().position(|&byte| byte == b']')) {
        Some(Some(end)) => (&value[1..=end], &value[end + 2..]),
        Some(None) => return false,
        None => value.split_at(value.iter().position(|&byte| byte == b':').unwrap_or(value.len())),
    };
    let in_name = |byte: u8| match value.first() {
        Some(b'[') => byte.is_ascii_hexdigit() || b":.".contains(&byte),
        _ => NAME[usize::from(byte)],
    };
    let good_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    name.iter().all(|&byte| in_name(byte)) && (!name.is_empty() || value.is_empty()) && good_port
}
