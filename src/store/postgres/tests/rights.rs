//! Who may do what, and what lies in the database already.

use std::time::Duration;

use tokio::task::JoinSet;

use super::{OWNER, done, open, params, put, refused, unavailable};
use crate::{
    model::{GrantId, Random, Timestamp, Version, token::Owner},
    store::{
        OpenError, Opening,
        backend::{Backend, Bid, Change, Expect, Kind, Label, Names, Revision, Written},
        postgres::{Postgres, PostgresParams},
        servers::postgres::PostgresServer,
    },
};

const SHARED: fn() -> &'static PostgresServer = PostgresServer::shared;

/// The statements of docs/stores.md that give the role `sidecar` its rights.
fn documented_grants(role: &str) -> String {
    let docs = include_str!("../../../../docs/stores.md");
    let (_, section) = docs.split_once("## PostgreSQL").expect("a section");
    let block = section.split("```sql").skip(1).filter_map(|block| block.split("```").next());
    let grants = block.filter(|block| block.contains("GRANT USAGE ON SCHEMA flexslot_proxy")).collect::<String>();
    assert!(grants.contains("sidecar"), "{grants}");
    grants.replace("sidecar", role)
}

/// A role that may log in, and nothing else.
fn role(database: &str, options: &str) -> (String, String) {
    let name = format!("role_{database}");
    SHARED().sql("postgres", &format!("CREATE ROLE {name} LOGIN PASSWORD '{}' {options}", OWNER.1));
    let url = SHARED().url_for((&name, OWNER.1), database);
    (name, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_with_the_documented_rights_does_everything_that_a_sidecar_does() {
    let database = SHARED().database();
    let (name, url) = role(&database, "");
    let (what, hint) = refused(open(&url).await);
    assert!(what.contains("may not make them") && hint.contains("owner"), "{what}\n{hint}");

    drop(open(&SHARED().url(&database)).await.expect("made by their owner"));
    let (what, hint) = refused(open(&url).await);
    assert!(what.contains("may not use the schema") && hint.contains("GRANT USAGE"), "{what}\n{hint}");

    SHARED().sql(&database, &documented_grants(&name));
    let store = open(&url).await.expect("opened");
    let (grant, due) = (GrantId::from_stored([7; 16]), Some(Timestamp::from_secs(1)));
    let label = Label { grant: Some(grant), version: Some(Version::FIRST), due, ..Label::default() };
    let first = store.write(vec![Change { label, ..put("a") }]).await;
    assert_eq!(first, Ok(Written::Done(Revision(1))));
    let again = Change { expect: Expect::Grant(grant, Version::FIRST), label, ..put("a") };
    assert_eq!(store.write(vec![again]).await, Ok(Written::Done(Revision(2))));
    store.touch(&[(put("a").key, Timestamp::from_secs(5))]).await.expect("noted");
    assert!(store.get(&[put("a").key]).await.expect("read")[0].is_some());
    assert!(store.pulse(&put("a").key).await.expect("a pulse").row.is_some());
    assert_eq!(store.list(Kind::Grant, None, Names::ALL, 5).await.expect("listed").len(), 1);
    assert_eq!(store.changes(Revision(0), 5).await.expect("read").1.len(), 1);
    let (tenant, owner) = ("acme".parse().expect("a name"), Owner { host: "h".into(), instance: "i".into() });
    let by = store.now().await.expect("a time").plus(Duration::from_secs(9));
    for _ in 0..2 {
        assert_eq!(store.bid(&tenant, &owner, Duration::from_secs(9), by).await, Ok(Bid::Won));
    }
    store.release(&tenant, &owner).await.expect("released");
    let now = store.now().await.expect("a time");
    assert_eq!(store.purge(Kind::Grant, now).await, Ok(1));
    assert!(store.store_id().await.is_ok() && store.caveats().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_missing_is_named_before_anything_is_done() {
    let database = SHARED().database();
    let (name, url) = role(&database, "");
    drop(open(&SHARED().url(&database)).await.expect("made"));
    SHARED().sql(&database, &documented_grants(&name));
    for (revoke, named) in [
        ("DELETE ON flexslot_proxy.records", "DELETE ON flexslot_proxy.records"),
        ("UPDATE (head) ON flexslot_proxy.store", "UPDATE ON flexslot_proxy.store"),
        ("SELECT ON flexslot_proxy.schema_version", "schema_version"),
    ] {
        SHARED().sql(&database, &format!("REVOKE {revoke} FROM {name}"));
        let (what, hint) = refused(open(&url).await);
        assert!(what.contains(named) && hint.contains("GRANT"), "{what}\n{hint}");
        SHARED().sql(&database, &format!("GRANT {revoke} TO {name}"));
    }
    open(&url).await.expect("opened");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_an_empty_schema_needs_no_right_to_create_in_the_database() {
    let database = SHARED().database();
    let (name, url) = role(&database, "");
    SHARED().sql(&database, &format!("CREATE SCHEMA flexslot_proxy AUTHORIZATION {name}"));
    done(&open(&url).await.expect("opened"), "a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_is_told_why() {
    let database = SHARED().database();
    let (what, hint) = refused(open(&SHARED().url_for((OWNER.0, "wrong-password-canary"), &database)).await);
    assert!(what.contains("28P01") && hint.contains("password"), "{what}\n{hint}");
    assert!(!format!("{what}{hint}").contains("canary"));
    let (what, hint) = refused(open(&SHARED().url("nowhere")).await);
    assert!(what.contains("\"nowhere\" does not exist") && hint.contains("CREATE DATABASE"), "{what}\n{hint}");
    let without = format!("postgres://{}@localhost:{}/{database}", OWNER.0, SHARED().port());
    let (what, hint) = refused(open(&without).await);
    assert!(what.contains("password missing") && hint.contains("store.url"), "{what}\n{hint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_writes_is_refused() {
    let database = SHARED().database();
    SHARED().sql("postgres", &format!("ALTER DATABASE {database} SET default_transaction_read_only = on"));
    let (what, hint) = refused(open(&SHARED().url(&database)).await);
    assert!(what.contains("does not allow writes") && hint.contains("primary"), "{what}\n{hint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_a_connection_left_says_so() {
    let database = SHARED().database();
    drop(open(&SHARED().url(&database)).await.expect("made"));
    let (name, url) = role(&database, "CONNECTION LIMIT 1");
    SHARED().sql(&database, &documented_grants(&name));
    let store = open(&url).await.expect("opened");
    let what = unavailable(store.write(vec![put("a")]).await);
    assert!(what.contains("53300") && what.contains("two connections"), "{what}");
    assert!(store.now().await.is_ok(), "what has its connection goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_a_newer_program_are_refused_and_left_alone() {
    let database = SHARED().database();
    let url = SHARED().url(&database);
    drop(open(&url).await.expect("made"));
    SHARED().sql(&database, "INSERT INTO flexslot_proxy.schema_version (version) VALUES (99)");
    let (what, hint) = refused(open(&url).await);
    assert!(what.contains("version 99") && hint.contains("newer program"), "{what}\n{hint}");
    let versions = SHARED().sql(&database, "SELECT count(*) FROM flexslot_proxy.schema_version");
    assert_eq!(versions.trim(), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_looks_makes_no_tables() {
    let database = SHARED().database();
    let url = SHARED().url(&database);
    let looking = PostgresParams { opening: Opening::Look, ..params(&url) };
    let opened = Postgres::open(&looking, Random::system()).await;
    assert!(matches!(opened, Err(OpenError::NotYet { .. })), "{opened:?}");
    let there = SHARED().sql(&database, "SELECT count(*) FROM pg_namespace WHERE nspname = 'flexslot_proxy'");
    assert_eq!(there.trim(), "0");
    drop(open(&url).await.expect("made"));
    assert!(Postgres::open(&looking, Random::system()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_somebody_else_is_refused_and_left_alone() {
    let database = SHARED().database();
    SHARED().sql(&database, "CREATE SCHEMA flexslot_proxy; CREATE TABLE flexslot_proxy.users (name text)");
    let (what, hint) = refused(open(&SHARED().url(&database)).await);
    assert!(what.contains("not of this program") && hint.contains("left as it is"), "{what}\n{hint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_of_another_kind_is_a_schema_of_somebody_else() {
    let database = SHARED().database();
    let store = open(&SHARED().url(&database)).await.expect("made");
    let version_is = |kind: &str| {
        SHARED().sql(&database, &format!("ALTER TABLE flexslot_proxy.schema_version ALTER version TYPE {kind}"));
    };
    version_is("bigint");
    let (what, hint) = refused(open(&SHARED().url(&database)).await);
    assert!(what.contains("not of this program") && hint.contains("left as it is"), "{what}\n{hint}");
    assert!(unavailable(store.write(vec![put("a")]).await).contains("not of this program"));
    version_is("integer");
    done(&store, "a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sidecars_may_make_the_same_store_at_once() {
    let url = SHARED().url(&SHARED().database());
    let mut sidecars = JoinSet::new();
    for _ in 0..6 {
        let url = url.clone();
        sidecars.spawn(async move { open(&url).await.expect("opened").store_id().await.expect("an id") });
    }
    let ids = sidecars.join_all().await;
    assert!(ids.iter().all(|id| *id == ids[0]));
}
