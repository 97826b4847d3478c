//! What a running sidecar logs, against docs/logging.md.

use rustix::process::Signal;

use super::{
    http::{DECKS, ask, get},
    world::{Life, World},
};
use crate::docs::logging::{Kind, Specified};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_is_as_it_is_specified() {
    let world = World::new().await;
    let acme = world.connect("acme", Life::Fresh).await;
    world.sandbox.expire_access(acme.grant).unwrap();
    let sidecar = world.start().await;
    for (path, tenant, status) in [
        (DECKS, "acme", 200),
        (DECKS, "nobody", 401),
        ("/elsewhere", "acme", 404),
        ("/api/public/v1/x/../y", "acme", 400),
    ] {
        assert_eq!(ask(sidecar.proxy, &get(path, tenant)).await.status, status, "{path} {tenant}");
    }
    world.sandbox.revoke_grant(acme.grant).unwrap();
    assert_eq!(ask(sidecar.proxy, &get(DECKS, "acme")).await.status, 401);
    sidecar.process.signal(Signal::HUP);
    sidecar.process.says("the new configuration is in use").await;
    let written = sidecar.stop().await.stderr;

    let specified = Specified::read();
    let kinds = written.lines().map(|line| {
        let line = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        specified.check(&line)
    });
    let (access, others): (Vec<Kind>, Vec<Kind>) =
        kinds.filter(|kind| *kind != Kind::Unspecified).partition(|kind| *kind == Kind::Access);
    assert_eq!(access.len(), 5, "{written}");
    assert!(others.len() > 3, "{written}");
}
