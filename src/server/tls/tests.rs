use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use rustls::{CertificateError, ServerConfig, crypto::ring, server::ResolvesServerCertUsingSni};
use tokio::time::advance;
use tracing::{Level, callsite::rebuild_interest_cache, subscriber::set_default};

use super::Tls;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

// === impl Log ===

impl Log {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock())).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn tls() -> Tls {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    Tls::new(Arc::new(builder.with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()))))
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_failed_is_told_with_its_reason_and_those_that_follow_are_counted() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(Level::INFO).with_ansi(false);
    let _guard = set_default(subscriber.with_writer(move || writer.clone()).finish());
    let (tls, peer) = (tls(), "192.0.2.7:40000".parse().unwrap());
    let failed = |reason: rustls::Error| tls.has_failed(peer, &io::Error::new(io::ErrorKind::InvalidData, reason));
    // Another test may have been the first at these places, where nobody listened.
    rebuild_interest_cache();
    failed(rustls::Error::NoCertificatesPresented);
    let first = log.take();
    assert!(first.contains("WARN") && first.contains("peer=192.0.2.7 failed=1"), "{first}");
    assert!(first.contains("error=peer sent no certificates"), "{first}");
    failed(rustls::Error::NoCertificatesPresented);
    tls.has_failed(peer, &io::ErrorKind::UnexpectedEof.into());
    assert_eq!(log.take(), "");
    advance(Duration::from_secs(60)).await;
    tls.has_failed(peer, &io::ErrorKind::UnexpectedEof.into());
    assert_eq!(log.take(), "", "whoever only connects has begun no handshake");
    failed(CertificateError::UnknownIssuer.into());
    let next = log.take();
    assert!(next.contains("failed=2") && next.contains("UnknownIssuer"), "{next}");
}
