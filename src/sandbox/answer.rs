//! What goes back: bodies, JSON, pages, and Flexslot's two shapes of error.

use std::{
    convert::Infallible,
    io,
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use serde_json::{Value, json};

use crate::model::Timestamp;

pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;
pub(super) type Answer = Response<Body>;

/// A few words for the event log, carried beside an answer. Never token text.
#[derive(Clone)]
pub(super) struct Note(pub(super) String);

/// The end of the year 9999, the last that `Date` can say.
const LAST_DATE: u64 = 253_402_300_799;

/// Short ways to finish an answer.
pub(super) trait AnswerExt: Sized {
    /// The same with one more header; a value that is no header value is left out.
    fn with(self, name: HeaderName, value: &str) -> Self;
    /// The same with words for the event log.
    fn note(self, words: impl Into<String>) -> Self;
    /// The same, made at `now` (RFC 9110 section 6.6.1).
    fn at(self, now: Timestamp) -> Self;
    /// The same, not to be stored by anybody (RFC 6749 section 5.1).
    fn no_store(self) -> Self {
        self.with(header::CACHE_CONTROL, "no-store")
    }
}

impl AnswerExt for Answer {
    fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers_mut().append(name, value);
        }
        self
    }

    fn at(mut self, now: Timestamp) -> Self {
        let secs = u64::try_from(now.secs()).unwrap_or(0).min(LAST_DATE);
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(secs));
        if let Ok(date) = HeaderValue::try_from(date) {
            self.headers_mut().entry(header::DATE).or_insert(date);
        }
        self
    }

    fn note(mut self, words: impl Into<String>) -> Self {
        self.extensions_mut().insert(Note(words.into()));
        self
    }
}

pub(super) fn body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

pub(super) fn of(status: StatusCode, content: Body) -> Answer {
    let mut answer = Response::new(content);
    *answer.status_mut() = status;
    answer
}

pub(super) fn empty(status: StatusCode) -> Answer {
    of(status, body(Bytes::new()))
}

pub(super) fn json(status: StatusCode, value: &Value) -> Answer {
    of(status, body(value.to_string())).with(header::CONTENT_TYPE, "application/json")
}

pub(super) fn html(status: StatusCode, page: String) -> Answer {
    of(status, body(page)).with(header::CONTENT_TYPE, "text/html; charset=utf-8").no_store()
}

pub(super) fn redirect(status: StatusCode, location: &str) -> Answer {
    empty(status).with(header::LOCATION, location)
}

/// The resource API's error envelope. Only `FLEXSLOT_NOT_FOUND` is a documented code, and the field names are ours.
pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Answer {
    json(status, &json!({"code": code, "message": message})).note(code)
}

/// Unknown, foreign and missing objects are answered alike.
pub(super) fn not_found() -> Answer {
    error(StatusCode::NOT_FOUND, "FLEXSLOT_NOT_FOUND", "Not found.")
}

/// 400 with what is wrong with each field.
pub(super) fn invalid(fields: &Value) -> Answer {
    let value = json!({"code": "FLEXSLOT_VALIDATION_ERROR", "message": "Some fields are not valid.", "fields": fields});
    json(StatusCode::BAD_REQUEST, &value).note("validation error")
}

pub(super) fn method_not_allowed(allow: &str) -> Answer {
    error(StatusCode::METHOD_NOT_ALLOWED, "FLEXSLOT_METHOD_NOT_ALLOWED", "Method not allowed.")
        .with(header::ALLOW, allow)
}

/// An error of an OAuth endpoint (RFC 6749 section 5.2), with Flexslot's `error_uri`.
pub(super) fn oauth_error(status: StatusCode, error: &str, description: &str) -> Answer {
    let uri = format!("https://flexslot.gg/docs/oauth/errors#{error}");
    json(status, &json!({"error": error, "error_description": description, "error_uri": uri})).no_store().note(error)
}
