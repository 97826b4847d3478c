//! The description of the API against the running binary: schemathesis, which makes requests out of it, good ones and
//! bad ones, and checks every answer.

use std::path::PathBuf;

use flexslot_proxy::{
    model::{Clock, GrantState, SystemClock},
    sandbox::Client,
};

use super::world::{CLIENT, Life, World};
use crate::support::process::{Exit, Launch, Sidecar};

const TOKEN: &str = "admin-token-of-schemathesis";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a program of the environment that scripts/test makes; it has to be there: a test that skips itself tests
/// nothing.
async fn run(world: &World, program: &str, args: &[&str], input: &str) -> Exit {
    let program = root().join("target/schemathesis/bin").join(program);
    let hooks = root().join("tests/it/process/openapi/hooks.py");
    let launch = Launch::program(world.dir.path(), &program, args)
        .env("SCHEMATHESIS_HOOKS", &hooks.display().to_string())
        .env("HOME", &world.dir.path().display().to_string())
        .env("LANG", "C.UTF-8")
        .input(input);
    let process =
        launch.try_spawn().unwrap_or_else(|error| panic!("{}: {error}; scripts/test installs it", program.display()));
    process.exited().await
}

/// A sidecar with a tenant in every state.
async fn furnished() -> (World, Sidecar) {
    let mut world = World::new().await;
    world.write_secret("admin-token", TOKEN);
    world.set("admin", "token = { file = \"admin-token\" }");
    world.set("admin", "return_origins = [\"https://app.example.com\"]");
    world.append("[[tenants]]\nname = \"of-file\"\npat = { file = \"pat\" }\n");
    world.write_secret("pat", world.sandbox.add_pat("of-file").expose());
    world.connect_all(&["acme", "beta", "gamma"], Life::Fresh).await;
    world.give_pat("acme").await;
    world.give_pat("pat-only").await;
    let sidecar = world.start().await;
    (world, sidecar)
}
