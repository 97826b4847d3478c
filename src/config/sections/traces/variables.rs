//! The variables by which OpenTelemetry's exporters are configured everywhere
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/> and
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>), as far as they mean something here.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use url::Url;

use super::{below, header_name, receiver};
use crate::{
    config::{
        fault::{Place, Wrong},
        meaning::Resolver,
        report::Spot,
    },
    model::{
        Secret,
        trace::{Heed, Ratio, Sampler},
    },
};

/// What they say.
pub(super) struct Variables<'a>(pub(super) &'a Resolver<'a>);

/// The one way of writing that is spoken here.
const PROTOCOL: &str = "http/protobuf";

/// Every trace, unless its caller has decided otherwise (OpenTelemetry's default).
const DEFAULT: Sampler = Sampler { heed: Heed::Parent, ratio: Ratio::ALL };

// === impl Variables ===

impl Variables<'_> {
    /// Where traces are posted to, if they are to be exported.
    pub(super) fn endpoint(&self) -> Option<Url> {
        let is_off = self.0.variable("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let to_others = self
            .0
            .variable("OTEL_TRACES_EXPORTER")
            .is_some_and(|list| list.split(',').all(|name| name.trim() != "otlp"));
        if is_off || to_others {
            return None;
        }
        // The address for traces alone is taken as it is, the one for everything gets a path.
        let own = self.understood(["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"], receiver);
        let url = own.or_else(|| {
            self.understood(["OTEL_EXPORTER_OTLP_ENDPOINT"], |text| receiver(text).map(|url| below(&url)))
        })?;
        self.understood(["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"], |text| match text {
            PROTOCOL => Ok(()),
            _ => Err(Wrong::new("not a protocol that is spoken here").hint(format!(
                "write {PROTOCOL}, with the receiver's port for it (4318 in most places), or traces.endpoint = \"off\""
            ))),
        });
        Some(url)
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
        self.0.variable("OTEL_SERVICE_NAME")
    }

    pub(super) fn resource(&self) -> BTreeMap<String, String> {
        let pairs = self.understood(["OTEL_RESOURCE_ATTRIBUTES"], pairs);
        pairs.unwrap_or_default().into_iter().collect()
    }

    pub(super) fn sampler(&self) -> Sampler {
        let Some(name) = self.0.variable("OTEL_TRACES_SAMPLER") else { return DEFAULT };
        let (heed, kind) = match name.strip_prefix("parentbased_") {
            Some(kind) => (Heed::Parent, kind),
            None => (Heed::Nobody, name.as_str()),
        };
        let ratio = match kind {
            "always_on" => Some(Ratio::ALL),
            "always_off" => Some(Ratio::NONE),
            "traceidratio" => Some(self.understood(["OTEL_TRACES_SAMPLER_ARG"], ratio).unwrap_or(Ratio::ALL)),
            _ => None,
        };
        if let Some(ratio) = ratio {
            return Sampler { heed, ratio };
        }
        let wrong = Wrong::new("not a sampler that is known here");
        self.fault("OTEL_TRACES_SAMPLER", wrong.hint("write parentbased_traceidratio, or set traces.sample"));
        DEFAULT
    }

    /// The first of these variables that is set, understood by `parse`.
    fn understood<T, const N: usize>(
        &self,
        names: [&'static str; N],
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let (name, text) = names.into_iter().find_map(|name| Some((name, self.0.variable(name)?)))?;
        parse(text.trim()).map_err(|wrong| self.fault(name, wrong)).ok()
    }

    fn fault(&self, name: &'static str, wrong: Wrong) {
        self.0.fault(&Spot::new(Place::Override(name), ""), wrong);
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
