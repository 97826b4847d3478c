//! TLS towards the upstream: TLS 1.2 and 1.3 by rustls with ring, HTTP/2 or HTTP/1.1 by ALPN.

use std::{error::Error as StdError, fmt, io, sync::Arc};

use rustls::{CertificateError, ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer};

use super::error::{ErrorKind, Sent, UpstreamError};

/// Why no trust roots could be had.
#[derive(Debug)]
pub enum TlsConfigError {
    /// The system has no trust roots, and no others are given.
    NoRoots,
    /// The TLS library does not support the protocol versions asked for.
    Unsupported(rustls::Error),
}

/// The client side of TLS: the system's trust roots, and `extra_roots` besides. Offers `h2` and `http/1.1`.
///
/// # Errors
///
/// Where there would be no trust root at all.
pub fn client_config(extra_roots: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, TlsConfigError> {
    let roots = roots_with(extra_roots);
    if roots.is_empty() {
        return Err(TlsConfigError::NoRoots);
    }
    with_roots(roots).map(Arc::new).map_err(TlsConfigError::Unsupported)
}

/// The system's trust roots, and `extra_roots` besides.
pub fn roots_with(extra_roots: &[CertificateDer<'static>]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots.add_parsable_certificates(extra_roots.iter().cloned());
    roots
}

pub fn with_roots(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// A handshake's failure, told apart by what RFC 9209 tells apart.
pub(super) fn handshake_error(error: &io::Error) -> UpstreamError {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let kind = match tls {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            ErrorKind::TlsCertificate
        }
        _ => ErrorKind::TlsProtocol,
    };
    match tls.and_then(in_plain_words) {
        Some(words) => UpstreamError::new(kind, Sent::NotSent, words),
        None => UpstreamError::connect(kind, error),
    }
}

/// What to make of the common failures: who reads of them seldom knows TLS. It also leaves out the names in the
/// certificate, which are the other side's text.
fn in_plain_words(error: &rustls::Error) -> Option<&'static str> {
    let error = match error {
        rustls::Error::InvalidMessage(_) => return Some("what answers there does not speak TLS; check the port"),
        rustls::Error::InvalidCertificate(error) => error,
        _ => return None,
    };
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Some("the certificate has expired, or this machine's clock is wrong")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Some("the certificate is not valid yet, or this machine's clock is wrong")
        }
        CertificateError::UnknownIssuer => {
            Some("the certificate's authority is not trusted; upstream.ca_file takes the certificate of that authority")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Some("the certificate is for another name")
        }
        // The verifier does not export the type that it wraps here.
        CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => Some(
            "the certificate is a self-signed one or an authority's own, which cannot stand for a server; the server needs one that an \
             authority has issued, and upstream.ca_file takes the certificate of that authority",
        ),
        _ => None,
    }
}

// === impl TlsConfigError ===

impl fmt::Display for TlsConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoots => {
                f.write_str("the system has no trust roots; install ca-certificates or set upstream.ca_file")
            }
            Self::Unsupported(cause) => cause.fmt(f),
        }
    }
}

impl StdError for TlsConfigError {}
