//! What a URL may say. Nothing is connected to.

use std::time::Duration;

use tokio_postgres::config::{SslMode, TargetSessionAttrs};

use super::{params, secure::Authority};
use crate::store::{
    OpenError,
    postgres::{PostgresParams, Trust, params::Target},
};

const CANARY: &str = "password-canary";

fn read(url: &str) -> Result<Target, OpenError> {
    Target::new(&params(url))
}

fn fault(url: &str) -> String {
    let error = read(url).expect_err("refused");
    let text = format!("{error}\n{}\n{error:?}", error.hint().expect("a hint"));
    assert!(!text.contains("canary"), "{text}");
    text
}

#[test]
fn what_is_not_given_is_chosen_for_a_sidecar() {
    let target = read(&format!("postgres://sidecar:{CANARY}@db.example/store")).expect("read");
    assert_eq!(target.address, "db.example:5432");
    let [config] = target.hosts.each() else { panic!("one host") };
    assert_eq!(config.get_application_name(), Some("flexslot-proxy"));
    assert_eq!(config.get_ssl_mode(), SslMode::Prefer);
    assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
    assert!(config.get_keepalives_idle() < Duration::from_secs(60));
    assert!(!format!("{target:?}").contains(CANARY));
}

#[test]
fn what_is_given_stays() {
    let url =
        "postgresql://u@[::1]:5433,b/store?application_name=mine&sslmode=disable&keepalives_idle=300&connect_timeout=7";
    let target = read(url).expect("read");
    assert_eq!(target.address, "[::1]:5433,b:5432");
    for config in target.hosts.each() {
        assert_eq!(config.get_application_name(), Some("mine"));
        assert_eq!(config.get_ssl_mode(), SslMode::Disable);
        assert_eq!(config.get_keepalives_idle(), Duration::from_secs(300));
        assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(7)));
    }
}

#[test]
fn a_socket_is_a_host_with_a_slash() {
    let target = read("postgres:///store?host=/run/postgresql&user=sidecar").expect("read");
    assert_eq!(target.address, "/run/postgresql:5432");
    assert_eq!(target.hosts.each()[0].get_dbname(), Some("store"));
}

#[test]
fn modes_of_tls_are_those_of_libpq() {
    for (mode, expected) in [
        ("disable", SslMode::Disable),
        ("prefer", SslMode::Prefer),
        ("require", SslMode::Require),
        ("verify-full", SslMode::Require),
    ] {
        let url = format!("postgres://u@db/store?sslmode={mode}");
        let trust = Trust { system: Authority::new().roots(), named: None };
        let target = Target::new(&PostgresParams { trust, ..params(&url) }).expect("read");
        assert_eq!(target.hosts.each()[0].get_ssl_mode(), expected, "{mode}");
    }
    for mode in ["allow", "verify", "Require", ""] {
        assert!(fault(&format!("postgres://u@db/store?sslmode={mode}")).contains("verify-full"), "{mode}");
    }
}

#[test]
fn an_authority_has_to_be_named_where_the_hosts_name_is_not_checked() {
    let text = fault("postgres://u@db/store?sslmode=verify-ca");
    assert!(text.contains("store.ca_file") && text.contains("verify-full"), "{text}");
}

#[test]
fn a_server_elsewhere_that_nobody_thought_of_tls_for_is_warned_of() {
    let exposure = |url: &str| read(url).expect("read").exposure;
    for url in [
        "postgres://u@db.example/store",
        "postgres://u@localhost,192.0.2.7/store",
        "postgres://u@localhost/s?hostaddr=192.0.2.7",
    ] {
        let exposure = exposure(url).expect(url);
        assert!(exposure.contains("not checked") && exposure.contains("sslmode=verify-full"), "{exposure}");
    }
    for url in [
        "postgres://u@localhost/store",
        "postgres://u@[::1],127.0.0.2/store",
        "postgres:///store?host=/run/postgresql",
        "postgres://u@db.example/store?sslmode=prefer",
    ] {
        assert_eq!(exposure(url), None, "{url}");
    }
}

#[test]
fn a_password_that_was_not_escaped_is_refused_before_it_is_taken_for_a_host() {
    for password in ["p@canary", "p/canary", "p?canary", "p#canary", "canary@"] {
        let text = fault(&format!("postgres://u:{password}@db/store"));
        assert!(text.contains("%40"), "{password}: {text}");
    }
    fault(&format!("postgres://db/store?password=p@{CANARY}"));
}

#[test]
fn a_key_that_is_not_known_is_told_by_its_place_since_it_may_be_part_of_a_password() {
    for password in ["p&canary", "p&canary=", "p&canary&port=1", "p&can%61ry-canary=5&port=1"] {
        let text = fault(&format!("postgres://db/store?user=u&password={password}"));
        assert!(text.contains("number 3 after the '?'") && text.contains("%26"), "{password}: {text}");
    }
    assert!(fault(&format!("postgres://u@db/store?sslpassword={CANARY}")).contains("number 1"));
}

#[test]
fn a_key_whose_value_is_not_understood_is_named_and_its_value_is_not() {
    assert!(fault(&format!("postgres://u@db:{CANARY}/store")).contains("`port`"));
    assert!(fault("postgres:///store").contains("host"));
    assert!(fault("postgres://u@a,b,c/store?hostaddr=192.0.2.7").contains("for each host"));
    assert!(fault("postgres://u@db/store?target_session_attrs=read-only").contains("read-write"));
    assert!(fault(&format!("mysql://u:{CANARY}@db/store")).contains("postgres://"));
}
