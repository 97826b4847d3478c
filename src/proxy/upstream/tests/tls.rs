//! TLS, ALPN and the way through an outbound proxy.

use std::sync::LazyLock;

use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::*;
use crate::{
    model::problem::ProxyError,
    proxy::upstream::{ErrorKind, InvalidProxy, InvalidUpstream, Sent, tls::client_config},
};

/// A CA that the test client trusts.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let certificate = certificate.der().clone();
    Authority { issuer: Issuer::new(params, key), certificate }
});

/// An upstream for `https://api.test` that trusts [`AUTHORITY`].
pub(super) fn secure() -> UpstreamParams {
    let mut roots = RootCertStore::empty();
    roots.add(AUTHORITY.certificate.clone()).unwrap();
    UpstreamParams { tls: Arc::new(with_roots(roots).unwrap()), ..params("https://api.test") }
}

fn acceptor(host: &str, alpn: &[&str]) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec![host.to_owned()]).unwrap().signed_by(&key, &AUTHORITY.issuer).unwrap();
    presenting(&certificate, &key, alpn)
}

fn presenting(certificate: &Certificate, key: &KeyPair, alpn: &[&str]) -> TlsAcceptor {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

impl Peer<DuplexStream> {
    pub(super) async fn tls(self, host: &str, alpn: &[&str]) -> std::io::Result<Peer<TlsStream<DuplexStream>>> {
        acceptor(host, alpn).accept(self.0).await.map(Peer)
    }
}

#[tokio::test]
async fn alpn_without_h2_is_http1() {
    for alpn in [&["http/1.1"][..], &[]] {
        let mut world = World::with(secure());
        let sending = world.send(get("/"));
        let mut peer = world.accept().await.tls("api.test", alpn).await.unwrap();
        assert_eq!(peer.head().await, "GET / HTTP/1.1\r\nhost: api.test\r\n\r\n");
        peer.says("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(sending.await.unwrap().unwrap().status(), 204);
    }
}

#[tokio::test]
async fn once_http1_is_known_connections_are_made_side_by_side() {
    let mut world = World::with(secure());
    let _one = world.send(get("/1"));
    let mut first = world.accept().await.tls("api.test", &["http/1.1"]).await.unwrap();
    first.head().await;
    let (_two, _three) = (world.send(get("/2")), world.send(get("/3")));
    let (second, third) = (world.accept().await, world.accept().await);
    drop((second, third));
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() {
    let mut world = World::with(secure());
    let sending = world.send(post("/", "secret"));
    assert!(world.accept().await.tls("other.test", &["h2"]).await.is_err());
    let error = sending.await.unwrap().unwrap_err();
    assert_eq!(error.proxy_error(), ProxyError::TlsCertificateError);
    assert_eq!(error.sent, Sent::NotSent);
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let mut world = World::with(params("https://api.test"));
    let sending = world.send(get("/"));
    assert!(world.accept().await.tls("api.test", &["h2"]).await.is_err());
    assert!(matches!(sending.await.unwrap().unwrap_err().kind, ErrorKind::TlsCertificate));
}

#[tokio::test]
async fn what_is_not_tls_is_a_tls_error() {
    let mut world = World::with(secure());
    let sending = world.send(get("/"));
    world.accept().await.says("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let error = sending.await.unwrap().unwrap_err();
    assert!(matches!(error.kind, ErrorKind::TlsProtocol));
    assert!(
        error.to_string().ends_with("api.test:443: what answers there does not speak TLS; check the port"),
        "{error}"
    );
}

#[tokio::test]
async fn a_failed_handshake_names_host_and_port_and_what_to_look_at() {
    let told = async |params, serve: TlsAcceptor| {
        let mut world = World::with(params);
        let sending = world.send(get("/"));
        assert!(serve.accept(world.accept().await.0).await.is_err());
        let error = sending.await.unwrap().unwrap_err();
        assert!(error.look_at().contains("upstream.ca_file"));
        error.to_string()
    };
    let begins = "the upstream's certificate is not accepted: api.test:443: the certificate";
    let other = told(secure(), acceptor("other.test", &[])).await;
    assert_eq!(other, format!("{begins} is for another name"));
    let unknown = told(params("https://api.test"), acceptor("api.test", &[])).await;
    assert!(unknown.starts_with(&format!("{begins}'s authority is not trusted")), "{unknown}");
    let key = KeyPair::generate().unwrap();
    let mut own = CertificateParams::new(vec!["api.test".to_owned()]).unwrap();
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let self_signed = told(secure(), presenting(&own.self_signed(&key).unwrap(), &key, &[])).await;
    assert!(self_signed.starts_with(&format!("{begins} is a self-signed one")), "{self_signed}");
    let mut late = CertificateParams::new(vec!["api.test".to_owned()]).unwrap();
    late.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let late = late.signed_by(&key, &AUTHORITY.issuer).unwrap();
    let expired = told(secure(), presenting(&late, &key, &[])).await;
    assert!(expired.starts_with(&format!("{begins} has expired")), "{expired}");
}

#[test]
fn extra_roots_are_enough_to_trust() {
    let config = client_config(std::slice::from_ref(&AUTHORITY.certificate)).unwrap();
    assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
}

fn through(url: &str, bypass: &str) -> UpstreamParams {
    UpstreamParams { proxy: ProxySetting::Through { url: url.into(), bypass: bypass.into() }, ..secure() }
}

#[tokio::test]
async fn an_outbound_proxy_is_asked_for_a_tunnel_with_its_password() {
    let mut world = World::with(through("http://user:p%40ss@proxy.test:3128", ""));
    let sending = world.send(get("/"));
    let (target, stream) = world.connections.recv().await.unwrap();
    assert_eq!(target, Target { host: "proxy.test".into(), port: 3128 });
    let mut proxy = Peer(stream);
    let asked =
        "CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\nProxy-Authorization: Basic dXNlcjpwQHNz\r\n\r\n";
    assert_eq!(proxy.head().await, asked);
    proxy.says("HTTP/1.1 200 Connection established\r\nx: y\r\n\r\n").await;
    let mut peer = proxy.tls("api.test", &[]).await.unwrap();
    peer.head().await;
    peer.says("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(sending.await.unwrap().unwrap().status(), 204);
}

#[tokio::test]
async fn an_outbound_proxy_that_refuses_is_an_unreachable_upstream() {
    for answer in ["HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "nonsense\r\n\r\n"] {
        let mut world = World::with(through("http://proxy.test:3128", ""));
        let sending = world.send(get("/"));
        let mut proxy = world.accept().await;
        proxy.head().await;
        proxy.says(answer).await;
        let error = sending.await.unwrap().unwrap_err();
        assert_eq!(error.sent, Sent::NotSent);
    }
}

#[tokio::test]
async fn the_proxy_is_used_unless_the_bypass_list_or_plain_http_exempts_the_host() {
    for (bypass, dialled) in [("other.test", "proxy.test"), ("localhost, .test", "api.test"), ("*", "api.test")] {
        let mut world = World::with(through("proxy.test:3128", bypass));
        let _sending = world.send(get("/"));
        assert_eq!(world.connections.recv().await.unwrap().0.host, dialled);
    }
    let proxy = through("proxy.test:3128", "").proxy;
    let mut world = World::with(UpstreamParams { proxy, ..params("http://127.0.0.1:1") });
    let _sending = world.send(get("/"));
    assert_eq!(world.connections.recv().await.unwrap().0.host, "127.0.0.1");
}

#[test]
fn a_proxy_that_cannot_be_used_is_an_error_and_never_the_direct_way() {
    for url in ["socks5://proxy.test", "ftp://proxy.test", "http://", ""] {
        let refused = Upstream::new(through(url, "")).unwrap_err();
        assert_eq!(refused, InvalidUpstream::Proxy(InvalidProxy), "{url}");
    }
}

#[test]
fn debug_never_shows_a_proxys_password() {
    let shown = format!("{:?}", through("http://user:hunter2@proxy.test", ""));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn the_real_dialer_reaches_a_listener_and_tells_names_from_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let upstream = Upstream::new(params(&format!("http://127.0.0.1:{port}"))).unwrap();
    let sending = tokio::spawn({
        let upstream = upstream.clone();
        async move { upstream.send(get("/")).await }
    });
    let mut peer = Peer(listener.accept().await.unwrap().0);
    peer.head().await;
    peer.says("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nok").await;
    drop((peer, listener));
    assert_eq!(text(sending.await.unwrap().unwrap()).await.unwrap(), "ok");

    let error = upstream.send(get("/")).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::ConnectRefused), "{error}");
    let nameless = Upstream::new(params("https://name.invalid")).unwrap();
    let error = nameless.send(get("/")).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Dns) && error.to_string().contains(": name.invalid:443: "), "{error}");
}
