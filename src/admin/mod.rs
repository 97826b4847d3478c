//! The admin listener: whether the sidecar is alive and ready, and what it counts.

pub mod client;
mod error;
pub mod health;
pub mod metrics;
mod page;
pub mod trace;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;

use crate::credential::Credentials;
pub use error::Code;
use error::{Failure, Params};
use health::{Readiness, Report, Strictness};
use metrics::Metrics;
use trace::Traces;

/// What the routes look at.
#[derive(Debug, Clone)]
pub struct Admin {
    pub credentials: Credentials,
    pub metrics: Arc<Metrics>,
    pub readiness: Arc<Readiness>,
    pub traces: Arc<Traces>,
}

/// What `/readyz` is asked.
#[derive(Debug, Deserialize)]
struct Question {
    #[serde(default)]
    strict: Strictness,
}

/// The routes of the admin listener.
pub fn router(admin: Admin) -> Router {
    probes(admin)
}

/// Those that need no authentication, for listeners that have health and metrics only.
pub fn probes(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(|| async { Json(serde_json::json!({ "status": "alive" })) }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(admin)
}

async fn readyz(State(admin): State<Admin>, Params(asked): Params<Question>) -> (StatusCode, Json<Report>) {
    let report = admin.readiness.report(admin.credentials.health());
    (report.status_code(asked.strict), Json(report))
}

async fn scrape(State(admin): State<Admin>) -> Response {
    let text = admin.metrics.text(admin.credentials.health());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn not_found() -> Failure {
    Code::NotFound.problem("This listener has /healthz, /readyz and /metrics.").into()
}

/// The `Allow` that RFC 9110 section 15.5.6 asks for is the router's to add.
async fn method_not_allowed() -> Failure {
    Code::MethodNotAllowed.problem("This path is read with GET or HEAD.").into()
}
