//! What became of recent requests.

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};

use crate::{
    admin::{
        Admin,
        client::TraceDocument,
        error::{Code, Failure},
        trace::{FAILED, RECENT, document},
    },
    model::Problem,
};

/// `GET /v1/requests/{request_id}`
pub(super) async fn one(
    State(admin): State<Admin>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<TraceDocument>, Failure> {
    let id = id.ok().and_then(|Path(id)| id.parse().ok()).ok_or_else(no_id)?;
    let trace = admin.traces.find(id).ok_or_else(not_kept)?;
    Ok(Json(document(&trace)))
}

fn no_id() -> Problem {
    Code::NotFound.problem(
        "This is not the id of a request. One looks like d067bdbd-1f, and stands in the header Flexslot-Proxy-Request-Id, in `request_id` of \
         problems, and in the access log.",
    )
}

fn not_kept() -> Problem {
    Code::NotFound.problem(format!(
        "There is no trace of this request. Traces are kept for the last {RECENT} requests of this process, and for the last {FAILED} before \
         them that failed; this one is older, or is of another process: another sidecar, or this one before its last start."
    ))
}
