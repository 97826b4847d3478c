//! The admin listener: whether the sidecar is alive and ready, and what it counts.

pub mod health;
pub mod metrics;

use std::sync::Arc;

use axum::{
    extract::{Query, State},
    http::{header::CONTENT_TYPE, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
    Json, Router,
};
use serde::Deserialize;

use crate::credential::Credentials;
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
        .with_state(admin)
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
