//! `tenant …` on a store in a directory of the test.

use std::{io::Cursor, os::unix::fs::PermissionsExt, path::Path};

use super::{Status, Stream, command, with_streams};

/// A directory with a configuration file.
struct Home(tempfile::TempDir);

impl Home {
    fn new(config: &str) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        std::fs::write(home.path().join("proxy.toml"), config).unwrap();
        home
    }

    /// One with an OAuth client, whose grants are to be imported.
    fn with_client() -> Self {
        Self::new("[oauth]\nclient_id = \"flx_client_1\"\n")
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Every record of the store with all its columns. The file itself may differ at any two moments: SQLite moves what
    /// was written out of its log when a connection is closed, which happens in the background.
    fn records(&self) -> Vec<Vec<rusqlite::types::Value>> {
        let database = rusqlite::Connection::open(self.path().join("flexslot-proxy.db")).unwrap();
        let mut query = database.prepare("SELECT * FROM records ORDER BY id").unwrap();
        let columns = query.column_count();
        let rows = query.query_map([], |row| (0..columns).map(|column| row.get(column)).collect());
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// `flexslot-proxy tenant ARGS < INPUT`: status, standard output, standard error.
    fn tenant(&self, args: &[&str], input: &str) -> (Status, String, String) {
        let config = self.path().join("proxy.toml");
        let out = Stream::default();
        let all: Vec<_> =
            ["tenant"].iter().chain(args).copied().chain(["--config", config.to_str().unwrap()]).collect();
        let (status, err) = with_streams(&all, Cursor::new(input.to_owned()), out.clone());
        assert!(!err.contains("canary") && !out.text().contains("canary"), "{err}");
        (status, out.text(), err)
    }

    /// Rows of `tenant list`, their columns, without the heading.
    fn list(&self) -> Vec<Vec<String>> {
        let (status, out, err) = self.tenant(&["list"], "");
        assert_eq!(status, Status::Done, "{err}");
        let columns =
            |line: &str| line.split("  ").map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect();
        out.lines().skip(1).map(columns).collect()
    }

    fn import(&self, args: &[&str], lines: &str) -> (Status, String) {
        let (status, out, err) = self.tenant(&[&["import"], args].concat(), lines);
        assert_eq!(out, "");
        (status, err)
    }
}

#[test]
fn a_pat_is_stored_listed_and_removed() {
    let home = Home::new("");
    let (status, out, err) = home.tenant(&["set-pat", "acme"], "flx_pat_canary\n");
    assert_eq!((status, out.as_str()), (Status::Done, ""), "{err}");
    let place = home.path().join("flexslot-proxy.db");
    let told = format!("The PAT of acme is stored in sqlite:{} for https://api.flexslot.gg.\n", place.display());
    assert!(err.ends_with(&told), "{err}");
    assert_eq!(home.list(), [["acme", "-", "stored", "-"]]);
    assert_eq!(home.tenant(&["remove", "acme"], "").0, Status::Done);
    assert_eq!(home.list(), Vec::<Vec<String>>::new());
    assert_eq!(home.tenant(&["list"], "").2, format!("There are no tenants in sqlite:{} yet.\n", place.display()));
    let (status, _, err) = home.tenant(&["remove", "acme"], "");
    assert_eq!((status, err.lines().next()), (Status::Failed, Some("error: nothing is stored for acme")));
}

#[test]
fn the_store_and_its_key_are_made_private_when_first_written() {
    let home = Home::new("");
    assert_eq!(home.list(), Vec::<Vec<String>>::new());
    assert!(!home.path().join("flexslot-proxy.db").exists(), "looking makes nothing");
    home.tenant(&["set-pat", "acme"], "flx_pat_canary");
    for name in ["flexslot-proxy.db", "flexslot-proxy.key"] {
        let mode = std::fs::metadata(home.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_new_key_is_told_of_once() {
    let home = Home::new("");
    let told = format!("An encryption key was made in {}.", home.path().join("flexslot-proxy.key").display());
    let (_, _, first) = home.tenant(&["set-pat", "acme"], "flx_pat_canary");
    let (_, _, second) = home.tenant(&["set-pat", "acme"], "flx_pat_canary");
    assert!(first.contains(&told) && !second.contains(&told), "{first}{second}");
}

#[test]
fn a_pat_that_does_not_look_like_one_is_stored_and_doubted() {
    let home = Home::new("");
    let (status, _, err) = home.tenant(&["set-pat", "acme"], "ghp_canary");
    assert!(status == Status::Done && err.contains("does not begin with flx_pat_"), "{err}");
    let (_, _, err) = home.tenant(&["set-pat", "acme"], "flx_pat_canary");
    assert!(!err.contains("does not begin"), "{err}");
}

#[test]
fn an_import_of_nothing_asks_nothing_of_the_app() {
    let home = Home::new("");
    let (status, err) = home.import(&[], "");
    assert_eq!(status, Status::Done, "{err}");
    assert!(err.contains("Imported 0 tenants") && !err.contains("From now on"), "{err}");
}

#[test]
fn a_missing_key_is_not_replaced_and_a_wrong_one_changes_nothing() {
    let home = Home::new("");
    home.tenant(&["set-pat", "acme"], "flx_pat_canary");
    let key = home.path().join("flexslot-proxy.key");
    std::fs::remove_file(&key).unwrap();
    let before = home.records();
    let (status, _, err) = home.tenant(&["set-pat", "beta"], "flx_pat_canary");
    assert_eq!(status, Status::Failed);
    assert!(err.contains("does not exist, but the store") && !key.exists(), "{err}");
    std::fs::write(&key, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n").unwrap();
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    let (status, _, err) = home.tenant(&["set-pat", "beta"], "flx_pat_canary");
    assert_eq!(status, Status::Failed);
    assert!(err.contains("wrong encryption key"), "{err}");
    assert_eq!(home.records(), before);
}

#[test]
fn what_is_no_pat_is_refused() {
    let home = Home::new("");
    for input in ["", "\n", "flx_pat_canary flx_pat_canary", "flx_pat_canary\nflx_pat_canary\n", "caf\u{e9}-canary"] {
        let (status, _, err) = home.tenant(&["set-pat", "acme"], input);
        assert!(status == Status::Failed && err.starts_with("error: "), "{err}");
    }
    assert_eq!(home.tenant(&["set-pat", "ac/me"], "flx_pat_canary").0, Status::Misused);
    assert!(!home.path().join("flexslot-proxy.db").exists());
}

#[test]
fn the_services_own_secrets_need_not_be_at_hand() {
    let absent = "{ env = \"FLEXSLOT_PROXY_TEST_NEVER_SET\" }";
    let home = Home::new(&format!(
        "[server]\nclient_token = {absent}\n[oauth]\nclient_id = \"flx_client_1\"\nclient_secret = {absent}\n\
         [[tenants]]\nname = \"acme\"\npat = {absent}"
    ));
    for (args, input) in [
        (&["set-pat", "beta"][..], "flx_pat_canary"),
        (&["import"], "{\"tenant\":\"gamma\",\"pat\":\"flx_pat_canary\"}"),
        (&["remove", "gamma"], ""),
    ] {
        let (status, _, err) = home.tenant(args, input);
        assert_eq!(status, Status::Done, "{args:?}: {err}");
    }
    let names: Vec<_> = home.list().into_iter().map(|row| (row[0].clone(), row[2].clone())).collect();
    assert_eq!(names, [("acme".into(), "in the file".into()), ("beta".into(), "stored".into())]);
    let (status, _, err) = home.tenant(&["set-pat", "acme"], "flx_pat_canary");
    assert!(status != Status::Done && err.contains("wins over the store"), "{err}");
    let config = home.path().join("proxy.toml");
    let (status, _, err) = command(&["key", "rotate", "--config", config.to_str().unwrap()]);
    assert_eq!(status, Status::Done, "{err}");
    let (status, _, err) = command(&["check", "--config", config.to_str().unwrap()]);
    assert!(status == Status::Misused && err.contains("FLEXSLOT_PROXY_TEST_NEVER_SET is not set"), "{err}");
}

#[test]
fn tenants_of_the_file_are_listed_in_their_place_and_keep_their_pat() {
    let pat = "pat = { file = \"pat\" }";
    let home = Home::new(&format!(
        "[[tenants]]\nname = \"beta\"\n{pat}\n[[tenants]]\nname = \"zeta\"\n[[tenants]]\nname = \"acme\"\n{pat}"
    ));
    std::fs::write(home.path().join("pat"), "flx_pat_canary").unwrap();
    std::fs::set_permissions(home.path().join("pat"), PermissionsExt::from_mode(0o600)).unwrap();
    home.tenant(&["set-pat", "gamma"], "flx_pat_canary");
    let rows = home.list();
    let names: Vec<_> = rows.iter().map(|row| (row[0].as_str(), row[2].as_str())).collect();
    assert_eq!(names, [("acme", "in the file"), ("beta", "in the file"), ("gamma", "stored"), ("zeta", "-")]);
    let (status, _, err) = home.tenant(&["set-pat", "beta"], "flx_pat_canary");
    assert!(status == Status::Failed && err.contains("wins over the store"), "{err}");
}

#[test]
fn lines_are_imported_from_standard_input_and_from_a_file() {
    let lines = "{\"tenant\":\"acme\",\"pat\":\"flx_pat_canary\"}\n\n\
                 {\"tenant\":\"beta\",\"access_token\":\"canary\",\"refresh_token\":\"canary-2\",\"expires_at\":1795200000}\n\
                 {\"tenant\":\"gamma\",\"flexslot_pat\":null}";
    let from_input = Home::with_client();
    let (status, err) = from_input.import(&[], lines);
    assert_eq!(status, Status::Done, "{err}");
    assert!(err.contains("Imported 2 tenants; 1 line brought nothing.\n"), "{err}");
    assert!(err.contains("the app must not refresh these tokens itself"), "{err}");
    let from_file = Home::with_client();
    let file = from_file.path().join("lines");
    std::fs::write(&file, lines).unwrap();
    assert_eq!(from_file.import(&[file.to_str().unwrap()], "").0, Status::Done);
    for home in [from_input, from_file] {
        assert_eq!(home.list(), [["acme", "-", "stored", "-"], ["beta", "connected", "-", "-"]]);
    }
}

#[test]
fn nothing_is_written_unless_all_lines_are_good() {
    let home = Home::with_client();
    let lines = "{\"tenant\":\"acme\",\"pat\":\"canary\"}\n\
                 {\"tenant\":\"beta\",\"refresh_token\":\"canary\"}\n\
                 {\"tenant\":\"gamma\",\"refresh_token\":\"canary\"}\n\
                 {\"tenant\":\"acme\",\"pat\":\"canary-2\"}\n\
                 {\"tenant\":\"delta\",\"pat\":5}\n";
    let (status, err) = home.import(&[], lines);
    assert_eq!(status, Status::Failed);
    assert_eq!(
        err,
        "line 3: refresh_token: an earlier line has the same, for another tenant\n\
         line 4: tenant: an earlier line has the same\n\
         line 5: pat: not a string\n\
         error: 3 bad lines; nothing was written\n\
         hint: mend them, or write the good ones with --skip-bad\n"
    );
    assert!(!home.path().join("flexslot-proxy.db").exists());
    let (status, err) = home.import(&["--skip-bad"], lines);
    assert!(status == Status::Done && err.contains("Imported 2 tenants; left out 3 bad lines."), "{err}");
    assert_eq!(home.list(), [["acme", "-", "stored", "-"], ["beta", "connected", "-", "-"]]);
}

#[test]
fn a_second_run_changes_nothing_unless_told_to() {
    let home = Home::with_client();
    let line = "{\"tenant\":\"acme\",\"refresh_token\":\"canary\"}";
    home.import(&[], line);
    let err = home.import(&[], line).1;
    assert!(err.starts_with("Imported 0 tenants; skipped 1 that already had a credential: acme (--replace"), "{err}");
    assert!(!err.contains("From now on"), "{err}");
    assert!(
        home.import(&["--replace"], line).1.starts_with("Imported 1 tenant; 1 of them in place of what was there.")
    );
}

#[test]
fn a_grant_needs_to_know_its_client() {
    let line = "{\"tenant\":\"acme\",\"refresh_token\":\"canary\"}";
    let (status, err) = Home::new("").import(&[], line);
    assert!(status == Status::Failed && err.starts_with("line 1: client_id: missing"), "{err}");
    let other = "{\"tenant\":\"acme\",\"refresh_token\":\"canary\",\"client_id\":\"other\"}";
    let (status, err) = Home::new("").import(&[], other);
    assert!(status == Status::Done && err.contains("1 grant of a client that is not oauth.client_id"), "{err}");
}

#[test]
fn many_lines_go_in_batches() {
    let home = Home::new("");
    let lines: Vec<_> = (0..2500).map(|n| format!("{{\"tenant\":\"t{n:04}\",\"pat\":\"canary-{n}\"}}")).collect();
    let (status, err) = home.import(&[], &lines.join("\n"));
    assert!(status == Status::Done && err.contains("Imported 2500 tenants."), "{err}");
    let rows = home.list();
    assert_eq!((rows.len(), rows[2499][0].as_str()), (2500, "t2499"));
}

#[test]
fn a_store_that_ends_with_the_command_is_refused() {
    let home = Home::new("[store]\nurl = \"memory:\"");
    let (status, err) = home.import(&[], "{\"tenant\":\"acme\",\"pat\":\"canary\"}");
    assert!(
        status == Status::Misused && err.contains("hint: name a store that lasts, such as --store sqlite:PATH"),
        "{err}"
    );
}
