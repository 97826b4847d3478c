//! TLS towards callers: TLS 1.2 and 1.3 by rustls with ring, HTTP/2 or HTTP/1.1 by ALPN, and certificates of callers
//! where they are asked for.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{VerifierBuilderError, WebPkiClientVerifier},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::{debug, warn};

use crate::model::{Secret, Seldom};

/// What callers are shown and asked for. Clones share it; what replaces it counts for connections that come later.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ArcSwap<ServerConfig>>,
    /// Handshakes that failed, which whoever calls can have by the thousand.
    failed: Arc<Seldom>,
}

/// Why callers cannot be served with what is configured. Shows nothing of the key.
#[derive(Debug)]
pub enum TlsError {
    /// Not a private key in PEM.
    Key,
    /// Certificate and key do not fit, or are of a kind that cannot be used.
    Certificate(rustls::Error),
    /// Nobody could vouch for a caller's certificate.
    ClientRoots(VerifierBuilderError),
}

/// The server side of TLS. `chain` is our certificate and those that vouch for it, `key` its private key in PEM. With
/// `client_roots`, callers need a certificate that one of them vouches for.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: &Secret,
    client_roots: Option<&[CertificateDer<'static>]>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(|_| TlsError::Key)?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Certificate)?;
    let builder = match client_roots {
        None => builder.with_no_client_auth(),
        Some(certificates) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates.iter().cloned());
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(TlsError::ClientRoots)?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(TlsError::Certificate)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

// === impl Tls ===

impl Tls {
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self { config: Arc::new(ArcSwap::new(config)), failed: Arc::default() }
    }

    /// Takes `config` over.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        self.config.store(config);
    }

    /// The handshake. Ends when the caller lets it; how long that may take is for whoever calls this.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.config.load_full()).accept(stream).await
    }

    /// Notes a handshake that failed, and tells of it where it is time to. Who only connects and goes, as probes of a load
    /// balancer do, has begun none.
    pub(super) fn has_failed(&self, peer: SocketAddr, error: &io::Error) {
        let Some(reason) = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) else {
            debug!(peer = %peer.ip(), %error, "a TLS handshake was broken off");
            return;
        };
        match self.failed.note() {
            Some(failed) => warn!(peer = %peer.ip(), failed, error = %reason, "a TLS handshake has failed"),
            None => debug!(peer = %peer.ip(), error = %reason, "one more TLS handshake has failed"),
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

// === impl TlsError ===

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str("server.tls.key is not a private key in PEM"),
            Self::Certificate(error) => write!(f, "server.tls.certificate and key cannot be used together: {error}"),
            Self::ClientRoots(error) => write!(f, "server.tls.client_ca cannot be used: {error}"),
        }
    }
}

impl std::error::Error for TlsError {}

#[cfg(test)]
mod tests;
