//! A store that takes no writes for a while, or comes back empty, on each engine: one of many on its server.

use std::{fs, time::Duration};

use rusqlite::Connection;
use tokio::task::block_in_place;

use crate::{
    process::{
        engines::{Engine, Place, redis},
        world::World,
    },
    servers::postgres::PostgresServer,
};

const REFUSE_SQLITE: &str = "
    CREATE TRIGGER refuse_insert BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'no writes now'); END;
    CREATE TRIGGER refuse_update BEFORE UPDATE ON records BEGIN SELECT RAISE(ABORT, 'no writes now'); END;";
const TAKE_SQLITE: &str = "DROP TRIGGER refuse_insert; DROP TRIGGER refuse_update;";

const REFUSE_POSTGRES: &str = "
    CREATE FUNCTION flexslot_proxy.refuse() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN RAISE EXCEPTION ''no writes now''; END';
    CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON flexslot_proxy.records
        EXECUTE FUNCTION flexslot_proxy.refuse()";
const TAKE_POSTGRES: &str = "DROP FUNCTION flexslot_proxy.refuse() CASCADE";

/// As a store that was just made. Its tables stay, since whoever stands still may have them in a transaction.
const EMPTY_POSTGRES: &str = "
    DELETE FROM flexslot_proxy.records; DELETE FROM flexslot_proxy.leases;
    UPDATE flexslot_proxy.store SET head = 0, id = decode(md5(random()::text), 'hex')";

/// A new store that can be troubled while others on the same server are not.
pub(super) fn place(engine: Engine) -> Place {
    match engine.place() {
        Place::Redis(url) => {
            let number = last_part(&url);
            let () = redis().tell(&format!("ACL SETUSER user{number} on >password ~* &* +@all"));
            Place::Redis(url.replacen("redis://", &format!("redis://user{number}:password@"), 1))
        }
        place => place,
    }
}

/// From now on the store can be read, and nothing can be written of any grant.
pub(super) fn refuse_writes(world: &World, place: &Place) {
    block_in_place(|| match place {
        Place::Sqlite => sqlite(world, REFUSE_SQLITE),
        Place::Redis(url) => redis().tell(&format!("ACL SETUSER user{} -@write", last_part(url))),
        Place::Postgres(url) => postgres(url, REFUSE_POSTGRES),
    });
}

/// It takes writes again.
pub(super) fn take_writes(world: &World, place: &Place) {
    block_in_place(|| match place {
        Place::Sqlite => sqlite(world, TAKE_SQLITE),
        Place::Redis(url) => redis().tell(&format!("ACL SETUSER user{} +@all", last_part(url))),
        Place::Postgres(url) => postgres(url, TAKE_POSTGRES),
    });
}

/// Nothing is left of it.
pub(super) fn empty(world: &World, place: &Place) {
    block_in_place(|| match place {
        Place::Sqlite => fs::remove_file(world.path("store.db")).unwrap(),
        Place::Redis(url) => redis().tell_words(last_part(url).parse().unwrap(), &["FLUSHDB"]).unwrap(),
        Place::Postgres(url) => postgres(url, EMPTY_POSTGRES),
    });
}

fn sqlite(world: &World, sql: &str) {
    let connection = Connection::open(world.path("store.db")).unwrap();
    connection.busy_timeout(Duration::from_secs(30)).unwrap();
    connection.execute_batch(sql).unwrap();
}

fn postgres(url: &str, sql: &str) {
    PostgresServer::shared().sql(last_part(url), sql);
}

/// The database, or its number.
fn last_part(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}
