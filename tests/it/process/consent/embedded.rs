//! The apps of docs/embedding.md, run as they stand, with a user's browser in front of them.

use std::{env, net::SocketAddr};

use http::StatusCode;
use tokio::net::TcpStream;

use super::Consents;
use crate::support::{
    Browser, Page, ReservedPort,
    process::{Launch, Process, Sidecar},
    until,
};

/// An app that runs beside its sidecar.
struct App {
    consents: Consents,
    port: ReservedPort,
    _sidecar: Sidecar,
    _process: Process,
}

const INVITATION: &str = "Connect your Flexslot account to sync decks and sideboard guides.";

// === impl App ===

impl App {
    async fn flask() -> Self {
        let app = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/flask/app.py");
        Self::start("python3", |port| ["-m", "flask", "--app", app, "run", "--port", port].map(str::to_owned).into())
            .await
    }

    async fn express() -> Self {
        let app = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/express/app.js");
        Self::start("node", |_| vec![app.to_owned()]).await
    }

    async fn start(program: &str, args: impl FnOnce(&str) -> Vec<String>) -> Self {
        let (mut consents, port) = (Consents::new().await, ReservedPort::new());
        let origin = format!("return_origins = [{:?}]", format!("http://localhost:{}", port.address.port()));
        consents.world.set("admin", &origin).write_config();
        let sidecar = consents.start().await;
        let number = port.address.port().to_string();
        let args = args(&number);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let token = consents.world.path("admin-token");
        let launch = Launch::program(consents.world.dir.path(), program, &args)
            .env("FLEXSLOT_ADMIN", &format!("http://{}", consents.port.address))
            .env("FLEXSLOT_PROXY", &format!("http://{}", sidecar.proxy))
            .env("FLEXSLOT_ADMIN_TOKEN_FILE", token.to_str().expect("a path of text"))
            .env("PORT", &number)
            .with_path_and_home();
        let process = launch.spawn_installed();
        listens(port.address, &process).await;
        Self { consents, port, _sidecar: sidecar, _process: process }
    }

    fn at(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port.address.port())
    }

    async fn settings(&self, browser: &mut Browser) -> Page {
        browser.open(&self.at("/settings")).await
    }

    /// The page of a connect session, that the app's button leads to.
    async fn asked(&self, browser: &mut Browser) -> Page {
        let settings = self.settings(browser).await;
        browser.submit(&settings, "/connect", &[]).await
    }
}

async fn listens(address: SocketAddr, process: &Process) {
    until("the app listens", async || {
        let stderr = process.stderr();
        assert!(!stderr.contains("No module named") && !stderr.contains("Cannot find package"), "{stderr}");
        TcpStream::connect(address).await.is_ok()
    })
    .await;
}

/// From the invitation over the consent to a call, and back.
async fn puts_a_connection_on_its_settings_page(app: App) {
    let mut browser = Browser::new();
    app.settings(&mut browser).await.says(200, &[INVITATION]);
    let page = app.asked(&mut browser).await;
    page.says(200, &["Connect Flexslot", "Read your decks"]);
    let settings = browser.submit(&page, "", &[]).await;
    settings.says(200, &["Connected to Flexslot as @george", "<li>Read your decks</li>", "<li>Look up cards</li>"]);
    browser.open(&app.at("/decks")).await.says(200, &["Izzet Phoenix"]);

    let settings = browser.submit(&settings, "/disconnect", &[]).await;
    settings.says(200, &[INVITATION]);
    assert_eq!(app.consents.living_grants(), 0);
}

/// Somebody sends the link of a session of theirs to a user, who consents.
async fn connects_nobody_with_a_link_from_somebody_else(app: App) {
    let (mut sender, mut user) = (Browser::new(), Browser::new());
    let page = app.asked(&mut sender).await;
    app.settings(&mut user).await.says(200, &[INVITATION]);
    let page = user.open(page.url.as_str()).await;
    let refused = user.submit(&page, "", &[]).await;
    refused.says(StatusCode::BAD_REQUEST.as_u16(), &["not begun here"]);
    app.settings(&mut sender).await.says(200, &[INVITATION]);
    app.settings(&mut user).await.says(200, &[INVITATION]);
}

#[tokio::test]
async fn the_flask_app_puts_a_connection_on_its_settings_page() {
    puts_a_connection_on_its_settings_page(App::flask().await).await;
}

#[tokio::test]
async fn the_express_app_puts_a_connection_on_its_settings_page() {
    puts_a_connection_on_its_settings_page(App::express().await).await;
}

#[tokio::test]
async fn the_flask_app_connects_nobody_with_a_link_from_somebody_else() {
    connects_nobody_with_a_link_from_somebody_else(App::flask().await).await;
}

#[tokio::test]
async fn the_express_app_connects_nobody_with_a_link_from_somebody_else() {
    connects_nobody_with_a_link_from_somebody_else(App::express().await).await;
}
