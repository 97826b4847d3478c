//! The failures that the admin listener answers: one row per code, and what becomes one of them.

use std::borrow::Cow;

use axum::{
    Extension,
    response::{IntoResponse, Response},
};
use http::StatusCode;

use crate::{
    credential::{ConsentError, EditError, StoreError},
    model::{Action, Problem, json::Fault, problem::ProxyError},
};

/// The codes of the admin listener, in the order of their statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    Unauthorized,
    CsrfFailed,
    NotFound,
    MethodNotAllowed,
    Conflict,
    /// `invalid`, as a body that is too large is.
    TooLarge,
    /// `invalid`, as a body that is no JSON is.
    NotJson,
    Invalid,
    StoreUnavailable,
}

/// A failure for the server to write, which alone knows the request's id: the problem travels as an extension of the
/// response.
#[derive(Debug)]
pub(super) struct Failure(Problem);

/// What is the same for every problem of a code.
struct Row(u16, &'static str, &'static str, Action, ProxyError);

// === impl Code ===

impl Code {
    /// Every code there is.
    pub const ALL: [Self; 9] = [
        Self::Unauthorized,
        Self::CsrfFailed,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::TooLarge,
        Self::NotJson,
        Self::Invalid,
        Self::StoreUnavailable,
    ];

    #[rustfmt::skip]
    const fn row(self) -> Row {
        use Action::{FixRequest, Retry};
        use ProxyError::{HttpRequestDenied, ProxyInternalError};
        match self {
            Self::Unauthorized     => Row(401, "unauthorized", "Admin token needed", FixRequest, HttpRequestDenied),
            Self::CsrfFailed       => Row(403, "csrf_failed", "Not sent by a page of this session", FixRequest, HttpRequestDenied),
            Self::NotFound         => Row(404, "not_found", "Not found", FixRequest, HttpRequestDenied),
            Self::MethodNotAllowed => Row(405, "method_not_allowed", "Method not allowed", FixRequest, HttpRequestDenied),
            Self::Conflict         => Row(409, "conflict", "Not possible as things are", FixRequest, HttpRequestDenied),
            Self::TooLarge         => Row(413, "invalid", "Request too large", FixRequest, HttpRequestDenied),
            Self::NotJson          => Row(415, "invalid", "Request not JSON", FixRequest, HttpRequestDenied),
            Self::Invalid          => Row(422, "invalid", "Request not usable", FixRequest, HttpRequestDenied),
            Self::StoreUnavailable => Row(503, "store_unavailable", "Store not available", Retry, ProxyInternalError),
        }
    }

    /// The code as it stands in answers and documentation.
    pub const fn as_str(self) -> &'static str {
        self.row().1
    }

    /// A problem of this code. `detail` says what happened and what to do.
    pub fn problem(self, detail: impl Into<Cow<'static, str>>) -> Problem {
        let Row(status, code, title, action, cause) = self.row();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Problem {
            code,
            status,
            title,
            detail: detail.into(),
            afar: None,
            action,
            cause,
            tenant: None,
            retry_after: None,
        }
    }
}

// === impl Failure ===

impl Failure {
    /// What is to be told.
    pub(super) fn into_problem(self) -> Problem {
        self.0
    }

    /// The same with somebody else to mend it.
    pub(super) fn for_operator(self) -> Self {
        Self(Problem { action: Action::FixConfig, ..self.0 })
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Code::Invalid.problem(format!("The body cannot be used: {fault}.")).into()
    }
}

/// What is wrong with the store is for the operator to know; the log says it where it began.
impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => {
                Code::StoreUnavailable.problem("The store is out of reach. Try again later.").into()
            }
            StoreError::Unreadable { .. } => {
                let problem = Code::StoreUnavailable.problem(format!("{error}. `flexslot-proxy check` says more."));
                Self(problem).for_operator()
            }
        }
    }
}

impl From<EditError> for Failure {
    fn from(error: EditError) -> Self {
        match error {
            EditError::PatIsConfigured => Self::from(
                Code::Conflict
                    .problem("The configuration sets this tenant's PAT, and wins over the store. Change it there."),
            )
            .for_operator(),
            EditError::Malformed => Fault::whole("a token holds a character that no token has").into(),
            EditError::UnknownClient(_) => {
                Fault::field("client_id", "neither [oauth] nor the store has this client").into()
            }
            EditError::Store(error) => error.into(),
        }
    }
}

impl From<ConsentError> for Failure {
    fn from(error: ConsentError) -> Self {
        let code = match error {
            ConsentError::Store(error) => return error.into(),
            ConsentError::Unknown => Code::NotFound,
            ConsentError::Mismatch => return Fault::field("code", "not the one that the browser brought back").into(),
            ConsentError::Ended(_)
            | ConsentError::TooManyFlows
            | ConsentError::OutOfStep
            | ConsentError::Overtaken
            | ConsentError::ClientRevoked
            | ConsentError::Busy => Code::Conflict,
        };
        let what = error.to_string();
        let (first, rest) = what.split_at(what.chars().next().map_or(0, char::len_utf8));
        code.problem(format!("{}{rest}.", first.to_uppercase())).into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0.status, Extension(self.0)).into_response()
    }
}
