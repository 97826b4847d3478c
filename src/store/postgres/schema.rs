//! The tables, and how a database becomes a store of ours or is left alone.
//!
//! Everything lies in a schema of its own, [`SCHEMA`]: it collides with nobody's tables, is granted and dumped as one,
//! and statements name it, so that no `search_path` matters.

use std::fmt::Write as _;

use tokio_postgres::{Client, GenericClient, error::SqlState};

use super::faults::Fault;
use crate::{model::Random, store::Opening};

/// The schema's name.
pub(super) const SCHEMA: &str = "flexslot_proxy";

/// What leads from each version to the next. `schema_version` has a row for each that has been taken.
const MIGRATIONS: [&str; 1] = [r#"
    CREATE TABLE flexslot_proxy.schema_version (
        version    integer PRIMARY KEY,
        applied_at timestamptz NOT NULL DEFAULT now()
    );
    CREATE TABLE flexslot_proxy.store (
        one  boolean PRIMARY KEY DEFAULT true CHECK (one),
        id   bytea NOT NULL CHECK (octet_length(id) = 16),
        head bigint NOT NULL                -- the newest revision; only ever grows
    );
    CREATE TABLE flexslot_proxy.records (
        kind      smallint NOT NULL,        -- Kind::code
        name      text COLLATE "C" NOT NULL,
        revision  bigint NOT NULL,
        grant_id  bytea,
        version   bigint,
        state     smallint NOT NULL,        -- RowState::code
        due       bigint,                   -- times are milliseconds since 1970
        body      bytea NOT NULL,
        last_used bigint,
        PRIMARY KEY (kind, name)
    ) WITH (fillfactor = 85);               -- room beside a row for its next note of use
    CREATE INDEX records_by_revision ON flexslot_proxy.records (revision, kind, name);
    CREATE INDEX records_by_state ON flexslot_proxy.records (kind, state, name);
    CREATE INDEX records_by_due ON flexslot_proxy.records (kind, due) WHERE due IS NOT NULL;
    CREATE TABLE flexslot_proxy.leases (
        tenant   text COLLATE "C" PRIMARY KEY,
        host     text NOT NULL,
        instance text NOT NULL,
        ends     bigint NOT NULL
    );
"#];

const KNOWN: i32 = MIGRATIONS.len() as i32;

/// The oldest release whose SQL is understood here: 13 has `WITH TIES`.
const OLDEST_SERVER: i32 = 130_000;

/// `flxp`: who migrates has this advisory lock of the database.
const MIGRATION_LOCK: i64 = 0x666c_7870;

/// Who waits for another one's migration, and the migration itself, have more time than an operation.
const BEFORE_MIGRATING: &str = "SET LOCAL statement_timeout = '60s'; SET LOCAL lock_timeout = '30s';
    SET LOCAL idle_in_transaction_session_timeout = '30s'";

const LOOK: &str = "SELECT current_setting('server_version_num')::integer, current_user::text, n.oid IS NOT NULL,
        coalesce(has_schema_privilege(n.oid, 'CREATE'), has_database_privilege(current_database(), 'CREATE')),
        coalesce(has_schema_privilege(n.oid, 'USAGE'), true),
        EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'schema_version'),
        EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid)
    FROM (VALUES (1)) AS one LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = 'flexslot_proxy'";

/// What a role needs to work on the tables, and no more: column, where one is enough, or ''.
const MISSING: &str = "SELECT needed.privilege || ' ON flexslot_proxy.' || needed.name
    FROM (VALUES ('schema_version', '', 'SELECT'), ('store', '', 'SELECT'), ('store', 'head', 'UPDATE'),
        ('records', '', 'SELECT'), ('records', '', 'INSERT'), ('records', '', 'UPDATE'), ('records', '', 'DELETE'),
        ('leases', '', 'SELECT'), ('leases', '', 'INSERT'), ('leases', '', 'UPDATE'), ('leases', '', 'DELETE'))
        AS needed (name, part, privilege)
    JOIN pg_catalog.pg_class c ON c.relname = needed.name
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'flexslot_proxy'
    WHERE NOT CASE needed.part WHEN '' THEN has_table_privilege(c.oid, needed.privilege)
        ELSE has_column_privilege(c.oid, needed.part, needed.privilege) END";

/// What a database turns out to hold.
#[derive(Clone, Copy)]
enum Found {
    /// No schema, or an empty one, which somebody has made for us.
    Blank(Place),
    /// A store of ours after so many migrations.
    Ours(i32),
}

/// Where the tables would go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    NoSchema,
    EmptySchema,
}

/// Sees to it that the tables are there, are of the version that this program knows, and may be used.
pub(super) async fn ensure(client: &mut Client, opening: Opening, random: &Random) -> Result<(), Fault> {
    let found = look(client).await?;
    match opening {
        _ if is_current(found)? => {}
        Opening::Look => return Err(not_ready(found)),
        Opening::Make => migrate(client, random).await?,
    }
    let missing: Vec<String> =
        client.query(MISSING, &[]).await?.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(Fault::Refused {
        what: format!("the role may not {}", missing.join(", ")),
        hint: "as the tables' owner: GRANT what is missing; docs/stores.md has the list".into(),
    })
}

/// In one transaction, and one process at a time.
async fn migrate(client: &mut Client, random: &Random) -> Result<(), Fault> {
    let change = client.transaction().await?;
    change.batch_execute(BEFORE_MIGRATING).await?;
    change.query("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK]).await?;
    // Another process may have been faster; look again now that nobody else migrates.
    let found = look(&change).await?;
    let from = match found {
        Found::Blank(_) => 0,
        Found::Ours(version) => version,
    };
    if is_current(found)? {
        return Ok(());
    }
    let mut sql = String::new();
    if matches!(found, Found::Blank(Place::NoSchema)) {
        sql.push_str("CREATE SCHEMA flexslot_proxy;");
    }
    for (version, migration) in (1..).zip(MIGRATIONS).skip(usize::try_from(from).unwrap_or_default()) {
        let _ = write!(sql, "{migration}; INSERT INTO flexslot_proxy.schema_version (version) VALUES ({version});");
    }
    change.batch_execute(&sql).await.map_err(|error| match error.code() {
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => cannot_migrate(from),
        _ => error.into(),
    })?;
    if from == 0 {
        let id: [u8; 16] = random.bytes();
        change.execute("INSERT INTO flexslot_proxy.store (id, head) VALUES ($1, 0)", &[&id.as_slice()]).await?;
    }
    change.commit().await?;
    tracing::info!(schema = SCHEMA, from, to = KNOWN, "the tables in PostgreSQL are brought up to date");
    Ok(())
}

/// Only reads, and the catalogs only, until it is known that more may be read.
async fn look(client: &impl GenericClient) -> Result<Found, Fault> {
    let row = client.query_one(LOOK, &[]).await?;
    let (server, role): (i32, String) = (row.try_get(0)?, row.try_get(1)?);
    let (schema, may_create, may_use): (bool, bool, bool) = (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
    let (versioned, occupied): (bool, bool) = (row.try_get(5)?, row.try_get(6)?);
    if server < OLDEST_SERVER {
        let what = format!("the server is version {}", server / 10_000);
        return Err(Fault::Refused { what, hint: "PostgreSQL 13 or newer is needed".into() });
    }
    if !versioned && occupied {
        return Err(foreign());
    }
    if !versioned && !may_create {
        return Err(cannot_migrate(0));
    }
    let no_usage = || Fault::Refused {
        what: format!("the role {role} may not use the schema {SCHEMA}"),
        hint: format!("as its owner: GRANT USAGE ON SCHEMA {SCHEMA} TO {role}; docs/stores.md has the whole list"),
    };
    if versioned && !may_use {
        return Err(no_usage());
    }
    Ok(match (versioned, schema) {
        (true, _) => Found::Ours(version(client, &role).await?),
        (false, true) => Found::Blank(Place::EmptySchema),
        (false, false) => Found::Blank(Place::NoSchema),
    })
}

async fn version(client: &impl GenericClient, role: &str) -> Result<i32, Fault> {
    let newest = "SELECT coalesce(max(version), 0) FROM flexslot_proxy.schema_version";
    let row = client.query_one(newest, &[]).await.map_err(|error| match error.code() {
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => Fault::Refused {
            what: format!("the role {role} may not read {SCHEMA}.schema_version"),
            hint: "as its owner: GRANT what docs/stores.md lists".into(),
        },
        _ => error.into(),
    })?;
    row.try_get(0).map_err(|_| foreign())
}

fn is_current(found: Found) -> Result<bool, Fault> {
    match found {
        Found::Ours(version) if version > KNOWN => Err(Fault::Refused {
            what: format!(
                "the tables were made by a newer flexslot-proxy (version {version}; this one knows up to {KNOWN})"
            ),
            hint: "use the newer program; nothing was changed".into(),
        }),
        Found::Ours(version) => Ok(version == KNOWN),
        Found::Blank(_) => Ok(false),
    }
}

/// For who only looks.
fn not_ready(found: Found) -> Fault {
    let Found::Ours(version) = found else { return Fault::NotYet };
    let what = format!("the tables are of version {version}, and this program needs {KNOWN}");
    Fault::Refused { what, hint: "whoever opens the store to use it sees to that: flexslot-proxy serve".into() }
}

fn foreign() -> Fault {
    Fault::Refused {
        what: format!("the schema {SCHEMA} has tables in it that are not of this program"),
        hint: "name another database in store.url; this one was left as it is".into(),
    }
}

fn cannot_migrate(from: i32) -> Fault {
    let what = match from {
        0 => format!("there are no tables in the schema {SCHEMA} yet, and this role may not make them"),
        from => {
            format!("the tables are of version {from}, this program needs {KNOWN}, and this role may not change them")
        }
    };
    let hint = "run `flexslot-proxy tenant list` once with the store.url of their owner (who may create in the database, or owns the schema), \
                then grant what docs/stores.md lists";
    Fault::Refused { what, hint: hint.into() }
}
