//! Callers that speak TLS to the sidecar: curl in front, certificates made for the test.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustix::process::Signal;
use serde_json::Value;

use super::world::{Life, World};
use crate::support::process::{Exit, Launch, Sidecar};

/// An authority, and what it has vouched for.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

// === impl Authority ===

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "the test's authority");
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// Writes `NAME.crt` and `NAME.key` into the world's directory.
    fn vouch(&self, world: &World, name: &str) {
        let key = KeyPair::generate().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        world.write_secret(&format!("{name}.crt"), &certificate.pem());
        world.write_secret(&format!("{name}.key"), &key.serialize_pem());
    }
}

/// A world with a listener in clear and one with TLS.
async fn world(authority: &Authority, tls: &str) -> World {
    let mut world = World::new().await;
    let listen = "listen = [\"127.0.0.1:0\", { address = \"127.0.0.1:0\", tls = true }]";
    world.clear("server").set("server", listen);
    world.append(&format!("[server.tls]\ncertificate = \"proxy.crt\"\nkey = {{ file = \"proxy.key\" }}\n{tls}\n"));
    world.write_secret("ca.crt", &authority.certificate);
    authority.vouch(&world, "proxy");
    world.connect("acme", Life::Fresh).await;
    world
}

/// Where callers speak TLS.
async fn address(sidecar: &Sidecar) -> String {
    let https = |line: &Value| {
        let listen = line["listen"].as_str()?;
        listen.split(", ").find(|address| address.starts_with("https://")).map(str::to_owned)
    };
    sidecar.process.log("is listening", https).await
}

async fn curl(world: &World, address: &str, flags: &[&str]) -> Exit {
    let url = format!("{address}/t/acme/api/public/v1/decks/");
    let base = ["-sS", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code} %{http_version}", url.as_str()];
    Launch::program(world.dir.path(), "curl", &[&base[..], flags].concat()).run().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_speak_tls_over_both_versions_of_http() {
    let authority = Authority::new();
    let world = world(&authority, "").await;
    let sidecar = world.start().await;
    let address = address(&sidecar).await;
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let exit = curl(&world, &address, &["--cacert", "ca.crt", flag]).await;
        assert_eq!(exit.stdout, format!("200 {version}"), "{}", exit.stderr);
    }
    let unknown = curl(&world, &address, &["--cacert", "/etc/hostname"]).await;
    assert!(!unknown.status.success(), "whoever does not know the authority goes no further");
    let in_clear = curl(&world, &address.replace("https", "http"), &[]).await;
    assert!(!in_clear.status.success(), "{}", in_clear.stdout);
    let plain = format!("http://{}", sidecar.proxy);
    assert_eq!(curl(&world, &plain, &[]).await.stdout, "200 1.1", "the other listener goes on");
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_needs_a_certificate_that_the_authority_vouches_for() {
    let authority = Authority::new();
    let world = world(&authority, "client_ca = \"ca.crt\"").await;
    authority.vouch(&world, "app");
    Authority::new().vouch(&world, "stranger");
    let sidecar = world.start().await;
    let address = address(&sidecar).await;
    let with = |name: &str| {
        ["--cacert", "ca.crt", "--cert", &format!("{name}.crt"), "--key", &format!("{name}.key")].map(str::to_owned)
    };
    let app = with("app");
    let exit = curl(&world, &address, &app.each_ref().map(String::as_str)).await;
    assert_eq!(exit.stdout, "200 2", "{}", exit.stderr);
    let stranger = with("stranger");
    for flags in [&stranger.each_ref().map(String::as_str)[..], &["--cacert", "ca.crt"]] {
        let exit = curl(&world, &address, flags).await;
        assert!(!exit.status.success() && !exit.stdout.starts_with("200"), "{flags:?}: {}", exit.stdout);
    }
    assert_eq!(world.sandbox.requests().len(), 1, "one alone got through");
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_shown_after_a_reload_and_a_bad_one_is_refused() {
    let old = Authority::new();
    let world = world(&old, "").await;
    let sidecar = world.start().await;
    let address = address(&sidecar).await;
    let new = Authority::new();
    world.write_secret("new.crt", &new.certificate);
    new.vouch(&world, "proxy");
    sidecar.process.signal(Signal::HUP);
    let renewed = async || curl(&world, &address, &["--cacert", "new.crt"]).await.stdout == "200 2";
    crate::support::until("the new certificate", renewed).await;
    fs::write(world.path("proxy.crt"), "no certificate").unwrap();
    sidecar.process.signal(Signal::HUP);
    let refused = sidecar.process.says("the new configuration is not used").await;
    assert!(refused.to_string().contains("proxy.crt"), "{refused}");
    assert_eq!(curl(&world, &address, &["--cacert", "new.crt"]).await.stdout, "200 2");
    sidecar.stop().await;
}
