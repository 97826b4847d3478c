//! The password of the store's server, whatever becomes of the server.

use std::fs;

use tokio::task::block_in_place;

use super::{Leavings, Secrets};
use crate::{
    process::{
        engines::Place,
        http::{DECKS, ask, get},
        world::{Life, STORE_URL, World},
    },
    servers::{
        postgres::{OWNER, PostgresServer},
        redis::RedisServer,
    },
    support::until,
};

const REDIS_PASSWORD: &str = "redis-password-canary-Hv3Kq8";
const WRONG: &str = "wrong-password-canary-Pz7Lm2";

/// Runs a sidecar on the store in `place`, while `shut_out` refuses to know its password any more and `let_in` knows it
/// again.
async fn nothing_tells_the_password(place: Place, password: &str, shut_out: impl Fn(), let_in: impl Fn()) {
    let (mut secrets, mut leavings) = (Secrets::default(), Leavings::default());
    secrets.add("the password", password);
    secrets.add("a wrong password", WRONG);
    let mut world = World::at(place).await;
    world.set("log", "level = \"trace,access=trace\"").set("refresh", "min_interval = \"0s\"");
    world.connect_all(&["warm", "cold"], Life::Expired).await;
    let sidecar = world.start().await;
    leavings.add("command line", fs::read(format!("/proc/{}/cmdline", sidecar.process.id())).unwrap());
    assert_eq!(ask(sidecar.proxy, &get(DECKS, "warm")).await.status, 200);

    block_in_place(&shut_out);
    let readyz = async || ask(sidecar.admin, b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    until("the store is out of reach", async || readyz().await.text().contains("store_unreachable")).await;
    for (tenant, code) in [("cold", "store_unavailable"), ("warm", "")] {
        let answer = ask(sidecar.proxy, &get(DECKS, tenant)).await;
        assert_eq!(answer.code(), code);
        leavings.add("responses", answer.head + &String::from_utf8_lossy(&answer.body));
    }
    for path in ["/metrics", "/readyz", "/healthz"] {
        let answer = ask(sidecar.admin, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await;
        leavings.add(format!("admin {path}"), answer.head + &String::from_utf8_lossy(&answer.body));
    }
    let commands: [&[&str]; 3] = [&["check"], &["serve"], &["tenant", "list"]];
    for command in commands {
        let exit = world.command(command).run().await;
        assert_eq!(exit.status.code(), Some(1), "{command:?}");
        leavings.add(format!("{command:?} while it is shut out"), exit.stderr + &exit.stdout);
    }
    block_in_place(&let_in);
    until("the store is in reach", async || ask(sidecar.proxy, &get(DECKS, "cold")).await.status == 200).await;

    for wrong in [password.to_owned() + WRONG, format!("{password}@{WRONG}"), format!("{password}/{WRONG}")] {
        let right = fs::read_to_string(world.path(STORE_URL)).unwrap();
        world.write_secret(STORE_URL, &right.replace(password, &wrong));
        for command in commands {
            let exit = world.command(command).run().await;
            assert!(!exit.status.success(), "{command:?}");
            leavings.add(format!("{command:?} with a wrong URL"), exit.stderr + &exit.stdout);
        }
        world.write_secret(STORE_URL, &right);
    }
    let exit = sidecar.stop().await;
    assert!(exit.stderr.contains("the store is out of reach"), "the log tells of what happened");
    leavings.add("standard error", exit.stderr + &exit.stdout);
    leavings.add_files(world.dir.path(), &["key", STORE_URL]);
    leavings.assert_clean_of(&secrets);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_of_a_redis_server_stays_inside() {
    let server = RedisServer::start(&[]);
    let tell = |command: String| {
        let _: String = server.tell(&command);
    };
    let known = format!("ACL SETUSER sidecar on >{REDIS_PASSWORD} ~* +@all");
    tell(known.clone());
    let place = Place::Redis(format!("redis://sidecar:{REDIS_PASSWORD}@127.0.0.1:{}/0", server.port()));
    let shut_out = || {
        tell("ACL SETUSER sidecar resetpass".into());
        let _: u64 = server.tell("CLIENT KILL USER sidecar");
    };
    nothing_tells_the_password(place, REDIS_PASSWORD, shut_out, || tell(known.clone())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_of_a_postgresql_server_stays_inside() {
    let server = PostgresServer::shared();
    let database = server.database();
    let allow = |allowed: bool| {
        server.sql("postgres", &format!("ALTER DATABASE {database} ALLOW_CONNECTIONS {allowed}"));
        let its = format!("FROM pg_stat_activity WHERE datname = '{database}'");
        server.sql("postgres", &format!("SELECT pg_terminate_backend(pid) {its}"));
    };
    let place = Place::Postgres(server.url(&database));
    nothing_tells_the_password(place, OWNER.1, || allow(false), || allow(true)).await;
}
