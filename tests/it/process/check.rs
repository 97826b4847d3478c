//! `check` and `serve` on stores in every state: one clear line each, and never the password.

use flexslot_proxy::{
    model::{FileAccess, Random},
    store::{backend::Revision, keyfile::KeyFile},
};

use super::{
    engines::{DURABLE, Engine, Place},
    world::{STORE_URL, World},
};
use crate::{
    servers::{
        postgres::{Disk, OWNER, PostgresServer},
        redis::RedisServer,
    },
    support::process::Exit,
};

const REDIS_PASSWORD: &str = "redis-password-canary";
const WRONG: &str = "wrong-password-canary";

async fn check(world: &World) -> Exit {
    let exit = world.command(&["check"]).run().await;
    assert!(!format!("{exit:?}").contains("canary"), "{exit:?}");
    exit
}

/// The lines of `check` that begin with a word, such as `WARN`.
fn lines<'e>(exit: &'e Exit, word: &str) -> Vec<&'e str> {
    exit.stdout.lines().filter(|line| line.starts_with(word)).collect()
}

fn assert_good(exit: &Exit) {
    assert!(exit.status.success() && lines(exit, "ok").len() == exit.stdout.lines().count(), "{exit:?}");
}

/// One line that fails.
fn assert_fails(exit: &Exit, said: &str) {
    let failed = lines(exit, "FAIL");
    assert!(exit.status.code() == Some(1) && failed.len() == 1 && failed[0].contains(said), "{exit:?}");
}

/// The same, and on the next line what to do.
fn assert_fails_with_hint(exit: &Exit, said: &str) {
    assert_fails(exit, said);
    assert_eq!(lines(exit, "hint: ").len(), 1, "{exit:?}");
}

/// `serve` ends with one line that says so.
async fn assert_serve_fails(world: &World, said: &str) {
    let exit = world.command(&["serve"]).run().await;
    assert!(!format!("{exit:?}").contains("canary"), "{exit:?}");
    let told: Vec<_> = exit.stderr.lines().filter(|line| !line.starts_with("hint: ")).collect();
    assert!(exit.status.code() == Some(1) && told.len() == 1 && told[0].contains(said), "{exit:?}");
}

#[tokio::test]
async fn check_finds_a_store_in_a_file_good() {
    let world = World::on(Engine::Sqlite).await;
    world.store().await;
    world.write_config();
    assert_good(&check(&world).await);
}

/// Mostly misspelt.
#[tokio::test]
async fn check_names_the_tenants_that_are_named_and_that_nobody_knows() {
    let mut world = World::on(Engine::Sqlite).await;
    world.give_pat("acme").await;
    world.set("server", "default_tenant = \"acme\"");
    world.write_secret("app.token", "0123456789abcdef0123456789abcdef");
    world.append(
        "[[server.callers]]\nname = \"app\"\ntoken = { file = \"app.token\" }\ntenants = [\"acme\", \"acmee\"]\n",
    );
    world.write_config();
    let exit = check(&world).await;
    let warned = lines(&exit, "WARN");
    assert!(exit.status.success() && warned.len() == 1, "{exit:?}");
    assert!(warned[0].contains("server.callers, \"app\", names acmee, which has no credential"), "{}", warned[0]);
    assert_eq!(lines(&exit, "hint: "), ["hint: mend the name; or connect it: flexslot-proxy connect acmee"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_makes_no_store_on_a_server() {
    for engine in [Engine::Redis, Engine::Postgres] {
        let world = World::on(engine).await;
        KeyFile::new(world.path("key"), FileAccess::Private).create(&Random::system()).expect("a key");
        world.write_config();
        for _ in 0..2 {
            let exit = check(&world).await;
            assert_good(&exit);
            assert!(exit.stdout.contains("does not exist yet; serve creates it, with the configured key"), "{exit:?}");
        }
        world.store().await;
        let exit = check(&world).await;
        assert!(exit.stdout.contains("takes and gives back"), "{exit:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_takes_no_store_into_use() {
    for engine in [Engine::Sqlite, Engine::Redis, Engine::Postgres] {
        let world = World::on(engine).await;
        KeyFile::new(world.path("key"), FileAccess::Private).create(&Random::system()).expect("a key");
        world.write_config();
        let backend = world.backend().await;
        let exit = check(&world).await;
        assert_good(&exit);
        assert!(exit.stdout.contains("does not exist yet; serve creates it, with the configured key"), "{exit:?}");
        assert_eq!(backend.changes(Revision(0), 10).await, Ok((Revision(0), vec![])), "{engine:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_tells_what_is_wrong_with_redis() {
    let mut server = RedisServer::start(&DURABLE);
    let _: String = server.tell(&format!("ACL SETUSER sidecar on >{REDIS_PASSWORD} ~* +@all"));
    let url = |password: &str| format!("redis://sidecar:{password}@127.0.0.1:{}/0", server.port());
    let (right, wrong) = (url(REDIS_PASSWORD), url(WRONG));
    let world = World::at(Place::Redis(right.clone())).await;
    world.store().await;
    world.write_config();
    assert_good(&check(&world).await);

    world.write_secret(STORE_URL, &wrong);
    assert_fails_with_hint(&check(&world).await, "refuses the user name or the password");
    assert_serve_fails(&world, "refuses the user name or the password").await;
    world.write_secret(STORE_URL, &right);

    let _: String = server.tell("CONFIG SET appendonly no");
    let forgetful = check(&world).await;
    assert!(forgetful.status.success() && lines(&forgetful, "FAIL").is_empty(), "{forgetful:?}");
    let warned = lines(&forgetful, "WARN");
    assert!(warned.len() == 1 && warned[0].contains("set appendonly yes"), "{forgetful:?}");

    server.stop();
    assert_fails(&check(&world).await, "no connection");
    assert_serve_fails(&world, "no connection").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_tells_what_is_wrong_with_postgresql() {
    let server = PostgresServer::start(Disk::Synced, "");
    let database = server.database();
    let world = World::at(Place::Postgres(server.url(&database))).await;
    world.store().await;
    world.write_config();
    assert_good(&check(&world).await);

    world.write_secret(STORE_URL, &server.url_for((OWNER.0, WRONG), &database));
    assert_fails_with_hint(&check(&world).await, "password authentication failed");
    assert_serve_fails(&world, "password authentication failed").await;
    world.write_secret(STORE_URL, &server.url(&database));

    server.stop();
    assert_fails(&check(&world).await, "localhost");
    assert_serve_fails(&world, "localhost").await;
}
