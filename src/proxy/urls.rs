//! `rewrite_urls`: URLs in responses that name the upstream point back at the caller's own base. In headers here, in JSON
//! in [`bodies`].

pub mod bodies;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header, uri::Authority};

use crate::model::Origin;

/// The base URL by which the caller reached us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallerBase<'a> {
    pub scheme: CallerScheme,
    /// `Host` as the caller wrote it. Without one, URLs become path-absolute, which every caller can resolve.
    pub authority: Option<&'a str>,
    /// `/t/<tenant>` as the caller wrote it, or nothing.
    pub prefix: &'a str,
}

/// Where URLs are rewritten, and whose.
#[derive(Debug, Clone)]
pub struct Rewriting {
    pub upstream: Origin,
    pub bodies: Bodies,
}

/// Whether bodies are rewritten as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bodies {
    Untouched,
    Json,
}

/// Whether the caller speaks TLS to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerScheme {
    Http,
    Https,
}

/// Rewrites `Location`, `Content-Location` and `Link`. URLs of other origins, relative ones and what is malformed stay
/// as they are.
pub fn rewrite(headers: &mut HeaderMap, upstream: &Origin, caller: CallerBase<'_>) {
    each(headers, &header::LOCATION, |value| caller.reference(value, upstream));
    each(headers, &header::CONTENT_LOCATION, |value| caller.reference(value, upstream));
    each(headers, &header::LINK, |value| links(value, |target| caller.reference(target, upstream)));
}

fn each(headers: &mut HeaderMap, name: &HeaderName, rewritten: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let header::Entry::Occupied(mut entry) = headers.entry(name) else { return };
    for value in entry.iter_mut() {
        if let Some(new) =
            rewritten(value.as_bytes()).and_then(|new| HeaderValue::from_maybe_shared(Bytes::from(new)).ok())
        {
            *value = new;
        }
    }
}

/// A `Link` value (RFC 8288 section 3) with its targets rewritten; `None` where nothing changes or it is malformed.
fn links(value: &[u8], rewritten: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(value.len() + 32);
    let mut changed = false;
    let mut rest = value;
    loop {
        let start = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','));
        let Some(start) = start else { break };
        let target = rest[start..].strip_prefix(b"<")?;
        let length = target.iter().position(|&byte| byte == b'>')?;
        out.extend_from_slice(&rest[..=start]);
        match rewritten(&target[..length]) {
            Some(new) => {
                changed = true;
                out.extend_from_slice(&new);
            }
            None => out.extend_from_slice(&target[..length]),
        }
        let (parameters, next) = target[length..].split_at(parameters_end(&target[length..])?);
        out.extend_from_slice(parameters);
        rest = next;
    }
    out.extend_from_slice(rest);
    changed.then_some(out)
}

/// Where the comma after a link's parameters is, those in quoted strings left aside; `None` where a quoted string does
/// not end.
fn parameters_end(parameters: &[u8]) -> Option<usize> {
    let mut bytes = parameters.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b',' => return Some(at),
            b'"' => loop {
                match bytes.next()?.1 {
                    b'"' => break,
                    b'\\' => drop(bytes.next()),
                    _ => {}
                }
            },
            _ => {}
        }
    }
    Some(parameters.len())
}

// === impl CallerBase ===

impl CallerBase<'_> {
    /// What stands before the path: scheme and authority, or nothing, where the caller has named none that could stand in a
    /// URL.
    fn root(&self) -> String {
        let authority = self.authority.filter(|authority| authority.parse::<Authority>().is_ok());
        authority.map_or(String::new(), |authority| format!("{}{authority}", self.scheme.prefix()))
    }

    /// A URI reference as the caller must see it; `None` where it stays as it is.
    fn reference(&self, url: &[u8], upstream: &Origin) -> Option<Vec<u8>> {
        // A browser reads a backslash as a slash and skips tabs; what such a reference points at is not ours to say.
        if url.iter().any(|byte| byte.is_ascii_whitespace() || *byte == b'\\') {
            return None;
        }
        let path = match url {
            [b'/', b'/', after @ ..] => path_at(upstream, after)?,
            [b'/', ..] if self.prefix.is_empty() => return None,
            [b'/', ..] => return Some([self.prefix.as_bytes(), url].concat()),
            _ => after_scheme(upstream, url).and_then(|after| path_at(upstream, after))?,
        };
        let slash: &[u8] = if path.starts_with(b"/") { b"" } else { b"/" };
        Some([self.root().as_bytes(), self.prefix.as_bytes(), slash, path].concat())
    }
}

// === impl CallerScheme ===

impl CallerScheme {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Http => "http://",
            Self::Https => "https://",
        }
    }
}

/// What follows `scheme://`, where `url` begins with the upstream's.
fn after_scheme<'a>(upstream: &Origin, url: &'a [u8]) -> Option<&'a [u8]> {
    let own = upstream.scheme().as_str().as_bytes();
    let (scheme, after) = url.split_at_checked(own.len())?;
    if scheme.eq_ignore_ascii_case(own) { after.strip_prefix(b"://") } else { None }
}

/// The path, query and fragment after an authority that is the upstream's.
fn path_at<'a>(upstream: &Origin, after_slashes: &'a [u8]) -> Option<&'a [u8]> {
    let end = after_slashes.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(after_slashes.len());
    let (authority, rest) = after_slashes.split_at(end);
    let (host, port) = authority.split_at_checked(upstream.host().len())?;
    let same_port = match port {
        [] | [b':'] => upstream.authority().port().is_none(),
        [b':', digits @ ..] => str::from_utf8(digits).is_ok_and(|digits| digits == upstream.port().to_string()),
        _ => false,
    };
    (host.eq_ignore_ascii_case(upstream.host().as_bytes()) && same_port).then_some(rest)
}

#[cfg(test)]
mod tests;
