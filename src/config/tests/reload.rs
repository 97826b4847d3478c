//! What a running process learns from a new file.

use super::{Config, FakeEnvironment, authority};

fn config(text: &str) -> Config {
    let machine = FakeEnvironment::with_config(text).file("/etc/fp/t", "token").file("/etc/fp/p", "pat");
    machine.file("/etc/fp/a", "admin").load().unwrap()
}

#[test]
fn what_takes_a_restart_is_named() {
    let old = config("");
    assert_eq!(old.changes_needing_restart(&config("[refresh]\ntimeout = \"3s\"")), Vec::<&str>::new());
    assert_eq!(old.changes_needing_restart(&config("[server]\nlisten = \"127.0.0.1:1\"")), ["server.listen"]);
    assert_eq!(old.changes_needing_restart(&config("[admin]\nlisten = \"off\"")), ["admin.listen"]);
    assert_eq!(old.changes_needing_restart(&config("[store]\nurl = \"sqlite:other.db\"")), ["store.url"]);
    assert_eq!(
        old.changes_needing_restart(&config("[store]\nencryption_key = { file = \"p\" }")),
        ["store.encryption_key"]
    );
    assert_eq!(old.changes_needing_restart(&config("[store]\nurl = \"memory:\"")), ["store.url", "store.state_dir"]);
}

#[test]
fn a_password_changed_together_with_the_key_takes_a_restart_alone() {
    let with = |url: &str, key: &str| {
        FakeEnvironment::with_config("[store]\nurl = { env = \"STORE\" }\nstate_dir = \"s\"")
            .variable("STORE", url)
            .file("/etc/fp/flexslot-proxy.key", key)
            .load()
            .unwrap()
    };
    let old = with("postgres://u:one@h/db", "one");
    let new = with("postgres://u:two@h/db", "two");
    assert_eq!(old.changes_needing_restart(&new), ["store.url"]);
    assert!(new.store.lies_where(&old.store), "so that the key is taken over");
    assert!(!with("postgres://u:two@h/other", "two").store.lies_where(&old.store));
}

#[test]
fn the_files_to_watch_are_those_that_were_read() {
    let text = "[server]\nclient_token = { file = \"t\" }\n[admin]\ntoken = { file = \"a\" }\n[[tenants]]\nname = \"a\"\npat = { file = \"p\" }\n\
                [[tenants]]\nname = \"b\"\npat = { file = \"p\" }";
    let files: Vec<_> = config(text).watched_files().iter().map(|path| path.display().to_string()).collect();
    assert_eq!(files, ["/etc/fp/a", "/etc/fp/flexslot-proxy.key", "/etc/fp/p", "/etc/fp/proxy.toml", "/etc/fp/t"]);
}

#[test]
fn the_files_of_a_server_are_watched_and_a_changed_authority_takes_a_restart() {
    let (one, other) = (authority().pem(), authority().pem());
    let with = |pem: &str| {
        let text = "[store]\nurl = { file = \"url\" }\nca_file = \"ca.pem\"\nstate_dir = \"s\"";
        let machine = FakeEnvironment::with_config(text).file("/etc/fp/url", "rediss://h/0");
        machine.file("/etc/fp/ca.pem", pem).file("/etc/fp/flexslot-proxy.key", "key").load().unwrap()
    };
    let old = with(&one);
    let files: Vec<_> = old.watched_files().iter().map(|path| path.display().to_string()).collect();
    assert_eq!(files, ["/etc/fp/ca.pem", "/etc/fp/flexslot-proxy.key", "/etc/fp/proxy.toml", "/etc/fp/url"]);
    assert_eq!(old.changes_needing_restart(&with(&other)), ["store.ca_file"]);
    assert_eq!(old.changes_needing_restart(&with(&one)), Vec::<&str>::new());
}

#[test]
fn a_key_that_the_start_has_made_is_no_change() {
    let with_key = |text: &str, key: &str| {
        FakeEnvironment::with_config(text).file("/etc/fp/flexslot-proxy.key", key).load().unwrap()
    };
    let before = FakeEnvironment::with_config("").load().unwrap();
    assert!(before.says_the_same(&with_key("", "made")));
    assert!(!before.says_the_same(&with_key("[refresh]\ntimeout = \"3s\"", "made")));
    assert!(!with_key("", "one").says_the_same(&with_key("", "two")));
}
