//! `check --online`: each credential that is there, asked about at Flexslot; one line each, and nothing is changed.

use std::fs;

use flexslot_proxy::{
    model::{Clock, GrantId, ScopeSet, SystemClock, TokenSet, TokenType},
    sandbox::{Endpoint, Fault, Moment},
    store::{Existing, NewGrant, NewTenant, StoredPat},
};

use super::{
    engines::Engine,
    world::{Life, World, tenant},
};
use crate::support::{free_port, process::Exit};

const PARTNER: &str = "george";

/// A world with a partner who has made a client that is known where this sidecar is, and a tenant connected through it.
struct Stage {
    world: World,
    client: String,
}

// === impl Stage ===

impl Stage {
    async fn set(engine: Engine) -> Self {
        let mut world = World::on(engine).await;
        let port = free_port().local_addr().unwrap().port();
        world.clear("oauth").clear("admin").set("admin", &format!("listen = \"127.0.0.1:{port}\""));
        world.sandbox.add_partner(PARTNER);
        world.give_pat(PARTNER).await;
        world.write_config();
        let uri = format!("http://127.0.0.1:{port}/oauth/callback");
        let scopes = ["--scope", "decks:read", "--scope", "cards:read"];
        let named = ["client", "create", "--tenant", PARTNER, "--name", "App", "--redirect-uri", &uri, "--json"];
        let made = world.command(&[&named[..], &scopes].concat()).run().await;
        assert!(made.status.success(), "{made:?}");
        let document: serde_json::Value = serde_json::from_str(&made.stdout).unwrap();
        let client = document["client_id"].as_str().unwrap().to_owned();
        let stage = Self { world, client };
        stage.connect("acme").await;
        stage
    }

    async fn connect(&self, name: &str) -> GrantId {
        let (sandbox, now) = (&self.world.sandbox, SystemClock.now());
        sandbox.add_user(name);
        let pair = sandbox.issue_grant(name, &self.client, "decks:read cards:read").unwrap();
        let tokens = TokenSet {
            access: pair.access,
            refresh: pair.refresh,
            token_type: TokenType::Bearer,
            scopes: ScopeSet::new(&pair.scope),
            expires_at: now.plus(std::time::Duration::from_secs(3600)),
            answered_at: None,
            key: None,
        };
        let origin = self.world.origin().parse().unwrap();
        let grant = NewGrant { client_id: self.client.clone(), origin, tokens };
        let new = NewTenant { tenant: tenant(name), pat: None, grant: Some(grant) };
        let _ = self.world.store().await.import(vec![new], Existing::Replace).await.unwrap();
        pair.grant
    }

    async fn check(&self, more: &[&str]) -> Exit {
        self.world.write_config();
        let exit = self.world.command(&[&["check", "--online"], more].concat()).run().await;
        assert!(!format!("{exit:?}").contains("flx_pat_"), "{exit:?}");
        exit
    }
}

/// The one line about `what`.
fn line<'e>(exit: &'e Exit, what: &str) -> &'e str {
    let found: Vec<_> = exit.stdout.lines().filter(|line| line.split_whitespace().nth(1) == Some(what)).collect();
    assert_eq!(found.len(), 1, "{what}: {}", exit.stdout);
    found[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_well_on_each_engine_and_nothing_is_changed() {
    for engine in [Engine::Sqlite, Engine::Redis, Engine::Postgres] {
        let stage = Stage::set(engine).await;
        let before = (stage.world.stored("acme").await, stage.world.sandbox.grants());
        stage.world.sandbox.reset_counters();
        let exit = stage.check(&[]).await;
        assert!(exit.status.success(), "{engine:?}: {exit:?}");
        // The tests' PostgreSQL does not wait for its disk.
        let is_good =
            |line: &str| line.starts_with("ok ") || line.starts_with("WARN  store         PostgreSQL: fsync is off");
        assert!(exit.stdout.lines().all(is_good), "{engine:?}: {}", exit.stdout);
        let said = [
            ("upstream", "answers in HTTP/1.1, with "),
            ("clock", "within 5 s of Flexslot's"),
            ("lock", "a second process waits while this one renews, and has its turn afterwards"),
            ("pat", "george: Flexslot takes it"),
            ("client", "Flexslot knows it as it is here"),
            ("grant", "acme: a connection of @acme that holds, for decks:read cards:read"),
        ];
        said.iter().for_each(|(what, said)| assert!(line(&exit, what).contains(said), "{}", exit.stdout));
        let counts = stage.world.sandbox.counters();
        // The refresh token of the one token request was made up.
        assert_eq!((counts.token_requests("refresh_token"), counts.with_status(Endpoint::Token, 400)), (1, 1));
        assert_eq!((stage.world.stored("acme").await, stage.world.sandbox.grants()), before, "{engine:?}");
    }
}

#[tokio::test]
async fn each_credential_that_is_of_no_use_fails_with_what_to_do() {
    let mut stage = Stage::set(Engine::Sqlite).await;
    let pat = stage.world.give_pat("beta").await;
    stage.world.sandbox.revoke_pat(&pat);
    let gone = stage.connect("gone").await;
    stage.world.sandbox.revoke_grant(gone).unwrap();
    // The client of the file is another than its partner has made.
    let client = stage.client.clone();
    stage.world.set("oauth", &format!("client_id = {client:?}"));
    stage.world.set("oauth", "scopes = [\"decks:read\", \"guides:write\"]").set("oauth", "dpop = \"off\"");
    stage.world.set("oauth", "redirect_uri = \"http://localhost:3540/oauth/callback\"");
    stage.world.clear("admin").set("admin", "listen = \"localhost:3540\"");
    stage.world.sandbox.set_dpop_bound(&client, true).unwrap();

    let exit = stage.check(&[]).await;
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    let failed: Vec<_> = exit.stdout.lines().filter(|line| line.starts_with("FAIL")).collect();
    let said = [
        ["pat", "beta: Flexslot refuses the personal access token"],
        ["client", "http://localhost:3540/oauth/callback is none of its redirect URIs"],
        ["client", "it may not ask for guides:write"],
        ["client", "its tokens are bound to keys"],
        ["grant", "gone: Flexslot knows nothing of its access token"],
    ];
    for [what, said] in said {
        let line = failed.iter().find(|line| line.split_whitespace().nth(1) == Some(what) && line.contains(said));
        assert!(line.is_some(), "{said}: {}", exit.stdout);
    }
    assert_eq!(failed.len(), 5, "{}", exit.stdout);
    assert!(exit.stdout.contains("hint: make a new one at Flexslot, and store it: flexslot-proxy tenant set-pat beta"));
    // acme's holds, and lacks what is asked for since.
    assert!(exit.stdout.contains("WARN  grant         acme: a connection of @acme that holds"), "{}", exit.stdout);
    assert!(exit.stderr.contains("5 checks failed"), "{}", exit.stderr);
}

#[tokio::test]
async fn a_client_whose_secret_flexslot_does_not_take_fails() {
    let mut stage = Stage::set(Engine::Sqlite).await;
    let made = stage.world.store().await.clients().await.unwrap().clients.remove(0);
    let client = stage.client.clone();
    stage.world.store().await.forget_client(&client).await.unwrap();
    stage.world.set("oauth", &format!("client_id = {client:?}"));
    stage.world.set("oauth", "client_secret = { file = \"secret\" }");
    stage.world.write_secret("secret", "flx_cs_of-somebody-else");
    let exit = stage.check(&[]).await;
    assert!(line(&exit, "client").starts_with("FAIL"), "{}", exit.stdout);
    assert!(!exit.stdout.contains("somebody-else"));

    stage.world.write_secret("secret", made.secret.unwrap().expose());
    assert!(line(&stage.check(&[]).await, "client").starts_with("ok "));
}

#[tokio::test]
async fn only_tenants_that_are_named_are_asked_about() {
    let stage = Stage::set(Engine::Sqlite).await;
    stage.connect("beta").await;
    let exit = stage.check(&["--tenant", "beta"]).await;
    assert!(exit.status.success() && line(&exit, "grant").contains("beta: "), "{exit:?}");
    assert!(!exit.stdout.contains(" pat "), "{}", exit.stdout);
    let twice = stage.check(&["--tenant", "beta", "--tenant", "beta"]).await;
    assert!(twice.status.success(), "{twice:?}");
    let unknown = stage.check(&["--tenant", "nobody"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(line(&unknown, "tenants").contains("nobody knows a tenant nobody"), "{}", unknown.stdout);
}

#[tokio::test]
async fn a_clock_that_is_off_is_told_and_fails_nothing() {
    let stage = Stage::set(Engine::Sqlite).await;
    stage.world.sandbox.set_clock_offset(-600_000);
    let exit = stage.check(&[]).await;
    assert!(exit.status.success(), "{exit:?}");
    let line = line(&exit, "clock");
    assert!(line.starts_with("WARN") && line.contains("s ahead of Flexslot's"), "{line}");
}

#[tokio::test]
async fn with_flexslot_out_of_reach_nobody_is_asked_about_credentials() {
    let mut world = World::new().await;
    world.connect("acme", Life::Fresh).await;
    let nowhere = free_port().local_addr().unwrap();
    world.clear("upstream").set("upstream", &format!("url = \"http://{nowhere}\"")).set("upstream", "proxy = \"off\"");
    world.write_config();
    let exit = world.command(&["check", "--online"]).run().await;
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    assert!(line(&exit, "upstream").starts_with("FAIL"), "{}", exit.stdout);
    assert!(exit.stdout.contains("hint: look at upstream.url and upstream.proxy"), "{}", exit.stdout);
    assert!(!exit.stdout.contains("grant "), "{}", exit.stdout);
}

#[tokio::test]
async fn a_pat_of_the_file_is_asked_about_before_there_is_a_store() {
    let mut world = World::new().await;
    world.sandbox.add_user("acme");
    let pat = world.sandbox.add_pat("acme");
    world.write_secret("pat", pat.expose());
    world.clear("oauth").append("[[tenants]]\nname = \"acme\"\npat = { file = \"pat\" }\n");
    world.write_config();
    let exit = world.command(&["check", "--online"]).run().await;
    assert!(exit.status.success() && line(&exit, "pat").starts_with("ok    pat           acme: "), "{exit:?}");
    assert!(!fs::exists(world.path("store.db")).unwrap());

    // It wins over the store's.
    let stored = StoredPat { pat: world.sandbox.add_pat("acme"), origin: world.origin().parse().unwrap() };
    world.store().await.put_pat(&tenant("acme"), &stored).await.unwrap();
    world.sandbox.revoke_pat(&pat);
    let exit = world.command(&["check", "--online"]).run().await;
    assert!(line(&exit, "pat").starts_with("FAIL"), "{}", exit.stdout);
    assert!(exit.stdout.contains("put it where proxy.toml has the pat of acme"), "{}", exit.stdout);
}

#[tokio::test]
async fn a_flexslot_that_stays_silent_is_not_asked_about_everybody() {
    let stage = Stage::set(Engine::Sqlite).await;
    for name in ["a", "b", "c", "d"] {
        stage.world.give_pat(name).await;
    }
    stage.world.sandbox.reset_counters();
    stage.world.sandbox.fault(Fault::cut(Endpoint::Resource, Moment::BeforeProcessing).user("a"));
    stage.world.sandbox.fault(Fault::cut(Endpoint::Resource, Moment::BeforeProcessing).user("b"));
    stage.world.sandbox.fault(Fault::cut(Endpoint::Resource, Moment::BeforeProcessing).user("c"));
    let exit = stage.check(&[]).await;
    assert!(exit.stdout.contains("Flexslot has left 3 questions without an answer"), "{}", exit.stdout);
    assert!(!exit.stdout.contains("pat           d: ") && !exit.stdout.contains(" grant "), "{}", exit.stdout);
}
