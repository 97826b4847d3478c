//! The server goes away, stands still, or throws us out.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::{Instant, timeout};
use tokio_postgres::NoTls;

use super::{PATIENCE, done, open, params, put, unavailable};
use crate::{
    model::Random,
    store::{
        backend::{Backend, Revision, Written},
        postgres::{Postgres, PostgresParams, params::Target, session::Opener},
        servers::postgres::{Disk, PostgresServer},
    },
};

const SHARED: fn() -> &'static PostgresServer = PostgresServer::shared;

fn impatient(url: &str, timeout: Duration) -> PostgresParams {
    PostgresParams { timeout, ..params(url) }
}

/// A superuser's session that holds the lock that every write needs.
async fn lock_held(database: &str) -> tokio_postgres::Client {
    let (dir, port) = (SHARED().dir().display(), SHARED().port());
    let (client, connection) =
        tokio_postgres::connect(&format!("host={dir} port={port} user=postgres dbname={database}"), NoTls)
            .await
            .expect("connected");
    tokio::spawn(connection);
    client.batch_execute("BEGIN; SELECT * FROM flexslot_proxy.store FOR UPDATE").await.expect("locked");
    client
}

/// The process id of a backend, another one than `before`, that waits for a lock in `database`.
async fn waiting_for_a_lock(database: &str, before: &str) -> String {
    let sql = format!(
        "SELECT pid FROM pg_stat_activity WHERE datname = '{database}' AND wait_event_type = 'Lock'
            AND query LIKE '%FOR NO KEY UPDATE'"
    );
    let looked = timeout(PATIENCE, async {
        loop {
            let pid = SHARED().sql("postgres", &sql);
            if !pid.trim().is_empty() && pid.trim() != before {
                return pid.trim().to_owned();
            }
            tokio::task::yield_now().await;
        }
    });
    looked.await.expect("the write waits for the lock")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_restarted_is_used_again() {
    let server = PostgresServer::start(Disk::Unsynced, "");
    let store = open(&server.url(&server.database())).await.expect("opened");
    let first = done(&store, "a").await;
    server.stop();
    assert!(unavailable(store.now().await).contains("localhost"));
    assert!(unavailable(store.write(vec![put("b")]).await).contains("tried again"));
    server.start_again();
    assert_eq!(store.changes(Revision(0), 10).await.map(|(head, _)| head), Ok(first));
    assert!(done(&store, "b").await > first);

    let connections = async || store.pulse(&put("a").key).await.expect("a pulse").connections;
    let before = connections().await;
    assert_eq!(connections().await, before);
    server.stop();
    server.start_again();
    assert_eq!(connections().await, before + 1, "nobody else notices who did not ask meanwhile");
    done(&store, "c").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_hosts_the_one_that_takes_writes_is_used_also_when_it_is_another_one_now() {
    let servers = [SHARED(), &PostgresServer::start(Disk::Unsynced, "")];
    let becomes = |server: &PostgresServer, role: &str| {
        let read_only = if role == "standby" { "on" } else { "off" };
        server.sql("postgres", &format!("ALTER DATABASE failover SET default_transaction_read_only = {read_only}"));
        server.sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'failover'");
    };
    for server in servers {
        server.sql("postgres", "CREATE DATABASE failover OWNER owner");
        let _ = open(&server.url("failover")).await.expect("made");
    }
    let (host, other) = (format!("localhost:{}", servers[0].port()), format!("localhost:{}", servers[1].port()));
    becomes(servers[0], "standby");
    let store = open(&servers[0].url("failover").replace(&host, &format!("{host},{other}"))).await.expect("opened");
    let id = store.store_id().await.expect("an id");
    done(&store, "a").await;
    becomes(servers[0], "primary");
    becomes(servers[1], "standby");
    done(&store, "b").await;
    assert_ne!(store.store_id().await.expect("an id"), id);
}

/// A primary that is paused, or a balancer in front of nobody, takes connections and says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_says_nothing_does_not_hide_the_others() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = SHARED().url(&SHARED().database());
    let silent_host = format!("{}", silent.local_addr().expect("an address"));
    let url = url.replace("localhost", &format!("{silent_host},localhost"));
    let params = impatient(&url, Duration::from_secs(9));
    let store = Postgres::open(&params, Random::system()).await.expect("opened");
    done(&store, "a").await;
    assert_eq!(store.target.hosts.in_order(&Random::system()), [1, 0], "whoever answered goes first from now on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_is_unavailable_in_time_and_used_again_when_it_goes_on() {
    const LIMIT: Duration = Duration::from_secs(2);
    let server = PostgresServer::start(Disk::Unsynced, "");
    let url = server.url(&server.database());
    let store = Postgres::open(&impatient(&url, LIMIT), Random::system()).await.expect("opened");
    done(&store, "a").await;
    server.pause();
    for connection in ["one that was there", "a new one"] {
        let started = Instant::now();
        let (read, written) = tokio::join!(store.now(), store.write(vec![put("b")]));
        assert!(unavailable(read).contains("no answer within 2s"), "{connection}");
        assert!(unavailable(written).contains("no answer within 2s"), "{connection}");
        assert!(started.elapsed() < 4 * LIMIT, "{:?}", started.elapsed());
    }
    server.resume();
    let patient = open(&url).await.expect("opened");
    assert!(done(&patient, "c").await > Revision(0));
    // The machine may be too busy to answer within the limit at once.
    let healed = timeout(PATIENCE, async { while store.write(vec![put("d")]).await.is_err() {} }).await;
    assert!(healed.is_ok() && store.now().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_session_is_ended_before_its_commit_is_done_once_in_another() {
    let database = SHARED().database();
    let store = Arc::new(open(&SHARED().url(&database)).await.expect("opened"));
    let first = done(&store, "a").await;
    let holder = lock_held(&database).await;
    let write = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.write(vec![put("b")]).await }
    });
    let pid = waiting_for_a_lock(&database, "").await;
    SHARED().sql("postgres", &format!("SELECT pg_terminate_backend({pid})"));
    waiting_for_a_lock(&database, &pid).await;
    drop(holder);
    assert_eq!(write.await.expect("done"), Ok(Written::Done(Revision(first.0 + 1))));
    assert_eq!(store.changes(first, 10).await.expect("read").1.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_a_frozen_sidecar_left_open_ends_before_others_give_up() {
    let url = SHARED().url(&SHARED().database());
    let params = impatient(&url, Duration::from_secs(8));
    let store = Postgres::open(&params, Random::system()).await.expect("opened");
    let opener = Opener { target: Arc::new(Target::new(&params).expect("a target")), random: Random::system() };
    let frozen = opener.open().await.expect("opened");
    frozen.client().batch_execute("BEGIN; SELECT * FROM flexslot_proxy.store FOR UPDATE").await.expect("locked");
    assert_eq!(done(&store, "a").await, Revision(1));
    assert!(frozen.client().batch_execute("COMMIT").await.is_err(), "it cannot go on as if nothing had been");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_nobody_gives_back_makes_writes_unavailable_and_nothing_else() {
    let database = SHARED().database();
    let url = SHARED().url(&database);
    let store = Postgres::open(&impatient(&url, Duration::from_secs(3)), Random::system()).await.expect("opened");
    done(&store, "a").await;
    let holder = lock_held(&database).await;
    assert!(unavailable(store.write(vec![put("b")]).await).contains("holds it up"));
    assert_eq!(store.changes(Revision(0), 10).await.map(|(head, _)| head), Ok(Revision(1)));
    drop(holder);
    let healed = timeout(PATIENCE, async { while store.write(vec![put("b")]).await.is_err() {} }).await;
    assert!(healed.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_gone_are_made_anew_with_another_id() {
    let database = SHARED().database();
    let store = open(&SHARED().url(&database)).await.expect("opened");
    let id = store.store_id().await.expect("an id");
    done(&store, "a").await;
    SHARED().sql(&database, "DROP SCHEMA flexslot_proxy CASCADE");
    assert_ne!(store.store_id().await.expect("an id"), id);
    assert_eq!(done(&store, "b").await, Revision(1));

    SHARED().sql("postgres", &format!("DROP DATABASE {database} WITH (FORCE)"));
    assert!(unavailable(store.now().await).contains("does not exist"));
    SHARED().sql("postgres", &format!("CREATE DATABASE {database} OWNER owner"));
    assert_eq!(done(&store, "c").await, Revision(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_the_write_that_it_is_in_and_no_other() {
    let database = SHARED().database();
    let fails = Arc::new(AtomicBool::new(false));
    let random = Random::from_fn({
        let fails = Arc::clone(&fails);
        move |buffer| {
            assert!(!fails.swap(false, Relaxed), "the randomness that a new store's id needs gives out");
            buffer.fill(7);
        }
    });
    let store = Postgres::open(&params(&SHARED().url(&database)), random).await.expect("opened");
    done(&store, "a").await;
    SHARED().sql(&database, "DROP SCHEMA flexslot_proxy CASCADE");
    fails.store(true, Relaxed);
    assert!(unavailable(store.write(vec![put("b")]).await).contains("may have been done"));
    assert_eq!(done(&store, "c").await, Revision(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_there_after_a_crash() {
    // One call for all the files, instead of one for each, when the server comes back.
    let server = PostgresServer::start(Disk::Synced, "recovery_init_sync_method = syncfs");
    let store = open(&server.url(&server.database())).await.expect("opened");
    assert_eq!(store.caveats().await, Ok(vec![]));
    let revision = done(&store, "a").await;
    server.crash();
    server.start_again();
    assert_eq!(store.changes(Revision(0), 10).await.expect("read").1, [(put("a").key, revision)]);
}

/// Raises an error with `code` when records are written: the first time, or each time.
fn failing_writes(database: &str, code: &str, condition: &str) {
    SHARED().sql(
        database,
        &format!(
            "CREATE SEQUENCE public.tries;
             GRANT USAGE ON SEQUENCE public.tries TO PUBLIC;
             CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF nextval('public.tries') {condition} THEN RAISE EXCEPTION 'it fails' USING ERRCODE = '{code}'; END IF;
                RETURN NULL;
             END $$;
             CREATE TRIGGER fail AFTER INSERT OR UPDATE ON flexslot_proxy.records EXECUTE FUNCTION public.fail()"
        ),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is_tried_again() {
    for code in ["40P01", "40001"] {
        let database = SHARED().database();
        let store = Postgres::open(&params(&SHARED().url(&database)), Random::system()).await.expect("opened");
        failing_writes(&database, code, "= 1");
        assert_eq!(done(&store, "a").await, Revision(1), "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_session_is_ended_by_its_commit_is_not_done_again() {
    let database = SHARED().database();
    let store = open(&SHARED().url(&database)).await.expect("opened");
    SHARED().sql(
        &database,
        "CREATE FUNCTION public.leave() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
            PERFORM pg_terminate_backend(pg_backend_pid());
            RETURN NULL;
         END $$;
         CREATE CONSTRAINT TRIGGER leave AFTER INSERT ON flexslot_proxy.records
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.name = 'a') EXECUTE FUNCTION public.leave()",
    );
    let what = unavailable(store.write(vec![put("a")]).await);
    assert!(what.contains("57P01") && what.contains("may have been done"), "{what}");
    assert_eq!(done(&store, "b").await, Revision(1), "the next one has a session of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_has_not_reached_its_standby_is_not_called_done() {
    let server = PostgresServer::start(Disk::Unsynced, "");
    let url = server.url(&server.database());
    let store = Postgres::open(&impatient(&url, Duration::from_secs(2)), Random::system()).await.expect("opened");
    let standby = |name: &str| {
        server.sql("postgres", &format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'"));
        server.sql("postgres", "SELECT pg_reload_conf()");
    };
    done(&store, "a").await;
    standby("nobody");
    // Until the server has read its configuration again.
    let refused = timeout(PATIENCE, async {
        loop {
            match store.write(vec![put("b")]).await {
                Ok(_) => {}
                refused => break unavailable(refused),
            }
        }
    });
    assert!(refused.await.expect("it waits for the standby").contains("no answer within 2s"));
    standby("");
    let healed = timeout(PATIENCE, async { while store.write(vec![put("c")]).await.is_err() {} }).await;
    assert!(healed.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_with_what_to_do() {
    let database = SHARED().database();
    let store = open(&SHARED().url(&database)).await.expect("opened");
    failing_writes(&database, "53100", "> 0");
    let what = unavailable(store.write(vec![put("a")]).await);
    assert!(what.contains("it fails (SQLSTATE 53100)") && what.contains("free space"), "{what}");
    assert!(!what.contains("may have been done"), "the server has said that it was not: {what}");
    assert_eq!(store.changes(Revision(0), 10).await, Ok((Revision(0), vec![])));
}
