//! The failures that the admin listener answers: one row per code, and what makes them of requests that cannot be used.

use std::borrow::Cow;

use axum::{
    Extension,
    extract::{FromRequestParts, Query},
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};
use serde::de::DeserializeOwned;

use crate::model::{Action, Problem, problem::ProxyError};

/// The codes of the admin listener, in the order of their statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    NotFound,
    MethodNotAllowed,
    Invalid,
}

/// A failure for the server to write, which alone knows the request's id: the problem travels as an extension of the
/// response.
#[derive(Debug)]
pub(super) struct Failure(Problem);

/// The query of a request; one that cannot be read as `T` is 422 `invalid`. Keys that `T` does not have are left aside.
#[derive(Debug)]
pub(super) struct Params<T>(pub(super) T);

// === impl Code ===

impl Code {
    const fn row(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "Not found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed"),
            Self::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "Request not usable"),
        }
    }

    /// A problem of this code. `detail` says what happened and what to do.
    pub fn problem(self, detail: impl Into<Cow<'static, str>>) -> Problem {
        let (status, code, title) = self.row();
        let (action, cause) = (Action::FixRequest, ProxyError::HttpRequestDenied);
        Problem { code, status, title, detail: detail.into(), action, cause, tenant: None, retry_after: None }
    }
}

// === impl Failure ===

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0.status, Extension(self.0)).into_response()
    }
}

// === impl Params ===

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            Err(fault) => {
                Err(Code::Invalid.problem(format!("The query cannot be used: {}.", fault.body_text())).into())
            }
        }
    }
}
