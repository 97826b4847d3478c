//! What is read of requests, within bounds, and what is answered to those that cannot be used.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
};
use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_TYPE, HOST},
    request::Parts,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::error::{Code, Failure};
use crate::model::{TenantId, json::Object, tenant::InvalidTenant};

/// The query; one that cannot be read as `T` is 422 `invalid`.
#[derive(Debug)]
pub(super) struct Params<T>(pub(super) T);

/// The tenant that the path names.
#[derive(Debug)]
pub(super) struct Named(pub(super) TenantId);

/// The host by which the request names this listener, as in `Host`.
#[derive(Debug)]
pub(super) struct Addressed(pub(super) String);

/// A body of JSON; without any body an object without members.
#[derive(Debug)]
pub(super) struct Json(pub(super) Object);

/// A body that a page's form has sent.
#[derive(Debug)]
pub(super) struct Form<T>(pub(super) T);

/// The longest body that is read: everything that is sent here is short.
const LONGEST: usize = 64 * 1024;

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

// === impl Named ===

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let invalid = |what: String| Code::Invalid.problem(format!("The path cannot be used: tenant: {what}."));
        let Path(name) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| invalid(rejection.body_text()))?;
        Ok(Self(name.parse().map_err(|fault: InvalidTenant| invalid(fault.to_string()))?))
    }
}

// === impl Addressed ===

impl<S: Sync> FromRequestParts<S> for Addressed {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Ok(Self(addressed(parts).to_owned()))
    }
}

/// The same (RFC 9112 section 3.2.2, and `:authority`, RFC 9113 section 8.3.1).
pub(super) fn addressed(parts: &Parts) -> &str {
    let host = match parts.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => parts.headers.get(HOST).and_then(|host| host.to_str().ok()),
    };
    host.unwrap_or("localhost")
}

// === impl Json ===

impl<S: Sync> FromRequest<S> for Json {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let is_json = is_of_type(request.headers(), "application/json");
        let body = bounded(request).await?;
        if body.is_empty() {
            return Ok(Self(Object::empty()));
        }
        if !is_json {
            return Err(Code::NotJson
                .problem("The body is not announced as JSON: send Content-Type: application/json.")
                .into());
        }
        Ok(Self(Object::parse(&body)?))
    }
}

// === impl Form ===

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Form<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let mut headers = request.headers().clone();
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/x-www-form-urlencoded"));
        let mut form = Request::post("/").body(Body::from(bounded(request).await?)).unwrap_or_default();
        *form.headers_mut() = headers;
        match axum::Form::from_request(form, &()).await {
            Ok(axum::Form(form)) => Ok(Self(form)),
            // Its message may repeat what is in a field, which is nobody else's business.
            Err(_) => Err(Code::Invalid.problem("The form cannot be used. Load the page again.").into()),
        }
    }
}

async fn bounded(request: Request) -> Result<Bytes, Failure> {
    match Limited::new(request.into_body(), LONGEST).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Code::TooLarge.problem(format!("The body is longer than {LONGEST} bytes.")).into())
        }
        Err(_) => Err(Code::Invalid.problem("The body ended before its end.").into()),
    }
}

/// Whether the body is announced as this, whatever parameters follow.
fn is_of_type(headers: &HeaderMap, media_type: &str) -> bool {
    let announced = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    announced.split(';').next().is_some_and(|announced| announced.trim().eq_ignore_ascii_case(media_type))
}
