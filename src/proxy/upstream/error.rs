//! What can go wrong between the sidecar and the upstream, in the terms of RFC 9209.

use std::{error::Error as StdError, fmt, io, sync::Arc};

use crate::{model::problem::ProxyError, proxy::replay::BodyError};

use super::connect::Target;

/// A request that got no (whole) response. Cheap to clone: everybody who waited for one connect attempt gets the same
/// one.
#[derive(Debug, Clone)]
pub struct UpstreamError {
    pub kind: ErrorKind,
    pub sent: Sent,
    /// What the layers below said, outermost first. Made of their fixed words, of addresses and numbers: fit for logs.
    detail: Arc<str>,
}

#[derive(Debug, Clone)]
pub enum ErrorKind {
    /// The host's name has no address.
    Dns,
    /// No address of the host (or of the outbound proxy) takes connections, or the outbound proxy refused the tunnel.
    ConnectRefused,
    /// No connection within `connect_timeout`, TLS included.
    ConnectTimeout,
    /// The upstream's certificate is not trusted, or is not for this host.
    TlsCertificate,
    /// TLS failed for another reason.
    TlsProtocol,
    /// The connection, or the HTTP/2 stream, ended before the response did.
    Terminated,
    /// What the upstream sent is not HTTP, or over `header_size`.
    HttpProtocol,
    /// No response header within `response_timeout` of the last progress of the upload, or silence in the middle of a
    /// response body for `body_idle_timeout`.
    ResponseTimeout,
    /// The client's body came to no good end.
    Body(BodyError),
}

/// Whether the upstream can have acted on the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Certainly not.
    NotSent,
    MaybeSent,
}

/// What HTTP/2 made of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamFault {
    /// The upstream says that it has not looked at the request (RFC 9113 section 8.7).
    Refused,
    /// The same, because the connection is going away (RFC 9113 section 6.8): a stream above the last one that a
    /// graceful GOAWAY names.
    GoingAway,
    /// We found what it sent to be wrong.
    Detected,
}

// === impl UpstreamError ===

impl UpstreamError {
    pub(in crate::proxy) fn new(kind: ErrorKind, sent: Sent, detail: impl Into<Arc<str>>) -> Self {
        Self { kind, sent, detail: detail.into() }
    }

    /// From an error that came before anything of the request was sent.
    pub(super) fn connect(kind: ErrorKind, cause: &(dyn StdError + 'static)) -> Self {
        Self::new(kind, Sent::NotSent, describe(cause))
    }

    /// The same error, naming whom we tried to reach.
    pub(super) fn at(self, target: &Target) -> Self {
        Self { detail: format!("{target}: {}", self.detail).into(), ..self }
    }

    /// From what an HTTP/2 connection said about a request, or about the body of a response.
    pub(super) fn from_hyper(error: &hyper::Error, sent: Sent) -> Self {
        let kind = if stream_fault(error) == Some(StreamFault::Detected) {
            ErrorKind::HttpProtocol
        } else {
            ErrorKind::Terminated
        };
        Self::new(kind, sent, describe(error))
    }

    pub(super) fn body(error: BodyError) -> Self {
        let detail = describe(&error);
        Self::new(ErrorKind::Body(error), Sent::MaybeSent, detail)
    }

    /// The same error of a request's last attempt; `earlier` is what became of those before it.
    pub(super) fn after(self, earlier: Sent) -> Self {
        let sent = if earlier == Sent::MaybeSent { earlier } else { self.sent };
        Self { sent, ..self }
    }

    /// What of the configuration may be wrong where this stays.
    pub const fn look_at(&self) -> &'static str {
        match self.kind {
            ErrorKind::TlsCertificate | ErrorKind::TlsProtocol => "upstream.url, upstream.ca_file and upstream.proxy",
            _ => "upstream.url and upstream.proxy",
        }
    }

    /// What happened, without where.
    pub const fn kind_in_words(&self) -> &'static str {
        match self.kind {
            ErrorKind::Dns => "the upstream's name cannot be resolved",
            ErrorKind::ConnectRefused => "the upstream takes no connection",
            ErrorKind::ConnectTimeout => "no connection to the upstream in time",
            ErrorKind::TlsCertificate => "the upstream's certificate is not accepted",
            ErrorKind::TlsProtocol => "TLS with the upstream failed",
            ErrorKind::Terminated => "the upstream broke off",
            ErrorKind::HttpProtocol => "the upstream's response is not valid",
            ErrorKind::ResponseTimeout => "the upstream is silent",
            ErrorKind::Body(_) => "the request body could not be sent",
        }
    }

    /// The `error` parameter of `Proxy-Status`.
    pub const fn proxy_error(&self) -> ProxyError {
        match self.kind {
            ErrorKind::Dns => ProxyError::DnsError,
            ErrorKind::ConnectRefused => ProxyError::ConnectionRefused,
            ErrorKind::ConnectTimeout => ProxyError::ConnectionTimeout,
            ErrorKind::TlsCertificate => ProxyError::TlsCertificateError,
            ErrorKind::TlsProtocol => ProxyError::TlsProtocolError,
            ErrorKind::Terminated => ProxyError::ConnectionTerminated,
            ErrorKind::HttpProtocol => ProxyError::HttpProtocolError,
            ErrorKind::ResponseTimeout => ProxyError::HttpResponseTimeout,
            ErrorKind::Body(_) => ProxyError::HttpRequestDenied,
        }
    }
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind_in_words(), self.detail)
    }
}

impl StdError for UpstreamError {}

/// The words of an error and of its causes. An upstream may put text of its own into an HTTP/2 GOAWAY; it is left out.
fn describe(error: &(dyn StdError + 'static)) -> String {
    let words = chain(error).map(|error| {
        let text = error.to_string();
        let own_words = text.starts_with("connection error").then(|| text.find(" (b\"")).flatten();
        text[..own_words.unwrap_or(text.len())].to_owned()
    });
    let mut words: Vec<String> = words.collect();
    words.dedup();
    words.join(": ")
}

fn chain<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'e (dyn StdError + 'static)| (*error).source())
}

/// Whether the transport below failed, as opposed to one stream on it.
pub(super) fn is_transport(error: &hyper::Error) -> bool {
    chain(error).any(<dyn StdError>::is::<io::Error>)
}

/// hyper keeps the type of HTTP/2 errors to itself, so their text has to do. A test holds each of these; a text that is
/// not recognised leads to an error for the client, never to a request that is sent twice.
pub(super) fn stream_fault(error: &hyper::Error) -> Option<StreamFault> {
    chain(error).map(ToString::to_string).find_map(|text| match text.as_str() {
        "stream error received: refused stream before processing any application logic" => Some(StreamFault::Refused),
        text if text.starts_with("connection error received: not a result of an error") => Some(StreamFault::GoingAway),
        text if text.starts_with("stream error detected") || text.starts_with("connection error detected") => {
            Some(StreamFault::Detected)
        }
        _ => None,
    })
}
