//! `GET /v1/openapi.json`: the API, described (OpenAPI 3.1).

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

/// Written by hand; tests hold it to what the routes do.
const DOCUMENT: &str = include_str!("openapi.json");

pub(super) async fn serve() -> Response {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}
