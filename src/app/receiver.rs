//! The receiver of exported traces, over HTTP.

use std::{error::Error, fmt, io, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use url::Url;

use super::{StartFailure, outbound::Outbound};
use crate::{
    config::{Config, PassedOver, TraceExport},
    model::{Random, Secret},
    telemetry::{Receiver, Refusal, Settings, Taken},
};

/// An OTLP receiver that speaks HTTP (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>).
struct HttpReceiver {
    http: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    name: String,
}

/// How long it may take to take a batch (as with OpenTelemetry's own exporters).
const PATIENCE: Duration = Duration::from_secs(10);

/// The most that is read of an answer.
const LONGEST_ANSWER: usize = 64 * 1024;

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");

/// What the telemetry room is told; `None` where nothing is exported. `instance` tells the process from its like.
pub(super) fn telemetry(
    config: &Config,
    outbound: &Outbound,
    instance: &str,
) -> Result<Option<Settings>, StartFailure> {
    for PassedOver { variable, what, hint } in &config.traces.passed_over {
        tracing::warn!(variable, what, hint = hint.as_deref(), "a variable of OpenTelemetry's is passed over");
    }
    let Some(export) = &config.traces.export else { return Ok(None) };
    if let Some(caveat) = export.exposure() {
        tracing::warn!(caveat, "something about the way of traces should be mended");
    }
    let receiver = HttpReceiver {
        http: outbound.receiving(config, export, PATIENCE)?,
        url: export.url.clone(),
        headers: headers(export)?,
        name: export.url.origin().ascii_serialization(),
    };
    Ok(Some(Settings { receiver: Arc::new(receiver), sampler: export.sampler, resource: resource(export, instance) }))
}

/// A name for this process that no other one has (RFC 9562 section 5.4).
pub(super) fn instance(random: &Random) -> String {
    let random = u128::from_be_bytes(random.bytes());
    let version = random & !(0xf << 76) | 4 << 76;
    let hex = format!("{:032x}", version & !(3 << 62) | 2 << 62);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// What is said of the process, in the words of OpenTelemetry's semantic conventions; what the configuration says wins.
fn resource(export: &TraceExport, instance: &str) -> Vec<(String, String)> {
    let own = [("service.version", env!("CARGO_PKG_VERSION")), ("service.instance.id", instance)];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut resource: std::collections::BTreeMap<_, _> = own.into();
    resource.extend(export.resource.clone());
    resource.insert("service.name".into(), export.service_name.clone());
    resource.into_iter().collect()
}

fn headers(export: &TraceExport) -> Result<HeaderMap, StartFailure> {
    let value = |(name, value): &(HeaderName, Secret)| {
        let cannot = |_| StartFailure::new(format!("traces.headers: {name} cannot stand in a header"));
        let mut value = HeaderValue::try_from(value.expose()).map_err(cannot)?;
        value.set_sensitive(true);
        Ok((name.clone(), value))
    };
    export.headers.iter().map(value).collect()
}

// === impl HttpReceiver ===

#[async_trait]
impl Receiver for HttpReceiver {
    async fn take(&self, request: Bytes) -> Result<Taken, Refusal> {
        let asked = self.http.post(self.url.clone()).headers(self.headers.clone());
        let asked = asked.header(CONTENT_TYPE, PROTOBUF).body(request).send().await;
        let mut response = asked.map_err(|error| Refusal::ForNow(unanswered(&error), None))?;
        let status = response.status();
        if !status.is_success() {
            return Err(refusal(status, response.headers()));
        }
        let mut body = Vec::new();
        // Taken it has; of an answer that is too long or breaks off, what is there has to do.
        while let Ok(Some(chunk)) = response.chunk().await {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                break;
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Taken { response: body })
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for HttpReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpReceiver").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Which answers are worth another try, the specification says.
fn refusal(status: StatusCode, headers: &HeaderMap) -> Refusal {
    let why = format!("answered {}", status.as_u16());
    match status.as_u16() {
        429 | 502..=504 => Refusal::ForNow(why, retry_after(headers)),
        _ => Refusal::ForGood(why),
    }
}

/// Seconds; a date is left to our own patience.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// Why there was no answer, in our own words or the operating system's: the other side's are not for the log.
fn unanswered(error: &reqwest::Error) -> String {
    let mut causes = std::iter::successors(error.source(), |&cause| match cause.downcast_ref::<io::Error>() {
        // An io::Error does not name what it wraps as its source.
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)).or_else(|| cause.source()),
        None => cause.source(),
    });
    let of_the_system = causes.find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error());
    match (error.is_timeout(), error.is_connect(), of_the_system) {
        (true, ..) => "no answer in time".into(),
        (false, true, Some(number)) => format!("no connection: {}", io::Error::from_raw_os_error(number)),
        (false, true, None) => "no connection".into(),
        (false, false, _) => "the connection ended before the answer".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::{instance, refusal};
    use crate::{model::Random, telemetry::Refusal};
    use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
    use std::time::Duration;

    #[test]
    fn answers_that_are_worth_another_try_are_those_of_the_specification() {
        let for_now = |status: u16| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, "7".parse().unwrap());
            match refusal(StatusCode::from_u16(status).unwrap(), &headers) {
                Refusal::ForNow(why, after) => {
                    assert_eq!((why, after), (format!("answered {status}"), Some(Duration::from_secs(7))));
                    true
                }
                Refusal::ForGood(_) => false,
            }
        };
        assert_eq!([429, 502, 503, 504].map(for_now), [true; 4]);
        assert_eq!([301, 400, 401, 404, 413, 500, 501].map(for_now), [false; 7]);
    }

    #[test]
    fn a_process_is_named_by_a_uuid() {
        let named = |byte| instance(&Random::from_fn(move |bytes| bytes.fill(byte)));
        assert_eq!(named(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(named(0xff), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
