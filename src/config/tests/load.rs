//! What files, flags and variables mean.

use std::{path::Path, time::Duration};

use super::{Config, ConfigSource, FakeEnvironment, Overrides, authority};
use crate::{
    config::{Callback, Engine, KeyLocation, SecretSource, ServiceSecrets},
    model::{AllowRule, CredentialKind, FileAccess, ListenAddress, Need, PatFallback},
};

fn sqlite(config: &Config) -> (&Path, &Path) {
    match &config.store.engine {
        Engine::Sqlite { path, key } => (path, key.location.file().unwrap()),
        other => panic!("{other}"),
    }
}

fn addresses(config: &Config) -> Vec<String> {
    config.server.listeners.iter().map(|listener| listener.address.to_string()).collect()
}

#[test]
fn an_empty_file_means_the_documented_defaults() {
    let config = FakeEnvironment::with_config("").load().unwrap();
    assert_eq!(addresses(&config), ["127.0.0.1:3539", "[::1]:3539"]);
    assert!(config.server.listeners.iter().all(|listener| listener.need == Need::IfPresent));
    assert_eq!(config.admin.listeners[0].address.to_string(), "127.0.0.1:3540");
    assert_eq!(config.admin.metrics_listeners, []);
    assert_eq!(config.upstream.origin.as_str(), "https://api.flexslot.gg");
    assert_eq!(config.upstream.proxy, None);
    assert_eq!(config.oauth.client, None);
    assert_eq!(config.oauth.token_url.as_str(), "https://api.flexslot.gg/api/public/v1/oauth/token");
    assert_eq!(config.oauth.authorize_url.as_str(), "https://api.flexslot.gg/api/public/v1/oauth/authorize");
    assert_eq!(config.oauth.revoke_url.as_str(), "https://api.flexslot.gg/api/public/v1/oauth/revoke");
    assert_eq!(config.oauth.introspect_url.as_str(), "https://api.flexslot.gg/api/public/v1/oauth/introspect");
    assert_eq!(config.oauth.issuer, "https://api.flexslot.gg");
    assert_eq!(config.oauth.scopes.as_str(), Some("decks:read cards:read"));
    assert_eq!(config.oauth.callback.bound_to(3540).as_str(), "http://127.0.0.1:3540/oauth/callback");
    assert_eq!((&config.admin.token, &config.admin.public_url), (&None, &None));
    assert_eq!(config.admin.return_origins, []);
    assert_eq!(config.refresh.uncertain_after, Duration::from_secs(120));
    assert_eq!(config.limits.replay_memory, 16 * 1024 * 1024);
    assert_eq!(sqlite(&config), (Path::new("/etc/fp/flexslot-proxy.db"), Path::new("/etc/fp/flexslot-proxy.key")));
    assert_eq!(config.store.state_dir.as_deref(), Some(Path::new("/etc/fp")));
    assert_eq!(config.tenants, []);
}

#[test]
fn a_whole_file_is_understood() {
    let text = r#"
[server]
listen = ["localhost:9000", { address = "127.0.0.1:9001", tenant = "acme" }, { address = "unix:run/p.sock", mode = "0660" }]
default_tenant = "acme"
client_token = { file = "token" }

[upstream]
url = "http://127.0.0.1:8080"

[oauth]
client_id = "flx_client_1"
client_secret = { env = "SECRET" }

[store]
url = "sqlite:data/fp.db"
state_dir = "/var/lib/fp"

[[tenants]]
name = "acme"
pat = { file = "/run/pat", any_mode = true }
credentials = ["pat", "oauth"]
pat_fallback = "unless_revoked"
allow = ["GET /decks/**"]
"#;
    let machine = FakeEnvironment::with_config(text)
        .file("/etc/fp/token", "token\r\n")
        .file("/run/pat", "flx_pat_1\n")
        .variable("SECRET", "flx_cs_1");
    let config = machine.load().unwrap();
    assert_eq!(addresses(&config), ["127.0.0.1:9000", "[::1]:9000", "127.0.0.1:9001", "unix:/etc/fp/run/p.sock"]);
    assert_eq!(config.server.listeners[2].tenant.as_ref().map(|tenant| tenant.as_str()), Some("acme"));
    assert!(matches!(config.server.listeners[3].address, ListenAddress::Unix { mode: 0o660, .. }));
    assert_eq!(config.server.client_token.as_ref().map(|token| token.secret.expose()), Some("token"));
    assert_eq!(config.oauth.token_url.as_str(), "http://127.0.0.1:8080/api/public/v1/oauth/token");
    let client = config.oauth.client.as_ref().unwrap();
    assert_eq!((client.id.as_str(), client.secret.as_ref().unwrap().secret.expose()), ("flx_client_1", "flx_cs_1"));
    assert_eq!(sqlite(&config), (Path::new("/etc/fp/data/fp.db"), Path::new("/etc/fp/data/flexslot-proxy.key")));
    assert_eq!(config.store.state_dir.as_deref(), Some(Path::new("/var/lib/fp")));
    let acme = &config.tenants[0];
    assert_eq!(acme.pat.as_ref().unwrap().secret.expose(), "flx_pat_1");
    let source = SecretSource::File { path: "/run/pat".into(), access: FileAccess::AnyMode };
    assert_eq!(acme.pat.as_ref().unwrap().source, source);
    assert_eq!(acme.credentials, [CredentialKind::Pat, CredentialKind::OAuth]);
    assert_eq!(acme.pat_fallback, PatFallback::UnlessRevoked);
    assert_eq!(acme.allow, Some(vec!["GET /decks/**".parse::<AllowRule>().unwrap()]));
    assert!(!format!("{config:?}").contains("flx_pat_1"), "secrets are redacted");
}

#[test]
fn browsers_come_back_to_where_they_reach_the_admin_listener() {
    let callback = |text: &str| FakeEnvironment::with_config(text).load().unwrap().oauth.callback;
    assert_eq!(callback("[admin]\nlisten = [\"unix:a\", \"127.0.0.1:7\"]"), Callback::AdminPort(7));
    assert_eq!(callback("[admin]\nlisten = \"127.0.0.1:0\""), Callback::AdminPort(0));
    assert_eq!(callback("[admin]\nlisten = \"off\""), Callback::AdminPort(3540));
    assert_eq!(callback("").bound_to(4000).as_str(), "http://127.0.0.1:4000/oauth/callback");
    let public = "[admin]\npublic_url = \"https://app.example.com/flexslot/\"";
    assert_eq!(callback(public).bound_to(4000).as_str(), "https://app.example.com/flexslot/oauth/callback");
    let given = format!("{public}\n[oauth]\nredirect_uri = \"https://App.example.com/flexslot/oauth/callback\"");
    assert_eq!(callback(&given).bound_to(4000).as_str(), "https://App.example.com/flexslot/oauth/callback");
}

#[test]
fn the_endpoints_and_the_issuer_follow_the_upstream_unless_told() {
    let text = "[upstream]\nurl = \"http://127.0.0.1:8080\"\n[oauth]\nrevoke_url = \"https://other.test/revoke\"";
    let oauth = FakeEnvironment::with_config(text).load().unwrap().oauth;
    assert_eq!(oauth.authorize_url.as_str(), "http://127.0.0.1:8080/api/public/v1/oauth/authorize");
    assert_eq!(oauth.revoke_url.as_str(), "https://other.test/revoke");
    assert_eq!(oauth.issuer, "http://127.0.0.1:8080");
    let named = FakeEnvironment::with_config("[oauth]\nissuer = \"https://Id.flexslot.gg/\"").load().unwrap();
    assert_eq!(named.oauth.issuer, "https://Id.flexslot.gg/", "byte for byte");
}

#[test]
fn commands_leave_the_secrets_unread_that_they_can_do_without() {
    let text = "[server]\nclient_token = { env = \"CALLERS\" }\n[admin]\ntoken = { env = \"ADMIN\" }\n[oauth]\n\
                client_id = \"c\"\nclient_secret = { env = \"CLIENT\" }\n[[tenants]]\nname = \"acme\"\npat = { env = \"PAT\" }";
    let read = |secrets, variable: &str| {
        let machine = FakeEnvironment::with_config(text).variable(variable, "s");
        Config::load_with(secrets, &ConfigSource::File("/etc/fp/proxy.toml".into()), &Overrides::default(), &machine)
    };
    let config = read(ServiceSecrets::OfClient, "CLIENT").unwrap();
    assert_eq!(config.oauth.client.unwrap().secret.unwrap().secret.expose(), "s");
    assert_eq!((config.admin.token, config.server.client_token, &config.tenants[0].pat), (None, None, &None));
    let config = read(ServiceSecrets::OfAdmin, "ADMIN").unwrap();
    assert_eq!(config.admin.token.unwrap().secret.expose(), "s");
    assert_eq!((config.oauth.client.unwrap().secret, config.server.client_token), (None, None));
    assert_eq!(read(ServiceSecrets::All, "CLIENT").unwrap_err().count(), 3);
    assert!(read(ServiceSecrets::None, "NOTHING").is_ok());
}

#[test]
fn an_admin_token_goes_into_a_header() {
    let text = "[admin]\ntoken = { env = \"ADMIN\" }";
    let told = FakeEnvironment::with_config(text).variable("ADMIN", "can ary").load().unwrap_err().to_string();
    assert!(told.contains("admin.token: environment variable ADMIN holds characters that no credential has"), "{told}");
    assert!(told.ends_with("hint: make one of 32 random bytes, with: openssl rand -base64 32"), "{told}");
    assert!(!told.contains("ary"), "{told}");
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let machine =
        FakeEnvironment::with_config("[upstream]\nurl = \"https://file.test\"\n[server]\nlisten = \"127.0.0.1:1\"");
    assert_eq!(machine.load().unwrap().upstream.origin.as_str(), "https://file.test");
    let machine = machine
        .variable("FLEXSLOT_PROXY_UPSTREAM", "https://variable.test")
        .variable("FLEXSLOT_PROXY_LISTEN", "127.0.0.1:2,[::1]:2")
        .variable("FLEXSLOT_PROXY_ADMIN_LISTEN", "off")
        .variable("FLEXSLOT_PROXY_STORE", "");
    let config = machine.load().unwrap();
    assert_eq!(config.upstream.origin.as_str(), "https://variable.test");
    assert_eq!(addresses(&config), ["127.0.0.1:2", "[::1]:2"]);
    assert_eq!(config.admin.listeners, []);
    assert!(matches!(config.store.engine, Engine::Sqlite { .. }), "an empty variable says nothing");
    let flags = Overrides {
        upstream: Some("https://flag.test".into()),
        log_level: Some("debug".into()),
        ..Overrides::default()
    };
    let config = machine.load_with(&flags).unwrap();
    assert_eq!(config.upstream.origin.as_str(), "https://flag.test");
    assert_eq!(config.log.filter.to_string(), "debug");
}

#[test]
fn a_filter_gives_targets_levels_of_their_own() {
    for (written, meant) in [
        ("warn", "warn"),
        ("INFO, access=off", "access=off,info"),
        ("flexslot_proxy::credential=debug,error", "flexslot_proxy::credential=debug,error"),
    ] {
        let machine = FakeEnvironment::with_config(&format!("[log]\nlevel = \"{written}\""));
        assert_eq!(machine.load().unwrap().log.filter, meant.parse().unwrap(), "{written}");
    }
}

#[test]
fn an_override_heals_a_faulty_value_only_once_the_file_is_right() {
    let machine = FakeEnvironment::with_config("[store]\nurl = \"mysql://x\"");
    assert!(machine.load_with(&Overrides { store: Some("memory:".into()), ..Overrides::default() }).is_err());
}

#[test]
fn relative_paths_of_flags_begin_where_the_user_stands() {
    let flags = Overrides { store: Some("sqlite:mine.db".into()), ..Overrides::default() };
    let config = FakeEnvironment::with_config("").load_with(&flags).unwrap();
    assert_eq!(sqlite(&config), (Path::new("/work/mine.db"), Path::new("/work/flexslot-proxy.key")));
}

#[test]
fn relative_paths_of_a_file_begin_at_it_wherever_it_is_named_from() {
    let machine = FakeEnvironment::default().file("/work/sub/proxy.toml", "[store]\nurl = \"sqlite:x.db\"");
    let config = Config::load(&ConfigSource::File("sub/proxy.toml".into()), &Overrides::default(), &machine).unwrap();
    assert_eq!(sqlite(&config).0, Path::new("/work/sub/x.db"));
}

#[test]
fn the_file_is_found_by_flag_variable_and_current_directory() {
    let nothing = FakeEnvironment::default();
    assert_eq!(ConfigSource::find(None, &nothing), ConfigSource::BuiltIn);
    let here = nothing.file("/work/proxy.toml", "");
    assert_eq!(ConfigSource::find(None, &here), ConfigSource::Found);
    let named = here.variable("FLEXSLOT_PROXY_CONFIG", "/a.toml");
    assert_eq!(ConfigSource::find(None, &named), ConfigSource::File("/a.toml".into()));
    assert_eq!(ConfigSource::find(Some(Path::new("b.toml")), &named), ConfigSource::File("b.toml".into()));
}

#[test]
fn a_pat_in_the_environment_is_configuration_enough() {
    let machine = FakeEnvironment::default().variable("FLEXSLOT_PAT", "flx_pat_1");
    let config = machine.load_without_file(&Overrides::default()).unwrap();
    assert_eq!(config.server.default_tenant.as_ref().map(|tenant| tenant.as_str()), Some("default"));
    assert_eq!(config.tenants[0].name.as_str(), "default");
    assert_eq!(config.tenants[0].pat.as_ref().unwrap().secret.expose(), "flx_pat_1");
    assert_eq!((config.store.engine, config.store.state_dir), (Engine::Memory, None));
}

#[test]
fn a_pat_in_the_environment_uses_the_store_that_is_configured_or_found() {
    let machine = FakeEnvironment::default().variable("FLEXSLOT_PAT", "flx_pat_1").variable("HOME", "/home/u");
    let flags = Overrides { store: Some("sqlite:/x/y.db".into()), ..Overrides::default() };
    assert_eq!(sqlite(&machine.load_without_file(&flags).unwrap()).0, Path::new("/x/y.db"));
    let found = machine.file("/home/u/.local/state/flexslot-proxy/flexslot-proxy.db", "");
    let config = found.load_without_file(&Overrides::default()).unwrap();
    assert_eq!(sqlite(&config).0, Path::new("/home/u/.local/state/flexslot-proxy/flexslot-proxy.db"));
}

#[test]
fn a_pat_in_the_environment_says_nothing_beside_a_file() {
    let config = FakeEnvironment::with_config("").variable("FLEXSLOT_PAT", "flx_pat_1").load().unwrap();
    assert_eq!((config.tenants.len(), config.server.default_tenant), (0, None));
}

#[test]
fn without_a_file_the_database_lies_in_the_state_directory() {
    let at = |machine: FakeEnvironment| {
        let config = machine.load_without_file(&Overrides::default()).unwrap();
        sqlite(&config).0.display().to_string()
    };
    let home = || FakeEnvironment::default().variable("HOME", "/home/u");
    assert_eq!(at(home()), "/home/u/.local/state/flexslot-proxy/flexslot-proxy.db");
    let xdg = || home().variable("XDG_STATE_HOME", "/xdg");
    assert_eq!(at(xdg()), "/xdg/flexslot-proxy/flexslot-proxy.db");
    assert_eq!(at(xdg().variable("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")), "/var/lib/a/flexslot-proxy.db");
    assert_eq!(
        at(home().variable("XDG_STATE_HOME", "relative")),
        "/home/u/.local/state/flexslot-proxy/flexslot-proxy.db"
    );
    let faults = FakeEnvironment::default().load_without_file(&Overrides::default()).unwrap_err().to_string();
    assert!(faults.starts_with("store.url: nothing tells where the store could lie"), "{faults}");
}

#[test]
fn the_key_is_read_where_it_exists() {
    let key = |machine: FakeEnvironment| machine.load().unwrap().store.engine.key().and_then(|key| key.text.clone());
    assert!(key(FakeEnvironment::with_config("")).is_none());
    assert!(key(FakeEnvironment::with_config("").file("/etc/fp/flexslot-proxy.key", "k\n")).is_some());
    let unused = FakeEnvironment::with_config("[store]\nurl = \"memory:\"\nencryption_key = { env = \"NOT_SET\" }");
    assert!(key(unused).is_none(), "memory: has a key of its own");
}

#[test]
fn a_store_url_may_be_kept_elsewhere() {
    let text = "[store]\nurl = { env = \"STORE\" }";
    let config = FakeEnvironment::with_config(text).variable("STORE", "sqlite:///var/x.db").load().unwrap();
    assert_eq!(sqlite(&config).0, Path::new("/var/x.db"));
    let faults =
        FakeEnvironment::with_config(text).variable("STORE", "mysql://:canary@h").load().unwrap_err().to_string();
    assert!(faults.contains(":2: store.url: not a store") && !faults.contains("canary"), "{faults}");
}

#[test]
fn a_ca_file_is_read_once_and_whole() {
    let (one, other) = (authority(), authority());
    let machine =
        |pem: &str| FakeEnvironment::with_config("[upstream]\nca_file = \"ca.pem\"").file("/etc/fp/ca.pem", pem);
    let roots = machine(&format!("{}\n{}", one.pem(), other.pem())).load().unwrap().upstream.extra_roots.unwrap();
    assert_eq!(roots.certificates, [one.der().clone(), other.der().clone()]);
    for (pem, what) in [
        ("", "holds no certificate in PEM"),
        ("-----BEGIN CERTIFICATE-----\n?canary\n", "is not PEM"),
        ("-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----\n", "holds no certificate in PEM"),
        (
            "-----BEGIN CERTIFICATE-----\nY2FuYXJ5\n-----END CERTIFICATE-----\n",
            "holds no certificate that can be a trust root",
        ),
    ] {
        let told = machine(pem).load().unwrap_err().to_string();
        assert_eq!(told, format!("/etc/fp/proxy.toml:2: upstream.ca_file: /etc/fp/ca.pem {what} (column 11)"));
    }
}

#[test]
fn the_outbound_proxy_comes_from_the_environment_unless_told() {
    let machine = |text| {
        FakeEnvironment::with_config(text)
            .variable("HTTPS_PROXY", "http://u:p@proxy:3128")
            .variable("NO_PROXY", ".test")
    };
    let proxy = machine("").load().unwrap().upstream.proxy.unwrap();
    assert_eq!((proxy.url.expose(), proxy.bypass.as_str()), ("http://u:p@proxy:3128", ".test"));
    assert_eq!(machine("[upstream]\nproxy = \"off\"").load().unwrap().upstream.proxy, None);
    let fixed = machine("[upstream]\nproxy = \"http://other:1\"").load().unwrap().upstream.proxy.unwrap();
    assert_eq!((fixed.url.expose(), fixed.bypass.as_str()), ("http://other:1", ""));
    let faults = FakeEnvironment::with_config("").variable("HTTPS_PROXY", "socks5://x").load().unwrap_err().to_string();
    assert!(faults.starts_with("HTTPS_PROXY: not the URL of an HTTP proxy"), "{faults}");
}

const ON_A_SERVER: &str = "[store]\nurl = { env = \"STORE\" }\nencryption_key = { file = \"shared.key\" }";

fn on_a_server() -> FakeEnvironment {
    FakeEnvironment::with_config(ON_A_SERVER)
        .variable("STORE", "postgres://app:canary@db.internal/flexslot")
        .file("/etc/fp/shared.key", "key")
}

#[test]
fn a_key_in_the_keyring_is_named_with_the_way_to_it_and_not_asked_for() {
    let load = |machine: FakeEnvironment| {
        let config = machine.variable("ACME_PAT", "canary").variable("PATH", "/bin").load().unwrap();
        assert_eq!(config.watched_files(), [Path::new("/etc/fp/proxy.toml")]);
        let key = config.store.engine.key().cloned().unwrap();
        assert_eq!(key.text, None);
        match key.location {
            KeyLocation::Keyring(item) => item,
            other => panic!("{other:?}"),
        }
    };
    let laptop = || FakeEnvironment::with_config("[store]\nencryption_key = { keyring = \"laptop\" }");
    let item = load(laptop().variable("XDG_RUNTIME_DIR", "/run/user/7").variable("HOME", "/home/ada"));
    assert_eq!(
        (item.name.as_str(), item.lock_dir.as_deref()),
        ("laptop", Some(Path::new("/run/user/7/flexslot-proxy")))
    );
    let variables: Vec<_> = item.session.iter().map(|(name, _)| *name).collect();
    assert_eq!(variables, ["XDG_RUNTIME_DIR", "HOME", "PATH"]);
    let bare = load(laptop().variable("XDG_RUNTIME_DIR", "").variable("HOME", "/home/ada"));
    assert_eq!(bare.lock_dir.as_deref(), Some(Path::new("/home/ada/.local/state/flexslot-proxy")));
    assert_eq!(load(laptop()).lock_dir, None);
}

#[test]
fn a_server_needs_a_key_that_is_there_and_a_place_for_the_spool() {
    let config = on_a_server().variable("STATE_DIRECTORY", "/var/lib/fp").load().unwrap();
    assert_eq!(config.store.engine.to_string(), "postgres://db.internal/flexslot");
    assert_eq!(config.store.key_location().and_then(KeyLocation::file), Some(Path::new("/etc/fp/shared.key")));
    assert_eq!(config.store.state_dir.as_deref(), Some(Path::new("/var/lib/fp")));
    let keyless = "[store]\nurl = \"redis://cache\"\nstate_dir = \"s\"";
    let faults = FakeEnvironment::with_config(keyless).load().unwrap_err().to_string();
    assert!(faults.contains("store.encryption_key: /etc/fp/flexslot-proxy.key does not exist"), "{faults}");
    assert!(faults.contains("hint: make one with: flexslot-proxy key generate"), "{faults}");
}

#[test]
fn a_server_is_refused_where_nothing_tells_where_a_refused_pair_could_lie() {
    let faults = on_a_server().load().unwrap_err().to_string();
    assert!(faults.contains("store.state_dir: nothing tells where tokens can be kept"), "{faults}");
}

#[test]
fn an_authority_that_nothing_would_be_checked_against_is_refused() {
    let ca = authority().pem();
    let machine = |url: &str| {
        let text = "[store]\nurl = { env = \"STORE\" }\nca_file = \"ca.pem\"\nstate_dir = \"s\"";
        let machine = FakeEnvironment::with_config(text).variable("STORE", url).file("/etc/fp/ca.pem", &ca);
        machine.file("/etc/fp/flexslot-proxy.key", "key")
    };
    for url in [
        "rediss://h/0",
        "postgres://h/db",
        "postgres://h/db?sslmode=verify-full",
        "postgres:///db?host=/run/postgresql,h",
        "postgres:///db?host=/run/postgresql&hostaddr=192.0.2.1",
    ] {
        assert!(machine(url).load().unwrap().store.engine.extra_roots().is_some(), "{url}");
    }
    for (url, what) in [
        ("redis://h/0", "no certificate is checked with redis:// in store.url"),
        ("postgres://h/db?sslmode=disable", "no certificate is checked with sslmode=disable in store.url"),
        ("postgres://h/db?sslmode=allow", "no certificate is checked with sslmode=allow in store.url"),
        ("postgres://h/db?x=y&sslmode=prefer", "no certificate is checked with sslmode=prefer in store.url"),
        ("postgres:///db?host=/run/postgresql", "no certificate is checked with a unix socket in store.url"),
        ("postgres://%2Frun%2Fpostgresql/db", "no certificate is checked with a unix socket in store.url"),
        ("postgres://u@%2frun/db?sslmode=verify-full", "no certificate is checked with a unix socket in store.url"),
        ("postgres:///db?host=%2Frun,/tmp", "no certificate is checked with a unix socket in store.url"),
        ("sqlite:x.db", "only for redis and postgres"),
        ("memory:", "only for redis and postgres"),
    ] {
        let told = machine(url).load().unwrap_err().to_string();
        assert!(told.starts_with(&format!("/etc/fp/proxy.toml:3: store.ca_file: {what}")), "{told}");
        let elsewhere = Overrides { store: Some(url.into()), ..Overrides::default() };
        assert!(machine("rediss://h/0").load_with(&elsewhere).is_ok(), "a flag may name another store: {url}");
    }
    let told = FakeEnvironment::with_config("[store]\nca_file = \"ca.pem\"").load().unwrap_err().to_string();
    assert!(told.contains("store.ca_file: only for redis and postgres"), "{told}");
    let told = machine("mysql://h").load().unwrap_err();
    assert_eq!(told.count(), 1, "which store it is for nobody knows: {told}");
}

#[test]
fn passwords_of_stores_are_taken_from_variables_and_files_alone() {
    let url = "redis://:canary@cache";
    let key = || FakeEnvironment::with_config("[store]\nstate_dir = \"s\"").file("/etc/fp/flexslot-proxy.key", "key");
    assert_eq!(key().variable("FLEXSLOT_PROXY_STORE", url).load().unwrap().store.engine.to_string(), "redis://cache");
    let flag = key().load_with(&Overrides { store: Some(url.into()), ..Overrides::default() }).unwrap_err().to_string();
    let literal = FakeEnvironment::with_config(&format!("[store]\nurl = \"{url}\"")).load().unwrap_err().to_string();
    for faults in [flag, literal] {
        assert!(faults.contains("a password is never written out here") && !faults.contains("canary"), "{faults}");
    }
}
