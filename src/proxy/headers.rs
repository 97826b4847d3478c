//! Which headers pass: the lists, and the four functions that apply them.
//!
//! Removal comes before addition: a header named in `Connection` is taken from what the peer sent, never from what the
//! sidecar adds later.

use std::{borrow::Cow, collections::HashSet};

use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use memchr::memmem;

use super::proxy_status::disown;

/// Belong to one connection (RFC 9110 section 7.6.1), besides those that a `Connection` line names.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Taken from requests, besides the tenant header: credentials, what would let a caller pose as another, and what
/// browsers add for us.
const REQUEST: [&str; 13] = [
    "authorization",
    "cookie",
    "dpop",
    "forwarded",
    "host",
    "origin",
    "referer",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];

const REQUEST_PREFIXES: [&str; 2] = ["sec-", "x-forwarded-"];

/// Taken from responses: what would bind the caller's host, or another client on it, to Flexslot's, and what would have
/// a browser report elsewhere of what it does there.
const RESPONSE: [&str; 10] = [
    "alt-svc",
    "authorization",
    "clear-site-data",
    "content-security-policy-report-only",
    "dpop-nonce",
    "nel",
    "report-to",
    "reporting-endpoints",
    "set-cookie",
    "strict-transport-security",
];

const RESPONSE_PREFIXES: [&str; 1] = ["access-control-"];

/// The shortest token that is looked for inside of other text, in bytes.
const SHORTEST_TOKEN: usize = 12;

/// Mean nothing good after a body (RFC 9110 section 6.5.1): framing, routing, modifiers, authentication, how to read
/// the content.
const NOT_IN_TRAILERS: [&str; 21] = [
    "authorization",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "location",
    "max-forwards",
    "pragma",
    "range",
    "set-cookie",
    "trailer",
    "www-authenticate",
];

/// A header whose name some servers read as another's, because they take `_` for `-`: 400 `request_invalid`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookalikeHeader(pub HeaderName);

// === requests ===

/// The headers of a request as they go upstream, before `Authorization` and `Host` are added. `version` is the protocol
/// in which the request came, for `Via`. `TE: trailers` is said again where the client said it; the sender adds
/// `Connection: TE` on HTTP/1.1.
pub fn outbound(
    received: HeaderMap,
    tenant_header: &HeaderName,
    version: Version,
) -> Result<HeaderMap, LookalikeHeader> {
    if let Some(name) = received.keys().find(|name| is_lookalike(name, tenant_header)) {
        return Err(LookalikeHeader(name.clone()));
    }
    let wants_trailers = list(&received, header::TE).any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
    let mut kept = without(received, |name, read| is_request_header(name, read, tenant_header));
    if wants_trailers {
        kept.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    kept.append(header::VIA, via(version));
    Ok(kept)
}

/// The trailers of a request as they go upstream. A lookalike in here comes too late to be refused, and is taken out.
pub fn outbound_trailers(received: HeaderMap, tenant_header: &HeaderName) -> HeaderMap {
    without(received, |name, read| {
        is_request_header(name, read, tenant_header) || is_lookalike(name, tenant_header) || is_not_for_trailers(read)
    })
}

// === responses ===

/// The headers of an upstream's response as they go to the client. `version` is the protocol in which the response
/// came, for `Via`.
pub fn inbound(received: HeaderMap, version: Version) -> HeaderMap {
    let mut kept = without(received, |_, read| is_response_header(read));
    disown(&mut kept);
    kept.append(header::VIA, via(version));
    kept
}

/// Takes out every header that repeats the credential which was sent: an upstream that echoes what it gets must not
/// hand it on.
pub fn withhold(headers: &mut HeaderMap, authorization: &HeaderValue) {
    let token = authorization.as_bytes().rsplit(|&byte| byte == b' ').next().unwrap_or_default();
    let repeats = |value: &HeaderValue| match token.len() {
        // So short a token stands in other words by chance, and guards nothing.
        ..SHORTEST_TOKEN => value == authorization,
        length => value.len() >= length && memmem::find(value.as_bytes(), token).is_some(),
    };
    let named: Vec<_> = headers.iter().filter(|(_, value)| repeats(value)).map(|(name, _)| name.clone()).collect();
    for name in named {
        headers.remove(&name);
    }
}

/// The trailers of an upstream's response as they go to the client.
pub fn inbound_trailers(received: HeaderMap) -> HeaderMap {
    let mut kept = without(received, |_, read| is_response_header(read) || is_not_for_trailers(read));
    disown(&mut kept);
    kept
}

// === the rules ===

/// A header's name as a server reads it that takes `_` for `-`: those that hand headers on as variables (RFC 3875 section
/// 4.1.18) do.
type Reading<'a> = Cow<'a, str>;

fn reading(name: &HeaderName) -> Reading<'_> {
    let name = name.as_str();
    // Names are short, and a search that is made for long texts takes longer to begin.
    if name.bytes().any(|byte| byte == b'_') { Cow::Owned(name.replace('_', "-")) } else { Cow::Borrowed(name) }
}

fn is_request_header(name: &HeaderName, read: &Reading<'_>, tenant_header: &HeaderName) -> bool {
    name == tenant_header || is_listed(read, &REQUEST, &REQUEST_PREFIXES)
}

fn is_response_header(read: &Reading<'_>) -> bool {
    is_listed(read, &RESPONSE, &RESPONSE_PREFIXES)
}

fn is_not_for_trailers(read: &Reading<'_>) -> bool {
    is_listed(read, &NOT_IN_TRAILERS, &[])
}

fn is_hop_by_hop(read: &Reading<'_>) -> bool {
    // `Content_Length` is in no list, and frames the body for such a server.
    let poses_as_the_length = matches!(read, Cow::Owned(read) if read == header::CONTENT_LENGTH.as_str());
    poses_as_the_length || is_listed(read, &HOP_BY_HOP, &[])
}

/// Whether a name is among `names` or begins with a prefix.
fn is_listed(read: &Reading<'_>, names: &[&str], prefixes: &[&str]) -> bool {
    names.contains(&&**read) || prefixes.iter().any(|prefix| read.starts_with(prefix))
}

/// Whether `name` is another header than the tenant header or `Authorization`, and differs from it only in `_` against
/// `-`.
fn is_lookalike(name: &HeaderName, tenant_header: &HeaderName) -> bool {
    let poses_as = |real: &HeaderName| {
        name.as_str().len() == real.as_str().len() && name != real && reading(name) == reading(real)
    };
    poses_as(tenant_header) || poses_as(&header::AUTHORIZATION)
}

/// `received` without hop-by-hop headers and without those that `removed` names, by themselves and as they are read, in
/// the order in which they came.
fn without(mut received: HeaderMap, removed: impl Fn(&HeaderName, &Reading<'_>) -> bool) -> HeaderMap {
    let named = named_in_connection(&received);
    let removed = |name: &HeaderName| {
        let read = reading(name);
        is_hop_by_hop(&read) || named.contains(name) || removed(name, &read)
    };
    let mut kept = Vec::with_capacity(received.len());
    let mut keeps = false;
    for (name, value) in received.drain() {
        // A drained map names a header once, before its first value.
        if let Some(name) = &name {
            keeps = !removed(name);
        }
        if keeps {
            kept.push((name, value));
        }
    }
    // The map has room for them, and one that is taken out by itself would leave its place to the last.
    received.extend(kept);
    received
}

/// The headers named in any `Connection` line. What is not a name there names nothing.
fn named_in_connection(headers: &HeaderMap) -> HashSet<HeaderName> {
    list(headers, header::CONNECTION)
        .filter(|option| !option.eq_ignore_ascii_case(b"close") && !option.eq_ignore_ascii_case(b"keep-alive"))
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .collect()
}

/// The members of a comma-separated list over all its lines (RFC 9110 section 5.6.1).
fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

/// RFC 9110 section 7.6.3: the protocol of the message as it was received, and our pseudonym.
fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_09 | Version::HTTP_10 => "1.0 flexslot-proxy",
        Version::HTTP_2 => "2 flexslot-proxy",
        _ => "1.1 flexslot-proxy",
    })
}

// === impl LookalikeHeader ===

#[cfg(test)]
mod tests;
