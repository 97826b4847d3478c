//! Commands on a store beside a sidecar that runs on it, on each engine.

use std::{fs, time::Duration};

use tokio::time::Instant;

use super::{
    engines::{Engine, on_each_engine},
    http::{Answer, DECKS, ask, get},
    world::{CLIENT, World},
};
use crate::support::{
    process::{Exit, Sidecar},
    until,
};

/// Within what time another process's change takes effect.
const SEEN_WITHIN: Duration = Duration::from_secs(2);

/// A running sidecar, and how long it took to see each change.
struct Watched {
    world: World,
    sidecar: Sidecar,
    took: Vec<(&'static str, Duration)>,
}

// === impl Watched ===

impl Watched {
    async fn run(&self, args: &[&str], input: &str) -> Exit {
        let exit = self.world.command(args).input(input).run().await;
        assert!(exit.status.success(), "{args:?}: {}{}", exit.stdout, exit.stderr);
        exit
    }

    /// Waits until the sidecar serves a tenant as `expected` has it.
    async fn sees(&mut self, change: &'static str, tenant: &str, expected: impl Fn(&Answer) -> bool) {
        let since = Instant::now();
        until(change, async || expected(&ask(self.sidecar.proxy, &get(DECKS, tenant)).await)).await;
        self.took.push((change, since.elapsed()));
    }

    /// A user's new consent, as a line to import.
    fn consent(&self, tenant: &str) -> String {
        self.world.sandbox.add_user(tenant);
        let pair = self.world.sandbox.issue_grant(tenant, CLIENT, "decks:read").unwrap();
        let (access, refresh) = (pair.access.expose(), pair.refresh.expose());
        let line = serde_json::json!({
            "tenant": tenant, "access_token": access, "refresh_token": refresh, "expires_at": 4_102_444_800_u64, "scope": "decks:read"
        });
        format!("{line}\n")
    }
}

fn by(credential: &str) -> impl Fn(&Answer) -> bool {
    let field = format!("flexslot-proxy-credential: {credential}");
    move |answer| answer.status == 200 && answer.head.to_ascii_lowercase().contains(&field)
}

fn refused(code: &str) -> impl Fn(&Answer) -> bool {
    move |answer| answer.code() == code
}

async fn commands_beside_a_running_sidecar_are_seen(engine: Engine) -> String {
    let world = World::on(engine).await;
    let _made = world.store().await;
    let sidecar = world.start().await;
    let mut watched = Watched { world, sidecar, took: Vec::new() };

    // It has them in memory from here on.
    fs::write(watched.world.path("tokens.jsonl"), watched.consent("acme") + &watched.consent("beta")).unwrap();
    watched.run(&["tenant", "import", "tokens.jsonl"], "").await;
    watched.sees("an import", "acme", by("oauth")).await;
    watched.sees("an import", "beta", by("oauth")).await;
    let pat = watched.world.sandbox.add_pat("gamma");
    watched.run(&["tenant", "set-pat", "gamma"], pat.expose()).await;
    watched.sees("a first PAT", "gamma", by("pat")).await;

    let new = watched.world.sandbox.add_pat("gamma");
    watched.world.sandbox.revoke_pat(&pat);
    watched.run(&["tenant", "set-pat", "gamma"], new.expose()).await;
    watched.sees("another PAT", "gamma", by("pat")).await;
    watched.world.sandbox.grants().iter().filter(|grant| grant.user == "acme").for_each(|grant| {
        watched.world.sandbox.revoke_grant(grant.id.parse().unwrap()).unwrap();
    });
    let again = watched.consent("acme");
    watched.run(&["tenant", "import", "--replace"], &again).await;
    watched.sees("another grant", "acme", by("oauth")).await;
    for tenant in ["acme", "beta", "gamma"] {
        let listed = watched.run(&["tenant", "list"], "").await.stdout;
        assert!(listed.contains(tenant), "{listed}");
        watched.run(&["tenant", "remove", tenant], "").await;
        watched.sees("a removal", tenant, refused("not_connected")).await;
    }
    assert_eq!(watched.run(&["tenant", "list"], "").await.stdout.lines().count(), 1, "nothing but the head");
    watched.run(&["check"], "").await;

    let mut took: Vec<_> = watched.took.iter().map(|(_, took)| *took).collect();
    took.sort();
    // The middle one, so that a machine that is busy for a moment fails no test.
    assert!(took[took.len() / 2] < SEEN_WITHIN, "{:?}", watched.took);
    format!("commands, {engine:?}: seen after {:.1?}", watched.took)
}
on_each_engine!(commands_beside_a_running_sidecar_are_seen);
