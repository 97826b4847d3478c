//! Browsers that have signed in.

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, request::Parts, uri::Scheme};
use maud::html;

use super::{
    session::{LIFE, Session},
    user,
};
use crate::{
    admin::{
        Admin, Settings,
        error::{Code, Failure},
        page::Trouble,
        request::addressed,
    },
    credential::StoreError,
    model::Secret,
    web::{Cookie, Page, cookies, full_name},
};

/// A browser with a session. As an argument of a page's handler it sends everybody else to the sign-in.
#[derive(Debug, Clone)]
pub(in crate::admin) struct Browser {
    session: Session,
    key: Secret,
}

/// A browser without one.
#[derive(Debug)]
pub(in crate::admin) enum Stranger {
    Unknown,
    /// Whether it has one is not known.
    Undecided(StoreError),
}

// === impl Browser ===

impl Browser {
    /// The browser that the request's cookies name; `None` where they name none that is signed in.
    pub(super) async fn of(parts: &Parts, admin: &Admin) -> Result<Option<Self>, StoreError> {
        let (settings, now) = (admin.settings.get(), admin.clock.now());
        let bare = cookie_name(&settings);
        let name = full_name(&bare, is_secure(&settings, addressed(parts)));
        // One that another port's or a parent domain's page has set may stand beside ours.
        let ours: Vec<_> = cookies(&parts.headers).filter(|(found, _)| *found == name).collect();
        if ours.is_empty() {
            return Ok(None);
        }
        // What is none of ours costs neither the system's lists nor the store a look.
        let sessions: Vec<_> =
            ours.iter().filter_map(|(_, value)| Session::made(&settings.token, value, now)).collect();
        if sessions.is_empty() {
            return Ok(None);
        }
        let user = user::behind(&settings, addressed(parts), &parts.extensions).await;
        let Some(session) = sessions.into_iter().find(|session| session.is_of(user)) else { return Ok(None) };
        let is_there = admin.credentials.is_visit(session.text()).await?;
        Ok(is_there.then(|| Self { session, key: settings.token.clone() }))
    }

    /// Ends its session, on all sidecars of the store.
    pub(super) async fn sign_out(&self, admin: &Admin) -> Result<(), StoreError> {
        admin.credentials.end_visit(self.session.text()).await
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
        Self::of(parts, admin).await.map_err(Stranger::Undecided)?.ok_or(Stranger::Unknown)
    }
}

impl OptionalFromRequestParts<Admin> for Browser {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Option<Self>, Failure> {
        Ok(Self::of(parts, admin).await?)
    }
}

// === impl Stranger ===

impl IntoResponse for Stranger {
    fn into_response(self) -> Response {
        if let Self::Undecided(error) = self {
            return Trouble::from(error).into_response();
        }
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
    cookie(session.text().expose(), LIFE.as_secs(), settings, host)
}

/// The header that takes it away.
pub(super) fn clear_cookie(settings: &Settings, host: &str) -> Option<HeaderValue> {
    cookie("", 0, settings, host)
}

fn cookie(value: &str, max_age: u64, settings: &Settings, host: &str) -> Option<HeaderValue> {
    Cookie { name: &cookie_name(settings), value, max_age, secure: is_secure(settings, host) }.line()
}

/// Whether a browser that names `host` comes by https.
pub(in crate::admin) fn is_secure(settings: &Settings, host: &str) -> bool {
    settings.public_base(host).is_some_and(|base| *base.origin().scheme() == Scheme::HTTPS)
}

fn cookie_name(settings: &Settings) -> String {
    format!("flexslot-proxy-session-{}", settings.port)
}
