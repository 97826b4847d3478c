//! W3C Trace Context (<https://www.w3.org/TR/trace-context/>): how one program tells the next to which trace a request
//! belongs.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Names the trace, the sender's span in it, and whether the trace is recorded.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What each tracing system on the way wants to have carried along. It means nothing without `traceparent`.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A trace. Not all of its bytes are zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// A span of a trace. Not all of its bytes are zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

/// What is said of a trace besides its name (section 3.2.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceFlags(u8);

/// A span as other programs name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanContext {
    pub trace: TraceId,
    pub span: SpanId,
    pub flags: TraceFlags,
}

/// What the headers of a request say of the trace that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming {
    /// Nothing, or nothing that can be read. A `tracestate` beside that means nothing (section 4.3).
    Nothing,
    Parent(SpanContext, TraceState),
}

/// What is to become of a `tracestate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceState {
    /// It goes on as it is.
    Carried,
    /// It is not well-formed, or there is no trace that it could speak of.
    Discarded,
}

/// The most members of a `tracestate` (section 3.3.1.1).
const MOST_MEMBERS: usize = 32;

/// The longest key and the longest value of a member, in bytes (sections 3.3.1.3.1 and 3.3.1.3.2).
const LONGEST: usize = 256;

// === impl TraceId ===

impl TraceId {
    /// `None` where all bytes are zero.
    pub const fn new(bytes: [u8; 16]) -> Option<Self> {
        if u128::from_ne_bytes(bytes) == 0 { None } else { Some(Self(bytes)) }
    }

    /// Its bytes.
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

// === impl SpanId ===

impl SpanId {
    /// `None` where all bytes are zero.
    pub const fn new(bytes: [u8; 8]) -> Option<Self> {
        if u64::from_ne_bytes(bytes) == 0 { None } else { Some(Self(bytes)) }
    }

    /// Its bytes.
    pub const fn bytes(self) -> [u8; 8] {
        self.0
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

// === impl TraceFlags ===

impl TraceFlags {
    /// The trace is recorded.
    pub const SAMPLED: Self = Self(1);

    /// The last seven bytes of the trace's id are random (Trace Context, level 2).
    const RANDOM: u8 = 2;

    /// Whether the trace is recorded.
    pub const fn is_sampled(self) -> bool {
        self.0 & Self::SAMPLED.0 != 0
    }

    /// The same of a trace that is recorded.
    #[must_use]
    pub const fn sampled(self) -> Self {
        Self(self.0 | Self::SAMPLED.0)
    }

    /// As they stand in a `traceparent`.
    pub const fn bits(self) -> u8 {
        self.0
    }
}

// === impl SpanContext ===

impl SpanContext {
    /// What a `traceparent` says (sections 3.2.2 and 3.2.4). Of a version that is not known yet, what the first one has.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (head, rest) = text.split_at_checked(55)?;
        let [version] = hex(&head[..2])?;
        let is_whole = rest.is_empty() || (version != 0 && rest[0] == b'-');
        let is_parted = [2, 35, 52].into_iter().all(|at| head[at] == b'-');
        if version == 0xff || !is_whole || !is_parted {
            return None;
        }
        let [flags] = hex(&head[53..])?;
        Some(Self {
            trace: TraceId::new(hex(&head[3..35])?)?,
            span: SpanId::new(hex(&head[36..52])?)?,
            // What the others mean, nobody has said yet; they are not handed on (section 3.2.2.5.2).
            flags: TraceFlags(flags & (TraceFlags::SAMPLED.0 | TraceFlags::RANDOM)),
        })
    }

    /// The `traceparent` of a request whose parent this span is.
    pub fn traceparent(self) -> HeaderValue {
        let text = format!("00-{:?}-{:?}-{:02x}", self.trace, self.span, self.flags.0);
        // These are digits and dashes, which a header takes.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
    }

    /// The id of the `n`th span below this one, counted from 1: no two of them are alike, and none is like this one's.
    /// Ids of a trace have to be different, and need not be unpredictable.
    #[must_use]
    pub const fn child(self, n: u64) -> SpanId {
        // The factor is odd, so that the products are all different; 2^64 divided by the golden ratio lies far from all
        // small ones.
        let number = u64::from_be_bytes(self.span.0).wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        match SpanId::new(number.to_be_bytes()) {
            Some(span) => span,
            // One of 2^64; nobody counts that far from here.
            None => self.child(n.wrapping_add(1 << 32)),
        }
    }
}

// === impl Incoming ===

impl Incoming {
    /// What `headers` say. More than one `traceparent` say nothing, since nobody knows which is meant.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut parents = headers.get_all(TRACEPARENT).iter();
        let (Some(parent), None) = (parents.next(), parents.next()) else { return Self::Nothing };
        match SpanContext::parse(parent.as_bytes()) {
            Some(parent) => Self::Parent(parent, TraceState::of(headers)),
            None => Self::Nothing,
        }
    }
}

// === impl TraceState ===

impl TraceState {
    /// By the members of all lines together (section 3.3.1).
    fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(TRACESTATE).iter();
        let members = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b',')).map(<[u8]>::trim_ascii);
        let mut members = members.filter(|member| !member.is_empty());
        let is_good = members.by_ref().take(MOST_MEMBERS).all(is_member) && members.next().is_none();
        if is_good { Self::Carried } else { Self::Discarded }
    }
}

fn is_member(member: &[u8]) -> bool {
    let Some(at) = member.iter().position(|&byte| byte == b'=') else { return false };
    let (key, value) = (&member[..at], &member[at + 1..]);
    let begins = key.first().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let is_key = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(byte);
    let is_value = |byte: &u8| (b' '..=b'~').contains(byte) && *byte != b'=';
    begins
        && key.len() <= LONGEST
        && key.iter().all(is_key)
        && (1..=LONGEST).contains(&value.len())
        && value.iter().all(is_value)
}

/// `2 * N` hexadecimal digits in lower case.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
