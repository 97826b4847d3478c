//! `[traces]`: to whom traces are exported, and which.

mod variables;

use std::{collections::BTreeMap, path::PathBuf};

use http::{
    HeaderName, HeaderValue,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING},
};
use url::Url;

use super::ExtraRoots;
use crate::{
    config::{
        fault::Wrong,
        meaning::Resolver,
        reader::{Table, Value},
        report::{At, Setting},
        secret::SecretSource,
    },
    model::{
        Secret, origin,
        trace::{Heed, Ratio, Sampler},
    },
};
pub use variables::PassedOver;
use variables::Variables;

/// `[traces]`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Traces {
    /// `None`: none are exported, or the configuration is read for something else than serving.
    pub export: Option<TraceExport>,
    /// Variables of OpenTelemetry's that could not be gone by.
    pub passed_over: Vec<PassedOver>,
}

/// To whom they are exported, and which. Where the file says nothing, OpenTelemetry's own variables do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceExport {
    /// Where batches are posted to.
    pub url: Url,
    /// What goes with each.
    pub headers: Vec<(HeaderName, Secret)>,
    /// Where those are kept that the file names.
    pub header_sources: Vec<SecretSource>,
    pub sampler: Sampler,
    /// What receivers call the sidecar.
    pub service_name: String,
    /// What else they are told of it.
    pub resource: BTreeMap<String, String>,
    /// Trust roots besides the system's.
    pub extra_roots: Option<ExtraRoots>,
}

/// `[traces]` as written.
#[derive(Debug, Default)]
pub(in crate::config) struct Written {
    endpoint: Setting<Endpoint>,
    headers: Setting<Vec<(HeaderName, At<SecretSource>)>>,
    sample: Setting<Ratio>,
    service_name: Setting<String>,
    resource: Setting<Vec<(String, String)>>,
    ca_file: Setting<PathBuf>,
}

/// `traces.endpoint` as written.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Endpoint {
    Env,
    Off,
    At(Url),
}

/// Where traces are posted to, below a receiver's address (OTLP, "OTLP/HTTP Request").
const PATH: &str = "v1/traces";

/// What the exporter sets itself.
const RESERVED: [HeaderName; 5] = [CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING];

const EXAMPLE: &str = "http://127.0.0.1:4318";

// === impl TraceExport ===

impl TraceExport {
    /// What about the way to the receiver should be mended.
    pub fn exposure(&self) -> Option<&'static str> {
        let is_bare = matches!(origin::secure_url(self.url.as_str()), Err(origin::InvalidUrl::Plaintext));
        (is_bare && !self.headers.is_empty()).then_some(
            "traces.headers go to another machine in plain text; write https:// in traces.endpoint if they are secret",
        )
    }
}

// === impl Written ===

impl Written {
    pub(in crate::config) fn read(mut table: Table<'_>) -> Self {
        let written = Self {
            endpoint: table.key("endpoint", |value| value.text("\"env\", \"off\" or a URL", Endpoint::parse)),
            headers: table.key("headers", |value| value.named(header)),
            sample: table.key("sample", Value::ratio),
            service_name: table.key("service_name", |value| value.text("a name", service_name)),
            resource: table.key("resource", |value| value.named(attribute)),
            ca_file: table.key("ca_file", |value| value.text("a path", |text| Ok(text.into()))),
        };
        table.finish();
        written
    }

    pub(in crate::config) fn meaning(self, resolver: &Resolver<'_>) -> Traces {
        if !resolver.serves() {
            // Variables that are there for everything that is run need not keep a command from its work.
            return Traces::default();
        }
        let variables = Variables::new(resolver);
        let export = self.export(&variables, resolver);
        Traces { export, passed_over: variables.into_passed_over() }
    }

    fn export(self, variables: &Variables<'_>, resolver: &Resolver<'_>) -> Option<TraceExport> {
        let url = match self.endpoint.or(Endpoint::Env) {
            Endpoint::Off => return None,
            Endpoint::At(url) => url,
            Endpoint::Env => variables.endpoint()?,
        };
        let mut attributes = variables.resource();
        let named = attributes.remove("service.name");
        attributes.extend(self.resource.or(Vec::new()));
        let of_variables = || variables.service_name().or(named).unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned());
        let (headers, header_sources) = match self.headers {
            Setting::Absent => (variables.headers(), Vec::new()),
            given => headers(given.or(Vec::new()), resolver),
        };
        Some(TraceExport {
            url,
            headers,
            header_sources,
            sampler: match self.sample {
                Setting::Absent => variables.sampler(),
                given => Sampler { heed: Heed::Parent, ratio: given.or(Ratio::ALL) },
            },
            service_name: self.service_name.into_given().map_or_else(of_variables, |at| at.value),
            resource: attributes,
            extra_roots: self.ca_file.into_given().and_then(|at| ExtraRoots::read(&at, resolver)),
        })
    }
}

/// The values of the headers that the file names, and where they are kept.
fn headers(
    named: Vec<(HeaderName, At<SecretSource>)>,
    resolver: &Resolver<'_>,
) -> (Vec<(HeaderName, Secret)>, Vec<SecretSource>) {
    let values = named.into_iter().filter_map(|(name, at)| {
        let spot = at.spot.clone();
        let configured = resolver.served_secret(Setting::Given(at))?;
        if HeaderValue::from_str(configured.secret.expose()).is_err() {
            resolver.fault(&spot, Wrong::new(format!("{} holds characters that no header has", configured.source)));
            return None;
        }
        Some(((name, configured.secret), configured.source))
    });
    values.unzip()
}

fn header(name: &str, value: &Value<'_>) -> Option<(HeaderName, At<SecretSource>)> {
    let source = SecretSource::read_written(value)?;
    match header_name(name) {
        Ok(name) => Some((name, At { value: source, spot: value.spot().clone() })),
        Err(wrong) => {
            value.fault(wrong);
            None
        }
    }
}

fn header_name(name: &str) -> Result<HeaderName, Wrong> {
    let name: HeaderName = name.parse().map_err(|_| Wrong::new("not a header's name"))?;
    match RESERVED.contains(&name) {
        true => Err(Wrong::new("this header is set by the exporter")),
        false => Ok(name),
    }
}

fn attribute(name: &str, value: &Value<'_>) -> Option<(String, String)> {
    if value.is_table() {
        // A dot in a bare key makes a table.
        value.fault(
            Wrong::new("expected a text in quotes, found a table")
                .hint("put the name in quotes too: \"deployment.environment.name\" = \"production\""),
        );
        return None;
    }
    if name == "service.name" {
        value.fault(Wrong::new("this has a key of its own").hint("write service_name"));
        return None;
    }
    value.text("a text", |text| Ok((name.to_owned(), text.to_owned())))
}

fn service_name(text: &str) -> Result<String, Wrong> {
    if text.is_empty() {
        Err(Wrong::new("not a name").hint("write one such as \"flexslot-proxy\""))
    } else {
        Ok(text.into())
    }
}

// === impl Endpoint ===

impl Endpoint {
    fn parse(text: &str) -> Result<Self, Wrong> {
        match text {
            "env" => Ok(Self::Env),
            "off" => Ok(Self::Off),
            url => Ok(Self::At(below(&receiver(url)?))),
        }
    }
}

/// The address of a receiver: http to wherever it is, because traces hold no secret.
fn receiver(text: &str) -> Result<Url, Wrong> {
    let hint = |wrong: Wrong| wrong.hint(format!("write \"{EXAMPLE}\""));
    let url = match origin::secure_url(text) {
        Ok(url) => url,
        Err(origin::InvalidUrl::Plaintext) => Url::parse(text).map_err(|_| hint(Wrong::new("not an absolute URL")))?,
        Err(origin::InvalidUrl::Credentials) => {
            return Err(Wrong::new("credentials do not belong in this URL").hint("name them in traces.headers"));
        }
        Err(invalid) => return Err(hint(Wrong::new(invalid.to_string()))),
    };
    match url.query().is_none() && url.fragment().is_none() {
        true => Ok(url),
        false => Err(Wrong::new("has a query or a fragment")),
    }
}

/// Where a receiver at `base` takes traces; some write it out.
fn below(base: &Url) -> Url {
    let mut url = base.clone();
    let path = url.path().trim_end_matches('/').to_owned();
    if !path.ends_with(&format!("/{PATH}")) {
        url.set_path(&format!("{path}/{PATH}"));
    }
    url
}
