//! The outbound proxy: which one, if any, and the tunnel through it (CONNECT, RFC 9110 section 9.3.6).

use std::{fmt, io};

use http::{HeaderValue, Uri, uri::Scheme};
use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::model::Origin;

use super::{
    connect::{BoxedIo, Target},
    error::{ErrorKind, Sent, UpstreamError},
};

/// What `upstream.proxy` asks for. Only `https://` upstreams go through a proxy: `http://` ones are on a loopback host.
#[derive(Clone)]
pub enum ProxySetting {
    Off,
    Through {
        /// `http://` or `https://`, with user and password if the proxy wants them; without a scheme, `http://`.
        url: String,
        /// The hosts that are reached directly, as in `NO_PROXY`.
        bypass: String,
    },
}

/// The outbound proxy that was found for an upstream.
#[derive(Clone)]
pub(super) struct OutboundProxy {
    pub(super) target: Target,
    pub(super) scheme: ProxyScheme,
    authorization: Option<HeaderValue>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProxyScheme {
    Http,
    Https,
}

/// A proxy was asked for that cannot be used. Going without it instead might leave by a way that somebody closed on
/// purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidProxy;

/// The most that a proxy's answer to CONNECT may have in bytes.
const ANSWER_LIMIT: usize = 8 * 1024;

// === impl ProxySetting ===

impl ProxySetting {
    /// The proxy for requests to `origin`; `None` is the direct way.
    pub(super) fn for_origin(&self, origin: &Origin) -> Result<Option<OutboundProxy>, InvalidProxy> {
        let Self::Through { url, bypass } = self else { return Ok(None) };
        if *origin.scheme() != Scheme::HTTPS {
            return Ok(None);
        }
        let origin = &Uri::try_from(origin.as_str()).map_err(|_| InvalidProxy)?;
        let found = Matcher::builder().https(url.as_str()).build().intercept(origin).ok_or(InvalidProxy)?;
        let exempt = Matcher::builder().https(url.as_str()).no(bypass.as_str()).build().intercept(origin).is_none();
        if exempt {
            return Ok(None);
        }
        let scheme = match found.uri().scheme_str() {
            Some("http") => ProxyScheme::Http,
            Some("https") => ProxyScheme::Https,
            _ => return Err(InvalidProxy),
        };
        let target = Target::of(found.uri()).ok_or(InvalidProxy)?;
        Ok(Some(OutboundProxy { target, scheme, authorization: found.basic_auth().cloned() }))
    }
}

/// Proxy URLs may carry a password.
impl fmt::Debug for ProxySetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "Off",
            Self::Through { .. } => "Through",
        })
    }
}

// === impl OutboundProxy ===

impl OutboundProxy {
    /// Asks the proxy at the other end of `io` for a tunnel to `target`.
    pub(super) async fn tunnel(&self, mut io: BoxedIo, target: &Target) -> Result<BoxedIo, UpstreamError> {
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
        if let Some(value) = &self.authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(value.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        let broke_off = |cause: io::Error| UpstreamError::connect(ErrorKind::ConnectRefused, &cause);
        io.write_all(&request).await.map_err(broke_off)?;
        io.flush().await.map_err(broke_off)?;
        let answer = read_answer(&mut io).await.map_err(broke_off)?;
        match status(&answer) {
            Some(200..=299) => Ok(io),
            Some(status) => Err(refused(format!("the outbound proxy answered CONNECT with {status}"))),
            None => Err(refused("the outbound proxy did not answer CONNECT with HTTP".to_owned())),
        }
    }
}

impl fmt::Debug for OutboundProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundProxy").field("target", &self.target).field("scheme", &self.scheme).finish()
    }
}

fn refused(detail: String) -> UpstreamError {
    UpstreamError::new(ErrorKind::ConnectRefused, Sent::NotSent, detail)
}

/// Reads the head of the answer and not a byte more: what follows belongs to the tunnel.
async fn read_answer(io: &mut BoxedIo) -> io::Result<Vec<u8>> {
    let mut answer = Vec::with_capacity(256);
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() == ANSWER_LIMIT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the outbound proxy's answer is too long"));
        }
        answer.push(io.read_u8().await?);
    }
    Ok(answer)
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.strip_prefix(b"HTTP/1.1 ").or_else(|| answer.strip_prefix(b"HTTP/1.0 "))?;
    let digits = line.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    str::from_utf8(digits).ok()?.parse().ok()
}

// === impl InvalidProxy ===

impl fmt::Display for InvalidProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the outbound proxy is not an http:// or https:// URL")
    }
}

impl std::error::Error for InvalidProxy {}
