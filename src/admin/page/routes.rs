//! What browsers ask for.

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, LOCATION, SET_COOKIE},
};
use serde::Deserialize;

use super::{
    Surroundings,
    asked::Asked,
    disconnect::question,
    list::list,
    result::{ANCHOR, Outcome},
    trouble::Trouble,
};
use crate::{
    admin::{
        Admin, Settings, api,
        auth::{Browser, is_secure},
        request::{Addressed, Form, Params},
    },
    credential::{DisconnectOutcome, SessionWish},
    model::{NextStep, TenantId},
    web::{Cookie, Forms, Page, cookies, full_name},
};

/// How long an outcome waits for the page that tells it, in seconds.
const OUTCOME_LIFE: u64 = 60;

/// A tenant and where in the list one was, in an address or in a form.
#[derive(Debug, Deserialize)]
struct Chosen {
    tenant: String,
    csrf: Option<String>,
    #[serde(flatten)]
    asked: Asked,
}

/// The connections page.
pub(in crate::admin) fn routes() -> Router<Admin> {
    Router::new().route("/", get(show)).route("/connect", post(connect)).route("/disconnect", get(ask).post(disconnect))
}

async fn show(
    State(admin): State<Admin>,
    browser: Browser,
    Addressed(host): Addressed,
    headers: HeaderMap,
    Params(asked): Params<Asked>,
) -> Result<Response, Trouble> {
    let settings = admin.settings.get();
    let cards = admin.credentials.cards(&asked.query()).await?;
    let secure = is_secure(&settings, &host);
    let outcome = outcome(&headers, &settings, secure);
    let csrf = browser.csrf();
    let around = Surroundings { now: admin.clock.now(), manage_url: &settings.manage_url, csrf: &csrf };
    let mut response = leading_to_connect(list(&asked, &cards, &around, outcome.as_ref()), &settings).into_response();
    if outcome.is_some() {
        remember(&mut response, (&settings, secure), None);
    }
    Ok(response)
}

/// Opens a connect session, and leads the browser to it.
async fn connect(
    State(admin): State<Admin>,
    browser: Browser,
    Form(chosen): Form<Chosen>,
) -> Result<Response, Trouble> {
    browser.check(chosen.csrf.as_deref())?;
    let tenant = chosen.tenant()?;
    // Behind the button that says so, its user is asked for what calls were refused for, besides what there is.
    let card = admin.credentials.card(&tenant).await?;
    let scopes = card.filter(|card| card.next_step == Some(NextStep::AllowMore)).map(|card| card.lacks);
    let wish = SessionWish { tenant: tenant.clone(), scopes, return_to: None, client: None };
    let session = api::open_session(&admin, wish).await?;
    tracing::info!(%tenant, "the connections page has opened a connect session");
    Ok(see_other(&session.url))
}

async fn ask(State(admin): State<Admin>, browser: Browser, Params(chosen): Params<Chosen>) -> Result<Page, Trouble> {
    let (settings, csrf) = (admin.settings.get(), browser.csrf());
    let around = Surroundings { now: admin.clock.now(), manage_url: &settings.manage_url, csrf: &csrf };
    Ok(question(&chosen.tenant()?, &chosen.asked, &around))
}

async fn disconnect(
    State(admin): State<Admin>,
    browser: Browser,
    Addressed(host): Addressed,
    Form(chosen): Form<Chosen>,
) -> Result<Response, Trouble> {
    browser.check(chosen.csrf.as_deref())?;
    let tenant = chosen.tenant()?;
    let what = admin.credentials.disconnect(&tenant).await?;
    if what != DisconnectOutcome::NothingToDisconnect {
        tracing::info!(%tenant, "the connections page has disconnected a tenant");
    }
    let mut response = see_other(&format!("{}{ANCHOR}", chosen.asked.address()));
    let settings = admin.settings.get();
    remember(&mut response, (&settings, is_secure(&settings, &host)), Some(&Outcome { tenant, what }));
    Ok(response)
}

/// Browsers count the way to a consent as the form's own.
fn leading_to_connect(page: Page, settings: &Settings) -> Page {
    match settings.connect_at.origin().to_string().parse() {
        Ok(origin) => page.forms(Forms::Also(origin)),
        Err(_) => page,
    }
}

fn see_other(address: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(address) = HeaderValue::try_from(address) {
        headers.insert(LOCATION, address);
    }
    response
}

/// Has the browser, which may have come by https, tell the next page this outcome; `None`: no longer.
fn remember(response: &mut Response, (settings, secure): (&Settings, bool), outcome: Option<&Outcome>) {
    let (value, max_age) = outcome.map_or((String::new(), 0), |outcome| (outcome.written(), OUTCOME_LIFE));
    let cookie = Cookie { name: &cookie_name(settings), value: &value, max_age, secure };
    if let Some(cookie) = cookie.line() {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}

/// What the browser was to tell.
fn outcome(headers: &HeaderMap, settings: &Settings, secure: bool) -> Option<Outcome> {
    let bare = cookie_name(settings);
    let name = full_name(&bare, secure);
    cookies(headers).filter(|(found, _)| *found == name).find_map(|(_, value)| Outcome::read(value))
}

fn cookie_name(settings: &Settings) -> String {
    format!("flexslot-proxy-result-{}", settings.port)
}

// === impl Chosen ===

impl Chosen {
    fn tenant(&self) -> Result<TenantId, Trouble> {
        Ok(self.tenant.trim().parse()?)
    }
}
