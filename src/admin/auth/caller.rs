//! Callers of the API.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, CACHE_CONTROL},
    request::Parts,
};

use super::{Browser, user};
use crate::{
    admin::{
        Admin,
        error::{Code, Failure},
    },
    model::Secret,
};

/// How a caller has shown that it may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin) enum Caller {
    /// By the admin token.
    Token,
    /// As a browser that has signed in, by one of its pages.
    Page,
}

/// Where a page's script puts the CSRF token.
const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");

/// Lets in whoever may call, and says that nobody keeps what is answered.
pub(in crate::admin) async fn authenticated(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut response = match caller(&parts, &admin).await {
        Ok(caller) => {
            parts.extensions.insert(caller);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(failure) => failure.into_response(),
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A token that is presented has to be right, whatever cookies come with it.
async fn caller(parts: &Parts, admin: &Admin) -> Result<Caller, Failure> {
    let headers = &parts.headers;
    if headers.contains_key(AUTHORIZATION) {
        let refusal = match bearer(headers) {
            Some(token) if token == admin.settings.get().token => return Ok(Caller::Token),
            Some(_) => unauthorized("That is not the admin token."),
            None => unauthorized("Authorization is not of the scheme Bearer."),
        };
        if let Some(refused) = admin.refusals.note() {
            let uid = user::of(&parts.extensions).await;
            tracing::warn!(refused, uid, "the admin API has refused a token");
        }
        return Err(refusal);
    }
    let Some(browser) = Browser::of(parts, admin).await? else {
        return Err(unauthorized("The API is for the operator."));
    };
    let csrf = headers.get(CSRF).map(|csrf| csrf.to_str().unwrap_or_default());
    browser.check(csrf).map(|()| Caller::Page)
}

/// The token of the one Authorization that there is (RFC 6750 section 2.1).
fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(token.trim_matches(' ')))
}

pub(super) fn unauthorized(what: &str) -> Failure {
    let problem = Code::Unauthorized.problem(format!(
        "{what} Send the admin token as `Authorization: Bearer`. It is where admin.token of proxy.toml says, or else in the file \
         admin-token of the sidecar's state directory."
    ));
    problem.into()
}
