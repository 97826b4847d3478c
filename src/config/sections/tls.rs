//! `[server.tls]`: what callers over TLS are shown, and asked for.

use std::path::PathBuf;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::ExtraRoots;
use crate::{
    config::{
        environment::FileRead,
        fault::Wrong,
        meaning::Resolver,
        reader::Table,
        report::{At, Setting},
        secret::{ConfiguredSecret, SecretSource},
    },
    model::Secret,
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
        let client_roots = match self.client_ca {
            Setting::Given(at) => Some(ExtraRoots::read(&at, resolver)?),
            Setting::Absent => None,
            Setting::Faulty => return None,
        };
        let spot = self.key.given().map(|at| at.spot.clone());
        let key = resolver.served_secret(self.key);
        if let (Some(key), Some(spot)) = (&key, spot)
            && !is_private_key(&key.secret)
        {
            resolver.fault(&spot, Wrong::new(format!("{} holds no private key in PEM", key.source)));
        }
        let at = self.certificate.into_given()?;
        let chain = chain(&at, resolver)?;
        Some(ServerTls { certificate: resolver.path(&at.value, at.spot.place), chain, key, client_roots })
    }
}

fn is_private_key(pem: &Secret) -> bool {
    PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()).is_ok()
}

/// The parser's own errors repeat lines of the file, which may be a key by mistake.
fn chain(at: &At<PathBuf>, resolver: &Resolver<'_>) -> Option<Vec<CertificateDer<'static>>> {
    let path = resolver.path(&at.value, at.spot.place);
    let what = match resolver.environment.read(&path) {
        Ok(FileRead { bytes, .. }) => match CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>() {
            Ok(chain) if !chain.is_empty() => return Some(chain),
            Ok(_) => "holds no certificate in PEM".to_owned(),
            Err(_) => "is not PEM".to_owned(),
        },
        Err(error) => format!("cannot be read: {}", error.kind()),
    };
    resolver.fault(&at.spot, Wrong::new(format!("{} {what}", path.display())));
    None
}
