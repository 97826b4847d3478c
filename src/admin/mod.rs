//! The admin listener: whether the sidecar is alive and ready, what it counts, and the API by which apps and operators
//! connect, disconnect and look after tenants.
//!
//! - [`health`], [`metrics`]: for probes and scrapers, without authentication. [`connections`] counts what takes time.
//! - `auth`: who may do the rest.
//! - `api`: what they may do; [`client`]: its documents; `openapi`: its description.
//! - [`trace`]: what became of recent requests. `page`: the connections page.

mod api;
mod auth;
pub mod client;
pub mod connections;
mod error;
pub mod health;
pub mod metrics;
mod openapi;
mod page;
mod request;
mod settings;
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

use crate::{
    credential::Credentials,
    model::{Clock, Random, Seldom},
};
pub use error::Code;
use error::Failure;
use health::{Readiness, Report, Strictness};
use metrics::Metrics;
use request::Params;
pub use settings::{Live, Settings};
use trace::Traces;

/// What the routes look at.
#[derive(Clone)]
pub struct Admin {
    pub credentials: Credentials,
    pub metrics: Arc<Metrics>,
    pub readiness: Arc<Readiness>,
    pub traces: Arc<Traces>,
    pub settings: Live,
    /// Tokens that were not the admin token.
    pub refusals: Arc<Seldom>,
    pub clock: Arc<dyn Clock>,
    pub random: Random,
}

/// What `/readyz` is asked.
#[derive(Debug, Deserialize)]
struct Question {
    #[serde(default)]
    strict: Strictness,
}

/// The routes of the admin listener.
pub fn router(admin: Admin) -> Router {
    finished(probe_routes().merge(api::routes(&admin)).merge(auth::routes()).merge(page::routes()), admin)
}

/// Those that need no authentication, for listeners that have health and metrics only.
pub fn probes(admin: Admin) -> Router {
    finished(probe_routes(), admin)
}

fn probe_routes() -> Router<Admin> {
    Router::new()
        .route("/healthz", get(|| async { Json(serde_json::json!({ "status": "alive" })) }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
}

fn finished(routes: Router<Admin>, admin: Admin) -> Router {
    routes.fallback(not_found).method_not_allowed_fallback(method_not_allowed).with_state(admin)
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
    Code::NotFound.problem("There is nothing here. The admin listener describes its API at /v1/openapi.json.").into()
}

/// The `Allow` that RFC 9110 section 15.5.6 asks for is the router's to add.
async fn method_not_allowed() -> Failure {
    Code::MethodNotAllowed.problem("This path knows other methods: those in Allow.").into()
}

// === impl Admin ===

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("settings", &self.settings).finish_non_exhaustive()
    }
}
