//! Many tenants at once, each with one request: on streams of HTTP/2, as descriptors are scarce.

use std::{
    net::Ipv4Addr,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode, client::conn::http2, header::RETRY_AFTER};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, sync::Semaphore, task::JoinSet, time::sleep};

use crate::{
    failure::{Failure, Result, Trying},
    record::tenant,
};

/// Requests under way on a connection at most. The sidecar takes 250.
const STREAMS: u32 = 200;

/// Requests under way at a time. Each may open a connection to Flexslot, and a listener's queue has room for about as many; besides,
/// `limits.connections` bounds the requests of all tenants together.
pub(crate) const AT_A_TIME: usize = 4000;

/// How long a request is tried again.
const PATIENCE: Duration = Duration::from_secs(240);

type Sender = http2::SendRequest<Empty<Bytes>>;

/// Connections on which a request for each of the tenants can be under way.
pub(crate) struct Crowd {
    connections: Vec<Sender>,
    tenants: Range<u32>,
}

/// What its requests came to. All were answered 200 in the end.
#[derive(Debug)]
pub(crate) struct Told {
    /// From the beginning of all to the end of each one's answer.
    pub(crate) took: Vec<Duration>,
    /// How often one was told to come again: a refresh took longer than a request waits.
    pub(crate) sent_away: u64,
}

// === impl Crowd ===

impl Crowd {
    pub(crate) async fn connect(port: u16, tenants: Range<u32>) -> Result<Self> {
        let what = || "the crowd's connections".to_owned();
        let mut connections = Vec::new();
        for _ in 0..(tenants.end - tenants.start).div_ceil(STREAMS) {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.trying(what)?;
            stream.set_nodelay(true).trying(what)?;
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.trying(what)?;
            tokio::spawn(connection);
            connections.push(sender);
        }
        Ok(Self { connections, tenants })
    }

    /// Asks for all of them, so many at a time.
    pub(crate) async fn ask(&self) -> Result<Told> {
        let began = Instant::now();
        let places = Arc::new(Semaphore::new(AT_A_TIME));
        let mut asking = JoinSet::new();
        for number in self.tenants.clone() {
            // In turn, so that none of them is idle for long.
            let sender = &self.connections[number as usize % self.connections.len()];
            let (sender, places) = (sender.clone(), Arc::clone(&places));
            asking.spawn(async move {
                let _place = places.acquire_owned().await;
                until_answered(sender, number, began).await
            });
        }
        let mut told = Told { took: Vec::new(), sent_away: 0 };
        while let Some(answered) = asking.join_next().await {
            let (took, sent_away) = answered.trying(|| "a request".into())??;
            told.took.push(took);
            told.sent_away += sent_away;
        }
        Ok(told)
    }
}

/// Asks again where a refresh takes longer than a request waits, as the answer says.
async fn until_answered(mut sender: Sender, number: u32, began: Instant) -> Result<(Duration, u64)> {
    let what = || format!("a request for {}", tenant(number));
    let mut sent_away = 0;
    loop {
        let request = Request::get("http://localhost/api/public/v1/decks/").header("x-flexslot-tenant", tenant(number));
        let request = request.body(Empty::new()).trying(what)?;
        sender.ready().await.trying(what)?;
        let response = sender.send_request(request).await.trying(what)?;
        let (status, again) = (response.status(), response.headers().get(RETRY_AFTER).cloned());
        let body = response.into_body().collect().await.trying(what)?.to_bytes();
        match (status, again) {
            (StatusCode::OK, _) => return Ok((began.elapsed(), sent_away)),
            (StatusCode::SERVICE_UNAVAILABLE, Some(again)) if began.elapsed() < PATIENCE => {
                sent_away += 1;
                let seconds = again.to_str().ok().and_then(|seconds| seconds.parse().ok());
                sleep(Duration::from_secs(seconds.unwrap_or(1))).await;
            }
            (status, _) => {
                let body = String::from_utf8_lossy(&body).into_owned();
                return Err(Failure::new(format!("{}: {status}: {body}", what())));
            }
        }
    }
}
