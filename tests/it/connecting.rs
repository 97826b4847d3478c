//! From a connect link to a connection: a plain HTTP client with cookies walks Flexslot's consent page.

mod bound;
mod public;
mod refusals;
mod walks;

use flexslot_proxy::{
    model::{ScopeSet, SessionId},
    sandbox::{Client, Consent, Settings},
    store::SessionWish,
};

use crate::support::{Browser, CLIENT, Page, World};

/// Whose consent page it is.
const USER: &str = "george";

/// A world whose Flexslot asks its user, george.
async fn world() -> World {
    world_with("").await
}

/// The same with these keys besides.
async fn world_with(config: &str) -> World {
    let settings = Settings { consent: Consent::Page, ..Settings::default() };
    let world = World::on(settings).config(config).start().await;
    register(&world, &callback(&world));
    world.sandbox.sign_in(USER);
    world
}

/// Registers the redirect URI of the world's client.
fn register(world: &World, redirect_uri: &str) {
    world.sandbox.add_client(Client::public(CLIENT).redirect_uri(redirect_uri));
}

fn home(world: &World) -> String {
    format!("http://{}", world.admin_address())
}

fn callback(world: &World) -> String {
    format!("{}/oauth/callback", home(world))
}

/// A link for acme that ends on the sidecar's own page.
async fn link(world: &World) -> String {
    link_for(world, "acme", None, None).await
}

async fn link_for(world: &World, tenant: &str, scopes: Option<&str>, return_to: Option<&str>) -> String {
    let wish = SessionWish {
        tenant: tenant.parse().unwrap(),
        scopes: scopes.map(ScopeSet::new),
        return_to: return_to.map(str::to_owned),
        client: None,
    };
    let session = world.store.open_session(wish).await.unwrap();
    format!("{}/connect/{}", home(world), session.id.expose())
}

/// The session of a link.
fn session_of(link: &str) -> SessionId {
    SessionId::from_text(link.rsplit_once('/').unwrap().1)
}

/// Opens a link and presses its button; answers Flexslot's consent page.
async fn to_consent(browser: &mut Browser, link: &str) -> Page {
    let page = browser.open(link).await;
    let consent = browser.submit(&page, "", &[]).await;
    consent.says(200, &["wants to connect to Flexslot", "Allow"]);
    consent
}

/// Opens a link and allows it; answers the page at the end.
async fn connect(browser: &mut Browser, link: &str) -> Page {
    let consent = to_consent(browser, link).await;
    browser.submit(&consent, "/authorize", &[("decision", "allow")]).await
}

/// Opens a link and allows it; answers the callback that Flexslot redirects to, which nobody has followed yet.
async fn to_callback(browser: &mut Browser, link: &str) -> String {
    let consent = to_consent(browser, link).await;
    let answered = browser.submit_only(&consent, "/authorize", &[("decision", "allow")]).await;
    answered.leads_to().unwrap().into()
}

/// Whether the tenant has a grant.
async fn is_connected(world: &World, tenant: &str) -> bool {
    world.stored(tenant).await.grant.grant().is_some()
}
