//! `[upstream]`: how Flexslot is reached.

use std::{path::PathBuf, time::Duration};

use rustls::{RootCertStore, pki_types::CertificateDer};

use crate::{
    config::{
        fault::{Place, Wrong},
        meaning::Resolver,
        origin::{self, OutboundProxy},
        pem,
        reader::Table,
        report::{At, Setting, Spot},
        units,
    },
    model::{Origin, Secret},
};

/// `[upstream]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    pub origin: Origin,
    pub extra_roots: Option<ExtraRoots>,
    /// `None`: go straight. Where the file says "env", resolved from the environment.
    pub proxy: Option<OutboundProxy>,
    pub connect_timeout: Duration,
    /// To the response's header.
    pub response_timeout: Duration,
    /// Between two chunks, in either direction.
    pub body_idle_timeout: Duration,
    pub pool_idle_timeout: Duration,
}

/// Trust roots besides the system's: `ca_file`, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraRoots {
    pub path: PathBuf,
    /// At least one of them can be a trust root.
    pub certificates: Vec<CertificateDer<'static>>,
}

/// `[upstream]` as written.
#[derive(Debug, Default)]
pub(in crate::config) struct Written {
    pub(in crate::config) url: Setting<Origin>,
    ca_file: Setting<PathBuf>,
    proxy: Setting<Proxy>,
    connect_timeout: Setting<Duration>,
    response_timeout: Setting<Duration>,
    body_idle_timeout: Setting<Duration>,
    pool_idle_timeout: Setting<Duration>,
}

/// `upstream.proxy` as written.
#[derive(Debug, Clone)]
enum Proxy {
    Env,
    Off,
    Url(String),
}

// === impl ExtraRoots ===

impl ExtraRoots {
    pub(in crate::config) fn read(at: &At<PathBuf>, resolver: &Resolver<'_>) -> Option<Self> {
        let (path, certificates) = pem::certificates(at, resolver)?;
        match RootCertStore::empty().add_parsable_certificates(certificates.iter().cloned()) {
            (0, _) => {
                let what = format!("{} holds no certificate that can be a trust root", path.display());
                resolver.fault(&at.spot, Wrong::new(what));
                None
            }
            _ => Some(Self { path, certificates }),
        }
    }
}

// === impl Written ===

impl Written {
    pub(in crate::config) fn read(mut table: Table<'_>) -> Self {
        let written = Self {
            url: table.key("url", |value| value.text("a URL", origin::origin)),
            ca_file: table.key("ca_file", |value| value.text("a path", |text| Ok(text.into()))),
            proxy: table.key("proxy", |value| value.text("\"env\", \"off\" or a URL", Proxy::parse)),
            connect_timeout: table.key("connect_timeout", units::positive_duration),
            response_timeout: table.key("response_timeout", units::positive_duration),
            body_idle_timeout: table.key("body_idle_timeout", units::positive_duration),
            pool_idle_timeout: table.key("pool_idle_timeout", units::duration),
        };
        table.finish();
        written
    }

    pub(in crate::config) fn meaning(self, resolver: &Resolver<'_>) -> Upstream {
        Upstream {
            origin: self.url.into_given().map_or_else(origin::flexslot, |at| at.value),
            extra_roots: self.ca_file.into_given().and_then(|at| ExtraRoots::read(&at, resolver)),
            proxy: self.proxy.or(Proxy::Env).meaning(resolver),
            connect_timeout: self.connect_timeout.or(Duration::from_secs(5)),
            response_timeout: self.response_timeout.or(Duration::from_secs(60)),
            body_idle_timeout: self.body_idle_timeout.or(Duration::from_secs(60)),
            pool_idle_timeout: self.pool_idle_timeout.or(Duration::from_secs(25)),
        }
    }
}

// === impl Proxy ===

impl Proxy {
    fn parse(text: &str) -> Result<Self, Wrong> {
        match text {
            "env" => Ok(Self::Env),
            "off" => Ok(Self::Off),
            url => match OutboundProxy::parse_url(url)?.password() {
                None => Ok(Self::Url(url.to_owned())),
                Some(_) => Err(Wrong::new("holds a password, and a secret is never written in the file")
                    .hint("put the URL into the variable HTTPS_PROXY, and write proxy = \"env\"")),
            },
        }
    }

    fn meaning(self, resolver: &Resolver<'_>) -> Option<OutboundProxy> {
        match self {
            Self::Off => None,
            Self::Url(url) => Some(OutboundProxy { url: Secret::new(url), bypass: String::new() }),
            Self::Env => {
                // Both spellings are in use; curl prefers the lower-case one.
                let (name, url) = ["https_proxy", "HTTPS_PROXY"]
                    .into_iter()
                    .find_map(|name| resolver.variable(name).map(|url| (name, Secret::new(url))))?;
                let bypass =
                    resolver.variable("no_proxy").or_else(|| resolver.variable("NO_PROXY")).unwrap_or_default();
                match OutboundProxy::parse_url(url.expose()) {
                    Ok(_) => Some(OutboundProxy { url, bypass }),
                    Err(wrong) => {
                        resolver.fault(&Spot::new(Place::Override(name), ""), wrong);
                        None
                    }
                }
            }
        }
    }
}
