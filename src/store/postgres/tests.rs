//! Against a real server.

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, task::block_in_place};

use super::{Postgres, PostgresParams};
use crate::{
    model::{Random, Secret},
    store::{
        OpenError,
        backend::Backend,
        conformance::{Engine, conformance},
        servers::postgres::PostgresServer,
    },
};

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
    PostgresParams { url: Secret::new(url), roots: None, timeout: Duration::from_secs(20) }
}

async fn open(url: &str) -> Result<Postgres, OpenError> {
    Postgres::open(&params(url), Random::system()).await
}

conformance!(Database::new());
