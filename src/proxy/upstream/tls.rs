//! TLS towards the upstream: TLS 1.2 and 1.3 by rustls with ring, HTTP/2 or HTTP/1.1 by ALPN.

use std::{error::Error as StdError, fmt, io, path::Path, path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{
        CertificateDer,
        pem::{self, PemObject},
    },
};

use super::error::{ErrorKind, UpstreamError};

/// Why no trust roots could be had.
#[derive(Debug)]
pub enum TlsConfigError {
    /// The file of `upstream.ca_file` cannot be read, or is not PEM.
    CaFile { path: PathBuf, cause: pem::Error },
    /// The file has no certificate in it that can be a trust root.
    NoCertificate { path: PathBuf },
    /// The system has no trust roots, and no file names any.
    NoRoots,
    /// The TLS library does not support the protocol versions asked for.
    Unsupported(rustls::Error),
}

/// The client side of TLS: the system's trust roots, and those of `ca_file` (PEM) besides. Offers `h2` and `http/1.1`.
///
/// # Errors
///
/// Where `ca_file` is no good, or where there would be no trust root at all.
pub fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        add_file(&mut roots, path)?;
    }
    if roots.is_empty() {
        return Err(TlsConfigError::NoRoots);
    }
    with_roots(roots).map(Arc::new).map_err(TlsConfigError::Unsupported)
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), TlsConfigError> {
    let unreadable = |cause| TlsConfigError::CaFile { path: path.to_owned(), cause };
    let certificates: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(unreadable)?.collect::<Result<_, _>>().map_err(unreadable)?;
    match roots.add_parsable_certificates(certificates) {
        (0, _) => Err(TlsConfigError::NoCertificate { path: path.to_owned() }),
        _ => Ok(()),
    }
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
    UpstreamError::connect(kind, error)
}

// === impl TlsConfigError ===

impl fmt::Display for TlsConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CaFile { path, cause } => write!(f, "{}: {cause}", path.display()),
            Self::NoCertificate { path } => write!(f, "{}: has no usable certificate", path.display()),
            Self::NoRoots => {
                f.write_str("the system has no trust roots; install ca-certificates or set upstream.ca_file")
            }
            Self::Unsupported(cause) => cause.fmt(f),
        }
    }
}

impl StdError for TlsConfigError {}
