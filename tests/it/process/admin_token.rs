//! The admin token that sidecars make for themselves.

use std::{fs, os::unix::fs::MetadataExt};

use http::Method;

use super::world::World;
use crate::support::process::Sidecar;

async fn status(sidecar: &Sidecar, token: &str) -> u16 {
    sidecar.api(Method::GET, "/v1/tenants", token).send().await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sidecars_of_one_state_directory_agree_on_a_token_that_nobody_else_can_read() {
    let world = World::new().await;
    // The store and its key are there, so that what is made at the same moment is the token alone.
    drop(world.store().await);
    let (one, other) = tokio::join!(world.start(), world.start());
    let file = world.path("admin-token");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let token = world.admin_token();
    assert_eq!((status(&one, &token).await, status(&other, &token).await), (200, 200));
    assert_eq!(status(&one, "x").await, 401);
    let mut written = one.stop().await.stderr;
    let again = world.start().await;
    assert_eq!(status(&again, &token).await, 200, "the same after the next start");
    written.push_str(&again.stop().await.stderr);
    written.push_str(&other.stop().await.stderr);
    assert_eq!(written.matches("an admin token was made").count(), 1, "{written}");
    assert!(!written.contains(&token), "{written}");
}
