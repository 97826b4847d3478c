//! proxy.toml.example says what the program does.

use std::collections::BTreeSet;

use super::{Config, ConfigSource, FakeEnvironment, Overrides, authority};

const EXAMPLE: &str = include_str!("../../../proxy.toml.example");

/// The example with its commented keys switched on. A commented key looks like one; prose does not.
fn switched_on() -> String {
    let is_key = |line: &str| {
        let key = line.split_once(" = ").map_or("", |(key, _)| key);
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let line = |line: &'static str| match line.strip_prefix("# ") {
        Some(commented) if is_key(commented) || commented.starts_with('[') => commented,
        _ => line,
    };
    EXAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// `table.key` for every key of the example, switched on or not.
fn keys_of_the_example() -> BTreeSet<String> {
    let table: toml::Table = switched_on().parse().unwrap();
    let mut keys = BTreeSet::new();
    for (name, value) in &table {
        let inner = value.as_table().or_else(|| value.as_array()?.first()?.as_table()).unwrap();
        keys.extend(inner.keys().map(|key| format!("{name}.{key}")));
    }
    keys
}

/// `table.key` for every key that is accepted, as the hint for an unknown one tells them.
fn accepted_keys() -> BTreeSet<String> {
    let known = |text: String| {
        let fault = FakeEnvironment::with_config(&text).load().unwrap_err();
        let hints: Vec<_> = fault.iter().filter_map(|fault| fault.hint.clone()).collect();
        let list = hints.iter().find_map(|hint| hint.strip_prefix("known here: ")).unwrap().to_owned();
        list.split(", ").map(str::to_owned).collect::<Vec<_>>()
    };
    let tables = known("zzzzzzzzzzzzzzzz = 1".to_owned());
    let keys = |table: String| {
        let header = if table == "tenants" { "[[tenants]]".to_owned() } else { format!("[{table}]") };
        known(format!("{header}\nzzzzzzzzzzzzzzzz = 1")).into_iter().map(move |key| format!("{table}.{key}"))
    };
    tables.into_iter().flat_map(keys).collect()
}

#[test]
fn every_accepted_key_appears_and_no_other() {
    assert_eq!(keys_of_the_example(), accepted_keys());
}

#[test]
fn the_values_are_the_defaults() {
    let of = |text| FakeEnvironment::with_config(text).load().unwrap();
    assert_eq!(of(EXAMPLE).with_presence_of_defaults(), of(""));
}

#[test]
fn the_commented_values_work_too() {
    // An authority for the store's certificate is of use only with a store that shows one.
    let on_a_server = switched_on().replacen("\"sqlite:flexslot-proxy.db\"", "\"rediss://cache.internal/0\"", 1);
    // And what is shown over TLS, with an address where it is spoken.
    let speaks_tls = "[{ address = \"127.0.0.1:3539\", tls = true }";
    let on_a_server = on_a_server.replacen("[\"127.0.0.1:3539\"", speaks_tls, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
    let machine = FakeEnvironment::with_config(&on_a_server)
        .file("/etc/fp/flexslot-proxy.key", "key")
        .file("/etc/fp/client-token", "token\n")
        .file("/etc/fp/admin-token", "token\n")
        .file("/etc/fp/shop-token", "shop-token\n")
        .file("/etc/fp/proxy.crt", &certificate.pem())
        .file("/etc/fp/proxy.key", &key.serialize_pem())
        .file("/etc/fp/callers-ca.pem", &authority().pem())
        .file("/etc/fp/corporate-ca.pem", &authority().pem())
        .file("/etc/fp/database-ca.pem", &authority().pem())
        .variable("FLEXSLOT_CLIENT_SECRET", "s")
        .variable("FLEXSLOT_BILLING_SECRET", "s")
        .variable("ACME_FLEXSLOT_PAT", "flx_pat_x");
    let config = machine.load().unwrap();
    let plain = FakeEnvironment::with_config("").load().unwrap();
    assert_eq!(config.tenants.len(), 1);
    let urls = |config: &Config| {
        let oauth = &config.oauth;
        [&oauth.authorize_url, &oauth.token_url, &oauth.revoke_url, &oauth.introspect_url].map(ToString::to_string)
    };
    assert_eq!((urls(&config), &config.oauth.issuer), (urls(&plain), &plain.oauth.issuer));
    assert_eq!(config.oauth.callback.bound_to(1), plain.oauth.callback.bound_to(3540));
    let defaults = "[[tenants]]\nname = \"acme\"\npat = { env = \"ACME_FLEXSLOT_PAT\" }";
    let acme = FakeEnvironment::with_config(defaults).variable("ACME_FLEXSLOT_PAT", "flx_pat_x").load().unwrap();
    let (example, plain) = (&config.tenants[0], &acme.tenants[0]);
    assert_eq!((&example.credentials, example.pat_fallback), (&plain.credentials, plain.pat_fallback));
}

#[test]
fn defaults_without_a_file_are_those_of_an_empty_one_but_for_the_store() {
    let machine = FakeEnvironment::with_config("").variable("HOME", "/home/u");
    let (mut built_in, empty) = (machine.load_without_file(&Overrides::default()).unwrap(), machine.load().unwrap());
    assert_eq!(built_in.source, ConfigSource::BuiltIn);
    (built_in.source, built_in.store) = (empty.source.clone(), empty.store.clone());
    assert_eq!(built_in, empty);
}

impl Config {
    /// An address that is written down must be there; a default need not. That is the one difference that writing
    /// defaults makes.
    fn with_presence_of_defaults(mut self) -> Self {
        for listener in self.server.listeners.iter_mut().chain(&mut self.admin.listeners) {
            listener.need = crate::model::Need::IfPresent;
        }
        self
    }
}
