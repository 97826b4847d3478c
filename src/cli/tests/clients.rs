//! `client …`, before a sandbox that lives in the test.

use std::{io::Cursor, sync::Arc};

use tokio::runtime::Runtime;

use super::{Status, Stream, command, with_streams};
use crate::{
    model::{Random, SystemClock},
    sandbox::{ClientRevocation, Running, Sandbox, Settings},
};

/// A directory with a configuration file, and a Flexslot whose user george is a partner.
struct Home {
    dir: tempfile::TempDir,
    sandbox: Sandbox,
    _running: Running,
    _runtime: Runtime,
}

impl Home {
    fn new(more: &str, client_revocation: ClientRevocation) -> Self {
        let runtime = Runtime::new().unwrap();
        let entered = runtime.enter();
        let settings = Settings { client_revocation, ..Settings::default() };
        let sandbox = Sandbox::new(settings, Arc::new(SystemClock), Random::system());
        sandbox.add_partner("george");
        sandbox.add_user("ada");
        let listener = crate::app::bind_tcp(([127, 0, 0, 1], 0).into()).unwrap();
        let running = sandbox.spawn(listener).unwrap();
        drop(entered);
        let dir = tempfile::tempdir().unwrap();
        let toml = format!(
            "[server]\ndefault_tenant = \"george\"\n[upstream]\nurl = {:?}\nproxy = \"off\"\n{more}",
            running.origin()
        );
        std::fs::write(dir.path().join("proxy.toml"), toml).unwrap();
        Self { dir, sandbox, _running: running, _runtime: runtime }
    }

    /// The same with the partner's PAT in the store.
    fn of_partner() -> Self {
        Self::of_partner_with(ClientRevocation::Delete)
    }

    fn of_partner_with(client_revocation: ClientRevocation) -> Self {
        let home = Self::new("", client_revocation);
        let pat = home.sandbox.add_pat("george");
        assert_eq!(home.run(&["tenant", "set-pat", "george"], pat.expose()).0, Status::Done);
        home
    }

    fn run(&self, args: &[&str], input: &str) -> (Status, String, String) {
        let config = self.dir.path().join("proxy.toml");
        let out = Stream::default();
        let all = [args, &["--config", config.to_str().unwrap()]].concat();
        let (status, err) = with_streams(&all, Cursor::new(input.to_owned()), out.clone());
        (status, out.text(), err)
    }

    fn done(&self, args: &[&str]) -> (String, String) {
        let (status, out, err) = self.run(args, "");
        assert_eq!(status, Status::Done, "{args:?}: {err}");
        (out, err)
    }

    fn refused(&self, args: &[&str], with: Status) -> String {
        let (status, out, err) = self.run(args, "");
        assert_eq!((status, out.as_str()), (with, ""), "{args:?}: {err}");
        err
    }
}

#[test]
fn everything_that_flexslot_would_not_take_is_told_at_once_and_nothing_is_made() {
    let home = Home::new("", ClientRevocation::Delete);
    let args = ["client", "create", "--name", "", "--redirect-uri", "http://app.example.com", "--url", "x"];
    let err = home.refused(&args, Status::Misused);
    for fault in ["--name is empty", "--redirect-uri http://app.example.com:", "--url is no absolute"] {
        assert!(err.contains(fault), "{fault}: {err}");
    }
    assert_eq!(std::fs::read_dir(home.dir.path()).unwrap().count(), 1, "nothing but the configuration");
    let home = Home::new("[admin]\nlisten = \"127.0.0.1:0\"\n", ClientRevocation::Delete);
    let many = ["client", "create", "--name", "", "--scope", "decks:admin", "--scope", "x"];
    let err = home.refused(&many, Status::Misused);
    let no_port = "--redirect-uri is needed: the admin listener has no fixed port";
    for fault in ["--name is empty", "--scope decks:admin: no scope", "--scope x: no scope", no_port] {
        assert!(err.contains(fault), "{fault}: {err}");
    }
    for args in [&["--type", "secret"][..], &[]] {
        let args = [&["client", "create"], args].concat();
        home.refused(&args, Status::Misused);
    }
}

#[test]
fn who_has_no_pat_is_told_where_to_get_one() {
    let home = Home::new("", ClientRevocation::Delete);
    let err = home.refused(&["client", "list", "--tenant", "ada"], Status::Failed);
    assert!(err.contains("ada has no personal access token") && err.contains("tenant set-pat ada"), "{err}");
    // Of somebody who is no partner.
    let pat = home.sandbox.add_pat("ada");
    assert_eq!(home.run(&["tenant", "set-pat", "ada"], pat.expose()).0, Status::Done);
    let err = home.refused(&["client", "list", "--tenant", "ada"], Status::Failed);
    assert!(err.contains("no partner behind the PAT of ada") && err.contains("404 FLEXSLOT_NOT_FOUND"), "{err}");
    home.sandbox.revoke_pat(&pat);
    let err = home.refused(&["client", "list", "--tenant", "ada"], Status::Failed);
    assert!(err.contains("Flexslot refuses the personal access token") && err.contains("set-pat ada"), "{err}");
}

#[test]
fn a_secret_is_shown_to_who_asks_for_it_alone() {
    let home = Home::of_partner();
    let (out, err) = home.done(&["client", "create", "--name", "App"]);
    assert!(out.starts_with("client_id      flx_client_") && out.lines().count() == 1, "{out}");
    assert!(err.contains("http://127.0.0.1:3540/oauth/callback") && err.contains("connect TENANT"), "{err}");
    let (listed, told) = home.done(&["client", "list"]);
    assert!(listed.contains("App") && listed.contains("stored") && told.contains("1 of 10 clients"), "{listed}{told}");
    let (json, _) = home.done(&["client", "list", "--json"]);
    for text in [&out, &err, &listed, &told, &json] {
        assert!(!text.contains("flx_cs_"), "{text}");
    }
    let (out, _) = home.done(&["client", "rotate-secret", "App", "--show-secret", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(document["client_secret"].as_str().unwrap().starts_with("flx_cs_"), "{document}");
    let err = home.refused(&["client", "rotate-secret", "Other"], Status::Failed);
    assert!(err.contains("no OAuth client is called \"Other\""), "{err}");
    home.done(&["client", "create", "--name", "Open", "--type", "public"]);
    let err = home.refused(&["client", "rotate-secret", "Open"], Status::Failed);
    assert!(err.contains("is a public client, and has no secret"), "{err}");
}

#[test]
fn a_client_is_revoked_by_its_name_alone() {
    for (way, works) in
        [(ClientRevocation::Delete, true), (ClientRevocation::Post, true), (ClientRevocation::Neither, false)]
    {
        let home = Home::of_partner_with(way);
        home.done(&["client", "create", "--name", "App"]);
        let err = home.refused(&["client", "revoke", "App"], Status::Misused);
        assert!(err.contains("--confirm NAME"), "{err}");
        let err = home.refused(&["client", "revoke", "App", "--confirm", "app"], Status::Failed);
        assert!(err.contains("nothing was done"), "{err}");
        let args = ["client", "revoke", "App", "--confirm", "App"];
        if works {
            let (_, err) = home.done(&args);
            assert!(
                err.contains("No tenant is connected through it here") && err.contains("Revoked the client"),
                "{err}"
            );
            assert_eq!(home.done(&["client", "list", "--json"]).0, "[]\n");
        } else {
            let err = home.refused(&args, Status::Failed);
            assert!(err.contains("flexslot.gg/account?section=api-access"), "{err}");
            assert!(home.done(&["client", "list"]).0.contains("active"), "and it can still be used");
        }
    }
}

#[test]
fn a_secret_that_the_file_names_is_said_to_be_void() {
    let home = Home::of_partner();
    let (out, _) = home.done(&["client", "create", "--name", "App", "--json"]);
    let made: serde_json::Value = serde_json::from_str(&out).unwrap();
    let config = home.dir.path().join("proxy.toml");
    let toml = std::fs::read_to_string(&config).unwrap();
    let of_file =
        format!("{toml}[oauth]\nclient_id = {}\nclient_secret = {{ file = \"secret\" }}\n", made["client_id"]);
    std::fs::write(&config, of_file).unwrap();
    let (_, err) = home.done(&["client", "rotate-secret", "App"]);
    assert!(err.contains("names another place for this secret") && err.contains("/secret"), "{err}");
    assert!(home.done(&["client", "list"]).0.contains("in proxy.toml"));
    let (_, err) = home.done(&["client", "revoke", "App", "--confirm", "App"]);
    assert!(err.contains("proxy.toml:7: oauth.client_id still names this client"), "{err}");
}

#[test]
fn of_several_clients_none_is_taken_by_accident() {
    let two = "[[oauth.clients]]\nname = \"one\"\nclient_id = \"flx_client_1\"\n\
               [[oauth.clients]]\nname = \"other\"\nclient_id = \"flx_client_2\"\n";
    let home = Home::new(two, ClientRevocation::Delete);
    let err = home.refused(&["connect", "acme", "--no-browser"], Status::Misused);
    assert!(err.contains("one, other") && err.contains("connect acme --client NAME"), "{err}");
}

#[test]
fn client_needs_something_to_do() {
    for args in [&["client"][..], &["client", "rotate-secret"], &["client", "revoke"], &["client", "remove", "x"]] {
        assert_eq!(command(args).0, Status::Misused, "{args:?}");
    }
}
