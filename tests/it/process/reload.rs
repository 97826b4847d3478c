//! Configuration and secrets that change while the sidecar runs.

use rustix::process::Signal;

use super::{
    http::{DECKS, ask, get},
    world::World,
};
use crate::support::{process::Sidecar, until};

const IN_USE: &str = "the new configuration is in use";
const REFUSED: &str = "the new configuration is not used";
const UNUSABLE: &str = "the new configuration cannot be used";

/// One tenant whose PAT lies in the file `acme.pat`.
async fn world() -> World {
    let mut world = World::new().await;
    world.append("[[tenants]]\nname = \"acme\"\npat = { file = \"acme.pat\" }\n");
    world.write_secret("acme.pat", world.sandbox.add_pat("ada").expose());
    world
}

async fn status(sidecar: &Sidecar) -> u16 {
    ask(sidecar.proxy, &get(DECKS, "acme")).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_file_that_changes_is_read_again() {
    let world = world().await;
    let sidecar = world.start().await;
    assert_eq!(status(&sidecar).await, 200);
    let next = world.sandbox.add_pat("george");
    world.write_secret("acme.pat", &format!("{}\n", next.expose()));
    sidecar.process.says(IN_USE).await;
    assert_eq!(status(&sidecar).await, 200);
    let seen = world.sandbox.requests();
    assert_ne!(seen[0].credential, seen[1].credential, "the second request carries the new PAT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_file_that_changes_is_read_again() {
    let mut world = world().await;
    let sidecar = world.start().await;
    let nameless = b"GET /api/public/v1/decks/ HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(ask(sidecar.proxy, nameless).await.code(), "tenant_required");
    world.set("server", "default_tenant = \"acme\"").write_config();
    sidecar.process.says(IN_USE).await;
    assert_eq!(ask(sidecar.proxy, nameless).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_reads_the_configuration_again_also_when_nothing_has_changed() {
    let world = world().await;
    let sidecar = world.start().await;
    sidecar.process.signal(Signal::HUP);
    sidecar.process.says(IN_USE).await;
    assert_eq!(status(&sidecar).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_faulty_file_is_refused_with_its_faults_and_the_old_configuration_stays() {
    let mut world = world().await;
    let sidecar = world.start().await;
    world.set("server", "default_tenant = \"not a name\"").set("refresh", "timeout = \"soon\"").write_config();
    let line = sidecar.process.says(REFUSED).await;
    let message = line["message"].as_str().unwrap();
    for fault in ["server.default_tenant", "refresh.timeout"] {
        let (_, after) = message.split_once("proxy.toml:").unwrap();
        assert!(after.starts_with(|c: char| c.is_ascii_digit()) && message.contains(fault), "{message}");
    }
    assert_eq!(line["level"], "ERROR");
    assert_eq!(status(&sidecar).await, 200);
}

/// What the alert of the deployment asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_and_the_log_say_whether_the_files_are_what_is_in_use() {
    let world = world().await;
    let sidecar = world.start().await;
    let told = async |value: u8| {
        let metrics = ask(sidecar.admin, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let line = format!("\nflexslot_proxy_config_last_reload_successful {value}\n");
        String::from_utf8_lossy(&metrics.body).contains(&line)
    };
    assert!(told(1).await, "what it starts with is in use");
    let good = world.toml();
    std::fs::write(world.path("proxy.toml"), format!("{good}\nnonsense = true\n")).unwrap();
    sidecar.process.says(REFUSED).await;
    assert!(told(0).await);
    std::fs::write(world.path("proxy.toml"), &good).unwrap();
    let line = sidecar.process.says("the configuration is again the one that is in use").await;
    assert_eq!(line["level"], "INFO");
    assert!(told(1).await);
    std::fs::remove_file(world.path("acme.pat")).unwrap();
    sidecar.process.says("acme.pat").await;
    assert!(told(0).await);
    world.write_secret("acme.pat", world.sandbox.add_pat("george").expose());
    sidecar.process.says(IN_USE).await;
    assert!(told(1).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_file_that_others_may_read_is_refused_and_the_old_secret_stays() {
    use std::os::unix::fs::PermissionsExt;
    let world = world().await;
    let sidecar = world.start().await;
    std::fs::set_permissions(world.path("acme.pat"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let line = sidecar.process.says(REFUSED).await;
    assert!(line["message"].as_str().unwrap().contains("acme.pat"), "{line}");
    assert_eq!(status(&sidecar).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_change_while_running_is_named() {
    let world = world().await;
    let sidecar = world.start().await;
    let elsewhere = world.toml().replace("url = \"sqlite:store.db\"", "url = \"sqlite:other.db\"");
    std::fs::write(world.path("proxy.toml"), elsewhere).unwrap();
    let line = sidecar.process.says("takes effect only with the next start").await;
    assert_eq!(line["level"], "WARN");
    assert!(line["key"].as_str().unwrap().starts_with("store"), "{line}");
    assert_eq!(status(&sidecar).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_restart_is_named_by_every_reload_until_the_file_is_as_at_the_start() {
    let world = world().await;
    let sidecar = world.start().await;
    let warnings_after = async |reloads: usize, config: &str| {
        std::fs::write(world.path("proxy.toml"), config).unwrap();
        let lines = |text: &str| sidecar.process.stderr().lines().filter(|line| line.contains(text)).count();
        until("the configuration is reloaded", async || lines(IN_USE) == reloads).await;
        lines("takes effect only with the next start")
    };
    let elsewhere = world.toml().replace("url = \"sqlite:store.db\"", "url = \"sqlite:other.db\"");
    assert_eq!(warnings_after(1, &elsewhere).await, 1);
    assert_eq!(warnings_after(2, &format!("{elsewhere}\n[limits]\nrequest_body = \"1KiB\"\n")).await, 2);
    assert_eq!(warnings_after(3, &world.toml()).await, 2, "it runs by this");
    assert_eq!(status(&sidecar).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_cannot_be_used_changes_nothing_until_it_is_mended() {
    let mut world = world().await;
    world.set("log", "access = true");
    let sidecar = world.start().await;
    let key = std::fs::read(world.path("key")).unwrap();
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    let changed = world.toml().replace("access = true", "access = false\nlevel = \"flexslot_proxy=info\"");
    std::fs::write(world.path("key"), other).unwrap();
    std::fs::write(world.path("proxy.toml"), changed).unwrap();
    let line = sidecar.process.says(UNUSABLE).await;
    assert!(line["failure"].as_str().unwrap().contains("the key file"), "{line}");
    assert_eq!(status(&sidecar).await, 200);
    let path = |line: &serde_json::Value| (line["target"] == "access").then(|| line["path"].clone());
    assert_eq!(sidecar.process.log("a request, which the new filter hides", path).await, DECKS);
    std::fs::write(world.path("key"), key).unwrap();
    sidecar.process.says(IN_USE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_file_that_goes_away_is_an_error_and_its_key_stays_in_use() {
    let world = world().await;
    // Which makes the key.
    world.give_pat("acme").await;
    let sidecar = world.start().await;
    std::fs::rename(world.path("key"), world.path("elsewhere")).unwrap();
    let line = sidecar.process.says(UNUSABLE).await;
    let failure = line["failure"].as_str().unwrap();
    let named = format!("the encryption key file {} is gone", world.path("key").display());
    assert!(failure.starts_with(&named) && failure.ends_with("(hint: put it back)"), "{line}");
    assert_eq!((&line["level"], status(&sidecar).await), (&"ERROR".into(), 200));
    assert!(!sidecar.process.stderr().contains(IN_USE), "{}", sidecar.process.stderr());
    std::fs::rename(world.path("elsewhere"), world.path("key")).unwrap();
    sidecar.process.signal(Signal::HUP);
    sidecar.process.says(IN_USE).await;
}
