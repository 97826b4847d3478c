//! `health` and `explain`, which ask a sidecar that runs.

use std::{fs, net::SocketAddr, sync::Arc};

use http::Method;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    http::{Answer, DECKS, ask, get},
    world::{Life, World},
};
use crate::support::{
    Call, ClosedPort, Reach, free_port,
    process::{Exit, Launch, Sidecar},
    until,
};

fn id(answer: &Answer) -> String {
    let line = |line: &str| {
        line.to_ascii_lowercase().strip_prefix("flexslot-proxy-request-id:").map(|id| id.trim().to_owned())
    };
    answer.head.lines().find_map(line).expect("a request id")
}

/// Runs a command that asks `sidecar`, whose port stands in no configuration.
async fn asks(world: &World, sidecar: &Sidecar, args: &[&str]) -> Exit {
    let admin = sidecar.admin.to_string();
    world.command(&[args, &["--admin-listen", &admin]].concat()).run().await
}

/// Waits until the sidecar is ready, as `health` says with these flags.
async fn ready(world: &World, flags: &[&str]) {
    let probe = world.command(&[&["health"], flags].concat());
    until("a ready sidecar", async || probe.run().await.stdout == "ready\n").await;
}

#[track_caller]
fn says(exit: &Exit, status: i32, text: &str) {
    assert_eq!(exit.status.code(), Some(status), "{}{}", exit.stdout, exit.stderr);
    let told = if status == 0 { &exit.stdout } else { &exit.stderr };
    assert!(told.contains(text), "{text} is not in: {told}");
}

#[tokio::test]
async fn a_request_is_explained_to_people_and_to_programs() {
    let world = World::new().await;
    world.connect("acme", Life::Expired).await;
    let sidecar = world.start().await;
    let good = id(&ask(sidecar.proxy, &get(DECKS, "acme")).await);
    let story = asks(&world, &sidecar, &["explain", &good]).await;
    for part in [
        "GET /api/public/v1/decks/",
        &good,
        "for acme, named by the header",
        "oauth: taken, fresh, version 2",
        "200, handed over whole",
    ] {
        says(&story, 0, part);
    }
    assert!(!story.stdout.contains('\u{1b}') && !story.stdout.contains("next:"), "{}", story.stdout);
    let document: Value =
        serde_json::from_str(&asks(&world, &sidecar, &["explain", "--json", &good]).await.stdout).unwrap();
    assert_eq!((&document["request_id"], &document["status"]), (&Value::from(good), &Value::from(200)));

    let failed = id(&ask(sidecar.proxy, &get(DECKS, "nobody")).await);
    let story = asks(&world, &sidecar, &["explain", &failed]).await;
    for part in [
        "neither the store nor the configuration knows this tenant",
        "answered by the sidecar itself: not_connected",
        "\nnext: ",
        "flexslot-proxy connect nobody",
    ] {
        says(&story, 0, part);
    }
    says(&asks(&world, &sidecar, &["explain", "00000000-1"]).await, 1, "no trace of this request");
    says(&asks(&world, &sidecar, &["explain", "not-an-id"]).await, 2, "a request id looks like d067bdbd-1f");
}

#[tokio::test]
async fn whoever_cannot_ask_is_told_why() {
    let world = World::new().await;
    let sidecar = world.start().await;
    ready(&world, &["--admin-listen", &sidecar.admin.to_string()]).await;
    let token = fs::read_to_string(world.path("admin-token")).unwrap();
    world.write_secret("admin-token", "another-token");
    says(&asks(&world, &sidecar, &["explain", "00000000-1"]).await, 1, "refuses the admin token");
    fs::remove_file(world.path("admin-token")).unwrap();
    says(&asks(&world, &sidecar, &["explain", "00000000-1"]).await, 1, "there is no admin token");
    world.write_secret("admin-token", &token);
    says(&world.command(&["explain", "00000000-1"]).run().await, 1, "port is 0 in this configuration");
    says(&world.command(&["explain", "00000000-1", "--admin-listen", "off"]).run().await, 1, "admin listener is off");
    let closed = ClosedPort::new().address.to_string();
    says(&world.command(&["explain", "00000000-1", "--admin-listen", &closed]).run().await, 1, "no sidecar listens");
    let flexslot = world.origin().trim_start_matches("http://").to_owned();
    says(&world.command(&["health", "--admin-listen", &flexslot]).run().await, 1, "is not a sidecar's of this version");
}

/// What a stranger at the address reads of each connection, whose requests it has `answer` answer.
async fn stranger<F>(answer: impl Fn(String) -> F + Send + 'static) -> (SocketAddr, Arc<Mutex<String>>)
where
    F: Future<Output = String> + Send,
{
    let listener = free_port();
    let address = listener.local_addr().unwrap();
    let read = Arc::new(Mutex::new(String::new()));
    let all = Arc::clone(&read);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut head).await {
                let head = String::from_utf8_lossy(&head[..count]).into_owned();
                all.lock().push_str(&head);
                let answered = answer(head).await;
                stream.write_all(answered.as_bytes()).await.unwrap();
            }
        }
    });
    (address, read)
}

#[tokio::test]
async fn who_has_taken_the_port_is_not_sent_the_admin_token() {
    let world = World::new().await;
    let sidecar = world.start().await;
    let token = world.admin_token();
    let answers = [
        "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"proof\":\"\"}".to_owned(),
        "HTTP/1.1 201 Created\r\nContent-Length: 54\r\n\r\n{\"url\":\"http://a\",\"expires_at\":\"2026-11-20T18:45:00Z\"}".to_owned(),
    ];
    for answer in answers {
        let (address, read) = stranger(move |_| std::future::ready(answer.clone())).await;
        for command in [&["page"][..], &["explain", "00000000-1"]] {
            let exit = world.command(&[command, &["--admin-listen", &address.to_string()]].concat()).run().await;
            says(&exit, 1, "does not show that it has the admin token");
        }
        let read = read.lock();
        assert!(read.contains("GET /v1/proof?nonce=") && !read.contains(&token), "{read}");
        assert!(!read.to_lowercase().contains("authorization"), "{read}");
    }
    // One that asks the sidecar itself, which is reached elsewhere.
    let admin = sidecar.admin;
    let (address, read) = stranger(move |head| async move {
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let reply = Call::new(Reach::Tcp(admin), Method::GET, path).send().await;
        let body = reply.is(200).text();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    })
    .await;
    let exit = world.command(&["page", "--admin-listen", &address.to_string()]).run().await;
    says(&exit, 1, "does not show that it has the admin token");
    let read = read.lock().clone();
    assert!(read.contains("GET /v1/proof?nonce=") && !read.contains(&token), "{read}");
    says(&asks(&world, &sidecar, &["page"]).await, 0, "/sign-in/");
}

#[tokio::test]
async fn a_ready_sidecar_is_healthy_and_needs_no_configuration_to_say_so() {
    let world = World::new().await;
    let sidecar = world.start().await;
    let admin = sidecar.admin.to_string();
    ready(&world, &["--admin-listen", &admin]).await;
    let elsewhere = tempfile::tempdir().unwrap();
    for args in [&["health"][..], &["health", "--strict"]] {
        let probe = Launch::sidecar(elsewhere.path(), &[args, &["--admin-listen", &admin]].concat());
        assert_eq!(probe.run().await.stdout, "ready\n", "without a file, a variable or a home");
    }
    let probe = Launch::sidecar(elsewhere.path(), &["health"]).env("FLEXSLOT_PROXY_ADMIN_LISTEN", &admin);
    assert_eq!(probe.run().await.stdout, "ready\n");
    sidecar.stop().await;
    let probe = Launch::sidecar(elsewhere.path(), &["health", "--admin-listen", &admin]).run().await;
    says(&probe, 1, "no sidecar listens");
    assert_eq!(probe.stdout, "");
}

/// Answers one connection with this, as a sidecar in that state does.
async fn stand_in(status: &str, body: &str) -> SocketAddr {
    let listener = free_port();
    let address = listener.local_addr().unwrap();
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _head = stream.read(&mut [0; 4096]).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    address
}

#[tokio::test]
async fn degraded_is_healthy_unless_strict() {
    let elsewhere = tempfile::tempdir().unwrap();
    let degraded = r#"{"status":"degraded","reasons":["store_unreachable","custody_pending"]}"#;
    for (answer, body, status, told) in [
        ("200 OK", degraded, 0, "degraded: store_unreachable, custody_pending\n"),
        (
            "503 Service Unavailable",
            degraded,
            1,
            "error: the sidecar is not ready: degraded: store_unreachable, custody_pending\n",
        ),
        ("503 Service Unavailable", r#"{"status":"draining"}"#, 1, "error: the sidecar is not ready: draining\n"),
    ] {
        let address = stand_in(answer, body).await.to_string();
        let exit = Launch::sidecar(elsewhere.path(), &["health", "--admin-listen", &address]).run().await;
        assert_eq!((exit.status.code(), exit.stdout + &exit.stderr), (Some(status), told.to_owned()));
    }
}

/// The configuration of the world with this `[admin]`.
fn toml_with(world: &World, admin: &str) -> String {
    world.toml().replace("listen = \"127.0.0.1:0\"\n[log]", &format!("{admin}\n[log]"))
}

#[tokio::test]
async fn health_is_asked_on_a_unix_socket() {
    let world = World::new().await;
    fs::write(world.path("proxy.toml"), toml_with(&world, "listen = \"unix:admin.sock\"")).unwrap();
    let sidecar = world.launch().spawn();
    sidecar.says("is listening").await;
    ready(&world, &[]).await;
}

#[tokio::test]
async fn health_is_asked_of_the_metrics_listener_where_admin_is_off() {
    let world = World::new().await;
    let off = |metrics: &str| toml_with(&world, &format!("listen = \"off\"\nmetrics_listen = \"{metrics}\""));
    fs::write(world.path("proxy.toml"), off("127.0.0.1:0")).unwrap();
    let sidecar = world.launch().spawn();
    let address = |line: &Value| line["admin"].as_str()?.strip_prefix("http://").map(str::to_owned);
    let address = sidecar.log("is listening", address).await;
    let probe = Launch::sidecar(world.dir.path(), &["health", "--config", "probe.toml"]);
    fs::write(world.path("probe.toml"), off(&address)).unwrap();
    until("a ready sidecar", async || probe.run().await.stdout == "ready\n").await;
    fs::write(world.path("probe.toml"), off("off")).unwrap();
    says(&probe.run().await, 1, "nobody to ask");
}

/// As when somebody edits a ConfigMap: the sidecar goes on, and its probe does not have it started again.
#[tokio::test]
async fn health_heeds_no_fault_of_the_file_but_those_of_its_own_section() {
    let world = World::new().await;
    let sidecar = world.start().await;
    let admin = format!("[admin]\nlisten = \"{}\"\n", sidecar.admin);
    let probe = Launch::sidecar(world.dir.path(), &["health", "--config", "probe.toml"]);
    for faulty in [
        "[upstream]\nurl = 7\nno-such-key = 1\n",
        "[limits]\nconnections = \n",
        "[[tenants]]\nalow = [\"decks:read\"]\n",
    ] {
        fs::write(world.path("probe.toml"), format!("{admin}{faulty}")).unwrap();
        until("a ready sidecar", async || probe.run().await.stdout == "ready\n").await;
    }
    fs::write(world.path("probe.toml"), format!("{admin}lissten = 1\n")).unwrap();
    says(&probe.run().await, 2, "admin.lissten");
}
