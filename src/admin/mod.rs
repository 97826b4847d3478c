//! The admin listener: whether the sidecar is alive and ready, and what it counts.

pub mod health;
pub mod metrics;

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::{Query, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;

use crate::{
    credential::Credentials,
    model::{Action, Problem, problem::ProxyError},
};
use health::{Readiness, Report};
use metrics::Metrics;

/// What the routes look at.
#[derive(Debug, Clone)]
pub struct Admin {
    pub credentials: Credentials,
    pub metrics: Arc<Metrics>,
    pub readiness: Arc<Readiness>,
}

/// `?strict=1` makes a degraded sidecar count as not ready.
#[derive(Debug, Deserialize)]
struct Strictness {
    strict: Option<String>,
}

/// The routes of the admin listener, which at the moment are those that need no authentication.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(|| async { Json(serde_json::json!({ "status": "alive" })) }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .fallback(|| async { failed(NOT_FOUND) })
        .method_not_allowed_fallback(|| async { failed(METHOD_NOT_ALLOWED) })
        .with_state(admin)
}

/// The codes of the admin listener.
const NOT_FOUND: (StatusCode, &str, &str, &str) =
    (StatusCode::NOT_FOUND, "not_found", "Not found", "The admin listener has /healthz, /readyz and /metrics.");
const METHOD_NOT_ALLOWED: (StatusCode, &str, &str, &str) =
    (StatusCode::METHOD_NOT_ALLOWED, "invalid", "Method not allowed", "This path is read with GET.");

/// A failure for the server to write: the problem travels as an extension of the response.
fn failed((status, code, title, detail): (StatusCode, &'static str, &'static str, &'static str)) -> Response {
    let cause = ProxyError::HttpRequestDenied;
    let problem = Problem {
        code,
        status,
        title,
        detail: detail.into(),
        action: Action::FixRequest,
        cause,
        tenant: None,
        retry_after: None,
    };
    (status, Extension(problem)).into_response()
}

async fn readyz(State(admin): State<Admin>, Query(query): Query<Strictness>) -> (StatusCode, Json<Report>) {
    let report = admin.readiness.report(admin.credentials.health());
    let strict = query.strict.is_some_and(|value| value == "1");
    (report.status_code(strict), Json(report))
}

async fn scrape(State(admin): State<Admin>) -> Response {
    let text = admin.metrics.text(admin.credentials.health());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
