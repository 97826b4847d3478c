//! Who is let in, to what, and what is said otherwise.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;

use super::*;
use crate::store::{Opening, servers::free_port};

/// What a server that refuses us says, with its hint; never with the password.
fn refused(opened: Result<RedisBackend, OpenError>) -> String {
    match opened {
        Err(error @ OpenError::Refused { .. }) => {
            let said = format!("{error}; {}", error.hint().expect("a hint"));
            assert!(!format!("{said} {error:?}").contains("canary"), "{said}");
            said
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_password_has_to_be_right_and_is_never_shown() {
    let server = RedisServer::start(&[]);
    let with = |user: &str| format!("redis://{user}@127.0.0.1:{}", server.port());
    let said = refused(open(&with(":canary")).await);
    assert!(said.contains("knows no password for its default user"), "{said}");
    let () = server.tell("CONFIG SET requirepass canary");
    let said = refused(open(&server.url(0)).await);
    assert!(said.contains("it wants a password (NOAUTH); store.url needs one"), "{said}");
    let said = refused(open(&with(":canary-but-wrong")).await);
    assert!(said.contains("refuses the user name or the password (WRONGPASS)"), "{said}");
    let said = refused(open(&with("nobody:canary")).await);
    assert!(said.contains("refuses the user name or the password (WRONGPASS)"), "{said}");
    for user in [":canary", "default:canary"] {
        let store = open(&with(user)).await.expect(user);
        assert!(store.write(vec![put("a")]).await.is_ok());
        assert!(!format!("{store:?}").contains("canary"));
    }
}

#[tokio::test]
async fn a_password_that_was_changed_meanwhile_is_an_outage_that_says_so() {
    let server = RedisServer::start(&[]);
    let () = server.tell("CONFIG SET requirepass canary");
    let store = open(&format!("redis://:canary@127.0.0.1:{}", server.port())).await.expect("opened");
    let () = server.tell("CONFIG SET requirepass other");
    let _: i64 = server.tell("CLIENT KILL TYPE normal");
    let error = store.now().await.expect_err("refused").to_string();
    assert!(error.contains("WRONGPASS") && !error.contains("canary"), "{error}");
}

#[tokio::test]
async fn who_only_looks_makes_no_store() {
    let place = Shared::new();
    let look = async || {
        let params =
            RedisParams { timeout: PATIENCE, opening: Opening::Look, ..RedisParams::new(Secret::new(place.url())) };
        RedisBackend::open(params, &Random::system()).await
    };
    let opened = look().await;
    assert!(matches!(opened, Err(OpenError::NotYet { .. })), "{opened:?}");
    let keys: Vec<String> = place.tell(&["KEYS", "*"]);
    assert_eq!(keys, Vec::<String>::new());
    drop(open(&place.url()).await.expect("made"));
    assert!(look().await.is_ok());
}

#[tokio::test]
async fn stores_in_two_databases_are_two_stores() {
    let server = RedisServer::start(&["--databases", "4"]);
    let (one, three) = (open(&server.url(1)).await.expect("opened"), open(&server.url(3)).await.expect("opened"));
    one.write(vec![put("a")]).await.expect("written");
    assert_eq!(three.get(&[key("a")]).await, Ok(vec![None]));
    assert_ne!(one.store_id().await, three.store_id().await);
    let said = refused(open(&server.url(4)).await);
    assert!(said.contains("it has no database of that number"), "{said}");
}

/// The suite runs as the documented user; this looks at each of the rights.
#[tokio::test]
async fn the_documented_rights_are_all_needed_and_what_is_missing_stops_the_start() {
    let server = RedisServer::start(&[]);
    let line = documented_user("ops", "canary");
    let url = |database| format!("redis://ops:canary@127.0.0.1:{}/{database}", server.port());
    let rights: Vec<_> = line.split(' ').filter(|word| word.starts_with(['+', '~'])).collect();
    assert!(rights.len() > 10, "{rights:?}");
    for right in rights {
        let () = server.tell(&line.replace(&format!(" {right}"), ""));
        // So that the script has to be loaded.
        let () = server.tell("SCRIPT FLUSH");
        match right {
            "+info" => {
                let store = open(&url(0)).await.expect("it can do without");
                let caveats = store.caveats().await.expect("answered");
                assert!(caveats.len() == 1 && caveats[0].contains("+info"), "{caveats:?}");
            }
            "+select" => {
                assert!(open(&url(0)).await.is_ok(), "the first database needs none");
                assert!(refused(open(&url(1)).await).contains("NOPERM"));
            }
            _ => assert!(refused(open(&url(0)).await).contains("the user lacks a right (NOPERM)"), "{right}"),
        }
    }
    let () = server.tell(&line);
    assert!(open(&url(1)).await.is_ok());
    let keys: Vec<String> = server.tell_words(0, &["KEYS", "{flexslot-proxy}:probe*"]).expect("listed");
    assert_eq!(keys, Vec::<String>::new(), "the attempts leave nothing behind");
}

#[tokio::test]
async fn a_store_that_is_newer_or_none_of_ours_is_refused_and_left_alone() {
    let server = RedisServer::start(&[]);
    let store = "{flexslot-proxy}:store";
    let content = |database| server.tell_words::<Vec<String>>(database, &["HGETALL", store]).expect("a hash");
    let tell = |database, words: &[&str]| drop(server.tell_words::<redis::Value>(database, words).expect("done"));
    tell(0, &["HSET", store, "id", "00", "format", "2"]);
    tell(1, &["HSET", store, "id", "someone's", "format", "own"]);
    tell(2, &["SET", store, "text"]);
    assert!(refused(open(&server.url(0)).await).contains("written by a newer flexslot-proxy (format 2"));
    assert!(refused(open(&server.url(1)).await).contains("not a store of flexslot-proxy"));
    assert!(refused(open(&server.url(2)).await).contains("holds something else (WRONGTYPE)"));
    assert_eq!(content(0), ["id", "00", "format", "2"]);
    assert_eq!(content(1), ["id", "someone's", "format", "own"]);
    assert_eq!(server.tell_words::<String>(2, &["GET", store]).expect("a text"), "text");
}

#[tokio::test]
async fn a_server_that_may_lose_what_it_was_given_is_warned_of() {
    let server = RedisServer::start(&["--maxmemory-policy", "allkeys-lru"]);
    let store = open(&server.url(0)).await.expect("opened");
    let caveats = store.caveats().await.expect("answered");
    assert!(caveats[0].contains("keeps no append-only file; set appendonly yes"), "{caveats:?}");
    assert!(caveats[1].contains("(maxmemory-policy allkeys-lru); set maxmemory-policy noeviction"), "{caveats:?}");
    let () = server.tell("CONFIG SET appendonly yes maxmemory-policy noeviction");
    assert_eq!(store.caveats().await, Ok(vec![]));
}

#[tokio::test]
async fn tls_takes_a_server_whose_authority_is_trusted_and_no_other() {
    let files = tempfile::tempdir().expect("a directory");
    let roots = authority(files.path());
    let (port, file) = (free_port(), |name: &str| files.path().join(name).display().to_string());
    let (ca, cert, tls_key) = (file("ca.pem"), file("cert.pem"), file("key.pem"));
    let tls_port = port.to_string();
    let certs = ["--tls-ca-cert-file", &ca, "--tls-cert-file", &cert, "--tls-key-file", &tls_key];
    let server = RedisServer::start(&[&["--tls-port", &tls_port, "--tls-auth-clients", "no"], &certs[..]].concat());
    let open = async |host: &str, roots: Option<RootCertStore>| {
        let url = Secret::new(format!("rediss://{host}:{port}/2"));
        let params = RedisParams { roots, timeout: PATIENCE, ..RedisParams::new(url) };
        RedisBackend::open(params, &Random::system()).await
    };
    let store = open("localhost", Some(roots.clone())).await.expect("opened");
    assert_eq!(store.write(vec![put("a")]).await, Ok(Written::Done(Revision(1))));
    let found: i64 = server.tell_words(2, &["EXISTS", "{flexslot-proxy}:row:1:a"]).expect("answered");
    assert_eq!(found, 1);

    let said = refused(open("127.0.0.1", Some(roots)).await);
    assert!(said.contains("its certificate is not trusted: certificate not valid for name"), "{said}");
    let stranger = tempfile::tempdir().expect("a directory");
    let said = refused(open("localhost", Some(authority(stranger.path()))).await);
    assert!(said.contains("its certificate is not trusted") && said.contains("has to be trusted"), "{said}");
    let said = refused(open("localhost", Some(RootCertStore::empty())).await);
    assert!(said.contains("no certificate authority"), "{said}");
}

/// Makes an authority, and a certificate of its for `localhost`, in `dir`.
fn authority(dir: &std::path::Path) -> RootCertStore {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let ca = params.self_signed(&key).expect("an authority");
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let cert =
        CertificateParams::new(vec!["localhost".into()]).expect("a name").signed_by(&key, &issuer).expect("signed");
    for (name, text) in [("ca.pem", ca.pem()), ("cert.pem", cert.pem()), ("key.pem", key.serialize_pem())] {
        std::fs::write(dir.join(name), text).expect("written");
    }
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).expect("a root");
    roots
}
