//! `status`, `connect` and `disconnect` on a store in a directory of the test.

use std::{
    ffi::OsString,
    io::{self, Cursor},
    os::unix::fs::PermissionsExt,
    sync::Arc,
};

use super::{Console, Status, Stream, World, command, run, with_streams};
use crate::{
    cli::console::Screen,
    config::SystemEnvironment,
    model::{Random, ScopeSet, Secret, Timestamp, TokenSet, TokenType, clock::SystemClock},
    store::{
        Awaiting, NewGrant, Outset, SessionWish, TokenStore,
        seal::{KeyRing, Sealer},
        sqlite::SqliteBackend,
    },
};

/// A directory with a configuration file.
struct Home(tempfile::TempDir);

impl Home {
    fn new(config: &str) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        std::fs::write(home.0.path().join("proxy.toml"), config).unwrap();
        home
    }

    /// One whose tenants have a grant (`acme`), a PAT (`pat`), and nothing (`unconnected`).
    fn furnished() -> Self {
        let home = Self::new("[oauth]\nclient_id = \"flx_client_1\"\n[[tenants]]\nname = \"unconnected\"\n");
        let lines = "{\"tenant\":\"acme\",\"access_token\":\"canary\",\"refresh_token\":\"canary-2\",\
                     \"expires_at\":4102444800,\"scope\":\"decks:read\"}\n{\"tenant\":\"pat\",\"pat\":\"canary-3\"}\n";
        assert_eq!(home.run(&["tenant", "import"], lines).0, Status::Done);
        home
    }

    /// A consent for this tenant waits for an app.
    fn park(&self, tenant: &str) {
        let (random, dir) = (Random::system(), self.0.path());
        let keys = std::fs::read_to_string(dir.join("flexslot-proxy.key")).unwrap();
        let sealer = Sealer::new(KeyRing::parse(&Secret::new(keys)).unwrap(), random.clone());
        let tokens = TokenSet {
            access: Secret::new("canary"),
            refresh: Secret::new("canary-2"),
            token_type: TokenType::Bearer,
            scopes: ScopeSet::new("decks:read"),
            expires_at: Timestamp::from_secs(4_102_444_800),
            answered_at: None,
            key: None,
        };
        let origin = "http://127.0.0.1:1".parse().unwrap();
        let grant = NewGrant { client_id: "flx_client_1".into(), origin, tokens };
        let wish = SessionWish { tenant: tenant.parse().unwrap(), scopes: None, return_to: None, client: None };
        let backend = SqliteBackend::open(&dir.join("flexslot-proxy.db"), Arc::new(SystemClock), &random).unwrap();
        let parking = async {
            let store = TokenStore::open(Arc::new(backend), sealer, random).await.unwrap();
            let session = store.open_session(wish).await.unwrap().id;
            let new = store.new_consent(grant, None, Outset::default());
            store.park(&session, &new, &Awaiting::Completion { code: Secret::new("code") }).await.unwrap();
        };
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(parking);
    }

    /// Status, standard output, standard error.
    fn run(&self, args: &[&str], input: &str) -> (Status, String, String) {
        let config = self.0.path().join("proxy.toml");
        let out = Stream::default();
        let all = [args, &["--config", config.to_str().unwrap()]].concat();
        let (status, err) = with_streams(&all, Cursor::new(input.to_owned()), out.clone());
        assert!(!err.contains("canary") && !out.text().contains("canary"), "{err}");
        (status, out.text(), err)
    }
}

#[test]
fn status_shows_every_tenant_of_the_store_and_of_the_file() {
    let (status, out, err) = Home::furnished().run(&["status"], "");
    assert_eq!((status, err.as_str()), (Status::Done, ""));
    for words in [
        "┌─ acme ─",
        "✓ Connected to Flexslot ",
        "┌─ pat ─",
        "✓ Works with a personal access token ",
        "┌─ unconnected ─",
    ] {
        assert!(out.contains(words), "{words}\n{out}");
    }
    assert_eq!(out.matches("└").count(), 3);
}

/// Somebody who has seen enough when these words are there, or the card of the last tenant.
struct Watcher(Stream, &'static str);

impl io::Write for Watcher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.0.write(bytes)?;
        let (seen, last) = (self.0.text(), "─ unconnected ─");
        if seen.contains(self.1) || seen.contains(last) { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(written) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_watched_status_shows_what_the_screen_has_room_for() {
    let home = Home::furnished();
    let watched = |args: &[&str], until: &'static str| {
        let (out, config) = (Stream::default(), home.0.path().join("proxy.toml"));
        let console = Console::new(io::empty(), Watcher(out.clone(), until), io::sink());
        let mut world = World {
            console: console.on_screen(Screen { columns: 60, rows: 16 }),
            environment: &SystemEnvironment,
            random: Random::system(),
            clock: Arc::new(SystemClock),
        };
        let all = [&["flexslot-proxy", "status", "--watch"], args, &["--config", config.to_str().unwrap()]].concat();
        assert_eq!(run(all.into_iter().map(OsString::from), &mut world), Status::Done);
        out.text()
    };
    let shown = watched(&[], "There are more tenants than fit here.");
    assert!(shown.contains("┌─ acme ─") && !shown.contains("┌─ pat ─"), "{shown}");
    assert!(shown.lines().count() < 16 && shown.lines().all(|line| line.chars().count() <= 60), "{shown}");
    let shown = watched(&["pat"], "┌─ pat ─");
    assert!(!shown.contains("There are more"), "{shown}");
    let shown = watched(&["--json"], "]\n");
    assert!(shown.contains("unconnected"), "programs are given all: {shown}");
}

#[test]
fn status_in_json_is_an_array_whatever_there_is() {
    let home = Home::furnished();
    let cards = |args: &[&str]| -> Vec<serde_json::Value> {
        let (status, out, err) = home.run(args, "");
        assert_eq!((status, err.as_str()), (Status::Done, ""));
        serde_json::from_str(&out).unwrap()
    };
    let all = cards(&["status", "--json"]);
    let names: Vec<_> =
        all.iter().map(|card| (card["tenant"].as_str().unwrap(), card["state"].as_str().unwrap())).collect();
    assert_eq!(names, [("acme", "connected"), ("pat", "not_connected"), ("unconnected", "not_connected")]);
    assert_eq!(cards(&["status", "--json", "acme"]), all[..1]);
    let (status, out, _) = Home::new("").run(&["status", "--json"], "");
    assert_eq!((status, out.as_str()), (Status::Done, "[]\n"));
}

#[test]
fn looking_makes_no_store() {
    let home = Home::new("[[tenants]]\nname = \"unconnected\"\n");
    let (status, out, _) = home.run(&["status"], "");
    assert!(status == Status::Done && out.contains("┌─ unconnected ─"), "{out}");
    let empty = Home::new("");
    let (status, out, err) = empty.run(&["status"], "");
    assert_eq!((status, out.as_str()), (Status::Done, ""));
    let place = empty.0.path().join("flexslot-proxy.db");
    let told = format!("There are no tenants in sqlite:{} yet. To connect one: ", place.display());
    assert!(err.starts_with(&told) && err.contains("flexslot-proxy connect TENANT"), "{err}");
    for home in [home, empty] {
        assert_eq!(std::fs::read_dir(home.0.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_tenant_that_nobody_knows_has_no_card() {
    let home = Home::furnished();
    for args in [&["status", "nobody"][..], &["status", "nobody", "--json"]] {
        let (status, out, err) = home.run(args, "");
        assert_eq!((status, out.as_str()), (Status::Failed, ""));
        assert!(err.starts_with("error: nobody knows a tenant nobody\nhint: "), "{err}");
    }
}

#[test]
fn a_pat_of_the_file_is_shown_without_being_read() {
    let home = Home::new("[[tenants]]\nname = \"acme\"\npat = { env = \"FLEXSLOT_PROXY_TEST_NEVER_SET\" }\n");
    let (status, out, err) = home.run(&["status", "--json"], "");
    assert_eq!((status, err.as_str()), (Status::Done, ""));
    let cards: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&cards[0]["serves"], &cards[0]["pat"]), (&"pat".into(), &"ok".into()));
}

#[test]
fn a_store_that_is_another_processs_memory_is_refused() {
    let home = Home::new("[oauth]\nclient_id = \"flx_client_1\"\n[store]\nurl = \"memory:\"\n");
    for args in [&["status"][..], &["connect", "acme"], &["disconnect", "acme", "--yes"]] {
        let (status, _, err) = home.run(args, "");
        assert!(status == Status::Misused && err.contains("hint: name a store that lasts"), "{args:?}: {err}");
    }
}

#[test]
fn nobody_is_disconnected_unasked() {
    let home = Home::furnished();
    let (status, _, err) = home.run(&["disconnect", "acme"], "y\n");
    assert_eq!(status, Status::Misused);
    assert!(err.ends_with("hint: if it is, say --yes\n"), "{err}");
    assert!(home.run(&["status", "acme"], "").1.contains("✓ Connected"));
}

#[test]
fn what_is_not_connected_cannot_be_disconnected() {
    let home = Home::furnished();
    for tenant in ["pat", "unconnected"] {
        let (status, _, err) = home.run(&["disconnect", tenant, "--yes"], "");
        assert_eq!(status, Status::Failed);
        assert!(err.starts_with(&format!("error: {tenant} is not connected")), "{err}");
    }
    let (status, _, err) = home.run(&["disconnect", "nobody", "--yes"], "");
    assert!(status == Status::Failed && err.starts_with("error: nobody knows a tenant nobody"), "{err}");
}

#[test]
fn a_consent_that_waits_for_its_last_word_can_be_disconnected() {
    let upstream = "[upstream]\nurl = \"http://127.0.0.1:1\"\nproxy = \"off\"\n";
    let home = Home::new(&format!("[oauth]\nclient_id = \"flx_client_1\"\n{upstream}"));
    assert_eq!(home.run(&["tenant", "set-pat", "pat"], "canary\n").0, Status::Done);
    for tenant in ["acme", "pat"] {
        home.park(tenant);
        let (status, _, err) = home.run(&["disconnect", tenant, "--yes"], "");
        assert_eq!(status, Status::Done, "{err}");
        assert!(err.starts_with(&format!("Disconnected {tenant}: ")) && err.contains("is queued"), "{err}");
        assert_eq!(home.run(&["disconnect", tenant, "--yes"], "").0, Status::Failed, "it is void");
    }
}

#[test]
fn connect_says_that_only_pats_work_without_a_client() {
    let home = Home::new("");
    let (status, out, err) = home.run(&["connect", "acme"], "");
    assert_eq!((status, out.as_str()), (Status::Misused, ""));
    assert!(err.starts_with("error: only personal access tokens work: "), "{err}");
    assert!(err.contains("hint: set oauth.client_id") && err.contains("tenant set-pat acme"), "{err}");
    assert_eq!(std::fs::read_dir(home.0.path()).unwrap().count(), 1, "nothing was made");
}

#[test]
fn connect_asks_for_scopes_that_there_are() {
    for args in [&["connect", "acme", "--scope", "decks:raed"][..], &["connect", "ac/me"], &["connect"]] {
        let (status, _, err) = command(args);
        assert_eq!(status, Status::Misused, "{args:?}: {err}");
    }
    let (_, _, err) = command(&["connect", "acme", "--scope", "decks:raed"]);
    assert!(err.contains("decks:read"), "{err}");
}

#[test]
fn the_clients_secret_is_needed_where_flexslot_is_asked() {
    let secret = "client_secret = { file = \"secret\" }\n[[tenants]]\nname = \"x\"\npat = { env = \"FLEXSLOT_PROXY_TEST_NEVER_SET\" }\n";
    let home = Home::new(&format!("[oauth]\nclient_id = \"flx_client_1\"\n{secret}"));
    let (status, _, err) = home.run(&["disconnect", "acme", "--yes"], "");
    assert!(status == Status::Misused && err.contains("oauth.client_secret"), "{err}");
    assert_eq!(home.run(&["status"], "").0, Status::Done);
    let path = home.0.path().join("secret");
    std::fs::write(&path, "canary").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    let (status, _, err) = home.run(&["disconnect", "acme", "--yes"], "");
    assert!(status == Status::Failed && err.starts_with("error: nobody knows a tenant acme"), "{err}");
}
