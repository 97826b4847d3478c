//! An authority that vouches for the stand-in, as well as it is told to.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use crate::failure::{Result, Trying};

pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// When a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Valid {
    Now,
    /// It was until 2021.
    NoLonger,
    /// It will be from 2090 on.
    NotYet,
}

// === impl Authority ===

impl Authority {
    pub(crate) fn new() -> Result<Self> {
        let what = || "making an authority".to_owned();
        let mut params = CertificateParams::new(Vec::new()).trying(what)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().trying(what)?;
        let pem = params.self_signed(&key).trying(what)?.pem();
        Ok(Self { pem, issuer: Issuer::new(params, key) })
    }

    /// Its own certificate, for whoever is to trust it.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A new key with a good certificate for these names.
    pub(crate) fn vouch_for(&self, names: &[&str]) -> Result<Arc<ServerConfig>> {
        self.vouch(names, Valid::Now)
    }

    pub(crate) fn vouch(&self, names: &[&str], valid: Valid) -> Result<Arc<ServerConfig>> {
        let what = || "making a certificate".to_owned();
        let key = KeyPair::generate().trying(what)?;
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).trying(what)?;
        match valid {
            Valid::Now => {}
            Valid::NoLonger => {
                (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
            }
            Valid::NotYet => {
                (params.not_before, params.not_after) = (date_time_ymd(2090, 1, 1), date_time_ymd(2091, 1, 1));
            }
        }
        let certificate = params.signed_by(&key, &self.issuer).trying(what)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .trying(what)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .trying(what)?;
        Ok(Arc::new(config))
    }
}
