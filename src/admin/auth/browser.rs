//! Browsers that have signed in.

use std::convert::Infallible;

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, request::Parts, uri::Scheme};
use maud::html;

use super::session::{LIFE, Session};
use crate::{
    admin::{
        Admin, Settings,
        error::{Code, Failure},
    },
    model::Secret,
    web::{Cookie, Page, cookies},
};

/// A browser with a session. As an argument of a page's handler it sends everybody else to the sign-in.
#[derive(Debug, Clone)]
pub(in crate::admin) struct Browser {
    session: Session,
    key: Secret,
}

/// A browser without one.
#[derive(Debug, Clone, Copy)]
pub(in crate::admin) struct Stranger;

// === impl Browser ===

impl Browser {
    /// The browser that the request's cookies name.
    pub(super) fn of(headers: &HeaderMap, admin: &Admin) -> Option<Self> {
        let (settings, now) = (admin.settings.get(), admin.clock.now());
        let name = cookie_name(&settings);
        // One that another port's or a parent domain's page has set may stand beside ours.
        let mut ours = cookies(headers).filter(|(found, _)| *found == name);
        let session = ours.find_map(|(_, value)| Session::read(&settings.token, value, now))?;
        Some(Self { session, key: settings.token.clone() })
    }

    /// What a form of this browser's pages carries in its field `csrf`.
    pub(in crate::admin) fn csrf(&self) -> String {
        self.session.csrf(&self.key)
    }

    /// Refuses what another site's page has sent.
    pub(in crate::admin) fn check(&self, csrf: Option<&str>) -> Result<(), Failure> {
        match csrf {
            Some(csrf) if self.session.is_csrf(&self.key, csrf) => Ok(()),
            Some(_) => Err(Code::CsrfFailed.problem("The CSRF token is not that of this session. Load the page again.").into()),
            None => Err(Code::CsrfFailed
                .problem("A request that is signed in by a cookie has to carry the session's CSRF token, in the header x-csrf-token.")
                .into()),
        }
    }
}

impl FromRequestParts<Admin> for Browser {
    type Rejection = Stranger;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, Stranger> {
        Self::of(&parts.headers, admin).ok_or(Stranger)
    }
}

impl OptionalFromRequestParts<Admin> for Browser {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Option<Self>, Infallible> {
        Ok(Self::of(&parts.headers, admin))
    }
}

// === impl Stranger ===

impl IntoResponse for Stranger {
    fn into_response(self) -> Response {
        let main = html! {
            div.panel.narrow {
                h1 { "Sign in" }
                p { "This page shows the Flexslot connections of all tenants, so it opens only for whoever runs the sidecar." }
                p { "Run this where the sidecar runs, and open the link that it prints. It can be used once, within five minutes." }
                pre { code { "flexslot-proxy page" } }
            }
        };
        Page::new("Sign in", main).status(StatusCode::UNAUTHORIZED).into_response()
    }
}

/// The header that gives a browser its session. Over https the cookie is for https alone.
pub(super) fn set_cookie(session: &Session, settings: &Settings, host: &str) -> Option<HeaderValue> {
    cookie(session.expose(), LIFE.as_secs(), settings, host)
}

/// The header that takes it away.
pub(super) fn clear_cookie(settings: &Settings, host: &str) -> Option<HeaderValue> {
    cookie("", 0, settings, host)
}

fn cookie(value: &str, max_age: u64, settings: &Settings, host: &str) -> Option<HeaderValue> {
    let secure = settings.public_base(host).is_some_and(|base| *base.origin().scheme() == Scheme::HTTPS);
    Cookie { name: &cookie_name(settings), value, max_age, secure }.line()
}

fn cookie_name(settings: &Settings) -> String {
    format!("flexslot-proxy-session-{}", settings.port)
}
