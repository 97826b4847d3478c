//! The programs of docs/apps.md and the app of deploy/compose, run as they stand in front of the running binary. The
//! environment names a proxy that takes no connection: none of them may send a call for the sidecar there.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use tokio::net::TcpStream;

use super::{
    http::ask,
    world::{Life, Tenant, World},
};
use crate::support::{
    ClosedPort, PATIENCE, ReservedPort,
    process::{Exit, Launch, Process, Sidecar},
    until,
};

/// Three pages of them.
const DECKS: usize = 45;

struct Apps {
    world: World,
    acme: Tenant,
    sidecar: Sidecar,
    /// What `HTTP_PROXY` names.
    nowhere: ClosedPort,
}

// === impl Apps ===

impl Apps {
    /// A tenant with decks, whose token Flexslot refuses.
    async fn new() -> Self {
        let world = World::new().await;
        let acme = world.connect("acme", Life::Fresh).await;
        for n in 1..=DECKS {
            let _id = world.sandbox.add_deck("acme", &format!("Deck {n}"));
        }
        world.sandbox.expire_access(acme.grant).unwrap();
        let sidecar = world.start().await;
        // Where Composer would put it: Debian's Guzzle is found by PHP itself.
        fs::create_dir(world.path("vendor")).unwrap();
        fs::write(world.path("vendor/autoload.php"), "<?php require 'GuzzleHttp/autoload.php';").unwrap();
        Self { world, acme, sidecar, nowhere: ClosedPort::new() }
    }

    fn start(&self, program: &Path, args: &[&str], variables: &[(&str, &str)]) -> Process {
        let proxy = format!("http://{}", self.nowhere.address);
        let mut launch = Launch::program(self.world.dir.path(), program, args).with_path_and_home();
        for name in ["HTTP_PROXY", "http_proxy"] {
            launch = launch.env(name, &proxy);
        }
        for (name, value) in variables {
            launch = launch.env(name, value);
        }
        launch.spawn_installed()
    }

    async fn run(&self, program: &Path, args: &[&str], tenant: &str) -> Exit {
        let base = format!("http://{}/api/public/v1", self.sidecar.proxy);
        let process = self.start(program, args, &[("FLEXSLOT_URL", &base), ("FLEXSLOT_TENANT", tenant)]);
        // Go and Java compile first.
        process.exited_within(PATIENCE * 2).await
    }

    fn assert_one_refresh(&self) {
        let view = self.world.sandbox.grant(self.acme.grant).unwrap();
        assert_eq!((view.refreshes, view.replays), (1, 0));
    }
}

fn in_crate(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

/// Runs a program of examples/apps for a tenant with decks, and for one that nobody knows.
async fn lists_decks(program: impl Into<PathBuf>, args: &[&str], recipe: &str) {
    let (apps, program, recipe) = (Apps::new().await, program.into(), in_crate(&format!("examples/apps/{recipe}")));
    let args = [args, &[recipe.as_str()]].concat();
    let exit = apps.run(&program, &args, "acme").await;
    assert!(exit.status.success(), "{recipe}; scripts/test installs what it needs:\n{}", exit.stderr);
    assert_eq!(exit.stdout, format!("{DECKS} decks\n"), "{recipe}");
    apps.assert_one_refresh();
    let exit = apps.run(&program, &args, "nobody").await;
    assert!(!exit.status.success() && exit.stdout.is_empty(), "{recipe}: {}", exit.stdout);
    let told = exit.stderr.lines().next().unwrap_or_default();
    assert!(told.starts_with("not_connected: ") && told.contains("(request "), "{recipe}: {}", exit.stderr);
}

/// The Python that scripts/test gives the recipes' packages.
fn python() -> String {
    in_crate("target/apps/bin/python")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_requests() {
    lists_decks(python(), &[], "python/with_requests.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_httpx() {
    lists_decks(python(), &[], "python/with_httpx.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_fetch() {
    lists_decks("node", &[], "node/with_fetch.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_axios() {
    lists_decks("node", &[], "node/with_axios.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn go() {
    lists_decks("go", &["run"], "go/main.go").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn java() {
    lists_decks("java", &[], "java/Flexslot.java").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn php_curl() {
    lists_decks("php", &[], "php/with_curl.php").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn php_guzzle() {
    lists_decks("php", &[], "php/with_guzzle.php").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ruby() {
    lists_decks("ruby", &[], "ruby/flexslot.rb").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl() {
    let (apps, recipe) = (Apps::new().await, in_crate("examples/apps/curl/flexslot.sh"));
    let page: serde_json::Value =
        serde_json::from_str(&apps.run(Path::new("sh"), &[&recipe], "acme").await.stdout).unwrap();
    assert_eq!(page["count"], DECKS, "{page}");
    apps.assert_one_refresh();
    let exit = apps.run(Path::new("sh"), &[&recipe], "nobody").await;
    let problem: serde_json::Value = serde_json::from_str(&exit.stdout).unwrap();
    assert_eq!((exit.status.code(), &problem["code"]), (Some(22), &"not_connected".into()), "{}", exit.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_beside_the_sidecar_under_compose() {
    let (apps, port) = (Apps::new().await, ReservedPort::new());
    // It names no tenant: in its compose.yaml there is one, by default.
    let base = format!("http://{}/t/acme/api/public/v1", apps.sidecar.proxy);
    let number = port.address.port().to_string();
    let app = in_crate("deploy/compose/app.py");
    let process = apps.start(Path::new("python3"), &[&app], &[("FLEXSLOT_URL", &base), ("PORT", &number)]);
    until("the app listens", async || TcpStream::connect(port.address).await.is_ok()).await;
    let page = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = ask(port.address, page).await;
    assert_eq!((answer.status, answer.text()), (200, format!("{DECKS} decks\n")), "{}", process.stderr());
    let Apps { sidecar, .. } = apps;
    sidecar.stop().await;
    let answer = ask(port.address, page).await;
    assert_eq!(answer.status, 502);
    assert!(answer.text().starts_with("the sidecar cannot be reached: "), "{}", answer.text());
}
