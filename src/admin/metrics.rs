//! What is counted (docs/operations.md). Labels are bounded, and no tenant is named.

use std::{fmt, time::Duration};

use http::Method;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder, core::Collector,
};

use crate::{
    credential::coordinator::Health,
    model::{
        CredentialKind, Observer,
        observe::{FallbackCause, RefreshOutcome, RequestTimes, RetryOutcome, StoreOutcome},
    },
};

/// Upper bounds of the request histograms, in seconds.
const LATENCIES: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// Upper bounds of the overhead and store histograms, in seconds.
const SMALL: [f64; 12] = [0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0];

/// All counters of the process.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_duration: Histogram,
    upstream_duration: Histogram,
    overhead_duration: Histogram,
    refreshes: IntCounterVec,
    retries: IntCounterVec,
    unauthorized_after_refresh: IntCounter,
    pat_fallbacks: IntCounterVec,
    in_flight: IntGauge,
    store_operations: IntCounterVec,
    store_duration: HistogramVec,
    spooled_pairs: IntGauge,
}

// === impl Metrics ===

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    ///
    /// Only for a name that is not fit or stands twice, which the tests would show.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let metrics = Self {
            requests: add(
                &registry,
                IntCounterVec::new(opts("requests_total", "Requests answered."), &["method", "status", "credential"])?,
            )?,
            request_duration: add(
                &registry,
                histogram(
                    "request_duration_seconds",
                    "From a request's header to the end of its response.",
                    &LATENCIES,
                )?,
            )?,
            upstream_duration: add(
                &registry,
                histogram("upstream_duration_seconds", "Waiting for Flexslot's response headers.", &LATENCIES)?,
            )?,
            overhead_duration: add(
                &registry,
                histogram(
                    "overhead_duration_seconds",
                    "From a request's header to its response's, less the wait for Flexslot.",
                    &SMALL,
                )?,
            )?,
            refreshes: add(
                &registry,
                IntCounterVec::new(opts("refreshes_total", "Refreshes by outcome."), &["outcome"])?,
            )?,
            retries: add(
                &registry,
                IntCounterVec::new(
                    opts("retries_total", "Requests sent once more after a 401, by outcome."),
                    &["outcome"],
                )?,
            )?,
            unauthorized_after_refresh: add(
                &registry,
                IntCounter::with_opts(opts(
                    "unauthorized_after_refresh_total",
                    "Fresh tokens that were answered with 401.",
                ))?,
            )?,
            pat_fallbacks: add(
                &registry,
                IntCounterVec::new(
                    opts("pat_fallbacks_total", "Switches of a tenant from its grant to its PAT, by cause."),
                    &["cause"],
                )?,
            )?,
            in_flight: add(&registry, IntGauge::with_opts(opts("in_flight_requests", "Requests under way."))?)?,
            store_operations: add(
                &registry,
                IntCounterVec::new(
                    opts("store_operations_total", "Operations on the store."),
                    &["operation", "outcome"],
                )?,
            )?,
            store_duration: add(
                &registry,
                HistogramVec::new(
                    HistogramOpts::from(opts("store_duration_seconds", "Time of operations on the store."))
                        .buckets(SMALL.to_vec()),
                    &["operation"],
                )?,
            )?,
            spooled_pairs: add(
                &registry,
                IntGauge::with_opts(opts(
                    "spooled_pairs",
                    "Outcomes of token requests that the store has still to take.",
                ))?,
            )?,
            registry,
        };
        let build =
            opts("build_info", "The program's version, as a label.").const_label("version", env!("CARGO_PKG_VERSION"));
        add(&metrics.registry, Gauge::with_opts(build)?)?.set(1.0);
        Ok(metrics)
    }

    /// Everything in the Prometheus text format.
    pub fn text(&self, health: Health) -> Vec<u8> {
        self.spooled_pairs.set(i64::try_from(health.waiting).unwrap_or(i64::MAX));
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "the metrics could not be written");
        }
        text
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("flexslot_proxy")
}

fn histogram(name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, prometheus::Error> {
    Histogram::with_opts(HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec()))
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

impl Observer for Metrics {
    fn refresh(&self, outcome: RefreshOutcome) {
        self.refreshes.with_label_values(&[outcome.as_str()]).inc();
    }

    fn retry(&self, outcome: RetryOutcome) {
        self.retries.with_label_values(&[outcome.as_str()]).inc();
    }

    fn unauthorized_after_refresh(&self) {
        self.unauthorized_after_refresh.inc();
    }

    fn pat_fallback(&self, cause: FallbackCause) {
        self.pat_fallbacks.with_label_values(&[cause.as_str()]).inc();
    }

    fn request(&self, method: &Method, status: u16, credential: Option<CredentialKind>, took: RequestTimes) {
        let credential = credential.map_or("none", CredentialKind::as_str);
        let digits = [b'0' + (status / 100 % 10) as u8, b'0' + (status / 10 % 10) as u8, b'0' + (status % 10) as u8];
        let status = std::str::from_utf8(&digits).unwrap_or("");
        self.requests.with_label_values(&[known_method(method), status, credential]).inc();
        self.request_duration.observe(took.total.as_secs_f64());
        self.overhead_duration.observe(took.overhead.as_secs_f64());
        if took.upstream > Duration::ZERO {
            self.upstream_duration.observe(took.upstream.as_secs_f64());
        }
    }

    fn in_flight(&self, change: i64) {
        self.in_flight.add(change);
    }

    fn store(&self, operation: &'static str, outcome: StoreOutcome, took: Duration) {
        self.store_operations.with_label_values(&[operation, outcome.as_str()]).inc();
        self.store_duration.with_label_values(&[operation]).observe(took.as_secs_f64());
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// Clients may make up methods; the label may not grow with them.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;
    use crate::{
        credential::coordinator::Health,
        model::{Observer, observe::RequestTimes},
    };
    use http::Method;

    #[test]
    fn made_up_methods_share_one_label() {
        let metrics = Metrics::new().unwrap();
        for method in ["BREW", "PROPFIND", "GET"] {
            metrics.request(&Method::from_bytes(method.as_bytes()).unwrap(), 200, None, RequestTimes::default());
        }
        let text =
            String::from_utf8(metrics.text(Health { store_reachable: true, waiting: 3, at_risk: 0, travelled: false }))
                .unwrap();
        assert!(
            text.contains(r#"flexslot_proxy_requests_total{credential="none",method="other",status="200"} 2"#),
            "{text}"
        );
        assert!(
            text.contains(r#"flexslot_proxy_requests_total{credential="none",method="GET",status="200"} 1"#),
            "{text}"
        );
        assert!(text.contains("flexslot_proxy_spooled_pairs 3"), "{text}");
    }
}
