//! A sandbox that asks its users, a sidecar, and somebody in front of a browser.

use flexslot_proxy::{
    model::ConnectionState,
    sandbox::{Client, Consent},
};
use http::Method;
use serde_json::{Value, json};

use crate::{
    process::world::{CLIENT, World},
    support::{
        Call, Reach, Reply,
        chromium::{Chromium, Script},
        process::Sidecar,
        until,
    },
};

/// Everything that a test of the pages needs.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) sidecar: Sidecar,
    pub(super) browser: Chromium,
}

// === impl Stage ===

impl Stage {
    /// Flexslot knows @george, who is signed in there, and @ada.
    pub(super) async fn new(script: Script) -> Self {
        Self::with(script, &[]).await
    }

    /// The same with more configuration.
    pub(super) async fn with(script: Script, lines: &[(&'static str, &str)]) -> Self {
        let mut world = World::new().await;
        world.sandbox.add_user("george");
        world.sandbox.add_user("ada");
        world.sandbox.set_consent(Consent::Page);
        for (section, line) in lines {
            world.set(section, line);
        }
        let sidecar = world.start().await;
        let callback = format!("http://{}/oauth/callback", sidecar.admin);
        let client = Client { name: "Deck Tracker".to_owned(), ..Client::public(CLIENT).redirect_uri(callback) };
        world.sandbox.add_client(client);
        Self { world, sidecar, browser: Chromium::open(script).await }
    }

    // --- the operator

    /// A path of the admin listener.
    pub(super) fn at(&self, path: &str) -> String {
        format!("http://{}{path}", self.sidecar.admin)
    }

    /// Goes to the connections page.
    pub(super) async fn go_to_page(&self) {
        self.browser.go(&self.at("/")).await;
    }

    /// Signs the browser in, which leads to the connections page.
    pub(super) async fn sign_in(&self) {
        self.browser.go(&self.sign_in_link().await).await;
    }

    /// A link for signing in.
    pub(super) async fn sign_in_link(&self) -> String {
        let link = self.api(Method::POST, "/v1/sign-in-links", None).await;
        link.is(201).json()["url"].as_str().expect("an address").to_owned()
    }

    /// The answer of the admin API to whoever has its token.
    pub(super) async fn api(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        let call = self.sidecar.api(method, path, &self.world.admin_token());
        match body {
            Some(body) => call.json(&body).send().await,
            None => call.send().await,
        }
    }

    /// A link for connecting `tenant`, as an app hands it out.
    pub(super) async fn connect_link(&self, tenant: &str) -> String {
        let opened = self.api(Method::POST, &format!("/v1/tenants/{tenant}/connect-sessions"), None).await;
        opened.is(201).json()["url"].as_str().expect("an address").to_owned()
    }

    /// Fails unless apps are told this of the tenant. One of whom nothing is known is not connected.
    pub(super) async fn is_in_state(&self, tenant: &str, state: ConnectionState, username: Option<&str>) {
        let reply = self.api(Method::GET, &format!("/v1/tenants/{tenant}"), None).await;
        let card = reply.json();
        let shown = if reply.status == 404 {
            ConnectionState::NotConnected.as_str()
        } else {
            card["state"].as_str().unwrap_or_default()
        };
        assert_eq!((shown, card["username"].as_str()), (state.as_str(), username), "{card}");
    }

    // --- the tenant's app

    /// A call through the sidecar.
    pub(super) async fn call(&self, tenant: &str) -> Reply {
        let proxy = Reach::Tcp(self.sidecar.proxy);
        Call::new(proxy, Method::GET, "/api/public/v1/decks/").tenant(tenant).send().await
    }

    /// Calls for more than the tenant's user has allowed, which its card then says.
    pub(super) async fn call_for_more(&self, tenant: &str) {
        self.make_deck(tenant).await.is(403);
        let path = format!("/v1/tenants/{tenant}");
        until("the card", async || self.api(Method::GET, &path, None).await.json()["action"] == "allow_more").await;
    }

    /// A call that needs `decks:write`.
    pub(super) async fn make_deck(&self, tenant: &str) -> Reply {
        let call = Call::new(Reach::Tcp(self.sidecar.proxy), Method::POST, "/api/public/v1/decks/");
        call.tenant(tenant).json(&json!({"name": "Azorius Control"})).send().await
    }

    // --- the user of Flexslot

    /// Follows the link of a connect session as far as Flexslot's question.
    pub(super) async fn follow(&self, link: &str) {
        self.browser.go(link).await;
        self.begin().await;
    }

    /// Presses the button that leads to Flexslot.
    pub(super) async fn begin(&self) {
        self.browser.press_below("//main//form", "Connect Flexslot").await;
        self.browser.says("Deck Tracker wants to connect to Flexslot").await;
    }

    /// The same where there was a connection before.
    pub(super) async fn begin_again(&self) {
        self.browser.press_below("//main//form", "Reconnect Flexslot").await;
        self.browser.says("Deck Tracker wants to connect to Flexslot").await;
    }

    /// Allows it as this user.
    pub(super) async fn allow(&self, user: &str) {
        self.browser.fill("Signed in as", user).await;
        self.browser.press("Allow").await;
    }

    /// Connects a tenant from its link to the end.
    pub(super) async fn connect(&self, tenant: &str, user: &str) {
        self.follow(&self.connect_link(tenant).await).await;
        self.allow(user).await;
        self.browser.says(&format!("Connected to Flexslot as @{user}")).await;
    }

    /// Revokes whatever the user has allowed, where Flexslot lists it.
    pub(super) async fn revoke_at_flexslot(&self, user: &str) {
        self.browser.go(&format!("{}/account/connected-apps?user={user}", self.world.origin())).await;
        self.browser.press("Revoke").await;
        self.browser.says("None is connected.").await;
    }
}
