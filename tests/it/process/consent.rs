//! `connect`, `disconnect`, `status` and `page`, with a browser that has no screen.

mod carried;
mod disconnecting;
mod embedded;
mod received;
mod shown;

use flexslot_proxy::sandbox::Client;

use super::{
    http::{DECKS, ask, get},
    world::{CLIENT, World},
};
use crate::support::{
    Browser, ReservedPort,
    process::{Exit, Launch, Sidecar},
    until,
};

/// The user of the sandbox who is asked.
const USER: &str = "george";

/// A world whose sidecars and commands know one admin port, which is where browsers come back to.
struct Consents {
    world: World,
    port: ReservedPort,
}

// === impl Consents ===

impl Consents {
    async fn new() -> Self {
        let (world, port) = (World::new().await, ReservedPort::new());
        world.sandbox.add_deck(USER, "Izzet Phoenix");
        let redirect_uri = format!("http://{}/oauth/callback", port.address);
        world.sandbox.add_client(Client::public(CLIENT).redirect_uri(redirect_uri));
        world.write_config();
        Self { world, port }
    }

    fn command(&self, args: &[&str]) -> Launch {
        self.world.command(args).env("FLEXSLOT_PROXY_ADMIN_LISTEN", &self.port.address.to_string())
    }

    async fn start(&self) -> Sidecar {
        self.command(&["serve"]).listening().await
    }

    async fn run(&self, args: &[&str], status: i32) -> Exit {
        let exit = self.command(args).run().await;
        assert_eq!(exit.status.code(), Some(status), "{args:?}: {}{}", exit.stdout, exit.stderr);
        exit
    }

    /// A tenant whose user has consented just now, with the scopes of every world's grants.
    async fn connect(&self, tenant: &str) {
        let mut connecting = self.command(&["connect", tenant, "--no-browser"]).interactive().spawn();
        let page = Browser::new().open(&connecting.line(1).await).await;
        connecting.type_line(page.url.as_str());
        let exit = connecting.exited().await;
        assert!(exit.status.success(), "{}", exit.stderr);
    }

    /// The tenant's card, as `status --json` has it.
    async fn card(&self, tenant: &str) -> serde_json::Value {
        let cards: serde_json::Value =
            serde_json::from_str(&self.run(&["status", tenant, "--json"], 0).await.stdout).unwrap();
        cards[0].clone()
    }

    /// How many of the sandbox's grants have not ended.
    fn living_grants(&self) -> usize {
        self.world.sandbox.grants().iter().filter(|grant| grant.ended.is_none()).count()
    }
}

/// Waits until the sidecar serves a tenant.
async fn serves(sidecar: &Sidecar, tenant: &str) {
    until("the tenant is served", async || ask(sidecar.proxy, &get(DECKS, tenant)).await.status == 200).await;
}

/// Waits until it refuses the tenant with this code.
async fn refuses(sidecar: &Sidecar, tenant: &str, code: &str) {
    until(code, async || ask(sidecar.proxy, &get(DECKS, tenant)).await.code() == code).await;
}
