//! The routes for browsers: `/connect/…` and `/oauth/callback`.

use axum::{
    Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode, Uri,
    header::{CACHE_CONTROL, HOST, LOCATION, REFERRER_POLICY, SET_COOKIE},
};

use super::{
    Answer, ConnectFlow, Outcome, Refusal, Refused, Settings,
    begin::{Begun, Look},
    confirm::LastWord,
    cookie, pages,
};
use crate::{model::SessionId, web::is_ahead};

/// Stands on the page of a session that is known here, for whoever looks whether it is.
pub const SHOWN: HeaderName = HeaderName::from_static("flexslot-proxy-connect-session");

/// In the query of a link that a browser was already sent to its home for. A web server between us may name another
/// host than the browser does, and then every link would look lost for ever.
const SENT_HOME: &str = "home";

/// The routes of this room. They need no authentication: a session's id is all that it takes.
pub fn router(flow: ConnectFlow) -> Router {
    Router::new()
        .route("/connect/{session}", get(show).post(begin))
        .route("/connect/{session}/confirm", post(confirm))
        .route("/connect/{session}/cancel", post(cancel))
        // A HEAD must not use up what a GET would.
        .route("/oauth/callback", get(callback).head(|| async { StatusCode::NO_CONTENT }))
        .method_not_allowed_fallback(|| async { pages::not_allowed() })
        .with_state(flow)
}

async fn show(State(flow): State<ConnectFlow>, Path(id): Path<String>, uri: Uri, headers: HeaderMap) -> Response {
    let (settings, id) = (flow.settings(), SessionId::from_text(id));
    if uri.query() != Some(SENT_HOME)
        && let Some(home) = lost(&settings, &uri, &headers, &id)
    {
        return redirect(StatusCode::TEMPORARY_REDIRECT, &home);
    }
    let page = match flow.look(&id, &cookie::bindings(&settings.redirect_uri, &headers)).await {
        Ok(Look::Offer(offer)) => pages::offer(&offer, &settings),
        Ok(Look::Confirm(asked)) => pages::confirm(&asked, &settings),
        Err(refused) => return pages::refused(&refused, &settings).into_response(),
    };
    ([(SHOWN, HeaderValue::from_static("shown"))], page).into_response()
}

async fn begin(State(flow): State<ConnectFlow>, Path(id): Path<String>, uri: Uri, headers: HeaderMap) -> Response {
    let (settings, id) = (flow.settings(), SessionId::from_text(id));
    if uri.query() != Some(SENT_HOME)
        && let Some(home) = lost(&settings, &uri, &headers, &id)
    {
        // Its page is asked for again, there.
        return redirect(StatusCode::SEE_OTHER, &home);
    }
    match flow.begin(&id).await {
        Ok(Begun { url, state, binding }) => {
            let response = redirect(StatusCode::SEE_OTHER, url.as_str());
            with_cookie(response, cookie::set(&settings.redirect_uri, &state, &binding))
        }
        Err(refused) => pages::refused(&refused, &settings).into_response(),
    }
}

async fn callback(State(flow): State<ConnectFlow>, uri: Uri, headers: HeaderMap) -> Response {
    let settings = flow.settings();
    // Its user has not come yet.
    if is_ahead(&headers) {
        return (StatusCode::NO_CONTENT, [(CACHE_CONTROL, "no-store")]).into_response();
    }
    let Some(answer) = Answer::parse(uri.query().unwrap_or_default()) else {
        return pages::refused(&Refused::outright(Refusal::NoAnswer), &settings).into_response();
    };
    let state = answer.state.clone();
    let outcome = flow.callback(answer, cookie::binding(&settings.redirect_uri, &headers, &state)).await;
    // What is not over may be asked for again.
    let is_over = match &outcome {
        Outcome::Confirm(_) => false,
        Outcome::Refused(refused) => !matches!(refused.why, Refusal::Store(_)),
        Outcome::Connected(_) | Outcome::Return(_) => true,
    };
    let response = respond(&outcome, &settings, &headers);
    if is_over { with_cookie(response, cookie::clear(&settings.redirect_uri, &state)) } else { response }
}

async fn confirm(State(flow): State<ConnectFlow>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    last_word(&flow, id, &headers, LastWord::Yes).await
}

async fn cancel(State(flow): State<ConnectFlow>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    last_word(&flow, id, &headers, LastWord::No).await
}

async fn last_word(flow: &ConnectFlow, id: String, headers: &HeaderMap, word: LastWord) -> Response {
    let settings = flow.settings();
    let bindings = cookie::bindings(&settings.redirect_uri, headers);
    respond(&flow.confirm(&SessionId::from_text(id), &bindings, word).await, &settings, headers)
}

fn respond(outcome: &Outcome, settings: &Settings, headers: &HeaderMap) -> Response {
    match outcome {
        Outcome::Connected(connected) => pages::connected(connected, settings, cookie::reader(headers)).into_response(),
        Outcome::Confirm(asked) => pages::confirm(asked, settings).into_response(),
        Outcome::Return(address) => redirect(StatusCode::SEE_OTHER, address),
        Outcome::Refused(refused) => pages::refused(refused, settings).into_response(),
    }
}

/// Where the browser has to go before it is given a cookie, if it is not there.
fn lost(settings: &Settings, uri: &Uri, headers: &HeaderMap, id: &SessionId) -> Option<String> {
    let named = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = uri.authority().map(|authority| authority.as_str()).or(named)?;
    // What is no id leads nowhere, and does not become a header of ours.
    let is_id = id.expose().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if settings.is_home(host) || !is_id {
        return None;
    }
    let link = settings.link(id);
    Some(if settings.public_url.is_some() { format!("{link}?{SENT_HOME}") } else { link })
}

/// A redirect that tells nobody where it comes from.
fn redirect(status: StatusCode, to: &str) -> Response {
    let Ok(location) = HeaderValue::try_from(to) else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let headers = [
        (LOCATION, location),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (status, headers).into_response()
}

fn with_cookie(mut response: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}
