//! The encryption key in the desktop's keyring: a real one, on a bus of the test's own, asked by `secret-tool`.

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flexslot_proxy::{
    model::{Random, Secret},
    store::seal::{KeyRing, Sealer},
};
use rustix::process::Signal;

use super::{
    engines::Engine,
    http::{DECKS, ask, get},
    world::{STORE_URL, World},
};
use crate::{
    servers::desktop::{Desktop, Login, files_below},
    support::{
        process::{Exit, Launch, Sidecar},
        until,
    },
};

const ITEM: &str = "service flexslot-proxy store laptop";
const FORMER: &str = "service flexslot-proxy-old-keys store laptop";

// === what the tests are made of ===

/// A world whose key is to be in the keyring.
async fn world() -> World {
    let mut world = World::new().await;
    world.clear("store").set("store", "url = \"sqlite:store.db\"");
    world.set("store", "encryption_key = { keyring = \"laptop\" }");
    world.write_config();
    world
}

fn in_session(launch: Launch, desktop: &Desktop) -> Launch {
    desktop.variables().into_iter().fold(launch, |launch, (name, value)| launch.env(name, &value))
}

fn command(world: &World, desktop: &Desktop, args: &[&str]) -> Launch {
    in_session(world.command(args), desktop)
}

async fn done(launch: Launch) -> Exit {
    let exit = launch.run().await;
    assert!(exit.status.success(), "{exit:?}");
    exit
}

async fn start(world: &World, desktop: &Desktop) -> Sidecar {
    command(world, desktop, &["serve"]).listening().await
}

async fn give_pat(world: &World, desktop: &Desktop, name: &str) -> Exit {
    let pat = world.sandbox.add_pat(name);
    done(command(world, desktop, &["tenant", "set-pat", name]).input(pat.expose())).await
}

async fn assert_serves(sidecar: &Sidecar, name: &str) {
    let answer = ask(sidecar.proxy, &get(DECKS, name)).await;
    assert_eq!(answer.status, 200, "{name}: {}", String::from_utf8_lossy(&answer.body));
}

fn keys(desktop: &Desktop, attributes: &str) -> KeyRing {
    KeyRing::parse(&Secret::new(desktop.secret_tool(&format!("lookup {attributes}")))).unwrap()
}

/// One line that says so and one with what to do; nothing is made.
async fn assert_refused(world: &World, launch: Launch, said: &str, hint: &str) {
    let exit = launch.run().await;
    let told: Vec<_> = exit.stderr.lines().collect();
    assert!(exit.status.code() == Some(1) && told.len() == 2 && told[0].contains(said), "{exit:?}");
    assert!(told[1].starts_with("hint: ") && told[1].contains(hint), "{exit:?}");
    assert!(!world.path("store.db").exists() && !world.path("flexslot-proxy.key").exists());
}

// === a key's life ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_the_keyring_is_made_used_and_rotated_and_lies_in_no_file() {
    let (desktop, world) = (Desktop::new(), world().await);
    let sidecar = start(&world, &desktop).await;
    let made = sidecar.process.says("an encryption key was made in the desktop's keyring").await;
    assert_eq!(made["item"], "laptop");
    let first = desktop.secret_tool(&format!("lookup {ITEM}"));
    give_pat(&world, &desktop, "acme").await;
    assert_serves(&sidecar, "acme").await;
    sidecar.stop().await;

    let sidecar = start(&world, &desktop).await;
    assert_serves(&sidecar, "acme").await;
    assert!(!sidecar.process.stderr().contains("was made in"), "{}", sidecar.process.stderr());
    let rotated = done(command(&world, &desktop, &["key", "rotate"])).await;
    assert!(rotated.stderr.contains("is in the desktop's keyring, in front"), "{}", rotated.stderr);
    let second = desktop.secret_tool(&format!("lookup {ITEM}"));
    assert!(first.len() == 45 && second.len() == 45 && first != second, "one key each");
    assert_eq!(desktop.secret_tool(&format!("lookup {FORMER}")), first);
    sidecar.process.says("another encryption key seals from now on").await;
    assert_serves(&sidecar, "acme").await;
    give_pat(&world, &desktop, "beta").await;
    let said = sidecar.stop().await.stderr;

    let sidecar = start(&world, &desktop).await;
    for name in ["acme", "beta"] {
        assert_serves(&sidecar, name).await;
    }
    let check = done(command(&world, &desktop, &["check"])).await;
    let sealed = format!("records sealed with key {}, which seals", keys(&desktop, ITEM).first());
    assert!(check.stdout.contains(&sealed), "{}", check.stdout);

    let files = [files_below(world.dir.path()), files_below(desktop.dir())].concat();
    assert!(files.iter().any(|file| file.ends_with("login.keyring")), "{files:?}");
    for key in [first, second].map(|key| key.trim_end().to_owned()) {
        let bytes = STANDARD.decode(&key).unwrap();
        for file in &files {
            let text = fs::read(file).unwrap();
            let has = |needle: &[u8]| text.windows(needle.len()).any(|window| window == needle);
            assert!(!has(key.as_bytes()) && !has(&bytes), "{}", file.display());
        }
        assert!(!format!("{said}{rotated:?}{check:?}").contains(&key));
    }
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sidecars_that_start_at_once_make_one_key() {
    let (desktop, world) = (Desktop::new(), world().await);
    let starting: Vec<_> = (0..4).map(|_| command(&world, &desktop, &["serve"]).spawn()).collect();
    let mut sidecars = Vec::new();
    for process in starting {
        sidecars.push(Sidecar::of(process).await);
    }
    let made = sidecars.iter().filter(|sidecar| sidecar.process.stderr().contains("was made in")).count();
    assert_eq!((made, keys(&desktop, ITEM).others()), (1, Vec::new()));
    give_pat(&world, &desktop, "acme").await;
    for sidecar in &sidecars {
        until("it has been told of acme", async || ask(sidecar.proxy, &get(DECKS, "acme")).await.status == 200).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_made_beforehand_and_never_twice() {
    let (desktop, world) = (Desktop::new(), world().await);
    let generate =
        || in_session(Launch::sidecar(world.dir.path(), &["key", "generate", "--keyring", "laptop"]), &desktop);
    let made = done(generate()).await;
    let key = desktop.secret_tool(&format!("lookup {ITEM}"));
    assert!(
        made.stderr.contains("{ keyring = \"laptop\" }") && !format!("{made:?}").contains(key.trim_end()),
        "{made:?}"
    );
    assert_refused(&world, generate(), "already, and a key is never overwritten", "use it, or name another item").await;
    assert_eq!(desktop.secret_tool(&format!("lookup {ITEM}")), key);
    let check = done(command(&world, &desktop, &["check"])).await;
    assert!(check.stdout.contains("serve creates it, with the configured key"), "{}", check.stdout);
    give_pat(&world, &desktop, "acme").await;
    assert_eq!(desktop.secret_tool(&format!("lookup {ITEM}")), key);
}

/// Nobody but the operator knows which hosts have it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_a_store_on_a_server_is_the_operators_to_make_and_to_change() {
    let (desktop, mut world) = (Desktop::new(), World::on(Engine::Redis).await);
    world.clear("store").set("store", &format!("url = {{ file = {STORE_URL:?} }}"));
    world.set("store", "state_dir = \"state\"").set("store", "encryption_key = { keyring = \"laptop\" }");
    world.write_config();
    let made = command(&world, &desktop, &["serve"]);
    assert_refused(&world, made, "every sidecar on this store needs the same key", "key generate --keyring laptop")
        .await;
    assert_eq!(desktop.secret_tool(&format!("lookup {ITEM}")), "");
    let generate = Launch::sidecar(world.dir.path(), &["key", "generate", "--keyring", "laptop"]);
    done(in_session(generate, &desktop)).await;
    give_pat(&world, &desktop, "acme").await;
    assert_serves(&start(&world, &desktop).await, "acme").await;
    let rotated = command(&world, &desktop, &["key", "rotate"]).run().await;
    assert!(rotated.status.code() == Some(1) && rotated.stderr.contains("there is one key only"), "{rotated:?}");
    assert!(rotated.stderr.contains("other hosts may have it") && rotated.stderr.contains("hint: "), "{rotated:?}");
    assert!(keys(&desktop, ITEM).others().is_empty());
}

// === a keyring that gives none ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_session_a_keyring_or_the_tool_it_says_what_is_missing() {
    let (desktop, world) = (Desktop::without_keyring(), world().await);
    let (_, path) = desktop.variables().into_iter().find(|(name, _)| *name == "PATH").unwrap();
    let serve = || world.command(&["serve"]);
    let no_session = "belongs to no desktop session";
    assert_refused(&world, serve().env("PATH", &path), no_session, "DBUS_SESSION_BUS_ADDRESS").await;
    let nowhere =
        serve().env("PATH", &path).env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere").env("HOME", "/nowhere");
    assert_refused(&world, nowhere, no_session, "{ file = ").await;
    let no_keyring = command(&world, &desktop, &["serve"]);
    assert_refused(&world, no_keyring, "nothing in this session keeps one", "GNOME Keyring").await;
    let no_tool = command(&world, &desktop, &["serve"]).env("PATH", "/nowhere");
    assert_refused(&world, no_tool, "is not installed", "libsecret-tools").await;
    let check = command(&world, &desktop, &["check"]).run().await;
    assert!(check.status.code() == Some(1) && check.stdout.contains("FAIL  store"), "{check:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_keyring_keeps_its_key_and_a_running_sidecar_its_own() {
    let (mut desktop, world) = (Desktop::new(), world().await);
    let sidecar = start(&world, &desktop).await;
    give_pat(&world, &desktop, "acme").await;
    let key = desktop.secret_tool(&format!("lookup {ITEM}"));
    desktop.log_in(Login::Locked);
    let exit = command(&world, &desktop, &["tenant", "list"]).run().await;
    assert!(exit.status.code() == Some(1) && exit.stderr.contains("the desktop's keyring is locked"), "{exit:?}");
    sidecar.process.signal(Signal::HUP);
    sidecar.process.says("the desktop's keyring cannot be read again; the keys stay as they are").await;
    sidecar.process.says("the new configuration is in use").await;
    assert_serves(&sidecar, "acme").await;
    desktop.log_in(Login::Unlocked);
    assert_eq!(desktop.secret_tool(&format!("lookup {ITEM}")), key);
    let list = done(command(&world, &desktop, &["tenant", "list"])).await;
    assert!(list.stdout.contains("acme"), "{list:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_key_a_store_is_left_as_it_is() {
    let (desktop, world) = (Desktop::new(), world().await);
    give_pat(&world, &desktop, "acme").await;
    let key = desktop.secret_tool(&format!("lookup {ITEM}"));
    desktop.secret_tool(&format!("clear {ITEM}"));
    let failed = command(&world, &desktop, &["serve"]).run().await;
    assert!(
        failed.stderr.contains("has no item \"laptop\", but the store") && failed.status.code() == Some(1),
        "{failed:?}"
    );
    assert!(failed.stderr.contains(&format!("secret-tool store --label=flexslot-proxy {ITEM}")), "{failed:?}");
    assert_eq!(desktop.secret_tool(&format!("lookup {ITEM}")), "", "none is made in its place");
    desktop.put(ITEM, "canary");
    let failed = command(&world, &desktop, &["serve"]).run().await;
    assert!(
        failed.stderr.contains("line 1: not 32 bytes in base64") && !failed.stderr.contains("canary"),
        "{failed:?}"
    );
    desktop.put(ITEM, &key);
    assert_serves(&start(&world, &desktop).await, "acme").await;
}

/// As while a dialog is open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_the_keyring_is_told() {
    let world = world().await;
    let make = r#"mkfifo answer && mkdir tools && echo '#!/bin/sh
        read -r line <"${0%/*}/../answer" && echo "$line"' >tools/secret-tool && chmod 700 tools/secret-tool"#;
    done(Launch::program(world.dir.path(), "/bin/sh", &["-c", make]).env("PATH", "/usr/bin:/bin")).await;
    let path = format!("{}:/usr/bin:/bin", world.path("tools").display());
    let waiting = world.command(&["serve"]).env("PATH", &path).spawn();
    waiting.says("waiting for the desktop's keyring, which may ask for its password").await;
    // Somebody has typed it.
    let key = Sealer::generate_key_line(&Random::system());
    fs::write(world.path("answer"), format!("{}\n", key.expose())).unwrap();
    let sidecar = Sidecar::of(waiting).await;
    assert!(!sidecar.process.stderr().contains(key.expose()));
    sidecar.stop().await;
}
