//! A failure that this program answers itself (RFC 9457), in one shape for every listener.

use std::{borrow::Cow, time::Duration};

use http::StatusCode;

use super::{Peer, TenantId};

/// What the reader of a problem can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Reconnect,
    FixConfig,
    FixRequest,
    Retry,
}

/// The `error` parameter of `Proxy-Status` (RFC 9209 section 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyError {
    DnsError,
    ConnectionRefused,
    ConnectionTimeout,
    TlsCertificateError,
    TlsProtocolError,
    ConnectionTerminated,
    HttpProtocolError,
    HttpResponseTimeout,
    ProxyConfigurationError,
    HttpRequestDenied,
    ProxyInternalError,
}

/// A failure with everything that its answer needs: a status cannot exist without a code and an action.
///
/// `detail` says what happened and what to do. It is made of our own words, names and positions, never of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The last part of `urn:flexslot-proxy:problem:<code>`.
    pub code: &'static str,
    pub status: StatusCode,
    pub title: &'static str,
    pub detail: Cow<'static, str>,
    /// What is said instead to who calls from another host: nothing of addresses on this side.
    pub afar: Option<Box<str>>,
    pub action: Action,
    pub cause: ProxyError,
    pub tenant: Option<TenantId>,
    pub retry_after: Option<Duration>,
}

// === impl Action ===

impl Action {
    /// The value of the `action` member.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reconnect => "reconnect",
            Self::FixConfig => "fix_config",
            Self::FixRequest => "fix_request",
            Self::Retry => "retry",
        }
    }
}

// === impl ProxyError ===

impl ProxyError {
    /// The token registered by RFC 9209.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DnsError => "dns_error",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionTimeout => "connection_timeout",
            Self::TlsCertificateError => "tls_certificate_error",
            Self::TlsProtocolError => "tls_protocol_error",
            Self::ConnectionTerminated => "connection_terminated",
            Self::HttpProtocolError => "http_protocol_error",
            Self::HttpResponseTimeout => "http_response_timeout",
            Self::ProxyConfigurationError => "proxy_configuration_error",
            Self::HttpRequestDenied => "http_request_denied",
            Self::ProxyInternalError => "proxy_internal_error",
        }
    }
}

// === impl Problem ===

impl Problem {
    /// The same problem, naming the tenant that it is about.
    #[must_use]
    pub fn of(self, tenant: &TenantId) -> Self {
        Self { tenant: Some(tenant.clone()), ..self }
    }

    /// The same problem, saying this to who calls from another host.
    #[must_use]
    pub fn from_afar(self, detail: &str) -> Self {
        Self { afar: Some(detail.into()), ..self }
    }

    /// What `peer` is told.
    pub fn detail_for(&self, peer: Peer) -> &str {
        match &self.afar {
            Some(afar) if !peer.is_here() => afar,
            _ => &self.detail,
        }
    }

    /// The same problem, saying when another try makes sense.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }
}
