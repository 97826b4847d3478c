//! A partner's app that sends its user to connect, and gets them back.

use std::collections::HashMap;

use axum::{Router, extract::Query, response::Html, routing::get};
use flexslot_proxy::model::ConnectionState::{Connected, NotConnected};
use http::Method;
use serde_json::json;
use tokio::sync::mpsc;

use super::stage::Stage;
use crate::support::{chromium::Script, free_port, in_time};

/// A web app of one page, which tells what it is called with.
struct App {
    origin: String,
    returns: mpsc::UnboundedReceiver<HashMap<String, String>>,
}

impl App {
    fn start() -> Self {
        let (told, returns) = mpsc::unbounded_channel();
        let back = async move |Query(query): Query<HashMap<String, String>>| {
            let _ = told.send(query);
            Html(
                "<!doctype html><html lang=en><title>App</title><link rel=icon href=\"data:,\"><main>Welcome back</main>",
            )
        };
        let listener = free_port();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/settings", get(back))).await });
        Self { origin, returns }
    }

    /// What the browser brings back.
    async fn returned(&mut self) -> HashMap<String, String> {
        in_time("the way back to the app", self.returns.recv()).await.expect("the app is there")
    }
}

async fn stage_of(app: &App, script: Script) -> Stage {
    let origins = format!("return_origins = [{:?}]", app.origin);
    Stage::with(script, &[("admin", &origins)]).await
}

async fn link(stage: &Stage, app: &App) -> String {
    let body = json!({ "return_to": format!("{}/settings?user=7", app.origin) });
    let opened = stage.api(Method::POST, "/v1/tenants/acme/connect-sessions", Some(body)).await;
    opened.is(201).json()["url"].as_str().expect("an address").to_owned()
}

async fn completed(script: Script) {
    let mut app = App::start();
    let stage = stage_of(&app, script).await;
    stage.follow(&link(&stage, &app).await).await;
    stage.allow("george").await;
    stage.browser.says("Welcome back").await;
    let back = app.returned().await;
    assert_eq!((back["user"].as_str(), back["flexslot_result"].as_str()), ("7", "ok"), "{back:?}");
    // A link that somebody else has followed would connect nothing either.
    stage.is_in_state("acme", NotConnected, None).await;

    let path = format!("/v1/connect-sessions/{}/complete", back["flexslot_session"]);
    stage.api(Method::POST, &path, Some(json!({ "code": "guessed" }))).await.is(422);
    let done = stage.api(Method::POST, &path, Some(json!({ "code": back["flexslot_code"] }))).await;
    assert_eq!(done.is(200).json()["username"], "george");
    stage.is_in_state("acme", Connected, Some("george")).await;
    stage.call("acme").await.is(200);
    stage.browser.is_quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_gets_its_user_back_and_has_the_last_word() {
    completed(Script::On).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_gets_its_user_back_and_has_the_last_word_without_scripts() {
    completed(Script::Off).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_gets_a_user_back_who_says_no() {
    let mut app = App::start();
    let stage = stage_of(&app, Script::Off).await;
    stage.follow(&link(&stage, &app).await).await;
    stage.browser.press("Deny").await;
    stage.browser.says("Welcome back").await;
    let back = app.returned().await;
    assert_eq!(back["flexslot_result"], "denied");
    assert!(!back.contains_key("flexslot_code"), "{back:?}");
    stage.is_in_state("acme", NotConnected, None).await;
    stage.browser.is_quiet().await;
}
