//! The variables by which OpenTelemetry's exporters are configured everywhere
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/> and
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>), as far as they mean something here.
//!
//! They are there for everything that runs beside the sidecar, and whoever has set them may not know of it. So what cannot be
//! gone by is told and passed over, as the specification has it, and stops no start.

use std::{cell::RefCell, collections::BTreeMap, fmt};

use http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use url::Url;

use super::{below, header_name, receiver};
use crate::{
    config::{fault::Wrong, meaning::Resolver},
    model::{
        Secret,
        trace::{Heed, Ratio, Sampler},
    },
};

/// What they say.
pub(super) struct Variables<'a> {
    resolver: &'a Resolver<'a>,
    passed_over: RefCell<Vec<PassedOver>>,
}

/// A variable that cannot be gone by. Its value is not repeated, as it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    pub variable: &'static str,
    pub what: String,
    pub hint: Option<String>,
}

/// The one way of writing that is spoken here, and the one whose receivers do not understand it.
const PROTOCOL: &str = "http/protobuf";
const GRPC: &str = "grpc";

/// Where traces may go besides, in the specification's words.
const OTHER_EXPORTERS: [&str; 5] = ["none", "console", "logging", "zipkin", "jaeger"];

/// Every trace, unless its caller has decided otherwise (OpenTelemetry's default).
const DEFAULT: Sampler = Sampler { heed: Heed::Parent, ratio: Ratio::ALL };

/// An address for traces alone, and one for everything.
const OWN_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

// === impl Variables ===

impl<'a> Variables<'a> {
    pub(super) fn new(resolver: &'a Resolver<'a>) -> Self {
        Self { resolver, passed_over: RefCell::default() }
    }

    /// Those that could not be gone by, so far.
    pub(super) fn into_passed_over(self) -> Vec<PassedOver> {
        self.passed_over.into_inner()
    }

    /// Where traces are posted to, if they are to be exported. Nothing is said of the others where there is no address.
    pub(super) fn endpoint(&self) -> Option<Url> {
        let (name, text) = self.first([OWN_ENDPOINT, ENDPOINT])?;
        let is_off = self.understood(["OTEL_SDK_DISABLED"], truth).unwrap_or(false);
        let is_ours = self.understood(["OTEL_TRACES_EXPORTER"], is_otlp).unwrap_or(true);
        if is_off || !is_ours {
            return None;
        }
        // The address for traces alone is taken as it is, the one for everything gets a path.
        let url = receiver(text.trim()).map(|url| if name == OWN_ENDPOINT { url } else { below(&url) });
        let url = self.heard(name, url)?;
        let protocol = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
        self.is_understood_there(protocol).then_some(url)
    }

    /// Whether the receiver may understand us.
    fn is_understood_there(&self, names: [&'static str; 2]) -> bool {
        let Some((name, text)) = self.first(names) else { return true };
        let spoken = text.trim().to_ascii_lowercase();
        let what = match spoken.as_str() {
            PROTOCOL => return true,
            GRPC => "not spoken here, and so no traces are exported",
            _ => "not a protocol that is spoken here",
        };
        self.pass_over(
            name,
            Wrong::new(what).hint(format!(
                "write {PROTOCOL}, with the receiver's port for it (4318 in most places), or traces.endpoint = \"off\""
            )),
        );
        spoken != GRPC
    }

    /// What goes with each batch. Each value may be a secret, and is shown nowhere.
    pub(super) fn headers(&self) -> Vec<(HeaderName, Secret)> {
        let names = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
        let headers = self.understood(names, |text| {
            let header = |(name, value): (String, String)| {
                let name = header_name(&name)?;
                match HeaderValue::from_str(&value) {
                    Ok(_) => Ok((name, Secret::new(value))),
                    Err(_) => Err(Wrong::new("holds characters that no header has")),
                }
            };
            pairs(text)?.into_iter().map(header).collect()
        });
        headers.unwrap_or_default()
    }

    pub(super) fn service_name(&self) -> Option<String> {
        self.understood(["OTEL_SERVICE_NAME"], |name| Ok(name.to_owned()))
    }

    pub(super) fn resource(&self) -> BTreeMap<String, String> {
        let pairs = self.understood(["OTEL_RESOURCE_ATTRIBUTES"], pairs);
        pairs.unwrap_or_default().into_iter().collect()
    }

    pub(super) fn sampler(&self) -> Sampler {
        self.understood(["OTEL_TRACES_SAMPLER"], |name| self.sampler_named(&name.to_ascii_lowercase()))
            .unwrap_or(DEFAULT)
    }

    fn sampler_named(&self, name: &str) -> Result<Sampler, Wrong> {
        let (heed, kind) = match name.strip_prefix("parentbased_") {
            Some(kind) => (Heed::Parent, kind),
            None => (Heed::Nobody, name),
        };
        let ratio = match kind {
            "always_on" => Ratio::ALL,
            "always_off" => Ratio::NONE,
            "traceidratio" => self.understood(["OTEL_TRACES_SAMPLER_ARG"], ratio).unwrap_or(Ratio::ALL),
            _ => {
                let wrong = Wrong::new("not a sampler that is known here");
                return Err(wrong.hint("write parentbased_traceidratio, or set traces.sample"));
            }
        };
        Ok(Sampler { heed, ratio })
    }

    /// The first of these variables that is set, understood by `parse`.
    fn understood<T, const N: usize>(
        &self,
        names: [&'static str; N],
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let (name, text) = self.first(names)?;
        self.heard(name, parse(text.trim()))
    }

    /// The first of these variables that is set, as text. Set to nothing counts as not set.
    fn first<const N: usize>(&self, names: [&'static str; N]) -> Option<(&'static str, String)> {
        names.into_iter().find_map(|name| {
            let value = self.resolver.environment.variable(name).filter(|value| !value.is_empty())?;
            let text = value.into_string().map_err(|_| Wrong::new("not UTF-8 text"));
            Some((name, self.heard(name, text)?))
        })
    }

    fn heard<T>(&self, name: &'static str, heard: Result<T, Wrong>) -> Option<T> {
        heard.map_err(|wrong| self.pass_over(name, wrong)).ok()
    }

    fn pass_over(&self, variable: &'static str, Wrong { what, hint }: Wrong) {
        self.passed_over.borrow_mut().push(PassedOver { variable, what, hint });
    }
}

fn truth(text: &str) -> Result<bool, Wrong> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Wrong::new("neither true nor false, and so it counts as false")),
    }
}

/// Whether a list of exporters has ours in it.
fn is_otlp(list: &str) -> Result<bool, Wrong> {
    let mut names = list.split(',').map(|name| name.trim().to_ascii_lowercase());
    let mut others = names.clone();
    match (names.any(|name| name == "otlp"), others.any(|name| OTHER_EXPORTERS.contains(&name.as_str()))) {
        (true, _) => Ok(true),
        (false, true) => Ok(false),
        (false, false) => Err(Wrong::new("not an exporter that is known here").hint("write otlp, or none")),
    }
}

/// `name=value,name=value`, percent-encoded.
fn pairs(text: &str) -> Result<Vec<(String, String)>, Wrong> {
    let decoded = |text: &str| percent_decode_str(text.trim()).decode_utf8().ok().map(String::from);
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        Some((decoded(name).filter(|name| !name.is_empty())?, decoded(value)?))
    };
    let pairs: Option<_> = text.split(',').filter(|pair| !pair.trim().is_empty()).map(pair).collect();
    pairs.ok_or_else(|| Wrong::new("not a list of pairs").hint("write name=value,name=value, percent-encoded"))
}

fn ratio(text: &str) -> Result<Ratio, Wrong> {
    text.parse().ok().and_then(Ratio::new).ok_or_else(|| Wrong::new("expected a number from 0 to 1"))
}

// === impl PassedOver ===

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { variable, what, hint } = self;
        match hint {
            Some(hint) => write!(f, "{variable}: {what}; {hint}"),
            None => write!(f, "{variable}: {what}"),
        }
    }
}
