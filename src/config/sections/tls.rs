//! `[server.tls]`: what callers over TLS are shown, and asked for.

use std::path::{Path, PathBuf};

use rustls::{
    InconsistentKeys,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use super::ExtraRoots;
use crate::config::{
    fault::Wrong,
    meaning::Resolver,
    pem,
    reader::Table,
    report::Setting,
    secret::{ConfiguredSecret, SecretSource},
};

/// `[server.tls]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// The file of the certificate.
    pub certificate: PathBuf,
    /// Our own certificate, then those that vouch for it.
    pub chain: Vec<CertificateDer<'static>>,
    /// A private key in PEM; `None` where secrets are not read.
    pub key: Option<ConfiguredSecret>,
    /// Who has to vouch for callers' certificates; `None`: callers need none.
    pub client_roots: Option<ExtraRoots>,
}

/// `[server.tls]` as written.
#[derive(Debug)]
pub(in crate::config) struct Written {
    certificate: Setting<PathBuf>,
    key: Setting<SecretSource>,
    pub(in crate::config) client_ca: Setting<PathBuf>,
}

// === impl Written ===

impl Written {
    pub(super) fn read(mut table: Table<'_>) -> Self {
        let path = |text: &str| Ok(PathBuf::from(text));
        let written = Self {
            certificate: table.key("certificate", |value| value.text("a path", path)),
            key: table.key("key", SecretSource::read_written),
            client_ca: table.key("client_ca", |value| value.text("a path", path)),
        };
        if matches!(written.certificate, Setting::Absent) {
            table.missing("certificate", "write the path of a PEM file: the certificate, then those that vouch for it");
        }
        if matches!(written.key, Setting::Absent) {
            table.missing("key", "write { file = \"path\" } of the certificate's private key, in PEM");
        }
        table.finish();
        written
    }

    /// `None` where something is missing or faulty; that is told by now.
    pub(super) fn meaning(self, resolver: &Resolver<'_>) -> Option<ServerTls> {
        // All three are looked at before anything is given up, so that all their faults are told at once.
        let client_roots = self.client_ca.into_given().and_then(|at| ExtraRoots::read(&at, resolver));
        let spot = self.key.given().map(|at| at.spot.clone());
        let key = private_key(self.key, resolver);
        let (certificate, chain) = pem::certificates(&self.certificate.into_given()?, resolver)?;
        if let (Some(spot), Some(key)) = (spot, &key)
            && let Some(wrong) = misfit(&chain, &certificate, key)
        {
            resolver.fault(&spot, wrong);
        }
        Some(ServerTls { certificate, chain, key, client_roots })
    }
}

fn private_key(setting: Setting<SecretSource>, resolver: &Resolver<'_>) -> Option<ConfiguredSecret> {
    let spot = setting.given()?.spot.clone();
    let key = resolver.served_secret(setting)?;
    if PrivateKeyDer::from_pem_slice(key.secret.expose().as_bytes()).is_err() {
        resolver.fault(&spot, Wrong::new(format!("{} holds no private key in PEM", key.source)));
    }
    Some(key)
}

/// What keeps the key from being used with the certificate. One that is no key has been told of by now.
fn misfit(chain: &[CertificateDer<'static>], certificate: &Path, key: &ConfiguredSecret) -> Option<Wrong> {
    let der = PrivateKeyDer::from_pem_slice(key.secret.expose().as_bytes()).ok()?;
    let (certificate, key) = (certificate.display(), &key.source);
    match CertifiedKey::from_der(chain.to_vec(), der, &ring::default_provider()) {
        Ok(_) => None,
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Some(Wrong::new(format!("{key} is not the key of the certificate in {certificate}")).hint(
                "the file has to begin with the server's own certificate, and the key is the one it was made for",
            ))
        }
        Err(error) => Some(Wrong::new(format!("{key} and {certificate} cannot be used together: {error}"))),
    }
}
