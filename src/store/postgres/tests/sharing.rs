//! Several engines on one database.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::timeout};

use super::{PATIENCE, done, open, put};
use crate::store::{
    backend::{Backend, Expect, Revision, Written},
    servers::postgres::PostgresServer,
};

const SHARED: fn() -> &'static PostgresServer = PostgresServer::shared;

/// Each write has a row of its own, so that a revision which was passed over would never be seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_follows_the_feed_sees_every_revision_of_many_writers_in_order() {
    const WRITERS: usize = 8;
    const ROUNDS: usize = 50;
    let url = SHARED().url(&SHARED().database());
    let engines = [Arc::new(open(&url).await.expect("opened")), Arc::new(open(&url).await.expect("opened"))];
    let reader = open(&url).await.expect("opened");
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let engine = Arc::clone(&engines[writer % 2]);
        writers.spawn(async move {
            let mut revisions = Vec::new();
            for round in 0..ROUNDS {
                revisions.push(done(&engine, &format!("{writer}-{round}")).await);
            }
            revisions
        });
    }
    let follow = async {
        let (mut since, mut seen) = (Revision(0), Vec::new());
        while seen.len() < WRITERS * ROUNDS {
            let (head, keys) = reader.changes(since, 7).await.expect("read");
            assert!(keys.iter().all(|(_, revision)| *revision > since && *revision <= head));
            seen.extend(keys.iter().map(|(_, revision)| revision.0));
            // As far as the answer goes, like everybody who follows.
            since = keys.last().filter(|_| keys.len() >= 7).map_or(head, |(_, last)| *last);
        }
        seen
    };
    let seen = timeout(2 * PATIENCE, follow).await.expect("none is missed");
    let all: Vec<u64> = (1..=(WRITERS * ROUNDS) as u64).collect();
    assert_eq!(seen, all);
    let mut answered: Vec<u64> = writers.join_all().await.into_iter().flatten().map(|revision| revision.0).collect();
    answered.sort_unstable();
    assert_eq!(answered, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_wait_together_go_together_and_each_has_its_own_answer() {
    let database = SHARED().database();
    let store = Arc::new(open(&SHARED().url(&database)).await.expect("opened"));
    let first = done(&store, "row").await;
    let mut writers = JoinSet::new();
    for _ in 0..40 {
        let (store, mut change) = (Arc::clone(&store), put("row"));
        change.expect = Expect::Revision(first);
        writers.spawn(async move { store.write(vec![change]).await.expect("answered") });
    }
    let written = writers.join_all().await;
    let won = written.iter().filter(|written| matches!(written, Written::Done(_))).count();
    assert_eq!((won, written.len()), (1, 40));
    assert_eq!(store.changes(first, 10).await.map(|(head, _)| head), Ok(Revision(first.0 + 1)), "no gap");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_an_import_is_written_whole() {
    let store = open(&SHARED().url(&SHARED().database())).await.expect("opened");
    let batch: Vec<_> = (0..1000).map(|n| put(&format!("tenant-{n}"))).collect();
    assert_eq!(store.write(batch).await, Ok(Written::Done(Revision(1))));
    assert_eq!(store.changes(Revision(0), 1).await.expect("read").1.len(), 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_of_use_and_writes_do_not_hinder_each_other() {
    let store = Arc::new(open(&SHARED().url(&SHARED().database())).await.expect("opened"));
    let names: Vec<_> = (0..50).map(|n| format!("tenant-{n}")).collect();
    let now = store.now().await.expect("a time");
    let mut work = JoinSet::new();
    for round in 0_u64..20 {
        let (store, mut names) = (Arc::clone(&store), names.clone());
        if round % 2 == 0 {
            names.reverse();
        }
        let at = now.plus(Duration::from_millis(round));
        work.spawn(async move {
            let used: Vec<_> = names.iter().map(|name| (put(name).key, at)).collect();
            let changes = names.iter().map(|name| put(name)).collect();
            let (touched, written) = tokio::join!(store.touch(&used), store.write(changes));
            touched.is_ok() && matches!(written, Ok(Written::Done(_)))
        });
    }
    assert!(work.join_all().await.into_iter().all(|done| done));
    let last = now.plus(Duration::from_secs(1));
    store.touch(&[(put("tenant-1").key, last)]).await.expect("noted");
    let rows = store.get(&[put("tenant-1").key]).await.expect("read");
    assert_eq!(rows[0].as_ref().and_then(|row| row.last_used), Some(last));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_passes_over_what_only_a_newer_program_knows() {
    let database = SHARED().database();
    let store = open(&SHARED().url(&database)).await.expect("opened");
    let mut revisions = Vec::new();
    for name in ["a", "x", "y", "b"] {
        revisions.push(done(&store, name).await);
    }
    SHARED().sql(&database, "UPDATE flexslot_proxy.records SET kind = 99 WHERE name IN ('x', 'y')");
    let keys = vec![(put("a").key, revisions[0]), (put("b").key, revisions[3])];
    assert_eq!(store.changes(Revision(0), 2).await, Ok((revisions[3], keys)));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cost_durability_are_named() {
    let database = SHARED().database();
    let store = open(&SHARED().url(&database)).await.expect("opened");
    SHARED().sql(&database, "ALTER TABLE flexslot_proxy.leases SET UNLOGGED");
    let caveats = store.caveats().await.expect("read");
    assert_eq!(caveats.len(), 2, "{caveats:?}");
    assert!(caveats[0].contains("fsync is off") && caveats[1].contains("unlogged"), "{caveats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_database_sets_for_its_sessions_does_not_weaken_ours() {
    let database = SHARED().database();
    for (setting, weak, ours) in [
        ("synchronous_commit", "off", "on"),
        ("synchronous_commit", "remote_apply", "remote_apply"),
        ("default_transaction_isolation", "serializable", "read committed"),
        ("statement_timeout", "0", "16s"),
        ("lock_timeout", "0", "12s"),
        ("idle_in_transaction_session_timeout", "0", "8s"),
    ] {
        SHARED().sql("postgres", &format!("ALTER DATABASE {database} SET {setting} = '{weak}'"));
        let store = open(&SHARED().url(&database)).await.expect("opened");
        let shown = store.reader.run(|session| async move {
            let rows = session.client().query(&format!("SHOW {setting}"), &[]).await?;
            Ok(rows[0].get::<_, String>(0))
        });
        assert_eq!(shown.await.as_deref(), Ok(ours), "{setting}");
    }
}
