//! Listeners, stops and reloads: contract section 2.

use std::os::unix::fs::PermissionsExt;

use flexslot_proxy::{
    app::{Ended, Reloaded},
    sandbox::Endpoint,
};
use http::Method;
use tokio::net::TcpStream;

use crate::support::{GrantOf, World, in_time, until};

const DECKS: &str = "/api/public/v1/decks/";

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_unix_socket_serves_with_its_mode_and_goes_with_the_sidecar() {
    let world = World::plan();
    let listen = "server.listen = [\"unix:private.sock\", { address = \"unix:shared.sock\", mode = \"0660\", tenant = \"acme\" }]";
    let mut world = world.config(listen).start().await;
    world.tenant("acme").with_pat().await;
    let sockets = ["private.sock", "shared.sock"].map(|name| world.dir().join(name));
    assert_eq!(sockets.each_ref().map(|path| mode(path)), [0o600, 0o660]);
    world.at(0, Method::GET, DECKS).tenant("acme").send().await.is(200);
    let strange_host = world.at(1, Method::GET, DECKS).header("host", "anything.example").send().await;
    strange_host.is(200);
    in_time("the end of the sidecar", world.begin_stop()).await.unwrap().unwrap();
    assert!(sockets.iter().all(|path| !path.exists()));
    world.finish().await;
}

#[tokio::test]
async fn a_unix_socket_serves_the_users_that_it_is_for() {
    let ours = rustix::process::geteuid().as_raw();
    let listen =
        |name: &str, uid: u32| format!("{{ address = \"unix:{name}.sock\", mode = \"0666\", uids = [{uid}] }}");
    let config = format!("server.listen = [{}, {}]", listen("ours", ours), listen("others", ours + 1));
    let world = World::with(&config).await;
    world.tenant("acme").with_pat().await;
    world.at(0, Method::GET, DECKS).tenant("acme").send().await.is(200);
    let refused = world.at(1, Method::GET, DECKS).tenant("acme").send().await;
    refused.is_problem(403, "caller_denied");
    assert!(refused.text().contains(&format!("the user id {ours}.")), "{}", refused.text());
    assert_eq!(world.seen().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_stop_finishes_what_is_under_way_and_takes_nothing_new() {
    for http2 in [false, true] {
        let mut world = World::start().await;
        world.tenant("acme").with_pat().await;
        let gate = world.sandbox.hold_answers(Endpoint::Resource);
        let call = world.post("/sandbox/mirror").tenant("acme").body("all of it");
        let call = tokio::spawn(if http2 { call.http2() } else { call }.send());
        gate.arrived(1).await;
        let address = world.address();
        let stopping = world.begin_stop();
        until("the listener to close", async || TcpStream::connect(address).await.is_err()).await;
        assert!(!stopping.is_finished());
        gate.release();
        assert_eq!(call.await.unwrap().is(200).text(), "all of it");
        assert_eq!(in_time("the end of the sidecar", stopping).await.unwrap().unwrap(), Ended::Drained);
        world.finish().await;
    }
}

#[tokio::test]
async fn a_stop_closes_idle_connections_at_once() {
    let mut world = World::start().await;
    world.tenant("acme").with_pat().await;
    let mut raw = world.raw().await;
    raw.send(format!("GET {DECKS} HTTP/1.1\r\nHost: localhost\r\nX-Flexslot-Tenant: acme\r\n\r\n")).await;
    assert_eq!(raw.reply().await.status, 200);
    let fresh = world.raw().await;
    let stopping = world.begin_stop();
    assert_eq!(in_time("the end of the sidecar", stopping).await.unwrap().unwrap(), Ended::Drained);
    assert!(raw.rest().await.is_empty());
    drop(fresh);
    world.finish().await;
}

#[tokio::test]
async fn what_outlasts_the_drain_is_cut_off() {
    let mut world = World::with("server.drain_timeout = \"100ms\"").await;
    world.tenant("acme").with_pat().await;
    let gate = world.sandbox.hold(Endpoint::Resource);
    let call = tokio::spawn(world.get("/decks/").tenant("acme").try_begin());
    gate.arrived(1).await;
    let stopping = world.begin_stop();
    assert_eq!(in_time("the end of the sidecar", stopping).await.unwrap().unwrap(), Ended::CutOff);
    assert!(in_time("the call", call).await.unwrap().is_err(), "the caller sees that it was cut off");
    world.finish().await;
}

#[tokio::test]
async fn a_reload_takes_effect_for_the_next_request_on_every_connection() {
    let mut world = World::start().await;
    world.tenant("acme").with_pat().await;
    let mut raw = world.raw().await;
    let request = format!("GET {DECKS} HTTP/1.1\r\nHost: localhost\r\nX-Flexslot-Tenant: acme\r\n\r\n");
    raw.send(&request).await;
    assert_eq!(raw.reply().await.status, 200);
    world.reload("[[tenants]]\nname = \"acme\"\nallow = [\"GET /cards/**\"]").await;
    raw.send(&request).await;
    assert_eq!(raw.reply().await.status, 403);
    world.reload("tenants = []\nserver.tenant_header = \"x-shop\"").await;
    raw.send(&request).await;
    assert_eq!(raw.reply().await.status, 400);
    world.get("/decks/").header("x-shop", "acme").send().await.is(200);
    drop(raw);
    world.finish().await;
}

#[tokio::test]
async fn a_reload_changes_limits_guards_and_defaults() {
    let mut world = World::start().await;
    world.tenant("acme").with_pat().await;
    world.reload("server.default_tenant = \"acme\"\nserver.allowed_hosts = [\"proxy.internal\"]\nlimits.request_body = \"1KiB\"").await;
    world.get("/decks/").header("host", "proxy.internal").send().await.is(200);
    world.post("/sandbox/echo").body(vec![0; 2048]).send().await.is_problem(413, "body_too_large");
    world.reload("server.allowed_origins = [\"https://app.example.com\"]").await;
    world.get("/decks/").header("origin", "https://app.example.com").send().await.is(200);
    world.finish().await;
}

#[tokio::test]
async fn a_reload_leaves_no_address_open_that_is_listened_on_until_the_next_start() {
    let plan = World::plan().config("server = { listen = \"0.0.0.0:0\", client_token = { env = \"CLIENT_TOKEN\" } }");
    let mut world = plan.variable("CLIENT_TOKEN", "s3cret-token").start().await;
    world.tenant("acme").with_pat().await;
    let call = || world.get("/decks/").tenant("acme");
    call().send().await.is_problem(407, "client_token_required");
    let (listen, callers) = (
        "server.listen = \"127.0.0.1:0\"",
        "server.callers = [{ name = \"shop\", token = { env = \"CLIENT_TOKEN\" }, tenants = \"*\" }]",
    );
    let alone = world.try_reload_without("server", listen).await;
    assert!(
        matches!(&alone, Reloaded::Refused(failure) if failure.what.contains("0.0.0.0:0 is listened on")),
        "{alone:?}"
    );
    world.get("/decks/").tenant("acme").send().await.is_problem(407, "client_token_required");
    let guarded = world.try_reload_without("server", &format!("{listen}\n{callers}")).await;
    assert!(matches!(guarded, Reloaded::InUse), "{guarded:?}");
    world.get("/decks/").tenant("acme").send().await.is_problem(407, "client_token_required");
    world.finish().await;
}

#[tokio::test]
async fn a_reload_that_is_refused_changes_nothing() {
    let mut world = World::start().await;
    world.tenant("acme").with_pat().await;
    let everything_else =
        "server = { default_tenant = \"acme\", allowed_hosts = [\"proxy.internal\"] }\nlimits.request_body = \"1KiB\"";
    let refused = world.try_reload(&format!("{everything_else}\nupstream.url = \"https://a..b\"")).await;
    assert!(matches!(&refused, Reloaded::Refused(failure) if failure.what.contains("[upstream]")), "{refused:?}");
    world.get("/decks/").send().await.is_problem(400, "tenant_required");
    let call = world.get("/decks/").tenant("acme").header("host", "proxy.internal");
    call.send().await.is_problem(421, "host_denied");
    world.admin("/healthz").header("host", "proxy.internal").send().await.is_problem(421, "host_denied");
    world.post("/sandbox/echo").tenant("acme").body(vec![0; 2048]).send().await.is(200);
    world.finish().await;
}

#[tokio::test]
async fn another_store_for_the_next_start_leaves_the_open_one_its_keys_and_refuses_no_later_reload() {
    let other_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let mut world = World::plan().variable("OTHER_KEY", other_key).start().await;
    world.tenant("acme").with_pat().await;
    world.reload("[store]\nurl = \"sqlite:other.db\"\nencryption_key = { env = \"OTHER_KEY\" }").await;
    world.reload("refresh.spread = \"1s\"").await;
    world.get("/decks/").tenant("acme").send().await.is(200);
    world.finish().await;
}

#[tokio::test]
async fn a_reload_puts_the_client_of_a_grant_right() {
    let mut world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::expired().client("flx_client_other")).await;
    world.get("/decks/").tenant("acme").send().await.is_problem(503, "oauth_misconfigured");
    world.reload("oauth.client_id = \"flx_client_other\"").await;
    world.get("/decks/").tenant("acme").send().await.is(200);
    world.finish().await;
}

#[tokio::test]
async fn what_another_process_changes_in_the_store_takes_effect() {
    let world = World::start().await;
    world.tenant("acme").with_pat().await;
    world.get("/decks/").tenant("acme").send().await.is(200);
    world.store.remove(&"acme".parse().unwrap()).await.unwrap();
    until("the removal to be seen", async || world.get("/decks/").tenant("acme").send().await.status != 200).await;
    world.get("/decks/").tenant("acme").send().await.is_problem(401, "not_connected");
    world.tenant("acme").with_pat().await;
    until("the PAT to be seen", async || world.get("/decks/").tenant("acme").send().await.status == 200).await;
    world.finish().await;
}
