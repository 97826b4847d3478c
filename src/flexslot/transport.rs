//! One HTTP request to Flexslot and its whole answer, or why there is none.

use std::{error::Error, io, time::Duration};

use http::{HeaderMap, StatusCode};
use url::Url;
use zeroize::Zeroizing;

use super::TokenError;

/// A complete answer. Its body may hold tokens, and is wiped.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// Why a request brought no answer, by what the other side may know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// It never left. Says where it could not go, and why.
    NotSent(String),
    /// It was sent, and no complete answer came back.
    Unknown(String),
}

/// An answer is a few hundred bytes; whatever is longer than this is none.
const LONGEST_ANSWER: usize = 64 * 1024;

/// A reqwest client that does what a token request needs and nothing by itself: no redirects, no retries, no kept
/// connections, HTTP/1.1.
///
/// `connect_timeout` is for DNS, connect and TLS; `give_up` for the whole exchange.
pub fn client_builder(connect_timeout: Duration, give_up: Duration) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .http1_only()
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(connect_timeout)
        .timeout(give_up)
        .referer(false)
        .user_agent(concat!("flexslot-proxy/", env!("CARGO_PKG_VERSION")))
}

/// Reads an answer to its end.
pub(super) async fn read_answer(mut response: reqwest::Response) -> Result<Answer, Unanswered> {
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|_| Unanswered::Unknown("the answer broke off".into()))? {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return Err(Unanswered::Unknown("the answer is too long".into()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, headers, body })
}

/// Before a connection stands nothing can have been sent; after that nobody knows.
pub(super) fn unanswered(url: &Url, error: &reqwest::Error) -> Unanswered {
    if error.is_connect() {
        let origin = url.origin().ascii_serialization();
        Unanswered::NotSent(format!("could not connect to {origin}: {}", no_connection(error)))
    } else if error.is_builder() {
        cannot_be_asked(url)
    } else if error.is_timeout() {
        Unanswered::Unknown("no answer in time".into())
    } else {
        Unanswered::Unknown("the connection ended before the answer".into())
    }
}

/// A request that could not even be built has not left.
pub(super) fn cannot_be_asked(url: &Url) -> Unanswered {
    Unanswered::NotSent(format!("no request can be made of {url}; check upstream.url and the URLs in [oauth]"))
}

/// Why there is no connection: in our own words where TLS failed, because a certificate's names are the other side's
/// text; else the operating system's, or the HTTP library's, which hold neither URL nor header.
fn no_connection(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no connection in time".into();
    }
    let mut innermost: &(dyn Error + 'static) = error;
    loop {
        if let Some(tls) = innermost.downcast_ref() {
            return no_trust(tls).into();
        }
        // An io::Error does not name what it wraps as its source.
        let wrapped = innermost.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match wrapped.map(|wrapped| wrapped as &(dyn Error + 'static)).or_else(|| innermost.source()) {
            Some(inner) => innermost = inner,
            None => return innermost.to_string(),
        }
    }
}

fn no_trust(error: &rustls::Error) -> &'static str {
    use rustls::{CertificateError, Error};
    match error {
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired"
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is not trusted; upstream.ca_file names further roots"
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for another host",
        Error::InvalidCertificate(_) => "its certificate is not valid",
        _ => "TLS failed",
    }
}

// === impl Unanswered ===

impl From<Unanswered> for TokenError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::NotSent(what) => Self::NotSent(what),
            Unanswered::Unknown(what) => Self::Unknown(what),
        }
    }
}
