//! The check of the request target: which paths are forwarded, and what the rules see of them.
//!
//! The bytes that were judged are the bytes that go out. Because a server behind us may decode or normalise them in its
//! own way, a path is accepted only where every *reading* of it (percent-decoded once or twice, `%2F` taken as data or
//! as a slash, parameters after `;` cut off, empty segments merged) leads to the same `Decision`.

use std::{borrow::Cow, fmt, ops::Range, str};

use http::uri::PathAndQuery;
use percent_encoding::percent_decode_str;

use crate::{
    credential::PathClass,
    model::{TenantId, tenant::InvalidTenant},
};

/// The one area of the upstream that is forwarded, as written on the wire.
pub const BASE: &str = "/api/public/v1/";

const BASE_SEGMENTS: [&str; 3] = ["api", "public", "v1"];

/// An accepted request target.
#[derive(Debug, Clone)]
pub struct Target {
    forward: PathAndQuery,
    tenant: Option<TenantId>,
    prefix: Box<str>,
    segments: Vec<Segment>,
    class: PathClass,
}

/// A segment of an accepted path, decoded.
#[derive(Debug, Clone)]
enum Segment {
    /// As it was written: where it stands in the path that is sent upstream.
    Written(Range<usize>),
    Decoded(Box<str>),
}

/// Why a request target is not forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    /// 400 `tenant_invalid`: `/t/<tenant>` names no tenant.
    Tenant(InvalidTenant),
    /// 400 `path_invalid`.
    Invalid(PathFault),
    /// 404 `not_proxied`: outside [`BASE`].
    NotProxied,
    /// 403 `path_denied`: the OAuth endpoints belong to the sidecar.
    Denied,
}

/// What is wrong with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathFault {
    /// `.` or `..`, in any encoding, parameters after `;` left aside.
    DotSegment,
    /// `\`, raw or encoded.
    Backslash,
    /// NUL or another control character, raw or encoded.
    Control,
    /// A raw `#`. `http::Uri` drops it and what follows, so it is the reader of the wire who sees it.
    Fragment,
    /// `//`, or a segment of nothing but parameters.
    EmptySegment,
    /// `%` without two hexadecimal digits.
    Escape,
    /// Decodes to bytes that are not UTF-8; overlong forms of `.` and `/` are among them.
    Encoding,
    /// Means something else where `%2F` is taken for a slash, where it is decoded twice, or where `;` begins a
    /// parameter.
    Ambiguous,
}

/// What the rules that know only the path make of one reading.
#[derive(Debug, PartialEq, Eq)]
enum Decision<'a> {
    /// The OAuth endpoints.
    OAuth,
    Partner,
    /// The first segment and whether it is about a deck's guide; the table of scopes knows no more of a path.
    Ordinary {
        resource: &'a str,
        guide: bool,
    },
}

// === impl Target ===

impl Target {
    /// Judges a path and query as the client wrote them.
    pub fn check(received: &PathAndQuery) -> Result<Self, PathError> {
        let written = received.as_str();
        let at = written.find('?').unwrap_or(written.len());
        let (path, query) = written.split_at(at);
        if query.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(PathFault::Control.into());
        }
        let (prefix, path) = split_prefix(path);
        let tenant = match prefix {
            "" => None,
            prefix => Some(read_tenant(&prefix["/t/".len()..])?),
        };
        let segments = decode(path)?;
        let below = match below_base(&segments) {
            Some(below) if !below.is_empty() || path.ends_with('/') => below,
            None if readings(&segments).any(|reading| below_base(&reading).is_some()) => {
                return Err(PathFault::Ambiguous.into());
            }
            _ => return Err(PathError::NotProxied),
        };
        let class = classify(below)?;
        let segments = below.iter().zip(places(path).skip(BASE_SEGMENTS.len())).map(Segment::of).collect();
        let forward = if prefix.is_empty() {
            received.clone()
        } else {
            PathAndQuery::try_from(&written[prefix.len()..]).map_err(|_| PathFault::Encoding)?
        };
        Ok(Self { forward, tenant, prefix: prefix.into(), segments, class })
    }

    /// What is sent upstream: the client's own bytes without its `/t/<tenant>`.
    pub fn forward(&self) -> &PathAndQuery {
        &self.forward
    }

    /// The tenant that the path names.
    pub fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// `/t/<tenant>` as the client wrote it, or nothing; what rewritten URLs begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Which credentials the path takes.
    pub fn class(&self) -> PathClass {
        self.class
    }

    /// The segments below [`BASE`], percent-decoded once, without the empty one that a trailing slash leaves. They may
    /// contain `/`.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        let path = self.forward.as_str();
        self.segments.iter().map(move |segment| match segment {
            Segment::Written(at) => &path[at.clone()],
            Segment::Decoded(text) => text,
        })
    }

    /// What `decide` says of the segments, if it says the same of every reading of them. A rule that is not decided in
    /// here (a tenant's `allow` patterns) must be asked through this, or `%2F` opens what the pattern closes.
    pub fn agree<T: PartialEq>(&self, mut decide: impl FnMut(&[Cow<'_, str>]) -> T) -> Option<T> {
        let plain: Vec<_> = self.segments().map(Cow::Borrowed).collect();
        let decision = decide(&plain);
        readings(&plain).all(|reading| decide(&reading) == decision).then_some(decision)
    }
}

/// Splits `/t/<tenant>` off a path.
fn split_prefix(path: &str) -> (&str, &str) {
    match path.strip_prefix("/t/") {
        Some(rest) => path.split_at("/t/".len() + rest.find('/').unwrap_or(rest.len())),
        None => ("", path),
    }
}

fn read_tenant(written: &str) -> Result<TenantId, PathError> {
    let name = percent_decode_str(written).decode_utf8().map_err(|_| PathError::Tenant(InvalidTenant::Byte(0)))?;
    match (name.parse(), &*name) {
        (Ok(tenant), _) => Ok(tenant),
        (Err(_), "." | "..") => Err(PathFault::DotSegment.into()),
        (Err(fault), _) => Err(PathError::Tenant(fault)),
    }
}

/// Where the segments of a path stand in it.
fn places(path: &str) -> impl Iterator<Item = Range<usize>> {
    let mut next = usize::from(path.starts_with('/'));
    path[next..].split('/').map(move |raw| {
        let start = next;
        next += raw.len() + 1;
        start..start + raw.len()
    })
}

/// The segments of a path, each decoded once, if no reading of it has a fault.
fn decode(path: &str) -> Result<Vec<Cow<'_, str>>, PathFault> {
    let mut segments = Vec::new();
    let mut rest = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(raw) = rest.next() {
        if is_plain(raw) {
            segments.push(Cow::Borrowed(raw));
            continue;
        }
        check_escapes(raw)?;
        let once = percent_decode_str(raw).decode_utf8().map_err(|_| PathFault::Encoding)?;
        let twice = percent_decode_str(&once).decode_utf8().map_err(|_| PathFault::Encoding)?;
        check_decoded(&once)?;
        check_decoded(&twice)?;
        match without_parameters(&once) {
            "" if raw.is_empty() && rest.peek().is_none() => break, // a trailing slash is kept
            "" => return Err(PathFault::EmptySegment),
            _ => segments.push(once),
        }
    }
    Ok(segments)
}

/// Whether every reading of a segment is the segment itself, and none has a fault; most segments are such. It has none of
/// the bytes that any reading takes for something else, and is not made of dots alone.
fn is_plain(raw: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte);
    raw.bytes().all(plain) && raw.bytes().any(|byte| byte != b'.')
}

/// RFC 3986 section 2.1: `%` is followed by two hexadecimal digits. Servers disagree about what anything else means.
fn check_escapes(raw: &str) -> Result<(), PathFault> {
    let digits_follow = |tail: &str| tail.len() >= 2 && tail.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    if raw.split('%').skip(1).all(digits_follow) { Ok(()) } else { Err(PathFault::Escape) }
}

fn check_decoded(segment: &str) -> Result<(), PathFault> {
    if segment.chars().any(char::is_control) {
        Err(PathFault::Control)
    } else if segment.contains('\\') {
        Err(PathFault::Backslash)
    } else if segment.split('/').any(|part| matches!(without_parameters(part), "." | "..")) {
        Err(PathFault::DotSegment)
    } else {
        Ok(())
    }
}

/// A segment up to its first `;` (RFC 3986 section 3.3 leaves parameters to the server, and some cut them off before
/// they route).
fn without_parameters(segment: &str) -> &str {
    segment.bytes().position(|byte| byte == b';').map_or(segment, |at| &segment[..at])
}

/// What else a server may take the segments for: with `%2F` as a slash, decoded once more, and with that as a slash.
/// None where all of these are the same. Segments without a name are left out, as by a server that merges slashes.
fn readings<'a>(once: &'a [Cow<'_, str>]) -> impl Iterator<Item = Vec<Cow<'a, str>>> {
    let differs = once.iter().any(|segment| segment.bytes().any(|byte| matches!(byte, b'/' | b'%')));
    let again = differs.then(|| {
        let twice = || once.iter().map(|segment| percent_decode_str(segment).decode_utf8_lossy());
        let named = |part: &Cow<'_, str>| !without_parameters(part).is_empty();
        [
            once.iter().flat_map(|segment| segment.split('/')).map(Cow::Borrowed).filter(named).collect(),
            twice().filter(named).collect(),
            twice().flat_map(split_owned).filter(named).collect(),
        ]
    });
    again.into_iter().flatten()
}

fn split_owned(segment: Cow<'_, str>) -> Vec<Cow<'_, str>> {
    match segment {
        Cow::Borrowed(text) => text.split('/').map(Cow::Borrowed).collect(),
        Cow::Owned(text) => text.split('/').map(|part| Cow::Owned(part.to_owned())).collect(),
    }
}

/// The segments below [`BASE`]; `None` where the path is not below it.
fn below_base<'a, 'b>(segments: &'a [Cow<'b, str>]) -> Option<&'a [Cow<'b, str>]> {
    let (head, below) = segments.split_at_checked(BASE_SEGMENTS.len())?;
    head.iter().zip(BASE_SEGMENTS).all(|(segment, word)| segment == word).then_some(below)
}

/// The class of a path, where every reading leads to the same decision.
fn classify(once: &[Cow<'_, str>]) -> Result<PathClass, PathError> {
    let decision = Decision::of(once);
    if !readings(once).all(|reading| Decision::of(&reading) == decision) {
        return Err(PathFault::Ambiguous.into());
    }
    match decision {
        Decision::OAuth => Err(PathError::Denied),
        Decision::Partner => Ok(PathClass::PatOnly),
        Decision::Ordinary { .. } => Ok(PathClass::Ordinary),
    }
}

// === impl Segment ===

impl Segment {
    /// A decoded segment and its place. One that is borrowed is as it was written.
    fn of((segment, place): (&Cow<'_, str>, Range<usize>)) -> Self {
        match segment {
            Cow::Borrowed(_) => Self::Written(place),
            Cow::Owned(text) => Self::Decoded(text.as_str().into()),
        }
    }
}

// === impl Decision ===

impl<'a> Decision<'a> {
    /// Deny rules are applied without regard to case, and to what is left when parameters are cut off.
    fn of(segments: &'a [Cow<'_, str>]) -> Self {
        let mut words = segments.iter().map(|segment| without_parameters(segment));
        let resource = words.next().unwrap_or_default();
        if same_word(resource, "oauth") {
            return Self::OAuth;
        }
        let partner = |word: &str| folded(word).starts_with("PARTNER") || same_word(word, "access-tokens");
        if same_word(resource, "me") && words.clone().next().is_some_and(partner) {
            return Self::Partner;
        }
        let guide = same_word(resource, "decks") && words.any(|word| same_word(word, "guide"));
        Self::Ordinary { resource, guide }
    }
}

fn same_word(segment: &str, word: &str) -> bool {
    segment.eq_ignore_ascii_case(word) || (!segment.is_ascii() && folded(segment) == folded(word))
}

/// Upper case by way of lower case, which also folds the letters that Unicode counts as ASCII's (`ſ`, the Kelvin sign).
fn folded(text: &str) -> String {
    text.to_lowercase().to_uppercase()
}

// === impl PathError ===

impl From<PathFault> for PathError {
    fn from(fault: PathFault) -> Self {
        Self::Invalid(fault)
    }
}

// === impl PathFault ===

impl fmt::Display for PathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DotSegment => "the path contains a dot segment (. or .., raw or encoded)",
            Self::Backslash => "the path contains a backslash, raw or encoded",
            Self::Control => "the path or query contains a control character",
            Self::Fragment => "the request target contains a fragment (#); write %23 for the character",
            Self::EmptySegment => "the path contains an empty segment (//)",
            Self::Escape => {
                "the path contains a % that is not followed by two hexadecimal digits; write %25 for the character"
            }
            Self::Encoding => "the path does not decode to UTF-8",
            Self::Ambiguous => {
                "the path means something else when it is decoded or split in another way (%2F, %25 or ;)"
            }
        })
    }
}

#[cfg(test)]
mod tests;
