//! Who may speak to the data plane: the client token, the Host rule against DNS rebinding, and the rules for browsers.

use std::{net::IpAddr, sync::Arc};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Version, header,
    request::Parts,
    uri::{Authority, Scheme},
};

use crate::model::{
    HostPattern, Origin, Secret, SpeaksFor, WebOrigin,
    host::{address_literal, is_below},
};

use super::cors::{self, Readers};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Clients disagree about the padding of Basic credentials.
const BASIC: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What is accepted besides the loopback names. `Debug` shows no token.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    pub allowed_hosts: Vec<HostPattern>,
    /// Whose pages may call.
    pub allowed_origins: Vec<WebOrigin>,
    pub pages: Pages,
    /// Lets whoever sends it name any tenant.
    pub client_token: Option<Secret>,
    /// Apps with tokens of their own. Where there is any, or `client_token`, whoever calls has to send a token.
    pub callers: Vec<NamedCaller>,
    /// The upstream, which absolute-form targets may name, with or without its port.
    pub upstream: Option<Origin>,
}

/// An app with a token of its own. `Debug` shows none.
#[derive(Debug, Clone)]
pub struct NamedCaller {
    pub name: Arc<str>,
    pub token: Secret,
    pub speaks_for: SpeaksFor,
}

/// Whose token a request carries.
#[derive(Debug, Clone, Copy)]
pub enum Holder<'a> {
    /// No token is asked for, or it is `client_token`, which speaks for every tenant.
    Anybody,
    Named(&'a NamedCaller),
}

/// Whether what is guarded has web pages of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pages {
    #[default]
    None,
    /// They may call; and links and redirects from anywhere may lead a browser's window to them.
    Own,
}

/// The way by which a request reached us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// TCP, at this address of ours.
    Tcp(IpAddr),
    /// The same, by TLS.
    Tls(IpAddr),
    /// A unix socket: whoever can open it was let in by the file system.
    Unix,
    /// A unix socket that serves other users than the one whose process has opened it.
    Barred { uid: u32 },
}

/// How to go on with a request that may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// Not from a web page.
    Direct,
    /// From a page of this allowed origin: the answer, whatever it is, names it ([`Readers::say`]).
    FromOrigin(HeaderValue),
    /// A page of this allowed origin asks first: the answer is [`cors::preflight`], and nothing is forwarded.
    Preflight(HeaderValue),
}

/// Why a request may not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// 400 `request_invalid`: it is not clear which host is meant.
    Invalid,
    /// 403 `caller_denied`.
    Caller { uid: u32 },
    /// 407 `client_token_required`.
    Token,
    /// 421 `host_denied`.
    Host,
    /// 403 `origin_denied`.
    Origin,
}

// === impl Holder ===

impl Holder<'_> {
    /// What log lines call it.
    pub fn name(&self) -> Option<Arc<str>> {
        match self {
            Self::Anybody => None,
            Self::Named(caller) => Some(Arc::clone(&caller.name)),
        }
    }
}

// === impl Guard ===

impl Guard {
    /// Judges a request by its target and headers as they came.
    ///
    /// A preflight from an allowed origin is let through first: a browser sends no token with it, and its answer gives
    /// nothing away.
    pub fn admit(&self, request: &Parts, reach: Reach) -> Result<Admitted, Denied> {
        self.admit_caller(request, reach).map(|(admitted, _)| admitted)
    }

    /// The same, with whose token the request carries.
    pub fn admit_caller(&self, request: &Parts, reach: Reach) -> Result<(Admitted, Holder<'_>), Denied> {
        if let Reach::Barred { uid } = reach {
            return Err(Denied::Caller { uid });
        }
        let origin = match self.origin(&request.headers) {
            Err(_) if self.pages == Pages::Own && (is_visit(request) || self.is_own_page(request, reach)) => Ok(None),
            origin => origin,
        };
        if let Ok(Some(origin)) = origin
            && cors::is_preflight(request)
        {
            return Ok((Admitted::Preflight(origin.clone()), Holder::Anybody));
        }
        let holder = self.holder(&request.headers)?;
        match absolute_form(request) {
            Some(authority) => self.check_absolute(authority, request.uri.scheme(), reach)?,
            None => {
                let host = host(&request.headers, request.uri.authority())?;
                let trusted = self.wants_tokens() || reach == Reach::Unix;
                if !trusted && !host.is_some_and(|host| self.accepts(host, reach)) {
                    return Err(Denied::Host);
                }
            }
        }
        let admitted = origin?.map_or(Admitted::Direct, |origin| Admitted::FromOrigin(origin.clone()));
        Ok((admitted, holder))
    }

    fn wants_tokens(&self) -> bool {
        self.client_token.is_some() || !self.callers.is_empty()
    }

    /// Whose token the request carries. One that carries two says nothing about who calls, unless both are the same's.
    fn holder(&self, headers: &HeaderMap) -> Result<Holder<'_>, Denied> {
        if !self.wants_tokens() {
            return Ok(Holder::Anybody);
        }
        let mut holders = presented(headers).filter_map(|token| self.holder_of(&token));
        let holder = holders.next().ok_or(Denied::Token)?;
        if holders.all(|other| other.name() == holder.name()) { Ok(holder) } else { Err(Denied::Token) }
    }

    /// `None`: nobody's.
    fn holder_of(&self, token: &Secret) -> Option<Holder<'_>> {
        if self.client_token.as_ref() == Some(token) {
            return Some(Holder::Anybody);
        }
        self.callers.iter().find(|caller| caller.token == *token).map(Holder::Named)
    }

    /// An absolute-form target is checked whoever sends it: its sender means to reach that host and no other.
    fn check_absolute(&self, authority: &Authority, scheme: Option<&Scheme>, reach: Reach) -> Result<(), Denied> {
        if !scheme.is_some_and(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme))
            || authority.as_str().contains('@')
        {
            return Err(Denied::Invalid);
        }
        if self.is_upstream(authority) || self.accepts(authority.as_str(), reach) { Ok(()) } else { Err(Denied::Host) }
    }

    fn is_upstream(&self, authority: &Authority) -> bool {
        self.upstream.as_ref().is_some_and(|upstream| {
            authority.host().eq_ignore_ascii_case(upstream.host())
                && authority.port_u16().is_none_or(|named| named == upstream.port())
        })
    }

    /// Whether `host`, as in a Host header, is one that cannot be somebody else's name for us.
    fn accepts(&self, host: &str, reach: Reach) -> bool {
        let Some(name) = without_port(host) else { return false };
        if let Some(literal) = address_literal(name) {
            let own = match reach {
                Reach::Tcp(local) | Reach::Tls(local) => literal == local.to_canonical(),
                Reach::Unix | Reach::Barred { .. } => false,
            };
            return !literal.is_unspecified() && (literal.is_loopback() || own || self.lists(name));
        }
        name.eq_ignore_ascii_case("localhost") || is_below(name, ".localhost") || self.lists(name)
    }

    fn lists(&self, name: &str) -> bool {
        self.allowed_hosts.iter().any(|allowed| allowed.matches(name))
    }

    /// Whether the request comes from the very host that it names, which is ours. Where TLS ends before us, the origin is
    /// one that is allowed, because its name is all that we could know of it.
    fn is_own_page(&self, request: &Parts, reach: Reach) -> bool {
        let mut origins = request.headers.get_all(header::ORIGIN).iter();
        let origin = match (origins.next(), origins.next()) {
            (Some(origin), None) => origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://")),
            (_, _) => None,
        };
        let host = host(&request.headers, request.uri.authority()).ok().flatten();
        host.is_some_and(|host| {
            origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host)) && self.accepts(host, reach)
        })
    }

    /// Who may read the answer to a request, whatever becomes of it.
    pub fn readers(&self, headers: &HeaderMap) -> Readers {
        match self.origin(headers) {
            _ if self.allowed_origins.is_empty() => Readers::Unsaid,
            Ok(Some(origin)) => Readers::Page(origin.clone()),
            Ok(None) | Err(_) => Readers::NoPage,
        }
    }

    /// The allowed origin that the request comes from; `None` where it does not come from a web page, or from one of
    /// our own.
    fn origin<'a>(&self, headers: &'a HeaderMap) -> Result<Option<&'a HeaderValue>, Denied> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (Some(origin), None) if self.allowed_origins.iter().any(|allowed| allowed.matches(origin)) => {
                Ok(Some(origin))
            }
            (Some(_), _) => Err(Denied::Origin),
            (None, _) if headers.get_all(SEC_FETCH_SITE).iter().all(|site| site == "none" || site == "same-origin") => {
                Ok(None)
            }
            (None, _) => Err(Denied::Origin),
        }
    }
}

/// Whether a browser's window goes there, by a link or a redirect of another site: the answer replaces that site's page,
/// and no page can read it (Fetch Metadata, sections 2.1 and 2.2). What a form of another site sends has an `Origin`.
fn is_visit(request: &Parts) -> bool {
    let says = |name, what: &str| request.headers.get_all(name).iter().eq([what]);
    request.method == Method::GET
        && !request.headers.contains_key(header::ORIGIN)
        && says(SEC_FETCH_MODE, "navigate")
        && says(SEC_FETCH_DEST, "document")
}

/// The authority of an absolute-form target. It counts and `Host` does not (RFC 9112 section 3.2.2); in HTTP/2 every
/// target has one.
fn absolute_form(request: &Parts) -> Option<&Authority> {
    request.uri.authority().filter(|_| request.version < Version::HTTP_2)
}

/// The host that the request names: `:authority`, `Host`, or both in agreement (RFC 9113 section 8.3.1).
fn host<'a>(headers: &'a HeaderMap, authority: Option<&'a Authority>) -> Result<Option<&'a str>, Denied> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (authority, hosts.next(), hosts.next()) {
        (_, _, Some(_)) => Err(Denied::Invalid),
        (Some(authority), Some(host), None) if !authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes()) => {
            Err(Denied::Invalid)
        }
        (Some(authority), ..) => Ok(Some(authority.as_str())),
        (None, Some(host), None) => Ok(host.to_str().ok()),
        (None, None, None) => Ok(None),
    }
}

/// A Host without its port; `None` where the port is none. Which port we are reached by is not ours to know (containers
/// map it).
fn without_port(host: &str) -> Option<&str> {
    // The colons of an address literal stand before its bracket.
    let bracket = host.rfind(']').unwrap_or_default();
    let Some(at) = host[bracket..].find(':') else { return Some(host) };
    let (name, port) = host.split_at(bracket + at);
    port[1..].bytes().all(|byte| byte.is_ascii_digit()).then_some(name)
}

/// What the request carries in the forms in which clients can send a token (RFC 6750 section 2.1, RFC 7617 section 2).
fn presented(headers: &HeaderMap) -> impl Iterator<Item = Secret> {
    let names = [header::PROXY_AUTHORIZATION, header::AUTHORIZATION];
    names.into_iter().flat_map(|name| headers.get_all(name)).filter_map(credential)
}

/// The token of a Bearer credential, or the password of a Basic one.
fn credential(value: &HeaderValue) -> Option<Secret> {
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    let rest = rest.trim_matches(' ');
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Secret::new(rest));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = Secret::new(String::from_utf8(BASIC.decode(rest).ok()?).ok()?);
    pair.expose().split_once(':').map(|(_, password)| Secret::new(password))
}

#[cfg(test)]
mod tests;
