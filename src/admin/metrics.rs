//! What is counted (docs/operations.md). Labels are bounded, and no tenant is named.

use std::{fmt, sync::OnceLock, time::Duration};

use http::Method;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder, core::Collector,
};

use super::{connections::Tally, health};
use crate::{
    credential::coordinator::Health,
    model::{
        CredentialKind, Observer,
        observe::{FallbackCause, RefreshOutcome, RequestTimes, RetryOutcome, SpansOutcome, StoreOutcome},
    },
};

/// Upper bounds of the request histograms, in seconds.
const LATENCIES: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// Upper bounds of the overhead and store histograms, in seconds.
const SMALL: [f64; 12] = [0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0];

/// All counters of the process.
pub struct Metrics {
    registry: Registry,
    requests: Requests,
    credentials: Credentials,
    storing: Storing,
    spans: IntCounterVec,
    reloaded: IntGauge,
    degraded: IntGaugeVec,
}

/// What callers get.
struct Requests {
    answered: Answered,
    in_flight: IntGauge,
    duration: Histogram,
    upstream_duration: Histogram,
    overhead_duration: Histogram,
}

/// `requests_total`, with the counters of the answers that there have been at hand: looking one up by its labels costs more
/// than counting.
struct Answered {
    counters: IntCounterVec,
    /// By method, by credential, by status; each made when it is counted first.
    known: [[OnceLock<Statuses>; CREDENTIALS.len()]; METHODS.len()],
}

/// The counters of the statuses from 100 to 599.
type Statuses = Box<[OnceLock<IntCounter>]>;

/// Clients may make up methods; the label may not grow with them. The last stands for all others.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];

/// What a request was sent with, or that it was not.
const CREDENTIALS: [Option<CredentialKind>; 3] = [None, Some(CredentialKind::OAuth), Some(CredentialKind::Pat)];

/// What becomes of credentials.
struct Credentials {
    refreshes: IntCounterVec,
    retries: IntCounterVec,
    unauthorized_after_refresh: IntCounter,
    pat_fallbacks: IntCounterVec,
    connections: IntGaugeVec,
}

/// What becomes of what is stored.
struct Storing {
    operations: IntCounterVec,
    duration: HistogramVec,
    spooled_pairs: IntGauge,
}

/// Makes what counts, and has it gathered from then on. Fails for a name that is not fit or stands twice.
struct Registrar<'a>(&'a Registry);

// === impl Metrics ===

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    ///
    /// Only for a name that is not fit or stands twice, which the tests would show.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let registrar = Registrar(&registry);
        let requests = Requests::register(&registrar)?;
        let credentials = Credentials::register(&registrar)?;
        let storing = Storing::register(&registrar)?;
        let spans = registrar.counters("spans_total", "Spans of exported traces, by outcome.", &["outcome"])?;
        let reloaded = registrar
            .gauge("config_last_reload_successful", "Whether the configuration is in use as it was read last.")?;
        let degraded = "Whether /readyz gives this reason for being degraded.";
        let degraded = registrar.gauges("degraded", degraded, &["reason"])?;
        // The one that it starts with.
        reloaded.set(1);
        registrar.build_info()?;
        Ok(Self { registry, requests, credentials, storing, spans, reloaded, degraded })
    }

    /// The configuration that was read last is in use.
    pub fn configuration_taken(&self) {
        self.reloaded.set(1);
    }

    /// The configuration that was read last is not in use; the one before it is.
    pub fn configuration_refused(&self) {
        self.reloaded.set(0);
    }

    /// All tenants have been counted.
    pub fn connections(&self, tally: Tally) {
        for (state, tenants) in tally.iter() {
            let gauge = self.credentials.connections.with_label_values(&[state.as_str()]);
            gauge.set(i64::try_from(tenants).unwrap_or(i64::MAX));
        }
    }

    /// Everything in the Prometheus text format.
    pub fn text(&self, health: Health) -> Vec<u8> {
        self.storing.spooled_pairs.set(i64::try_from(health.waiting).unwrap_or(i64::MAX));
        for (reason, holds) in health::troubles(health) {
            self.degraded.with_label_values(&[reason]).set(i64::from(holds));
        }
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "the metrics could not be written");
        }
        text
    }
}

impl Observer for Metrics {
    fn refresh(&self, outcome: RefreshOutcome) {
        self.credentials.refreshes.with_label_values(&[outcome.as_str()]).inc();
    }

    fn retry(&self, outcome: RetryOutcome) {
        self.credentials.retries.with_label_values(&[outcome.as_str()]).inc();
    }

    fn unauthorized_after_refresh(&self) {
        self.credentials.unauthorized_after_refresh.inc();
    }

    fn pat_fallback(&self, cause: FallbackCause) {
        self.credentials.pat_fallbacks.with_label_values(&[cause.as_str()]).inc();
    }

    fn request(&self, method: &Method, status: u16, credential: Option<CredentialKind>, took: RequestTimes) {
        self.requests.answered.count(method, status, credential);
        self.requests.duration.observe(took.total.as_secs_f64());
        self.requests.overhead_duration.observe(took.overhead.as_secs_f64());
        if took.upstream > Duration::ZERO {
            self.requests.upstream_duration.observe(took.upstream.as_secs_f64());
        }
    }

    fn in_flight(&self, change: i64) {
        self.requests.in_flight.add(change);
    }

    fn store(&self, operation: &'static str, outcome: StoreOutcome, took: Duration) {
        self.storing.operations.with_label_values(&[operation, outcome.as_str()]).inc();
        self.storing.duration.with_label_values(&[operation]).observe(took.as_secs_f64());
    }

    fn spans(&self, outcome: SpansOutcome, count: u64) {
        self.spans.with_label_values(&[outcome.as_str()]).inc_by(count);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

// === impl Answered ===

impl Answered {
    fn new(counters: IntCounterVec) -> Self {
        Self { counters, known: Default::default() }
    }

    fn count(&self, method: &Method, status: u16, credential: Option<CredentialKind>) {
        let others = METHODS.len() - 1;
        let method = METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(others);
        let credential = CREDENTIALS.iter().position(|known| *known == credential).unwrap_or(0);
        let labelled = || {
            // An upstream may answer any three digits (RFC 9110 section 15).
            let status = if status < 600 { status.to_string() } else { "other".to_owned() };
            let label = CREDENTIALS[credential].map_or("none", CredentialKind::as_str);
            self.counters.with_label_values(&[METHODS[method], status.as_str(), label])
        };
        let statuses = self.known[method][credential].get_or_init(|| (100..600).map(|_| OnceLock::new()).collect());
        match usize::from(status).checked_sub(100).and_then(|at| statuses.get(at)) {
            Some(known) => known.get_or_init(labelled).inc(),
            None => labelled().inc(),
        }
    }
}

// === impl Requests ===

impl Requests {
    fn register(to: &Registrar<'_>) -> Result<Self, prometheus::Error> {
        let overhead = "From a request's header to its response's, less the wait for Flexslot.";
        Ok(Self {
            answered: Answered::new(to.counters(
                "requests_total",
                "Requests answered.",
                &["method", "status", "credential"],
            )?),
            in_flight: to.gauge("in_flight_requests", "Requests under way.")?,
            duration: to.histogram(
                "request_duration_seconds",
                "From a request's header to the end of its response.",
                &LATENCIES,
            )?,
            upstream_duration: to.histogram(
                "upstream_duration_seconds",
                "Waiting for Flexslot's response headers.",
                &LATENCIES,
            )?,
            overhead_duration: to.histogram("overhead_duration_seconds", overhead, &SMALL)?,
        })
    }
}

// === impl Credentials ===

impl Credentials {
    fn register(to: &Registrar<'_>) -> Result<Self, prometheus::Error> {
        let fallbacks = "Switches of a tenant from its grant to its PAT, by cause.";
        Ok(Self {
            refreshes: to.counters("refreshes_total", "Refreshes by outcome.", &["outcome"])?,
            retries: to.counters("retries_total", "Requests sent once more after a 401, by outcome.", &["outcome"])?,
            unauthorized_after_refresh: to
                .counter("unauthorized_after_refresh_total", "Fresh tokens that were answered with 401.")?,
            pat_fallbacks: to.counters("pat_fallbacks_total", fallbacks, &["cause"])?,
            connections: to.gauges("connections", "Tenants by the state of their connection.", &["state"])?,
        })
    }
}

// === impl Storing ===

impl Storing {
    fn register(to: &Registrar<'_>) -> Result<Self, prometheus::Error> {
        let (operations, duration) = ("Operations on the store.", "Time of operations on the store.");
        Ok(Self {
            operations: to.counters("store_operations_total", operations, &["operation", "outcome"])?,
            duration: to.histograms("store_duration_seconds", duration, &SMALL, &["operation"])?,
            spooled_pairs: to.gauge("spooled_pairs", "Outcomes of token requests that the store has still to take.")?,
        })
    }
}

// === impl Registrar ===

impl Registrar<'_> {
    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.add(IntCounter::with_opts(opts(name, help))?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        self.add(IntCounterVec::new(opts(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.add(IntGauge::with_opts(opts(name, help))?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        self.add(IntGaugeVec::new(opts(name, help), labels)?)
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, prometheus::Error> {
        self.add(Histogram::with_opts(HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec()))?)
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
        labels: &[&str],
    ) -> Result<HistogramVec, prometheus::Error> {
        self.add(HistogramVec::new(HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec()), labels)?)
    }

    fn build_info(&self) -> Result<(), prometheus::Error> {
        let build = opts("build_info", "The program's version, as a label.");
        let build = Gauge::with_opts(build.const_label("version", env!("CARGO_PKG_VERSION")))?;
        build.set(1.0);
        self.add(build).map(drop)
    }

    fn add<C: Collector + Clone + 'static>(&self, collector: C) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("flexslot_proxy")
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
        let text = String::from_utf8(metrics.text(Health {
            store_reachable: true,
            waiting: 3,
            at_risk: 1,
            travelled: false,
            forgetful: false,
        }))
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
        for (reason, value) in [("custody_at_risk", 1), ("store_unreachable", 0)] {
            assert!(text.contains(&format!(r#"flexslot_proxy_degraded{{reason="{reason}"}} {value}"#)), "{text}");
        }
    }
}
