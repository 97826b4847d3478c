//! Against a real server.

mod outages;
mod plans;
mod rights;
mod secure;
mod sharing;
mod urls;

use std::{sync::Arc, time::Duration};

use rustls::RootCertStore;
use tokio::{runtime::Handle, task::block_in_place};

use super::{Postgres, PostgresParams, Trust};
use crate::{
    model::{Random, Secret},
    store::{
        OpenError, Opening, StoreError,
        backend::{Backend, Change, Expect, Key, Kind, Label, Revision, Written},
        conformance::{Engine, conformance},
        record::Body,
        servers::postgres::{OWNER, PostgresServer},
    },
};

/// How long an operation may take where nothing is meant to be late, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(20);

/// A database whose clock stands still until it is told to move: a function in front of the server's own.
struct Database {
    url: String,
    name: String,
}

const CLOCK: &str = "
    CREATE SCHEMA still;
    CREATE TABLE still.clock (at timestamptz NOT NULL);
    INSERT INTO still.clock VALUES ('2026-11-20T18:40:00Z');
    CREATE FUNCTION still.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT at FROM still.clock';
    GRANT USAGE ON SCHEMA still TO PUBLIC;
    GRANT SELECT ON still.clock TO PUBLIC;
";

impl Database {
    fn new() -> Self {
        let server = PostgresServer::shared();
        let name = server.database();
        server.sql(&name, CLOCK);
        server.sql("postgres", &format!("ALTER DATABASE {name} SET search_path = still, pg_catalog"));
        Self { url: server.url(&name), name }
    }
}

impl Engine for Database {
    fn handle(&self) -> Arc<dyn Backend> {
        let store = block_in_place(|| Handle::current().block_on(open(&self.url)));
        Arc::new(store.expect("opened"))
    }

    fn pass(&self, time: Duration) {
        let sql = format!("UPDATE still.clock SET at = at + interval '{} ms'", time.as_millis());
        PostgresServer::shared().sql(&self.name, &sql);
    }
}

fn params(url: &str) -> PostgresParams {
    let trust = Trust { system: RootCertStore::empty(), named: None };
    PostgresParams { url: Secret::new(url), trust, timeout: PATIENCE, opening: Opening::Make }
}

async fn open(url: &str) -> Result<Postgres, OpenError> {
    Postgres::open(&params(url), Random::system()).await
}

fn put(name: &str) -> Change {
    let (key, body) = (Key::new(Kind::Grant, name), Body::from_stored(b"{}".to_vec()));
    Change { key, expect: Expect::Anything, label: Label::default(), body }
}

async fn done(store: &Postgres, name: &str) -> Revision {
    match store.write(vec![put(name)]).await.expect("written") {
        Written::Done(revision) => revision,
        Written::Conflict(at) => panic!("change {at} is in conflict"),
    }
}

/// What an operator reads of a store that is out of reach; never the password.
fn unavailable<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Err(StoreError::Unavailable(what)) => {
            assert!(!what.contains(OWNER.1), "{what}");
            what
        }
        other => panic!("expected it to be unavailable: {other:?}"),
    }
}

/// What an operator reads of a store that cannot be opened, and the hint; never the password.
fn refused(answer: Result<Postgres, OpenError>) -> (String, String) {
    let error = answer.expect_err("refused");
    let (what, hint) = (error.to_string(), error.hint().unwrap_or_else(|| panic!("{error:?} has no hint")));
    assert!(![&what, &hint, &format!("{error:?}")].iter().any(|text| text.contains(OWNER.1)), "{error:?}");
    (what, hint)
}

conformance!(Database::new());
