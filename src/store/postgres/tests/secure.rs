//! TLS, with a certificate authority of our own.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{RootCertStore, pki_types::CertificateDer};

use super::{open, params, refused};
use crate::{
    model::Random,
    store::{
        OpenError,
        postgres::{Postgres, PostgresParams, Trust},
        servers::postgres::{Disk, OWNER, PostgresServer},
    },
};

pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed").der().clone();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    pub(super) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a root");
        roots
    }

    /// A server with a certificate for `localhost`.
    fn server(&self) -> PostgresServer {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        let settings = "ssl = on\nssl_cert_file = '{dir}/server.pem'\nssl_key_file = '{dir}/server.key'";
        let files = [("server.pem", certificate.pem()), ("server.key", key.serialize_pem())];
        let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
        PostgresServer::start_with(Disk::Unsynced, settings, &files)
    }
}

async fn open_with(url: &str, roots: &RootCertStore) -> Result<Postgres, OpenError> {
    open_trusting(url, RootCertStore::empty(), Some(roots)).await
}

async fn open_trusting(url: &str, system: RootCertStore, named: Option<&RootCertStore>) -> Result<Postgres, OpenError> {
    let params = PostgresParams { trust: Trust { system, named: named.cloned() }, ..params(url) };
    Postgres::open(&params, Random::system()).await
}

async fn is_encrypted(store: &Postgres) -> bool {
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let shown = store.reader.run(|session| async move { Ok(session.client().query_one(sql, &[]).await?.get(0)) });
    shown.await.expect("answered")
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_checked_as_much_as_sslmode_asks_for() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = authority.server();
    let (ours, theirs) = (authority.roots(), stranger.roots());
    let url = server.url(&server.database());
    let elsewhere = url.replace("localhost", "127.0.0.1");

    for query in ["", "?sslmode=verify-full", "?sslmode=verify-full&channel_binding=require"] {
        let store = open_with(&format!("{url}{query}"), &ours).await.expect("opened");
        assert!(is_encrypted(&store).await, "{query}");
    }
    for (url, query, roots) in [
        (&url, "", &theirs),
        (&url, "?sslmode=verify-full", &theirs),
        (&url, "?sslmode=verify-ca", &theirs),
        (&url, "?sslmode=require", &theirs),
        (&elsewhere, "?sslmode=verify-full", &ours),
    ] {
        let (what, hint) = refused(open_with(&format!("{url}{query}"), roots).await);
        assert!(what.contains("certificate") && hint.contains("CA"), "{query}: {what}\n{hint}");
    }
    let by_number = open_with(&format!("{elsewhere}?sslmode=verify-ca"), &ours).await.expect("any name will do");
    assert!(is_encrypted(&by_number).await);
    for (query, encrypted) in
        [("", true), ("?sslmode=prefer", true), ("?sslmode=require", true), ("?sslmode=disable", false)]
    {
        let store = open(&format!("{elsewhere}{query}")).await.expect("opened");
        assert_eq!(is_encrypted(&store).await, encrypted, "{query}, and nothing checked");
    }
}

/// A public authority gives anybody a certificate; what it is worth is the name in it.
#[tokio::test(flavor = "multi_thread")]
async fn the_systems_authorities_count_only_where_the_name_is_checked() {
    let (public, named) = (Authority::new(), Authority::new());
    let server = public.server();
    let (public, named) = (public.roots(), named.roots());
    let url = server.url(&server.database());
    for mode in ["require", "verify-ca"] {
        let opened = open_trusting(&format!("{url}?sslmode={mode}"), public.clone(), Some(&named)).await;
        assert!(refused(opened).0.contains("certificate"), "{mode}");
    }
    for (query, named) in [("?sslmode=verify-full", None), ("?sslmode=verify-full", Some(&named)), ("", Some(&named))] {
        let store = open_trusting(&format!("{url}{query}"), public.clone(), named).await.expect("opened");
        assert!(is_encrypted(&store).await, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_where_it_is_required() {
    let server = PostgresServer::shared();
    let url = server.url(&server.database());
    let (what, hint) = refused(open(&format!("{url}?sslmode=require")).await);
    assert!(what.contains("does not support TLS") && hint.contains("sslmode"), "{what}\n{hint}");
    open(&format!("{url}?sslmode=prefer")).await.expect("opened without");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_needs_no_tls() {
    let server = PostgresServer::shared();
    let (dir, port, database) = (server.dir().display(), server.port(), server.database());
    let url = format!("postgres:///{database}?host={dir}&port={port}&user={}&sslmode=require", OWNER.0);
    assert!(!is_encrypted(&open(&url).await.expect("opened")).await);
}
