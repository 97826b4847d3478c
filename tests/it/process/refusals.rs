//! What stops the start: one clear error, the right exit status, and nothing changed on disk.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use flexslot_proxy::{model::Random, store::seal::Sealer};
use sha2::{Digest, Sha256};

use super::world::{Life, World};
use crate::support::process::{Exit, Launch};

/// What is on the disk below a directory.
type Disk = BTreeMap<String, (u32, Vec<u8>)>;

/// Every file below `dir` with its mode and a hash of what is in it. Of the store, what its tables hold: SQLite may
/// move that from its write-ahead log into the file at any time.
fn disk(dir: &Path) -> Disk {
    let mut found = Disk::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        let metadata = path.metadata().unwrap();
        let content = match path.extension().and_then(|extension| extension.to_str()) {
            _ if metadata.is_dir() => {
                found.extend(disk(&path));
                Vec::new()
            }
            Some("db-wal" | "db-shm") => continue,
            Some("db") => tables(&path).unwrap_or_else(|_| fs::read(&path).unwrap()),
            _ => fs::read(&path).unwrap(),
        };
        found.insert(name, (metadata.mode(), Sha256::digest(content).to_vec()));
    }
    found
}

/// Everything that a store's tables hold, read from a copy.
fn tables(store: &Path) -> rusqlite::Result<Vec<u8>> {
    let copy = tempfile::tempdir().unwrap();
    for ending in ["", "-wal"] {
        let file = format!("{}{ending}", store.display());
        if fs::exists(&file).unwrap() {
            fs::copy(file, copy.path().join(format!("copy{ending}"))).unwrap();
        }
    }
    let connection = rusqlite::Connection::open(copy.path().join("copy"))?;
    let mut held = String::new();
    for table in ["store", "records", "leases"] {
        let mut all = connection.prepare(&format!("SELECT * FROM {table}"))?;
        let columns = all.column_count();
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            (0..columns).for_each(|column| held.push_str(&format!("{:?}\n", row.get_ref(column))));
        }
    }
    Ok(held.into_bytes())
}

/// A world whose store has been in use and whose sidecar was stopped.
async fn used() -> World {
    let world = World::new().await;
    world.connect("acme", Life::Fresh).await;
    assert_eq!(world.start().await.stop().await.status.code(), Some(0));
    world
}

/// The same, but the sidecar was killed, and its last writes are in the write-ahead log alone.
async fn crashed() -> World {
    let world = World::new().await;
    world.connect("acme", Life::Fresh).await;
    world.start().await.process.kill();
    assert!(world.path("store.db-wal").exists());
    world
}

/// Starts a sidecar, which must refuse and leave the disk as it is.
async fn refusal(world: &World, status: i32) -> String {
    let before = disk(world.dir.path());
    let exit = world.launch().run().await;
    assert_eq!(disk(world.dir.path()), before, "{}", exit.stderr);
    told(&exit, status)
}

fn told(exit: &Exit, status: i32) -> String {
    assert_eq!((exit.status.code(), exit.stdout.as_str()), (Some(status), ""), "{}", exit.stderr);
    assert!(!exit.stderr.contains("panicked"), "{}", exit.stderr);
    exit.stderr.clone()
}

/// One error, whose cause names what it is about, and what mends it.
fn assert_one_error(stderr: &str, names: &str) {
    let starts = |word: &str| stderr.lines().filter(|line| line.starts_with(word)).count();
    assert_eq!((starts("error: "), starts("hint: ")), (1, 1), "{stderr}");
    assert!(stderr.contains(names), "{stderr}");
}

#[tokio::test]
async fn a_wrong_key_stops_the_start() {
    for world in [used().await, crashed().await] {
        world.write_secret("key", Sealer::generate_key_line(&Random::system()).expose());
        for _ in 0..3 {
            assert_one_error(&refusal(&world, 1).await, "wrong encryption key");
        }
    }
}

#[tokio::test]
async fn a_missing_key_stops_the_start() {
    for world in [used().await, crashed().await] {
        fs::remove_file(world.path("key")).unwrap();
        assert_one_error(&refusal(&world, 1).await, "store.db");
    }
}

#[tokio::test]
async fn a_key_that_others_can_read_stops_the_start() {
    let world = used().await;
    fs::set_permissions(world.path("key"), fs::Permissions::from_mode(0o644)).unwrap();
    let stderr = refusal(&world, 2).await;
    assert!(stderr.contains("store.encryption_key") && stderr.contains("chmod 600"), "{stderr}");
}

#[tokio::test]
async fn a_key_that_is_none_stops_the_start_and_is_not_shown() {
    let world = used().await;
    world.write_secret("key", "canary-canary-canary\n");
    let stderr = refusal(&world, 1).await;
    assert_one_error(&stderr, "store.encryption_key");
    assert!(!stderr.contains("canary"), "{stderr}");
}

#[tokio::test]
async fn a_file_that_is_no_store_stops_the_start() {
    let mut texts: Vec<Vec<u8>> =
        vec![b"a letter to a friend, long enough to have a header of a hundred bytes and some".repeat(3)];
    let other = tempfile::tempdir().unwrap();
    let connection = rusqlite::Connection::open(other.path().join("db")).unwrap();
    connection.execute_batch("CREATE TABLE photos (name TEXT)").unwrap();
    connection.close().unwrap();
    texts.push(fs::read(other.path().join("db")).unwrap());
    for text in texts {
        let world = World::new().await;
        world.write_config();
        fs::write(world.path("store.db"), text).unwrap();
        world.write_secret("key", Sealer::generate_key_line(&Random::system()).expose());
        assert_one_error(&refusal(&world, 1).await, "store.db");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_stops_the_start() {
    let mut world = used().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    world.append("");
    let toml = world.toml().replacen("127.0.0.1:0", &address, 1);
    fs::write(world.path("proxy.toml"), toml).unwrap();
    let exit = world.launch().run().await;
    let stderr = told(&exit, 1);
    assert!(stderr.contains("error: ") && stderr.contains(&address), "{stderr}");
}

#[tokio::test]
async fn a_faulty_file_yields_all_its_faults_with_their_lines() {
    let world = World::new().await;
    let faulty = "\
[server]
lisen = \"127.0.0.1:0\"
drain_timeout = 25
[upstream]
url = \"http://api.flexslot.gg\"
[oauth]
client_secret = { env = \"NOT_THERE\" }
[refresh]
give_up = \"3m\"
[limits]
replay_body = \"1 apple\"
[[tenants]]
name = \"acme\"
allow = [\"GET decks\"]
[[tenants]]
name = \"acme\"
";
    fs::write(world.path("proxy.toml"), faulty).unwrap();
    let stderr = refusal(&world, 2).await;
    for (line, key) in [
        (2, "server.lisen"),
        (3, "server.drain_timeout"),
        (5, "upstream.url"),
        (7, "oauth.client_secret"),
        (9, "refresh.uncertain_after"),
        (11, "limits.replay_body"),
        (14, "tenants[0].allow"),
        (16, "tenants[1].name"),
    ] {
        let told = stderr.lines().any(|told| told.starts_with(&format!("proxy.toml:{line}: ")) && told.contains(key));
        assert!(told, "line {line}, {key}: {stderr}");
    }
    assert!(stderr.trim_end().ends_with("nothing was started"), "{stderr}");
}

#[tokio::test]
async fn a_file_that_is_no_toml_is_refused_with_its_line() {
    let world = World::new().await;
    fs::write(world.path("proxy.toml"), "[server]\nlisten = \n").unwrap();
    let stderr = refusal(&world, 2).await;
    assert!(stderr.contains("proxy.toml:2: "), "{stderr}");
}

#[tokio::test]
async fn bad_usage_is_status_two() {
    let world = World::new().await;
    for args in [&["serve", "--nonsense"][..], &["serve", "--listen", "somewhere"], &["nonsense"]] {
        let exit = Launch::sidecar(world.dir.path(), args).run().await;
        assert!(!told(&exit, 2).is_empty());
    }
    assert!(disk(world.dir.path()).is_empty());
}
