//! Apps: they keep connections, open others, speak HTTP/2, and try again where a connection was closed before its answer.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    Soak,
    ledger::Outcome,
    plan::{Plan, Way},
};
use crate::http::{Connection, Ended, Unanswered};

/// How long an HTTP/2 answer may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// How long a connection may lie unused: less than the sidecar keeps it (`limits.keep_alive_timeout`).
const STALE: Duration = Duration::from_secs(60);

/// The pause before a client tries again.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Default)]
pub(super) struct Client {
    /// With the moment of their last answer, in that order.
    kept: Mutex<Vec<(Instant, Connection)>>,
    http2: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

/// What came of one try.
enum Tried {
    Done(Outcome),
    /// Nobody listens.
    Refused,
    /// The connection was closed, or closing, before the answer.
    Closed,
    Failed(String),
}

// === impl Client ===

impl Client {
    /// Sends a request until it has an outcome, and notes that.
    pub(super) async fn serve(&self, plan: &Plan, soak: &Soak) {
        // Whoever is refused for as long as this has nobody to ask.
        for _ in 0..1000 {
            let tried = match plan.way {
                Way::Http2 => self.by_http2(plan, soak.port).await,
                Way::Kept | Way::Fresh => self.by_http1(plan, soak.port).await,
            };
            match tried {
                Tried::Done(outcome) => {
                    if soak.ledger.note(plan, outcome, &soak.upstream.grants) {
                        return;
                    }
                }
                Tried::Refused if soak.ledger.refused() => {}
                // What Flexslot has seen is under way, and must not be given up.
                Tried::Closed if !soak.upstream.saw(plan.number) && soak.ledger.sent_again() => {}
                Tried::Refused => return soak.ledger.unexplained(plan, "connection refused"),
                Tried::Closed => return soak.ledger.unexplained(plan, "closed without an answer"),
                Tried::Failed(why) => return soak.ledger.unexplained(plan, &why),
            }
            sleep(PAUSE).await;
        }
        soak.ledger.unexplained(plan, "refused for 20 s");
    }

    async fn by_http1(&self, plan: &Plan, port: u16) -> Tried {
        let kept = if plan.way == Way::Kept { self.kept() } else { None };
        let mut connection = match kept {
            Some(connection) => connection,
            None => match Connection::open(port).await {
                Ok(connection) => connection,
                Err(Unanswered::Refused) => return Tried::Refused,
                Err(unanswered) => return Tried::Failed(format!("connecting: {unanswered}")),
            },
        };
        let answer = match connection.ask(&plan.request).await {
            Ok(answer) => answer,
            Err(Unanswered::Closed) if connection.answers > 0 => return Tried::Closed,
            Err(unanswered) => return Tried::Failed(format!("{unanswered}, on a new connection")),
        };
        let closes = answer.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if plan.way == Way::Kept && answer.ended == Ended::Whole && !closes {
            self.kept.lock().push((Instant::now(), connection));
        }
        Tried::Done(Outcome {
            status: answer.status,
            code: answer.code(),
            about: answer.field("proxy-status").and_then(details),
            is_whole: answer.ended == Ended::Whole,
            id: answer.field("flexslot-proxy-request-id").map(str::to_owned),
        })
    }

    /// The connection that was used last; those that nobody has used for long are closed.
    fn kept(&self) -> Option<Connection> {
        let mut kept = self.kept.lock();
        kept.retain(|(last, _)| last.elapsed() < STALE);
        kept.pop().map(|(_, connection)| connection)
    }

    async fn by_http2(&self, plan: &Plan, port: u16) -> Tried {
        let client = self.http2.lock().clone().filter(|client| !client.is_closed());
        let mut client = match client {
            Some(client) => client,
            None => {
                let stream = match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                    Ok(stream) => stream,
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => return Tried::Refused,
                    Err(error) => return Tried::Failed(error.to_string()),
                };
                let Ok((client, connection)) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await
                else {
                    return Tried::Closed;
                };
                tokio::spawn(connection);
                *self.http2.lock() = Some(client.clone());
                client
            }
        };
        let Ok(request) = request(plan) else { return Tried::Failed("the request cannot be made".into()) };
        if client.ready().await.is_err() {
            return Tried::Closed;
        }
        let answer = match timeout(PATIENCE, client.send_request(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) if is_untaken(&error) => return Tried::Closed,
            Ok(Err(error)) => return Tried::Failed(format!("HTTP/2: {error:?}")),
            Err(_) => return Tried::Failed("HTTP/2: no answer".into()),
        };
        let (head, body) = answer.into_parts();
        let field = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = timeout(PATIENCE, body.collect()).await.ok().and_then(Result::ok);
        let text = body.map(|body| body.to_bytes());
        let is_problem = field("proxy-status").is_some_and(|status| status.contains("error="));
        let said: serde_json::Value =
            text.as_ref().and_then(|text| serde_json::from_slice(text).ok()).unwrap_or_default();
        Tried::Done(Outcome {
            status: head.status.as_u16(),
            code: said["code"].as_str().filter(|_| is_problem).map(str::to_owned),
            about: field("proxy-status").as_deref().and_then(details),
            is_whole: text.is_some(),
            id: field("flexslot-proxy-request-id"),
        })
    }
}

/// What `Proxy-Status` says besides of an answer of the upstream's (RFC 9209 section 2.1.5).
fn details(status: &str) -> Option<String> {
    let (_, details) = status.split_once("details=")?;
    Some(details.split(';').next().unwrap_or_default().trim_matches('"').to_owned())
}

/// Whether a connection that ends has left the request to others (RFC 9113 sections 6.8 and 8.7).
fn is_untaken(error: &hyper::Error) -> bool {
    let text = format!("{error:?}");
    error.is_canceled() || error.is_closed() || ["NO_ERROR", "REFUSED_STREAM"].iter().any(|why| text.contains(why))
}

/// The same request in HTTP/2, which has no fields of the connection.
fn request(plan: &Plan) -> http::Result<http::Request<Full<Bytes>>> {
    let planned = &plan.request;
    let mut request = http::Request::builder()
        .method(planned.method)
        .uri(format!("http://localhost{}", planned.path))
        .header("x-flexslot-tenant", &planned.tenant);
    for (name, value) in planned.fields.split("\r\n").filter_map(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    if planned.body > 0 {
        request = request.header("content-length", planned.body);
    }
    request.body(Full::new(Bytes::from(vec![b'0'; planned.body])))
}
