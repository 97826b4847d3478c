//! The encryption key changes under running sidecars, and records that do not open.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use flexslot_proxy::{
    model::{FileAccess, Random, SystemClock},
    store::{
        Existing, NewTenant, StoredPat, TokenStore,
        keyfile::KeyFile,
        seal::{KeyId, KeyRing, Sealer},
        sqlite::SqliteBackend,
    },
};
use rusqlite::{Connection, params};
use rustix::process::Signal;
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    http::{Answer, DECKS, ask, get},
    world::{Life, Tenant, World, tenant},
};
use crate::support::{
    PATIENCE,
    process::{Exit, Launch, Sidecar},
    until,
};

/// Enough records that a rotation can be killed in the middle of them.
const PATS: usize = 3000;

/// Clients that ask all the time, until they are told to stop; each answer is a success.
struct Traffic {
    stop: Arc<AtomicBool>,
    asking: Vec<JoinHandle<u64>>,
}

// === what the tests are made of ===

impl Traffic {
    /// For these tenants, each on one of the sidecars in turn; their tokens expire at Flexslot after every request.
    fn start(world: &World, sidecars: &[Sidecar], tenants: &[Tenant]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut asking = Vec::new();
        for (sidecar, one) in sidecars.iter().cycle().zip(tenants.iter().cloned()) {
            let (proxy, stop, sandbox) = (sidecar.proxy, Arc::clone(&stop), world.sandbox.clone());
            asking.push(tokio::spawn(async move {
                let mut served = 0;
                while !stop.load(Ordering::Relaxed) {
                    let answer = ask(proxy, &get(DECKS, &one.name)).await;
                    assert_eq!(answer.status, 200, "{}: {}", one.name, String::from_utf8_lossy(&answer.body));
                    served += 1;
                    sandbox.expire_access(one.grant).unwrap();
                    sleep(Duration::from_millis(20)).await;
                }
                served
            }));
        }
        Self { stop, asking }
    }

    /// How many requests were served.
    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut served = 0;
        for asking in self.asking {
            served += timeout(PATIENCE, asking).await.expect("every request is answered").expect("no request fails");
        }
        served
    }
}

fn keys(world: &World) -> KeyRing {
    KeyFile::new(world.path("key"), FileAccess::Private).read().unwrap()
}

fn rotation(world: &World, args: &[&str]) -> Launch {
    let args: Vec<_> = ["key", "rotate", "--config", "proxy.toml"].iter().chain(args).copied().collect();
    Launch::sidecar(world.dir.path(), &args)
}

async fn rotate(world: &World, status: i32) -> Exit {
    let exit = rotation(world, &[]).run().await;
    assert_eq!((exit.status.code(), exit.stdout.as_str()), (Some(status), ""), "{}", exit.stderr);
    assert!(!exit.stderr.contains("panicked") && !exit.stderr.contains("flx_pat_"), "{}", exit.stderr);
    exit
}

/// The store, opened with the keys that the file has now and no others.
async fn reopened(world: &World) -> TokenStore {
    let random = Random::system();
    let backend = SqliteBackend::open(&world.path("store.db"), Arc::new(SystemClock), &random).unwrap();
    TokenStore::open(Arc::new(backend), Sealer::new(keys(world), random.clone()), random).await.unwrap()
}

async fn give_pats(world: &World) {
    let store = world.store().await;
    for from in (0..PATS).step_by(1000) {
        let pat = StoredPat { pat: world.sandbox.add_pat("ada"), origin: world.origin().parse().unwrap() };
        let new = |number| NewTenant { tenant: tenant(&format!("pat-{number}")), pat: Some(pat.clone()), grant: None };
        let _ = store.import((from..from + 1000).map(new).collect(), Existing::Skip).await.unwrap();
    }
}

async fn assert_all_open(world: &World, with: KeyId) {
    let survey = reopened(world).await.survey().await.unwrap();
    assert_eq!((survey.unreadable, survey.others_than(with)), (0, 0), "{survey:?}");
    assert!(survey.of(with) >= 1, "{survey:?}");
}

// === rotation ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sidecars_serve_and_refresh_while_the_key_is_rotated_and_its_rotation_killed() {
    let mut world = World::new().await;
    world.set("refresh", "min_interval = \"0s\"").set("refresh", "timeout = \"60s\"");
    let tenants = world.connect_all(&["acme", "beta", "gamma", "delta"], Life::Fresh).await;
    give_pats(&world).await;
    let before = keys(&world).first();
    let sidecars = [world.start().await, world.start().await];
    let traffic = Traffic::start(&world, &sidecars, &tenants);

    // Killed as soon as there is a new key, then at moments that nobody chose, then while it waits for the sidecars.
    let mut killed = rotation(&world, &[]).spawn();
    until("there is a new key", async || !keys(&world).others().is_empty()).await;
    killed.kill();
    let after = keys(&world).first();
    assert_ne!(after, before);
    for _ in 0..4 {
        let mut killed = rotation(&world, &[]).spawn();
        sleep(Random::system().below(Duration::from_millis(900))).await;
        killed.kill();
        assert_eq!(
            (keys(&world).first(), keys(&world).others()),
            (after, vec![before]),
            "it goes on with the same key"
        );
    }
    let mut killed = rotation(&world, &[]).spawn();
    until("it waits for the sidecars", async || killed.stderr().contains("Waiting")).await;
    killed.kill();

    let exit = rotate(&world, 0).await;
    assert!(
        exit.stderr.contains("Going on with the key") && exit.stderr.contains("Removed the old key"),
        "{}",
        exit.stderr
    );
    assert_eq!((keys(&world).first(), keys(&world).others()), (after, Vec::new()));
    assert_eq!(fs::metadata(world.path("key")).unwrap().permissions().mode() & 0o777, 0o600);

    // What is written from now on is sealed with the new key too.
    let refreshed = world.sandbox.counters().refreshes;
    until("a token is refreshed after the rotation", async || world.sandbox.counters().refreshes > refreshed).await;
    let served = traffic.stop().await;
    assert!(served > 0);
    let counts = world.sandbox.counters();
    assert!(counts.refreshes > 0, "tokens were refreshed meanwhile");
    assert_eq!((counts.replays, counts.presented_after_end), (0, 0));
    assert_all_open(&world, after).await;
    drop(sidecars);
    let restarted = world.start().await;
    for one in tenants.iter().map(|one| one.name.as_str()).chain(["pat-0", "pat-2999"]) {
        assert_eq!(ask(restarted.proxy, &get(DECKS, one)).await.status, 200, "{one}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_slept_through_a_rotation_seals_nothing_with_the_old_key() {
    let mut world = World::new().await;
    world.set("refresh", "min_interval = \"0s\"");
    let acme = world.connect("acme", Life::Fresh).await;
    let sidecar = world.start().await;
    assert_eq!(ask(sidecar.proxy, &get(DECKS, "acme")).await.status, 200);
    sidecar.process.signal(Signal::STOP);
    rotate(&world, 0).await;
    world.sandbox.expire_access(acme.grant).unwrap();
    sidecar.process.signal(Signal::CONT);
    assert_eq!(ask(sidecar.proxy, &get(DECKS, "acme")).await.status, 200);
    assert_eq!(world.sandbox.counters().refreshes, 1);
    assert_all_open(&world, keys(&world).first()).await;
    sidecar.process.says("the new configuration is in use").await;
    assert!(!sidecar.process.stderr().contains("ERROR"), "{}", sidecar.process.stderr());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_a_variable_is_not_ours_to_change_and_everything_is_sealed_with_the_first() {
    let mut world = World::new().await;
    world.connect("acme", Life::Fresh).await;
    let old = fs::read_to_string(world.path("key")).unwrap();
    let toml = world.set("log", "access = false").toml().replace("{ file = \"key\" }", "{ env = \"KEYS\" }");
    fs::write(world.path("proxy.toml"), toml).unwrap();
    let alone = rotation(&world, &[]).env("KEYS", &old).run().await;
    assert_eq!(alone.status.code(), Some(1), "{}", alone.stderr);
    assert!(
        alone.stderr.contains("KEYS") && alone.stderr.contains("hint: make one with key generate"),
        "{}",
        alone.stderr
    );
    let new = Sealer::generate_key_line(&Random::system());
    let both = format!("{}\n{old}", new.expose());
    let done = rotation(&world, &[]).env("KEYS", &both).run().await;
    assert_eq!(done.status.code(), Some(0), "{}", done.stderr);
    assert!(done.stderr.contains("remove the old one everywhere"), "{}", done.stderr);
    world.write_secret("key", new.expose());
    assert_all_open(&world, keys(&world).first()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_to_be_kept_stays_behind_the_new_one() {
    let world = World::new().await;
    world.connect("acme", Life::Fresh).await;
    world.write_config();
    let before = keys(&world).first();
    let exit = rotation(&world, &["--keep-old"]).run().await;
    assert_eq!(exit.status.code(), Some(0), "{}", exit.stderr);
    assert_eq!(keys(&world).others(), [before]);
    assert_all_open(&world, keys(&world).first()).await;
}

// === records that do not open ===

/// Changes a PAT's record behind everybody's back.
fn tamper(world: &World, name: &str, change: impl FnOnce(String) -> String) {
    let database = Connection::open(world.path("store.db")).unwrap();
    let body: Vec<u8> =
        database.query_row("SELECT body FROM records WHERE kind = 2 AND name = ?1", [name], |row| row.get(0)).unwrap();
    let body = change(String::from_utf8(body).unwrap());
    let changed = database
        .execute("UPDATE records SET body = ?2 WHERE kind = 2 AND name = ?1", params![name, body.as_bytes()])
        .unwrap();
    assert_eq!(changed, 1);
}

fn body(world: &World, name: &str) -> String {
    let mut found = String::new();
    tamper(world, name, |text| {
        found.clone_from(&text);
        text
    });
    found
}

fn assert_mendable(answer: &Answer, names: &str) {
    let problem = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!((answer.status, answer.code().as_str()), (503, "store_unavailable"), "{problem}");
    assert!(problem.contains(names) && problem.contains("\"action\":\"fix_config\""), "{problem}");
    for mends in ["store.encryption_key", "flexslot-proxy check", "flexslot-proxy tenant remove"] {
        assert!(problem.contains(mends), "{mends}: {problem}");
    }
    assert!(!problem.contains("does not answer") && !problem.contains("out of reach"), "{problem}");
    assert!(!answer.head.to_ascii_lowercase().contains("retry-after"), "trying again does not help");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_does_not_open_is_named_keeps_the_old_key_and_harms_nobody_else() {
    let world = World::new().await;
    for name in ["acme", "beta", "copied", "flipped"] {
        world.give_pat(name).await;
    }
    let acmes = body(&world, "acme");
    tamper(&world, "copied", |_| acmes);
    tamper(&world, "flipped", |text| {
        // In the middle of the sealed value, and still base64.
        let at = text.find("\"pat\":\"").unwrap() + 80;
        let other = if &text[at..=at] == "A" { "B" } else { "A" };
        format!("{}{other}{}", &text[..at], &text[at + 1..])
    });
    let sidecar = world.start().await;
    for name in ["copied", "flipped"] {
        let names = format!(
            "pat {name}\\\" is unreadable: pat: it or its record was altered, or it was sealed for another place"
        );
        assert_mendable(&ask(sidecar.proxy, &get(DECKS, name)).await, &names);
    }
    assert_eq!(ask(sidecar.proxy, &get(DECKS, "beta")).await.status, 200);

    let before = keys(&world).first();
    let exit = rotate(&world, 1).await;
    for name in ["copied", "flipped"] {
        assert!(exit.stderr.contains(&format!("\"pat {name}\" is unreadable: pat: ")), "{}", exit.stderr);
    }
    assert!(exit.stderr.contains("2 records cannot be read") && exit.stderr.contains("hint: "), "{}", exit.stderr);
    assert_eq!(keys(&world).others(), [before], "no key was removed");
    let check = Launch::sidecar(world.dir.path(), &["check", "--config", "proxy.toml"]).run().await;
    assert_eq!(check.status.code(), Some(1), "{}", check.stdout);
    let after = keys(&world).first();
    assert!(
        check.stdout.contains("2 records cannot be read") && check.stdout.contains(&format!("key {after}")),
        "{}",
        check.stdout
    );

    for name in ["copied", "flipped"] {
        let args = ["tenant", "remove", name, "--config", "proxy.toml"];
        assert_eq!(Launch::sidecar(world.dir.path(), &args).run().await.status.code(), Some(0));
    }
    rotate(&world, 0).await;
    assert_eq!((keys(&world).first(), keys(&world).others()), (after, Vec::new()));
    for name in ["acme", "beta"] {
        assert_eq!(ask(sidecar.proxy, &get(DECKS, name)).await.status, 200, "{name}");
    }
}
