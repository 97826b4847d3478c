//! TLS towards the server: rustls with ring, and as much checking of certificates as `sslmode` asks for.

use std::sync::Arc;

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::params::Trust;
use crate::store::OpenError;

/// What must be right about the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verify {
    /// `prefer`, `require`: it protects from who listens, not from who stands in between.
    Nothing,
    /// `verify-ca`: an authority that the operator has named has signed it.
    Chain,
    /// `verify-full`: a named authority or one of the system's has signed it, and it is this host's.
    ChainAndName,
}

/// Checks less than rustls would.
#[derive(Debug)]
enum Lenient {
    Nothing(Arc<CryptoProvider>),
    Chain(Arc<WebPkiServerVerifier>),
}

/// Makes connections secure. With `direct` they begin with TLS, and say so by ALPN.
pub(super) fn connector(verify: Verify, trust: &Trust, direct: bool) -> Result<MakeRustlsConnect, OpenError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| no_tls(&error.to_string()))?;
    let mut config = match verify {
        Verify::ChainAndName => builder.with_root_certificates(trusted(verify, trust)?).with_no_client_auth(),
        Verify::Chain | Verify::Nothing => {
            let verifier = Lenient::new(verify, trust, provider)?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
        }
    };
    if direct {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(MakeRustlsConnect::new(config))
}

fn trusted(verify: Verify, trust: &Trust) -> Result<RootCertStore, OpenError> {
    let mut roots = trust.named.clone().unwrap_or_else(RootCertStore::empty);
    if verify == Verify::ChainAndName {
        roots.roots.extend_from_slice(&trust.system.roots);
    }
    match roots.is_empty() {
        true => Err(no_tls("there are no trust roots to check the server's certificate against")),
        false => Ok(roots),
    }
}

fn no_tls(what: &str) -> OpenError {
    OpenError::Refused {
        what: format!("TLS to PostgreSQL cannot be set up: {what}"),
        hint: "install the system's trust roots (Debian: ca-certificates), or give those of the server".into(),
    }
}

// === impl Lenient ===

impl Lenient {
    fn new(verify: Verify, trust: &Trust, provider: Arc<CryptoProvider>) -> Result<Self, OpenError> {
        if verify == Verify::Nothing {
            return Ok(Self::Nothing(provider));
        }
        let roots = Arc::new(trusted(verify, trust)?);
        let strict = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        strict.map(Self::Chain).map_err(|error| no_tls(&error.to_string()))
    }
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Self::Chain(strict) = self else { return Ok(ServerCertVerified::assertion()) };
        match strict.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is looked at last.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self {
            Self::Nothing(provider) => {
                verify_tls12_signature(message, cert, dss, &provider.signature_verification_algorithms)
            }
            Self::Chain(strict) => strict.verify_tls12_signature(message, cert, dss),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match self {
            Self::Nothing(provider) => {
                verify_tls13_signature(message, cert, dss, &provider.signature_verification_algorithms)
            }
            Self::Chain(strict) => strict.verify_tls13_signature(message, cert, dss),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        match self {
            Self::Nothing(provider) => provider.signature_verification_algorithms.supported_schemes(),
            Self::Chain(strict) => strict.supported_verify_schemes(),
        }
    }
}
