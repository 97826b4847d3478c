//! `client create`, `rotate-secret` and `revoke` die at each of their steps (`SIGKILL`), and no secret is ever anywhere
//! but at Flexslot and in the store; sidecars beside them go on.

use std::{
    os::unix::process::ExitStatusExt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use flexslot_proxy::{
    model::{
        Clock, GrantId, GrantState, ScopeSet, SystemClock, TokenSet, TokenType,
        failpoint::{DIE_AT, Step},
        token::DisconnectReason,
    },
    store::{ClientRecords, Existing, NewGrant, NewTenant},
};
use serde_json::Value;

use super::{
    engines::{Engine, on_each_engine},
    http::{DECKS, ask, get},
    world::{World, tenant},
};
use crate::support::{
    process::{Exit, Sidecar},
    until,
};

/// The tenant whose PAT manages the clients.
const PARTNER: &str = "george";

const STEPS: [Step; 3] = [Step::ClientNoted, Step::ClientAnswered, Step::ClientStored];

/// A world whose only clients are those that its partner makes.
struct Stage {
    world: World,
}

// === impl Stage ===

impl Stage {
    async fn set(engine: Engine) -> Self {
        let mut world = World::on(engine).await;
        world.clear("oauth").set("refresh", "min_interval = \"0s\"").set("refresh", "timeout = \"60s\"");
        world.set("server", &format!("default_tenant = {PARTNER:?}"));
        world.sandbox.add_partner(PARTNER);
        world.give_pat(PARTNER).await;
        world.write_config();
        Self { world }
    }

    async fn run(&self, args: &[&str]) -> Exit {
        let exit = self.world.command(&[&["client"], args].concat()).run().await;
        assert!(exit.status.success(), "{args:?}: {}{}", exit.stdout, exit.stderr);
        exit
    }

    /// Runs a command that dies at `step`, and has printed no secret by then.
    async fn dies(&self, step: Step, args: &[&str]) {
        let exit = self.world.command(&[&["client"], args].concat()).env(DIE_AT, step.as_str()).run().await;
        assert_eq!(exit.status.signal(), Some(9), "{step:?} {args:?}: {}{}", exit.stdout, exit.stderr);
        assert!(!exit.stdout.contains("flx_cs_"), "{step:?} {args:?}: {}", exit.stdout);
    }

    /// Makes a client, and answers its id.
    async fn make(&self, name: &str) -> String {
        let made = self.run(&["create", "--name", name, "--redirect-uri", "https://a.example/cb", "--json"]).await;
        let document: Value = serde_json::from_str(&made.stdout).unwrap();
        document["client_id"].as_str().unwrap().to_owned()
    }

    /// What Flexslot lists, and what `client list` says besides.
    async fn list(&self) -> (Vec<Value>, String) {
        let listed = self.run(&["list", "--json"]).await;
        (serde_json::from_str(&listed.stdout).unwrap(), listed.stderr)
    }

    async fn kept(&self) -> ClientRecords {
        self.world.store().await.clients().await.unwrap()
    }

    /// A tenant whose user has consented to `client`, with a token of no use.
    async fn connect(&self, name: &str, client: &str) -> GrantId {
        let sandbox = &self.world.sandbox;
        sandbox.add_user(name);
        let pair = sandbox.issue_grant(name, client, "decks:read cards:read").unwrap();
        let tokens = TokenSet {
            access: pair.access,
            refresh: pair.refresh,
            token_type: TokenType::Bearer,
            scopes: ScopeSet::new(&pair.scope),
            expires_at: SystemClock.now().minus(Duration::from_secs(1)),
            answered_at: None,
            key: None,
        };
        let grant = NewGrant { client_id: client.into(), origin: self.world.origin().parse().unwrap(), tokens };
        let new = NewTenant { tenant: tenant(name), pat: None, grant: Some(grant) };
        let _ = self.world.store().await.import(vec![new], Existing::Replace).await.unwrap();
        pair.grant
    }

    /// A new sidecar refreshes with the secret that is stored.
    async fn refreshes(&self, name: &str, client: &str) {
        self.connect(name, client).await;
        let sidecar = self.world.start().await;
        let answer = ask(sidecar.proxy, &get(DECKS, name)).await;
        assert_eq!(answer.status, 200, "{name}: {answer:?}\n{}", sidecar.process.stderr());
    }
}

async fn a_creation_dies_at_each_step(engine: Engine) -> String {
    let stage = Stage::set(engine).await;
    for step in STEPS {
        let name = format!("App of {}", step.as_str());
        let args = ["create", "--name", &name, "--redirect-uri", "https://a.example/cb"];
        stage.dies(step, &args).await;
        let is_named = |client: &&Value| client["name"] == name.as_str();
        let (listed, told) = stage.list().await;
        let (there, begun) = (listed.iter().filter(is_named).count(), stage.kept().await.creations.len());
        let expected = match step {
            Step::ClientNoted => (0, 1),
            Step::ClientAnswered => (1, 1),
            _ => (1, 0),
        };
        assert_eq!((there, begun), expected, "{step:?}");
        assert_eq!(told.contains("did not end: run the same flexslot-proxy client create again"), begun == 1, "{told}");
        let [checked, shown] = [&["check"][..], &["status"]].map(|args| stage.world.command(args));
        let (checked, shown) = (checked.run().await, shown.run().await);
        assert_eq!(checked.stdout.contains("WARN  client        A creation of"), begun == 1, "{}", checked.stdout);
        assert_eq!(shown.stderr.contains("did not end"), begun == 1, "{}", shown.stderr);
        if begun == 1 {
            stage.run(&args).await;
        }
        let (listed, told) = stage.list().await;
        let made: Vec<_> = listed.iter().filter(is_named).collect();
        assert_eq!(made.len(), 1, "{step:?}: no second client was made");
        assert!(!told.contains("did not end"), "{told}");
        stage.refreshes(&format!("user-{}", step.as_str()), made[0]["client_id"].as_str().unwrap()).await;
    }
    format!("create, {engine:?}: {} deaths", STEPS.len())
}
on_each_engine!(a_creation_dies_at_each_step);

async fn a_rotation_dies_at_each_step(engine: Engine) -> String {
    let stage = Stage::set(engine).await;
    let client = stage.make("App").await;
    for step in STEPS {
        let secret = |kept: &ClientRecords| kept.clients[0].secret.clone().unwrap();
        let before = secret(&stage.kept().await);
        stage.dies(step, &["rotate-secret", "App"]).await;
        let kept = stage.kept().await;
        let stored = step == Step::ClientStored;
        assert_eq!((secret(&kept) != before, kept.clients[0].intent.is_none()), (stored, stored), "{step:?}");
        let (_, told) = stage.list().await;
        let note = format!("did not end: run flexslot-proxy client rotate-secret {client} again");
        assert_eq!(told.contains(&note), !stored, "{step:?}: {told}");
        if !stored {
            stage.run(&["rotate-secret", &client]).await;
        }
        stage.refreshes(&format!("user-{}", step.as_str()), &client).await;
    }
    format!("rotate-secret, {engine:?}: {} deaths", STEPS.len())
}
on_each_engine!(a_rotation_dies_at_each_step);

async fn a_revocation_dies_at_each_step(engine: Engine) -> String {
    let stage = Stage::set(engine).await;
    for step in STEPS {
        let (name, user) = (format!("App of {}", step.as_str()), format!("user-{}", step.as_str()));
        let client = stage.make(&name).await;
        stage.connect(&user, &client).await;
        let args = ["revoke", &client, "--confirm", &name];
        stage.dies(step, &args).await;
        let kept = stage.kept().await;
        let stored = step == Step::ClientStored;
        assert_eq!(kept.clients.is_empty(), stored, "{step:?}");
        if !stored {
            let (_, told) = stage.list().await;
            let note = format!("did not end: run flexslot-proxy client revoke {client} again");
            assert!(told.contains(&note), "{step:?}: {told}");
            stage.run(&args).await;
        }
        assert!(stage.kept().await.clients.is_empty(), "{step:?}");
        let grant = stage.world.stored(&user).await;
        let revoked = DisconnectReason::ClientRevoked;
        assert!(matches!(&grant, GrantState::Disconnected(end) if end.reason == revoked), "{step:?}: {grant:?}");
        assert!(stage.list().await.0.is_empty(), "{step:?}");
    }
    let sidecar = stage.world.start().await;
    let answer = ask(sidecar.proxy, &get(DECKS, "user-client-noted")).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "reconnect_required"));
    format!("revoke, {engine:?}: {} deaths", STEPS.len())
}
on_each_engine!(a_revocation_dies_at_each_step);

/// Both sidecars refresh all the time, and no request notices that the secret is replaced under them.
async fn two_sidecars_go_on_while_the_secret_is_rotated(engine: Engine) -> String {
    const ROTATIONS: usize = 3;
    let stage = Stage::set(engine).await;
    let sidecars = [stage.world.start().await, stage.world.start().await];
    // Made beside them, and taken notice of.
    let client = stage.make("App").await;
    let grants = [stage.connect("acme", &client).await, stage.connect("beta", &client).await];
    for (sidecar, name) in sidecars.iter().zip(["acme", "beta"]) {
        until("the sidecar knows tenant and client", async || {
            ask(sidecar.proxy, &get(DECKS, name)).await.status == 200
        })
        .await;
    }
    let before = stage.world.sandbox.counters().refreshes;
    let rotated = AtomicBool::new(false);
    let rotating = async {
        for _ in 0..ROTATIONS {
            stage.run(&["rotate-secret", "App"]).await;
        }
        rotated.store(true, Ordering::Relaxed);
    };
    let mut requests = 0;
    let asking = async {
        while !rotated.load(Ordering::Relaxed) {
            for grant in grants {
                stage.world.sandbox.expire_access(grant).unwrap();
            }
            let [first, second] = &sidecars;
            let (one, other) = (get(DECKS, "acme"), get(DECKS, "beta"));
            let answers = tokio::join!(ask(first.proxy, &one), ask(second.proxy, &other));
            for answer in [answers.0, answers.1] {
                assert_eq!(answer.status, 200, "{answer:?}\n{}", logs(&sidecars));
                requests += 1;
            }
        }
    };
    tokio::join!(rotating, asking);
    let counters = stage.world.sandbox.counters();
    assert_eq!(counters.replays, 0, "{}", logs(&sidecars));
    // Each of the last round's tokens came with the last secret, or comes with it now.
    for ((sidecar, name), grant) in sidecars.iter().zip(["acme", "beta"]).zip(grants) {
        stage.world.sandbox.expire_access(grant).unwrap();
        assert_eq!(ask(sidecar.proxy, &get(DECKS, name)).await.status, 200, "{}", logs(&sidecars));
    }
    format!(
        "rotate-secret beside two sidecars, {engine:?}: {ROTATIONS} rotations, {requests} requests, {} refreshes, none failed",
        counters.refreshes - before
    )
}
on_each_engine!(two_sidecars_go_on_while_the_secret_is_rotated);

fn logs(sidecars: &[Sidecar]) -> String {
    sidecars.iter().map(|sidecar| sidecar.process.stderr()).collect::<Vec<_>>().join("\n")
}
