mod proofs;
mod secrets;

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use rcgen::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{
    Endpoints, HttpAuthorizationServer,
    sending::{basic, body},
};
use crate::{
    flexslot::{KnownClients, OAuthClient, StoredClients, TokenEndpoint, TokenError, transport::client_builder},
    model::{Random, Secret, clock::SystemClock, token::DpopMode},
};

fn client(secret: Option<&str>) -> OAuthClient {
    OAuthClient {
        name: None,
        client_id: "cli_1".into(),
        client_secret: secret.map(Secret::new),
        redirect_uri: None,
        scopes: None,
        dpop: DpopMode::Auto,
    }
}

/// These, and none of a store.
fn known(configured: Vec<OAuthClient>) -> KnownClients {
    KnownClients { configured, stored: Arc::new(StoredClients::none()), dpop: DpopMode::Auto }
}

fn endpoints(origin: &str) -> Endpoints {
    let at = |path: &str| format!("{origin}{path}").parse().unwrap();
    Endpoints { authorize: at("/authorize"), token: at("/token"), revoke: at("/revoke"), introspect: at("/introspect") }
}

#[test]
fn a_public_client_names_itself_in_the_form_and_a_confidential_one_does_not() {
    let form = [("grant_type", "refresh_token"), ("refresh_token", "a+b")];
    assert_eq!(body("cli_1", None, &form).expose(), "grant_type=refresh_token&refresh_token=a%2Bb&client_id=cli_1");
    assert_eq!(body("cli_1", Some(&Secret::new("s")), &form).expose(), "grant_type=refresh_token&refresh_token=a%2Bb");
}

#[test]
fn basic_encodes_both_parts_before_joining_them() {
    let value = basic("a:b", &Secret::new("p%q")).unwrap();
    assert!(value.is_sensitive());
    assert_eq!(value.to_str().unwrap(), "Basic YSUzQWI6cCUyNXE=");
}

#[tokio::test]
async fn a_certificate_for_another_host_is_told_without_its_names() {
    let provider = Arc::new(ring::default_provider());
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["their-words.test".into()]).unwrap();
    let server =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let server = server.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let trust = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let trust = trust.with_root_certificates(roots).with_no_client_auth();

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let origin = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = TlsAcceptor::from(Arc::new(server)).accept(stream).await;
    });
    let patience = Duration::from_secs(60);
    let http = client_builder(patience, patience).tls_backend_preconfigured(trust).no_proxy().build().unwrap();
    let clients = vec![client(None)];
    let clients = known(clients);
    let server = HttpAuthorizationServer::new(
        http,
        endpoints(&origin),
        clients,
        patience,
        Arc::new(SystemClock),
        Random::system(),
    );
    let error = server.refresh("cli_1", &Secret::new("r"), None).await.unwrap_err();
    assert_eq!(
        error,
        TokenError::NotSent(format!("could not connect to {origin}: its certificate is for another host"))
    );
}
