//! One-time links, by which a browser signs in, and the way out.

use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, LOCATION, SET_COOKIE},
};
use maud::html;
use serde::Deserialize;

use super::{
    Browser,
    browser::{clear_cookie, set_cookie},
    caller::{Caller, unauthorized},
    session::{LIFE, Session},
    user,
};
use crate::{
    admin::{
        Admin, Settings,
        client::SignInLink,
        error::Failure,
        request::{Addressed, Form},
    },
    model::BaseUrl,
    web::{Page, is_ahead},
};

/// The form with which a browser signs out.
#[derive(Debug, Deserialize)]
struct SignOut {
    csrf: Option<String>,
}

/// What browsers use.
pub(in crate::admin) fn routes() -> Router<Admin> {
    Router::new()
        // What asks only for the header, such as a preview of the link, does not use it up.
        .route("/sign-in/{token}", get(sign_in).head(async || (StatusCode::OK, no_store())))
        .route("/sign-out", post(sign_out))
}

/// `POST /v1/sign-in-links`. A browser that has signed in makes no more links: they outlive its own session.
pub(in crate::admin) async fn make_link(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Addressed(host): Addressed,
) -> Result<(StatusCode, Json<SignInLink>), Failure> {
    if caller != Caller::Token {
        return Err(unauthorized("Links are made with the admin token."));
    }
    let link = admin.credentials.open_sign_in().await?;
    tracing::info!("the admin API has made a sign-in link");
    let settings = admin.settings.get();
    // Whoever asks has reached us by that name, and so will the browser beside it, through whatever tunnel.
    let url = match settings.public_base(&host) {
        Some(base) => base.at(&path(link.token.expose())),
        None => format!("http://{host}{}", path(link.token.expose())),
    };
    Ok((StatusCode::CREATED, Json(SignInLink { url, expires_at: link.expires_at.to_string() })))
}

fn path(token: &str) -> String {
    format!("/sign-in/{token}")
}

async fn sign_in(
    State(admin): State<Admin>,
    browser: Option<Browser>,
    Addressed(host): Addressed,
    (headers, extensions): (HeaderMap, Extensions),
    Path(token): Path<String>,
) -> Result<Response, Failure> {
    if is_ahead(&headers) {
        return Ok((StatusCode::NO_CONTENT, no_store()).into_response());
    }
    let settings = admin.settings.get();
    let user = user::behind(&settings, &host, &extensions).await;
    let session = Session::begin(&settings.token, user, admin.clock.now(), &admin.random);
    if !admin.credentials.take_sign_in(&token, session.text(), LIFE).await? {
        return Ok(match browser {
            // It went back in its history, or opened the link once more.
            Some(_) => to_the_page(&settings, &host, None),
            None => used_up().into_response(),
        });
    }
    tracing::info!("a browser has signed in to the connections page");
    Ok(to_the_page(&settings, &host, set_cookie(&session, &settings, &host)))
}

async fn sign_out(
    State(admin): State<Admin>,
    browser: Option<Browser>,
    Addressed(host): Addressed,
    Form(form): Form<SignOut>,
) -> Result<Response, Failure> {
    if let Some(browser) = browser {
        browser.check(form.csrf.as_deref())?;
        browser.sign_out(&admin).await?;
        tracing::info!("a browser has signed out of the connections page");
    }
    let settings = admin.settings.get();
    Ok(to_the_page(&settings, &host, clear_cookie(&settings, &host)))
}

/// Where a browser goes after either: the page, below the path that the web server in front has for us.
fn to_the_page(settings: &Settings, host: &str, cookie: Option<HeaderValue>) -> Response {
    let page = format!("{}/", settings.public_base(host).map_or("", BaseUrl::path));
    let mut response = (StatusCode::SEE_OTHER, no_store(), [(LOCATION, page)]).into_response();
    if let Some(cookie) = cookie {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

const fn no_store() -> [(HeaderName, HeaderValue); 1] {
    [(CACHE_CONTROL, HeaderValue::from_static("no-store"))]
}

fn used_up() -> Page {
    let main = html! {
        div.panel.narrow {
            h1 { "This link cannot be used any more" }
            p { "A sign-in link works once, and for five minutes. Run this where the sidecar runs, and open the link that it prints:" }
            pre { code { "flexslot-proxy page" } }
        }
    };
    Page::new("Link used or expired", main).status(StatusCode::GONE)
}
