//! What is done by the admin API and on the connections page stands in the log; what opens them does not.

use http::Method;
use serde_json::{Value, json};

use super::world::{Life, World};
use crate::support::process::{Launch, Sidecar};

const FORM: &str = "application/x-www-form-urlencoded";

async fn api(sidecar: &Sidecar, token: &str, method: Method, target: &str, body: Option<Value>) -> Value {
    let call = sidecar.api(method, target, token);
    let reply = match body {
        Some(body) => call.json(&body).send().await,
        None => call.send().await,
    };
    assert!(reply.status < 300, "{target}: {} {}", reply.status, reply.text());
    if reply.text().is_empty() { Value::Null } else { reply.json() }
}

/// Posts a form of the page as the browser that has `cookie`.
async fn post(sidecar: &Sidecar, target: &str, cookie: &str, form: String) {
    let call = sidecar.page(Method::POST, target).header("cookie", cookie).header("content-type", FORM);
    call.body(form).send().await.is(303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_writes_its_line() {
    let world = World::new().await;
    world.connect_all(&["acme", "beta", "gone"], Life::Fresh).await;
    let sidecar = world.start().await;
    let token = world.admin_token();
    let pat = json!({"pat": "flx_pat_1"});
    let grant = json!({"refresh_token": "flx_refresh_1"});
    let said = |what: &'static str, tenant: &'static str| {
        let sidecar = &sidecar;
        async move {
            let line = sidecar.process.says(what).await;
            assert_eq!((line["level"].as_str(), line["tenant"].as_str()), (Some("INFO"), Some(tenant)), "{line}");
        }
    };
    api(&sidecar, &token, Method::PUT, "/v1/tenants/acme/pat", Some(pat)).await;
    said("the admin API has set a PAT", "acme").await;
    api(&sidecar, &token, Method::DELETE, "/v1/tenants/acme/pat", None).await;
    said("the admin API has removed a PAT", "acme").await;
    api(&sidecar, &token, Method::PUT, "/v1/tenants/new/grant", Some(grant)).await;
    said("the admin API has imported a grant", "new").await;
    api(&sidecar, &token, Method::DELETE, "/v1/tenants/gone", None).await;
    said("the admin API has removed a tenant", "gone").await;
    api(&sidecar, &token, Method::POST, "/v1/tenants/acme/disconnect", None).await;
    said("the admin API has disconnected a tenant", "acme").await;
    let session = api(&sidecar, &token, Method::POST, "/v1/tenants/acme/connect-sessions", None).await;
    said("the admin API has opened a connect session", "acme").await;

    let link = api(&sidecar, &token, Method::POST, "/v1/sign-in-links", None).await;
    sidecar.process.says("the admin API has made a sign-in link").await;
    let path = link["url"].as_str().unwrap().splitn(4, '/').nth(3).unwrap().to_owned();
    let reply = sidecar.page(Method::GET, &format!("/{path}")).send().await;
    let cookie = reply.is(303).header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    sidecar.process.says("a browser has signed in to the connections page").await;
    let page = sidecar.page(Method::GET, "/").header("cookie", &cookie).send().await;
    let csrf =
        page.is(200).text().split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    post(&sidecar, "/connect", &cookie, format!("tenant=other&csrf={csrf}")).await;
    said("the connections page has opened a connect session", "other").await;
    post(&sidecar, "/disconnect", &cookie, format!("tenant=beta&csrf={csrf}")).await;
    said("the connections page has disconnected a tenant", "beta").await;
    post(&sidecar, "/sign-out", &cookie, format!("csrf={csrf}")).await;
    sidecar.process.says("a browser has signed out of the connections page").await;

    let written = sidecar.stop().await.stderr;
    let cookie = cookie.split_once('=').unwrap().1;
    for secret in [&token, path.rsplit('/').next().unwrap(), cookie, &csrf, session["id"].as_str().unwrap()] {
        assert!(!written.contains(secret), "{secret} in {written}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_tries_a_token_is_seen() {
    let world = World::new().await;
    let sidecar = world.start().await;
    for guess in ["guess-canary-1", "guess-canary-2"] {
        sidecar.api(Method::GET, "/v1/tenants", guess).send().await.is_problem(401, "unauthorized");
    }
    let line = sidecar.process.says("the admin API has refused a token").await;
    assert_eq!((line["level"].as_str(), line["refused"].as_u64()), (Some("WARN"), Some(1)), "{line}");
    #[cfg(target_os = "linux")]
    assert_eq!(line["uid"].as_u64(), Some(rustix::process::geteuid().as_raw().into()), "{line}");
    let written = sidecar.stop().await.stderr;
    assert_eq!(written.matches("the admin API has refused a token").count(), 1, "{written}");
    assert!(!written.contains("guess-canary"), "{written}");
}

/// Where lines are collected there is no link; who sits at the terminal gets one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_link_is_for_a_terminal_alone() {
    let world = World::new().await;
    let written = world.start().await.stop().await.stderr;
    assert!(written.contains("is listening") && !written.contains("/sign-in/"), "{written}");

    // script(1) has it write to a terminal, in a session of its own: it would outlive script, which is all that we can end.
    let binary = env!("CARGO_BIN_EXE_flexslot-proxy");
    let command = format!("exec setpriv --pdeathsig KILL {binary} serve --config proxy.toml");
    let launch = Launch::program(world.dir.path(), "script", &["-qec", &command, "/dev/null"]);
    let terminal = launch.with_path_and_home().interactive().spawn_installed();
    let link = terminal.prints("a link", |line| line.split_once("/sign-in/").map(|(_, token)| token.trim().to_owned()));
    assert_eq!(link.await.len(), 43);
}
