//! The description of the API against the running binary: schemathesis makes requests of it, good ones and bad ones, and
//! checks every answer.

use std::{path::PathBuf, time::Duration};

use flexslot_proxy::{
    model::{Clock, ScopeSet, SystemClock, TokenSet, TokenType},
    store::{Existing, NewGrant, NewTenant},
};
use http::Method;

use super::{
    http::{DECKS, ask, get},
    world::{CLIENT, Life, World, tenant},
};
use crate::support::{
    PATIENCE,
    process::{Launch, Process, Sidecar},
};

const TOKEN: &str = "admin-token-of-schemathesis";

/// About how long schemathesis may go on, in seconds.
const BUDGET: &str = "40";

/// A program of the environment that scripts/test makes. It has to be there: a test that skips itself tests nothing.
fn start(world: &World, program: &str, args: &[&str]) -> Process {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let program = root.join("target/schemathesis/bin").join(program);
    let launch = Launch::program(world.dir.path(), &program, args)
        .env("SCHEMATHESIS_HOOKS", &root.join("tests/it/process/openapi/hooks.py").display().to_string())
        .env("HOME", &world.dir.path().display().to_string())
        .env("LANG", "C.UTF-8");
    launch.try_spawn().unwrap_or_else(|error| panic!("{}: {error}; scripts/test installs it", program.display()))
}

/// A sidecar with a tenant in every state.
async fn furnished() -> (World, Sidecar) {
    let mut world = World::new().await;
    world.write_secret("admin-token", TOKEN);
    world.write_secret("pat", world.sandbox.add_pat("of-file").expose());
    world.set("admin", "token = { file = \"admin-token\" }");
    world.set("admin", "return_origins = [\"https://app.example.com\"]");
    world.append("[[tenants]]\nname = \"of-file\"\npat = { file = \"pat\" }\n");
    let connected = world.connect_all(&["acme", "revoked"], Life::Fresh).await;
    world.give_pat("acme").await;
    world.give_pat("pat-only").await;
    give_grant(&world, "expiring", CLIENT, Duration::from_secs(25 * 24 * 3600)).await;
    give_grant(&world, "of-another-client", "flx_client_other", Duration::ZERO).await;
    let sidecar = world.start().await;
    world.sandbox.revoke_grant(connected[1].grant).unwrap();
    assert_eq!(ask(sidecar.proxy, &get(DECKS, "revoked")).await.status, 401);
    (world, sidecar)
}

/// A grant that was answered so long ago.
async fn give_grant(world: &World, name: &str, client_id: &str, ago: Duration) {
    world.sandbox.add_user(name);
    let pair = world.sandbox.issue_grant(name, CLIENT, "decks:read").unwrap();
    let now = SystemClock.now();
    let tokens = TokenSet {
        access: pair.access,
        refresh: pair.refresh,
        token_type: TokenType::Bearer,
        scopes: ScopeSet::new(&pair.scope),
        expires_at: now.plus(Duration::from_secs(3600)),
        answered_at: Some(now.minus(ago)),
        key: None,
    };
    let grant = NewGrant { client_id: client_id.into(), origin: world.origin().parse().unwrap(), tokens };
    let new = NewTenant { tenant: tenant(name), pat: None, grant: Some(grant) };
    let _ = world.store().await.import(vec![new], Existing::Replace).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_does_what_its_description_says() {
    let (world, sidecar) = furnished().await;
    let list = sidecar.api(Method::GET, "/v1/tenants", TOKEN).send().await.is(200).json();
    let mut states: Vec<_> = list["tenants"].as_array().unwrap().iter().map(|card| card["state"].as_str()).collect();
    states.sort_unstable();
    states.dedup();
    assert_eq!(states.len(), 5, "a tenant in every state: {list}");
    let description = format!("http://{}/v1/openapi.json", sidecar.admin);
    let token = format!("Authorization: Bearer {TOKEN}");
    let process = start(
        &world,
        "schemathesis",
        &["run", &description, "--checks", "all", "-H", &token, "--max-time", BUDGET, "--seed", "1", "--no-color"],
    );
    let exit = process.exited_within(PATIENCE * 4).await;
    assert!(exit.status.success(), "{}\n{}", exit.stdout, exit.stderr);
    println!("{}", exit.stdout);
    let written = sidecar.stop().await.stderr;
    assert!(!written.contains(TOKEN) && !written.contains("panicked"), "{written}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_of_the_description_is_one() {
    let world = World::new().await;
    let [examples, description] = ["tests/it/process/openapi/examples.py", "src/admin/openapi/openapi.json"]
        .map(|path| format!("{}/{path}", env!("CARGO_MANIFEST_DIR")));
    let exit = start(&world, "python", &[&examples, &description]).exited().await;
    assert!(exit.status.success(), "{}", exit.stderr);
    assert!(exit.stdout.trim().parse::<u32>().is_ok_and(|examples| examples > 20), "{}", exit.stdout);
}
