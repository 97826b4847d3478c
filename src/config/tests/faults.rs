//! Every faulty file yields all its faults, in order, with their places, and never a secret.

use std::{path::Path, time::Duration};

use proptest::prelude::*;

use super::{FakeEnvironment, Overrides, authority, faults};
use crate::{
    config::{Config, ConfigSource, Place},
    model::{SpeaksFor, file_access::FileOwner},
};

#[test]
fn all_faults_are_told_at_once_in_the_order_of_the_file() {
    let text = r#"
[upstream]
url = "api.flexslot.gg"
connect_timeout = 5

[oauth]
client_id = "flx_client_1"
client_secret = { env = "FLEXSLOT_CLIENT_SECRET" }

[limits]
header_size = "64KB"

[[tenants]]
name = "ac me"

[[tenants]]
pat_fallback = "Always"
"#;
    assert_eq!(
        faults(text),
        r#"proxy.toml:3: upstream.url: not an absolute URL (column 7)
  hint: write "https://api.flexslot.gg"
proxy.toml:4: upstream.connect_timeout: expected a duration in quotes, found an integer (column 19)
  hint: such as "25s"
proxy.toml:8: oauth.client_secret: environment variable FLEXSLOT_CLIENT_SECRET is not set (column 17)
  hint: set FLEXSLOT_CLIENT_SECRET, or keep the secret in a file: { file = "path" }
proxy.toml:11: limits.header_size: not a size (column 15)
  hint: write a whole number and B, KiB, MiB or GiB, such as "64KiB"
proxy.toml:14: tenants[0].name: character 3 is not allowed in a tenant name (letters and digits; after the first also . _ : @ + | = -) (column 8)
proxy.toml:16: tenants[1].name: missing (column 1)
  hint: write name = "acme"
proxy.toml:17: tenants[1].pat_fallback: expected "always" or "unless_revoked" or "never" (column 16)
  hint: did you mean "always"?"#
    );
}

#[test]
fn unknown_keys_are_named_with_what_was_meant() {
    let text = "[server]\nlistn = \"x\"\n[serverr]\n[admin]\ntokn = { file = \"t\" }\n[[oauth.clientz]]\nname = 1\n";
    assert_eq!(
        faults(text),
        "proxy.toml:2: server.listn: unknown key (column 1)\n  hint: did you mean listen?\n\
         proxy.toml:3: serverr: unknown key (column 2)\n  hint: did you mean server?\n\
         proxy.toml:5: admin.tokn: unknown key (column 1)\n  hint: did you mean token?\n\
         proxy.toml:6: oauth.clientz: unknown key (column 9)\n  hint: did you mean clients?"
    );
}

#[test]
fn further_clients_are_checked_each_and_together() {
    let text = "[oauth]\nclient_id = \"c1\"\n[[oauth.clients]]\nname = \"billing\"\nclient_id = \"c1\"\n\
                [[oauth.clients]]\nname = \"billing\"\nclient_id = \"c2\"\nredirect_uri = \"http://localhost:3540/oauth/callback\"\n\
                scopes = [\"decks:raed\"]\nsecret = 1\n[[oauth.clients]]\nredirect_uri = \"http://127.0.0.1:3540/other\"\n";
    assert_eq!(
        faults(text),
        "proxy.toml:5: oauth.clients[0].client_id: the same client as in line 2 (column 13)\n\
         proxy.toml:7: oauth.clients[1].name: the same name as in line 4 (column 8)\n\
         proxy.toml:9: oauth.clients[1].redirect_uri: not of the origin http://127.0.0.1:3540, where browsers have to come \
         back to (column 16)\n  hint: write \"http://127.0.0.1:3540/oauth/callback\", or another path there\n\
         proxy.toml:10: oauth.clients[1].scopes[0]: not a scope of Flexslot (column 11)\n  hint: did you mean \"decks:read\"?\n\
         proxy.toml:11: oauth.clients[1].secret: unknown key (column 1)\n  hint: known here: name, client_id, client_secret, \
         redirect_uri, scopes, dpop\n\
         proxy.toml:12: oauth.clients[2].client_id: missing (column 1)\n  hint: write the client_id that Flexslot shows, such as \
         \"flx_client_…\"\n\
         proxy.toml:12: oauth.clients[2].name: missing (column 1)\n  hint: write name = \"billing\", which connect --client takes\n\
         proxy.toml:13: oauth.clients[2].redirect_uri: browsers would come back to a path that is nothing here (column 16)\n  \
         hint: write \"http://127.0.0.1:3540/oauth/callback\""
    );
}

#[test]
fn keys_of_later_versions_are_unknown() {
    for (table, key) in [("server", "zone"), ("oauth", "nonce")] {
        let told = faults(&format!("[{table}]\n{key} = \"1d\""));
        assert!(told.starts_with(&format!("proxy.toml:2: {table}.{key}: unknown key (column 1)")), "{told}");
    }
}

#[test]
fn several_faults_of_syntax_are_told_beside_the_others() {
    let told = faults("[server\ndrain_timeout = \"x\"\n[limits]\nconnections = \n[log]\nacces = true\n");
    let places: Vec<_> = told.lines().filter(|line| line.starts_with("proxy")).map(|line| &line[..13]).collect();
    assert!(places.contains(&"proxy.toml:1:") && places.contains(&"proxy.toml:4:"), "{told}");
    assert!(told.contains("proxy.toml:6: log.acces: unknown key"), "{told}");
}

#[test]
fn what_broken_syntax_may_have_swallowed_is_not_missed() {
    let told = faults("[server]\nlisten = \"0.0.0.0:1\"\nallow_remote = tru\n");
    assert!(told.starts_with("proxy.toml:3: "), "{told}");
    assert!(!told.contains("beyond loopback"), "{told}");
}

#[test]
fn a_key_that_comes_twice_is_a_fault() {
    assert!(faults("[log]\naccess = true\naccess = false\n").starts_with("proxy.toml:3: duplicate key"));
}

#[test]
fn one_mistake_is_told_once() {
    let told = faults("[server]\nlisten = \"0.0.0.0:1\"\nallow_remote = \"yes\"\n");
    assert_eq!(told, "proxy.toml:3: server.allow_remote: expected true or false, found a string (column 16)");
    let told = faults("[refresh]\ngive_up = \"3\"\nuncertain_after = \"1s\"\n");
    assert_eq!(told.matches("proxy.toml").count(), 1, "{told}");
}

#[test]
fn a_secret_written_out_is_refused_and_not_repeated() {
    let text = r#"
[server]
client_token = "canary-1"
[oauth]
client_id = "c"
client_secret = "flx_cs_canary"
scopes = ["flx_cs_canary"]
redirect_uri = "https://user:canary@localhost/"
[upstream]
url = "https://user:canary@api.flexslot.gg"
proxy = "http://user:canary@proxy:3128"
[store]
url = "postgres://user:canary@db/flexslot"
encryption_key = "canary"
[[tenants]]
name = "acme"
pat = "flx_pat_canary"
[[tenants]]
name = "beta"
pat = { env = "flx_pat_canary" }
[[tenants]]
name = "gamma"
pat = { file = "flx_pat_canary" }
flx_pat_canary = 1
[flx_cs_canary]
[admin]
token = "canary"
public_url = "https://user:canary@app.example.com"
"#;
    let told = faults(text);
    assert!(!told.contains("canary"), "{told}");
    let lines: Vec<_> = told.lines().filter_map(|line| line.strip_prefix("proxy.toml:")?.split(':').next()).collect();
    assert_eq!(lines, ["3", "6", "7", "8", "10", "11", "13", "14", "17", "20", "23", "24", "25", "27", "28"], "{told}");
    assert!(told.contains(
        "tenants[0].pat: a secret is never written in the file (column 7)\n  hint: write { env = \"NAME\" }"
    ));
}

#[test]
fn a_secret_is_named_in_one_way() {
    let secret = |text: &str| faults(&format!("[server]\nclient_token = {text}"));
    assert!(secret("{}").contains("expected either env or file"));
    assert!(secret("{ env = \"A\", file = \"b\" }").contains("expected either env or file"));
    assert!(secret("{ env = \"A\", any_mode = true }").contains("any_mode is for files only"));
    assert!(secret("{ env = \"A B\" }").contains("server.client_token.env: not the name of an environment variable"));
    assert!(secret("{ file = \"\" }").contains("server.client_token.file: not a path"));
    assert!(secret("{ file = \"a\", mode = 1 }").contains("server.client_token.mode: unknown key"));
    assert!(secret("5").contains("expected a secret, found an integer"));
}

#[test]
fn a_key_is_named_in_one_way_and_no_other_secret_is_in_a_keyring() {
    let key = |text: &str| faults(&format!("[store]\nencryption_key = {text}"));
    assert!(key("{}").contains("store.encryption_key: expected one of env, file and keyring"));
    for two in ["{ keyring = \"a\", file = \"b\" }", "{ keyring = \"a\", any_mode = true }"] {
        assert!(key(two).contains("store.encryption_key: keyring stands alone"), "{two}");
    }
    let name = key("{ keyring = \"a canary\" }");
    assert!(
        name.contains("store.encryption_key.keyring: not the name of an item") && !name.contains("canary"),
        "{name}"
    );
    assert!(key("{ keyring = true }").contains("expected the name of an item in quotes"));
    assert!(key("{ keyrin = \"a\" }").contains("did you mean keyring?"));
    assert!(key("\"canary\"").contains("or { keyring = \"NAME\" }"));
    let other = faults("[server]\nclient_token = { keyring = \"a\" }");
    assert!(other.contains("server.client_token.keyring: unknown key"), "{other}");
}

#[test]
fn secret_files_obey_the_access_rule() {
    let load = |mode, owner, any_mode| {
        FakeEnvironment::with_config(&format!("[server]\nclient_token = {{ file = \"t\"{any_mode} }}"))
            .file_with("/etc/fp/t", "canary", mode, owner)
            .load()
            .map_err(|faults| faults.to_string())
    };
    use FileOwner::{SomebodyElse, ThisProcess};
    for (mode, owner) in
        [(0o600, ThisProcess), (0o400, ThisProcess), (0o644, SomebodyElse), (0o440, SomebodyElse), (0o711, ThisProcess)]
    {
        assert!(load(mode, owner, "").is_ok(), "{mode:o}");
    }
    for (mode, owner, mended) in [
        (0o640, ThisProcess, "600"),
        (0o604, ThisProcess, "600"),
        (0o620, ThisProcess, "600"),
        (0o660, ThisProcess, "600"),
        (0o664, SomebodyElse, "go-w"),
        (0o602, SomebodyElse, "go-w"),
    ] {
        let told = load(mode, owner, "").unwrap_err();
        assert!(told.contains(&format!("by others (column 16)\n  hint: chmod {mended} ")), "{told}");
        assert!(load(mode, owner, ", any_mode = true").is_ok(), "{mode:o}");
    }
}

#[test]
fn callers_are_told_apart_and_say_for_whom_they_may_speak() {
    let caller = |rest: &str| format!("[[server.callers]]\n{rest}\n");
    let load = |text: &str| {
        let machine = FakeEnvironment::with_config(text).variable("A", "token-a").variable("B", "token-b");
        let machine = machine.variable("SPACE", "a token");
        machine.load().map(|config| config.server.callers).map_err(|faults| faults.to_string().replace("/etc/fp/", ""))
    };
    let shop = "name = \"shop\"\ntoken = { env = \"A\" }\ntenants = [\"acme\", \"beta\"]";
    let all = "name = \"all\"\ntoken = { env = \"B\" }\ntenants = \"*\"";
    let callers = load(&(caller(shop) + &caller(all))).unwrap();
    assert!(matches!(&callers[0].speaks_for, SpeaksFor::These(tenants) if tenants.len() == 2), "{callers:?}");
    assert_eq!(callers[1].speaks_for, SpeaksFor::Everybody);
    assert_eq!(callers[0].token.as_ref().map(|token| token.secret.expose()), Some("token-a"));

    for (text, told) in [
        (caller(""), "proxy.toml:1: server.callers[0].name: missing"),
        (caller("name = \"a b\"\ntoken = { env = \"A\" }\ntenants = \"*\""), "server.callers[0].name: not a name"),
        (caller("name = \"a\"\ntoken = { env = \"A\" }"), "server.callers[0].tenants: missing"),
        (
            caller("name = \"a\"\ntoken = { env = \"A\" }\ntenants = []"),
            "no tenant, so that the caller could call nothing",
        ),
        (
            caller("name = \"a\"\ntoken = { env = \"A\" }\ntenants = \"acme\""),
            "expected an array of tenants' names, found a string (column 11)\n  hint: write [\"acme\"]",
        ),
        (caller("name = \"a\"\ntoken = \"token-a\"\ntenants = \"*\""), "a secret is never written in the file"),
        (
            caller("name = \"a\"\ntoken = { env = \"SPACE\" }\ntenants = \"*\""),
            "hint: make one of 32 random bytes, with: openssl rand -base64 32",
        ),
        (caller(shop) + &caller(shop), "server.callers[1].name: the same name as in line 2"),
        (caller(shop) + &caller(&all.replace('B', "A")), "the same token as another caller's, or as client_token"),
        (format!("[server]\nclient_token = {{ env = \"A\" }}\n{}", caller(shop)), "the same token as another caller's"),
    ] {
        let faults = load(&text).unwrap_err();
        assert!(faults.contains(told) && !faults.contains("token-a"), "{text}\n{faults}");
    }
}

/// Loads with what a listener with TLS needs; `client_ca` among it.
fn with_tls(text: &str) -> Result<Config, String> {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["localhost".into()]).unwrap().self_signed(&key).unwrap();
    let machine = FakeEnvironment::with_config(text)
        .file("/etc/fp/proxy.crt", &certificate.pem())
        .file("/etc/fp/proxy.key", &key.serialize_pem())
        .file("/etc/fp/other.key", &rcgen::KeyPair::generate().unwrap().serialize_pem())
        .file("/etc/fp/empty.pem", "")
        .file("/etc/fp/ca.crt", &authority().pem());
    machine.load().map_err(|faults| faults.to_string().replace("/etc/fp/", ""))
}

/// TLS alone keeps nobody out.
const TLS_FROM_ELSEWHERE: &str = "[server]\nlisten = { address = \"0.0.0.0:1\", tls = true }\n[server.tls]\ncertificate = \"proxy.crt\"\nkey = { env = \"T\" }";

#[test]
fn a_listener_with_tls_shows_a_certificate_and_may_ask_for_one() {
    let listen = "[server]\nlisten = { address = \"10.0.0.1:1\", tls = true }\n";
    let shown = "[server.tls]\ncertificate = \"proxy.crt\"\nkey = { file = \"proxy.key\" }\n";
    let config = with_tls(&format!("{listen}{shown}client_ca = \"ca.crt\"")).expect("callers show certificates");
    let tls = config.server.tls.as_ref().expect("there");
    assert!(config.server.listeners[0].tls && tls.client_roots.is_some());
    let watched = config.watched_files();
    for file in ["proxy.crt", "proxy.key", "ca.crt"] {
        assert!(watched.contains(&format!("/etc/fp/{file}").into()), "{file}: {watched:?}");
    }
    for (text, told) in [
        (format!("{listen}{shown}"), "listens beyond loopback"),
        (shown.into(), "no address that is listened on says tls = true"),
        (
            "[server]\nlisten = { address = \"127.0.0.1:1\", tls = true }".into(),
            "nothing says which certificate is shown",
        ),
        ("[server]\nlisten = { address = \"unix:p.sock\", tls = true }".into(), "tls is for TCP only"),
        ("[server.tls]\ncertificate = \"proxy.crt\"".into(), "server.tls.key: missing"),
        ("[server.tls]\nkey = { file = \"proxy.key\" }".into(), "server.tls.certificate: missing"),
        (
            "[server.tls]\ncertificate = \"proxy.key\"\nkey = { file = \"proxy.key\" }".into(),
            "proxy.key holds no certificate in PEM",
        ),
        ("[server.tls]\ncertificate = \"none\"\nkey = { file = \"proxy.key\" }".into(), "none does not exist"),
        (
            "[server.tls]\ncertificate = \"proxy.crt\"\nkey = { file = \"proxy.crt\" }".into(),
            "proxy.crt holds no private key in PEM",
        ),
        (
            format!("{listen}{}", shown.replace("proxy.key", "other.key")),
            "proxy.toml:5: server.tls.key: other.key is not the key of the certificate in proxy.crt",
        ),
        (format!("{shown}client_ca = \"empty.pem\""), "empty.pem holds no certificate in PEM"),
        (
            "[server.tls]\nclient_ca = \"empty.pem\"\ncertificate = \"none\"\nkey = { file = \"proxy.crt\" }".into(),
            "proxy.toml:3: server.tls.certificate: none does not exist",
        ),
    ] {
        let faults = with_tls(&text).unwrap_err();
        assert!(faults.contains(told) && !faults.contains("BEGIN"), "{text}\n{faults}");
    }
}

#[test]
fn users_are_named_for_unix_sockets_only() {
    let load = |listen: &str| FakeEnvironment::with_config(&format!("[server]\nlisten = {listen}")).load();
    let config = load("{ address = \"unix:p.sock\", mode = \"0666\", uids = [0, 1000] }").unwrap();
    assert_eq!(config.server.listeners[0].uids, Some(vec![0, 1000]));
    for (listen, told) in [
        ("{ address = \"127.0.0.1:1\", uids = [0] }", "uids are for unix sockets only"),
        ("{ address = \"unix:p.sock\", uids = [\"app\"] }", "expected a user's id, a number"),
        ("{ address = \"unix:p.sock\", uids = [-1] }", "expected a user's id, a number"),
    ] {
        let faults = load(listen).unwrap_err().to_string();
        assert!(faults.contains(told), "{listen}\n{faults}");
    }
}

/// The kernel shows users of other user namespaces by one id for all of them, and says which that is.
#[test]
fn an_id_that_stands_for_users_of_other_namespaces_lets_nobody_in() {
    let load = |kernel: Option<&str>, uids: &str| {
        let file = format!("[server]\nlisten = [\"127.0.0.1:1\", {{ address = \"unix:p.sock\", uids = {uids} }}]");
        let machine = FakeEnvironment::with_config(&file);
        match kernel {
            Some(id) => machine.file("/proc/sys/kernel/overflowuid", id),
            None => machine,
        }
        .load()
    };
    for (kernel, uids) in [(None, "[0, 65534]"), (Some("65534\n"), "[65534]"), (Some("7\n"), "[7]")] {
        let faults = load(kernel, uids).unwrap_err().to_string();
        assert!(faults.contains("proxy.toml:2: server.listen") && faults.contains("another namespace"), "{faults}");
    }
    for (kernel, uids) in [(None, "[0, 65533]"), (Some("7\n"), "[65534]")] {
        assert!(load(kernel, uids).is_ok(), "{kernel:?} {uids}");
    }
}

#[test]
fn secrets_that_cannot_be_had_are_told_by_their_source() {
    let load = |text: &str| {
        let machine = FakeEnvironment::with_config(&format!("[server]\nclient_token = {text}"))
            .file("/etc/fp/empty", "\n")
            .file_with("/etc/fp/bytes", [0xff], 0o600, FileOwner::ThisProcess)
            .file("/etc/fp/two", "canary\ncanary\n");
        machine.load().unwrap_err().to_string()
    };
    let told = load("{ env = \"NO\" }");
    assert!(told.ends_with("environment variable NO is not set (column 16)\n  hint: set NO, or keep the secret in a file: { file = \"path\" }"), "{told}");
    let told = load("{ file = \"no\" }");
    assert!(told.ends_with("/etc/fp/no does not exist (column 16)\n  hint: put the secret there, readable for this user alone (chmod 600)"), "{told}");
    assert!(
        load("{ file = \"empty\" }")
            .contains("/etc/fp/empty is empty (column 16)\n  hint: write the secret there, on one line")
    );
    assert!(load("{ file = \"bytes\" }").contains("/etc/fp/bytes is not UTF-8 text"));
    let told = load("{ file = \"two\" }");
    assert!(told.contains("characters that no credential has") && !told.contains("canary"), "{told}");
}

#[test]
fn leaving_loopback_takes_a_decision() {
    for (text, fine) in [
        ("[server]\nlisten = \"10.0.0.1:1\"", false),
        ("[server]\nlisten = \"0.0.0.0:1\"", false),
        ("[server]\nlisten = \"[::]:1\"\nallow_remote = true", true),
        ("[server]\nlisten = \"0.0.0.0:1\"\nclient_token = { env = \"T\" }", true),
        (
            "[server]\nlisten = \"0.0.0.0:1\"\n[[server.callers]]\nname = \"shop\"\ntoken = { env = \"T\" }\ntenants = \"*\"",
            true,
        ),
        (TLS_FROM_ELSEWHERE, false),
        ("[admin]\nlisten = \"0.0.0.0:1\"", false),
        ("[admin]\nlisten = \"0.0.0.0:1\"\n[server]\nclient_token = { env = \"T\" }", false),
        ("[admin]\nlisten = \"0.0.0.0:1\"\n[server]\nallow_remote = true", true),
        ("[admin]\nmetrics_listen = \"0.0.0.0:1\"", true),
        ("[server]\nlisten = \"unix:proxy.sock\"", true),
    ] {
        let loaded = FakeEnvironment::with_config(text).variable("T", "token").load();
        assert_eq!(loaded.is_ok(), fine, "{text}");
        if let Err(faults) = loaded {
            assert!(faults.to_string().contains("loopback"), "{faults}");
        }
    }
}

#[test]
fn two_listeners_do_not_share_an_address() {
    assert!(
        faults("[server]\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:1\"]")
            .contains("server.listen[1]: the same address as in line 2")
    );
    assert!(
        faults("[server]\nlisten = \"127.0.0.1:3540\"").contains("the same address as in admin.listen, by default")
    );
    let sockets = "[server]\nlisten = \"unix:a\"\n[admin]\nlisten = { address = \"unix:a\", mode = \"0660\" }";
    assert!(faults(sockets).contains("proxy.toml:4: admin.listen: the same address as in line 2"));
    let free = "[server]\nlisten = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"";
    assert!(FakeEnvironment::with_config(free).load().is_ok());
}

#[test]
fn browsers_come_back_to_the_admin_listener() {
    let told = |uri: &str, others: &str| {
        let text = format!("[oauth]\nredirect_uri = \"{uri}\"\n{others}");
        FakeEnvironment::with_config(&text).load().err().map(|faults| faults.to_string().replace("/etc/fp/", ""))
    };
    let public = "[admin]\npublic_url = \"https://app.example.com/flexslot\"";
    for (uri, others) in [
        ("http://127.0.0.1:3540/oauth/callback", ""),
        ("http://localhost:3540/oauth/callback", ""),
        ("http://[::1]:3540/oauth/callback?from=flexslot", ""),
        ("http://localhost:7/oauth/callback", "[admin]\nlisten = [\"unix:admin.sock\", \"127.0.0.1:6\", \"[::1]:7\"]"),
        ("http://localhost:7/oauth/callback", "[admin]\nlisten = \"127.0.0.1:0\""),
        ("http://localhost:7/oauth/callback", "[admin]\nlisten = \"off\""),
        ("http://localhost:3540/oauth/callback", public),
        ("https://app.example.com/flexslot/oauth/callback", public),
        ("https://App.example.com:443/elsewhere", public),
    ] {
        assert_eq!(told(uri, others), None, "{uri}");
    }
    assert_eq!(
        told("http://127.0.0.1:3541/oauth/callback", "").unwrap(),
        "proxy.toml:2: oauth.redirect_uri: not the origin of the admin listener, where browsers have to come back to (column 16)\n  \
         hint: write \"http://127.0.0.1:3540/oauth/callback\", or set admin.public_url to where browsers reach this sidecar"
    );
    let elsewhere = told("https://other.example.com/flexslot/oauth/callback", public).unwrap();
    assert!(elsewhere.contains("hint: write \"https://app.example.com/flexslot/oauth/callback\""), "{elsewhere}");
    let off = told("https://app.example.com/cb", "[admin]\nlisten = \"off\"").unwrap();
    assert!(off.contains("not the origin of the admin listener"), "{off}");
    let path = told("http://localhost:3540/callback", "").unwrap();
    assert!(path.contains("hint: write \"http://localhost:3540/oauth/callback\""), "{path}");
    for (uri, what) in [
        ("http://127.0.0.2:3540/oauth/callback", "Flexslot takes http:// only for localhost, 127.0.0.1 and [::1]"),
        ("https://app.example.com/*", "Flexslot takes no * in a redirect URI"),
        ("https://app.example.com/#x", "a redirect URI has no fragment"),
        ("http://app.example.com/", "http:// is only for loopback hosts"),
    ] {
        let told = told(uri, public).unwrap();
        assert!(told.starts_with(&format!("proxy.toml:2: oauth.redirect_uri: {what} (column 16)")), "{told}");
        assert_eq!(told.matches("proxy.toml:").count(), 1, "{told}");
    }
}

#[test]
fn a_callback_below_the_public_url_is_one_that_flexslot_takes() {
    assert_eq!(
        faults("[admin]\npublic_url = \"http://app.localhost:5000\""),
        "proxy.toml:2: admin.public_url: Flexslot takes http:// only for localhost, 127.0.0.1 and [::1] (column 14)\n  \
         hint: the callback lies below it"
    );
}

#[test]
fn a_scope_that_flexslot_does_not_have_is_told_the_nearest() {
    assert_eq!(
        faults("[oauth]\nscopes = [\"deck:read\", \"everything\", \"cards:read\"]"),
        "proxy.toml:2: oauth.scopes[0]: not a scope of Flexslot (column 11)\n  hint: did you mean \"decks:read\"?\n\
         proxy.toml:2: oauth.scopes[1]: not a scope of Flexslot (column 24)\n  hint: known here: cards:read, decks:read, \
         decks:write, exports:read, guides:read, guides:write, sideboards:read, sideboards:write"
    );
    assert_eq!(
        faults("[oauth]\nscopes = []"),
        "proxy.toml:2: oauth.scopes: expected at least one scope, and each once (column 10)\n  \
         hint: write [\"decks:read\", \"cards:read\"]"
    );
}

#[test]
fn keys_below_a_broken_header_are_nobodys() {
    for (text, line) in [
        ("[server\nlisten = \"127.0.0.1:1\"\n[log]\nx = 1", 1),
        ("[log]\n[[tenants]\nname = \"acme\"\n[log2]\n", 2),
        ("[store]\n[upstream\nurl = \"https://h\"\n\n[log3]\n", 2),
    ] {
        let told = faults(text);
        let lines: Vec<_> = told.lines().filter(|line| line.starts_with("proxy.toml")).collect();
        assert!(lines[0].starts_with(&format!("proxy.toml:{line}: ")) && lines.len() == 2, "{told}");
        assert!(lines[1].contains("log"), "what stands below a whole header is told: {told}");
    }
}

#[test]
fn an_uncertain_grant_is_one_whose_request_is_over() {
    assert_eq!(
        faults("[refresh]\ngive_up = \"2m\""),
        "proxy.toml:2: refresh.give_up: must be shorter than refresh.uncertain_after (column 11)"
    );
    assert_eq!(
        faults("[refresh]\nuncertain_after = \"90s\""),
        "proxy.toml:2: refresh.uncertain_after: must be longer than refresh.give_up (column 19)"
    );
    assert!(FakeEnvironment::with_config("[refresh]\ngive_up = \"2m\"\nuncertain_after = \"121s\"").load().is_ok());
}

#[test]
fn idle_grants_are_refreshed_while_their_refresh_tokens_live() {
    let told = faults("[refresh]\nkeep_alive = \"30d\"");
    assert!(told.starts_with("proxy.toml:2: refresh.keep_alive: a refresh token that nobody uses lives for 30 days"));
    assert!(told.contains("hint: write at most \"29d\""));
    assert!(faults("[refresh]\nkeep_alive = \"0s\"").contains("refresh.keep_alive: must be longer than zero"));
    let config = FakeEnvironment::with_config("[refresh]\nkeep_alive = \"29d\"").load().unwrap();
    assert_eq!(config.refresh.keep_alive, Some(Duration::from_secs(29 * 24 * 3600)));
}

#[test]
fn every_value_is_checked() {
    for line in [
        "[server]\nlisten = []",
        "[server]\nlisten = \"off\"",
        "[server]\nlisten = { tenant = \"a\" }",
        "[server]\nlisten = { address = \"127.0.0.1:1\", mode = \"0600\" }",
        "[server]\nlisten = { address = \"unix:a\", tenant = \"\" }",
        "[server]\ntenant_header = \"Authorization\"",
        "[server]\ndefault_tenant = \"a/b\"",
        "[server]\nallowed_hosts = [\"a:80\"]",
        "[server]\nallowed_hosts = \"a\"",
        "[server]\nallowed_origins = [\"https://a/\"]",
        "[server]\ndrain_timeout = \"25\"",
        "[admin]\nlisten = []",
        "[admin]\nlisten = { address = \"127.0.0.1:1\", tenant = \"a\" }",
        "[admin]\npublic_url = \"app.example.com\"",
        "[admin]\npublic_url = \"http://app.example.com\"",
        "[admin]\npublic_url = \"https://app.example.com/?x=1\"",
        "[admin]\npublic_url = \"https://app.example.com/*\"",
        "[admin]\nreturn_origins = \"https://app.example.com\"",
        "[admin]\nreturn_origins = [\"https://app.example.com/back\"]",
        "[admin]\nreturn_origins = [\"javascript://app\"]",
        "[upstream]\nurl = \"http://api.flexslot.gg\"",
        "[upstream]\nproxy = \"on\\u0020it\"",
        "[upstream]\nca_file = \"none.pem\"",
        "[upstream]\nresponse_timeout = \"0s\"",
        "[oauth]\nclient_id = \" \"",
        "[oauth]\ntoken_url = \"http://example.com/token\"",
        "[oauth]\ntoken_url = \"https://example.com/token#x\"",
        "[oauth]\nauthorize_url = \"example.com\"",
        "[oauth]\nrevoke_url = \"http://example.com/revoke\"",
        "[oauth]\nintrospect_url = \"https://user:p@example.com/introspect\"",
        "[oauth]\nissuer = \"https://api.flexslot.gg/?x\"",
        "[oauth]\nissuer = \"flexslot\"",
        "[oauth]\nscopes = []",
        "[oauth]\nscopes = \"decks:read\"",
        "[oauth]\nscopes = [\"decks:read\", \"decks:read\"]",
        "[oauth]\nredirect_uri = \"https://app.example.com/cb\"",
        "[refresh]\nmax_parallel = 0",
        "[refresh]\nmax_parallel = -1",
        "[refresh]\ntimeout = \"0s\"",
        "[store]\nurl = \"redis://\"",
        "[store]\nurl = \"sqlite:\"",
        "[store]\nurl = \"sqlite::memory:\"",
        "[limits]\nheader_size = \"1B\"",
        "[limits]\nheader_size = \"1GiB\"",
        "[limits]\nconnections = 99999999999999999999999",
        "[limits]\nconnections = 1.5",
        "[log]\nformat = \"xml\"",
        "[log]\nlevel = \"inof\"",
        "[log]\nlevel = \"access=loud\"",
        "[log]\naccess = 1",
        "tenants = 1",
        "[tenants]",
        "server = 1",
        "[[tenants]]\nname = \"a\"\ncredentials = []",
        "[[tenants]]\nname = \"a\"\ncredentials = [\"pat\", \"pat\"]",
        "[[tenants]]\nname = \"a\"\nallow = [\"get /x\"]",
        "[[tenants]]\nname = \"a\"\n[[tenants]]\nname = \"a\"",
    ] {
        let told = faults(line);
        assert_eq!(told.matches("proxy.toml:").count(), 1, "{line}\n{told}");
    }
}

#[test]
fn a_key_of_too_many_parts_is_found_on_its_line() {
    let long = vec!["x"; 81].join(".");
    let text = format!("[{long}]\na = 1\n[log]\nlevel = \"\"\"\ninfo\"\"\"\n[[{long}]]\n[server]\n  {long} = 1\n");
    assert_eq!(
        faults(&text),
        "proxy.toml:1: a key has more parts than can be read (column 1)\n\
         proxy.toml:6: a key has more parts than can be read (column 1)\n\
         proxy.toml:8: a key has more parts than can be read (column 3)"
    );
    let inline = format!("[log]\naccess = true\nlevel = {{ {long} = 1 }}\n");
    assert!(faults(&inline).starts_with("proxy.toml:3: a key has more parts"), "{}", faults(&inline));
}

#[test]
fn what_is_nested_too_deep_is_found_on_its_line() {
    let arrays = format!("[server]\nlisten = {}", "[".repeat(200));
    assert!(faults(&arrays).starts_with("proxy.toml:2: "), "{}", faults(&arrays));
    let tables = format!("\n\nserver = {}", "{ a = ".repeat(200));
    assert!(faults(&tables).starts_with("proxy.toml:3: "), "{}", faults(&tables));
}

#[test]
fn dotted_keys_have_their_own_lines() {
    assert!(
        faults("\n\nupstream.url.x = 1")
            .starts_with("proxy.toml:3: upstream.url: expected a URL in quotes, found a table")
    );
    assert!(faults("\n\nserver.listen = 1").starts_with("proxy.toml:3: server.listen: "));
    assert!(faults("\nserver.x.y.z = 1").starts_with("proxy.toml:2: server.x: unknown key"));
    assert!(
        faults("[log]\naccess = true\n[store.encryption_key.file]")
            .starts_with("proxy.toml:3: store.encryption_key.file")
    );
    assert!(faults("\n\n[store.url.x.y]").starts_with("proxy.toml:3: store.url: "));
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault() {
    let machine = FakeEnvironment::default().file_with(
        "/etc/fp/proxy.toml",
        b"[log]\nlevel = \"\xff\"",
        0o600,
        FileOwner::ThisProcess,
    );
    assert_eq!(machine.load().unwrap_err().to_string(), "/etc/fp/proxy.toml:2: not UTF-8 (column 10)");
    assert_eq!(
        FakeEnvironment::default().load().unwrap_err().to_string(),
        "/etc/fp/proxy.toml: does not exist\n  hint: name the file with --config or FLEXSLOT_PROXY_CONFIG"
    );
}

#[test]
fn a_file_that_anybody_can_write_is_not_believed() {
    let machine = |mode, owner| FakeEnvironment::default().file_with("/etc/fp/proxy.toml", "", mode, owner);
    for owner in [FileOwner::ThisProcess, FileOwner::Root, FileOwner::SomebodyElse] {
        for mode in [0o600, 0o644, 0o664, 0o444] {
            assert!(machine(mode, owner).load().is_ok(), "{mode:o} {owner:?}");
        }
        assert_eq!(
            machine(0o666, owner).load().unwrap_err().to_string(),
            "/etc/fp/proxy.toml: anybody can write it (mode 666)\n  hint: chmod o-w /etc/fp/proxy.toml"
        );
    }
}

#[test]
fn a_file_of_another_user_that_lies_there_is_not_taken_unasked() {
    let source = |flag: Option<&str>, owner| {
        let machine = FakeEnvironment::default().file_with("/work/proxy.toml", "", 0o644, owner);
        let source = ConfigSource::find(flag.map(Path::new), &machine);
        Config::load(&source, &Overrides::default(), &machine).map(|config| config.source)
    };
    for owner in [FileOwner::ThisProcess, FileOwner::Root] {
        assert_eq!(source(None, owner), Ok(ConfigSource::Found), "{owner:?}");
    }
    assert_eq!(
        source(None, FileOwner::SomebodyElse).unwrap_err().to_string(),
        "proxy.toml: belongs to another user, and nobody has named it\n  hint: if it is meant: --config proxy.toml"
    );
    for named in ["proxy.toml", "./proxy.toml", "/work/proxy.toml"] {
        assert!(source(Some(named), FileOwner::SomebodyElse).is_ok(), "{named}");
    }
}

#[test]
fn faults_of_flags_and_variables_name_them() {
    let overrides = Overrides { listen: Some("0.0.0.0:1".into()), upstream: Some("x".into()), ..Overrides::default() };
    let machine = FakeEnvironment::with_config("[log]\nx = 1").variable("FLEXSLOT_PROXY_STORE", "mysql://u:canary@h/d");
    let told = machine.load_with(&overrides).unwrap_err().to_string();
    let starts: Vec<_> =
        told.lines().filter(|line| !line.starts_with("  ")).map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(starts, ["/etc/fp/proxy.toml:2", "--listen", "--upstream", "FLEXSLOT_PROXY_STORE"], "{told}");
    assert!(!told.contains("canary"));
}

/// Pieces out of which files are made that come near to being right.
fn piece() -> impl Strategy<Value = String> {
    let keys = "server|admin|upstream|oauth|refresh|store|limits|log|tenants|listen|url|pat|client_secret|name|allow|level|give_up";
    prop_oneof![
        keys,
        Just("\n".to_owned()),
        r#"[\[\]{}=.,#"' ]{1,2}"#,
        r#" = "[a-z:/*@.0-9]{0,8}"\n"#,
        r#" = \{ (env|file) = "[A-Z/]{0,3}" \}\n"#,
        " = [0-9]{1,3}\n",
        any::<char>().prop_map(String::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn arbitrary_text_never_panics(text in proptest::collection::vec(piece(), 0..40)) {
        let _ = FakeEnvironment::with_config(&text.concat()).load().map_err(|faults| faults.to_string());
    }

    #[test]
    fn faults_come_in_order_and_inside_the_file(text in proptest::collection::vec(piece(), 0..40)) {
        let text = text.concat();
        if let Err(faults) = FakeEnvironment::with_config(&text).load() {
            let places: Vec<_> = faults.iter().map(|fault| fault.place).collect();
            prop_assert!(places.is_sorted());
            for place in places {
                let Place::Line { line, .. } = place else { panic!("a fault without its line: {faults}") };
                prop_assert!(line >= 1 && line <= text.matches('\n').count() + 1);
            }
        }
    }
}
