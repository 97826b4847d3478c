//! Restarts and reloads under load.

use std::{
    net::{Ipv4Addr, TcpListener},
    os::fd::AsRawFd,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::{io::FdFlags, process::Signal};
use tokio::{task::JoinSet, time::sleep};

use super::{Row, Stage, VICTIM, furnished};
use crate::{
    failure::{Result, Trying},
    flexslot::State,
    http::{Connection, Request, Unanswered},
    order::Order,
    place::Place,
    tally::shown,
};

/// How often.
const TIMES: usize = 100;

/// Clients, each with one request after the other: on a connection that is kept, or each on one of its own.
const CLIENTS: u64 = 16;

/// What clients saw over all of it.
#[derive(Debug, Default)]
struct Told {
    answered: u64,
    /// Nobody listened, and the client tried again.
    refused: u64,
    /// The system had taken the connection, and closed it with the listener.
    reset: u64,
    /// A kept connection was closed before the first byte of an answer, and the client sent again.
    sent_again: u64,
    /// 503 `draining`, and the client sent again.
    draining: u64,
    failed: Vec<String>,
}

/// Clients that ask until they are told to stop.
struct Load {
    over: Arc<AtomicBool>,
    clients: JoinSet<Told>,
}

pub(super) async fn restarts(binary: &Path) -> Result<Vec<Row>> {
    let mut stage = Stage::set(binary, |place| place).await?;
    let load = Load::begin(&stage.place);
    let (mut stops, mut starts) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        sleep(Duration::from_millis(100)).await;
        stops.push(stage.sidecar.stop().await?);
        stage.sidecar = stage.place.start().await?;
        starts.push(stage.sidecar.started_in);
    }
    let told = load.end().await;
    stops.sort_unstable();
    starts.sort_unstable();
    let half = TIMES / 2;
    Ok(vec![Row {
        fault: format!("{TIMES} restarts (SIGTERM) under load, the port not kept"),
        seen: told.to_string(),
        healthy: String::new(),
        recovery: format!(
            "stop: half within {}, the slowest {}; start: half within {}, the slowest {}",
            shown(&stops[half]),
            shown(&stops[TIMES - 1]),
            shown(&starts[half]),
            shown(&starts[TIMES - 1])
        ),
        cost: None,
    }])
}

/// We hold the socket, as systemd does, and hand it from one process to the next.
pub(super) async fn kept_socket(binary: &Path) -> Result<Vec<Row>> {
    let mut place = furnished(binary).await?;
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, place.proxy)).trying(|| "the socket".into())?;
    rustix::io::fcntl_setfd(&socket, FdFlags::empty()).trying(|| "the socket".into())?;
    place.prepare()?;
    let launch = place.launch().env("LISTEN_FDS", "1").env("LISTEN_FDS_FIRST_FD", socket.as_raw_fd().to_string());
    let admin = place.admin;
    let mut sidecar = launch.start(admin).await?;
    let load = Load::begin(&place);
    for _ in 0..TIMES {
        sleep(Duration::from_millis(100)).await;
        sidecar.stop().await?;
        sidecar = launch.start(admin).await?;
    }
    let told = load.end().await;
    Ok(vec![Row {
        fault: format!("{TIMES} restarts (SIGTERM) under load, on a socket that is kept"),
        seen: told.to_string(),
        healthy: String::new(),
        recovery: "nobody is refused; a request waits for the next process".into(),
        cost: None,
    }])
}

pub(super) async fn reloads(binary: &Path) -> Result<Vec<Row>> {
    let mut stage = Stage::set(binary, |place| place).await?;
    let (cost, load) = (stage.cost(), Load::begin(&stage.place));
    let watch = stage.watch();
    for number in 0..TIMES {
        let body = if number.is_multiple_of(2) { "63MiB" } else { "64MiB" };
        stage.place.replace("limits", format!("request_body = \"{body}\"")).write()?;
        stage.sidecar.signal(Signal::HUP);
        while stage.sidecar.log.count("the new configuration is in use") <= number {
            sleep(Duration::from_millis(5)).await;
        }
    }
    let told = load.end().await;
    Ok(vec![Row {
        fault: format!("{TIMES} reloads (SIGHUP) under load, each with another configuration"),
        seen: told.to_string(),
        healthy: watch.end().await.to_string(),
        recovery: "none needed".into(),
        cost: Some(cost.end(&stage.sidecar)),
    }])
}

// === impl Load ===

impl Load {
    fn begin(place: &Place) -> Self {
        let (port, upstream) = (place.proxy, &place.flexslot.state);
        let over = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            clients.spawn(ask(port, number, (Arc::clone(upstream), Arc::clone(&over))));
        }
        Self { over, clients }
    }

    async fn end(self) -> Told {
        self.over.store(true, Ordering::Relaxed);
        let mut all = Told::default();
        for told in self.clients.join_all().await {
            all.answered += told.answered;
            all.refused += told.refused;
            all.reset += told.reset;
            all.sent_again += told.sent_again;
            all.draining += told.draining;
            all.failed.extend(told.failed);
        }
        all
    }
}

/// One request after the other. The upstream takes 20 ms for each, so that some are always under way.
async fn ask(port: u16, client: u64, (upstream, over): (Arc<State>, Arc<AtomicBool>)) -> Told {
    let keeps = client.is_multiple_of(2);
    let (mut told, mut kept) = (Told::default(), None::<Connection>);
    let mut number = client << 32;
    while !over.load(Ordering::Relaxed) {
        number += 1;
        let mut request = Request::get(VICTIM).order(Order::Slow(Duration::from_millis(20)));
        let close = if keeps { "" } else { "Connection: close\r\n" };
        request.fields.push_str(&format!("X-Number: {number}\r\n{close}"));
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => match Connection::open(port).await {
                Ok(connection) => connection,
                Err(Unanswered::Refused) => {
                    told.refused += 1;
                    sleep(Duration::from_millis(2)).await;
                    continue;
                }
                Err(Unanswered::Closed) => {
                    told.reset += 1;
                    continue;
                }
                Err(unanswered) => {
                    told.failed.push(format!("connecting: {unanswered}"));
                    continue;
                }
            },
        };
        match connection.ask(&request).await {
            Ok(answer) if answer.is_good() => {
                told.answered += 1;
                let closes = answer.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
                kept = (keeps && !closes).then_some(connection);
            }
            Ok(answer) if answer.code().as_deref() == Some("draining") => told.draining += 1,
            // What Flexslot has seen is under way, and must not be given up.
            Err(Unanswered::Closed) if upstream.saw(number) => told.failed.push("closed, though under way".into()),
            Err(Unanswered::Closed) if connection.answers > 0 => told.sent_again += 1,
            Err(Unanswered::Closed) => told.reset += 1,
            Ok(answer) => told.failed.push(answer.to_string()),
            Err(unanswered) => told.failed.push(unanswered.to_string()),
        }
    }
    told
}

// === impl Told ===

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { answered, refused, reset, sent_again, draining, failed } = self;
        write!(f, "{answered} requests answered, {} failed", failed.len())?;
        if let Some(first) = failed.first() {
            write!(f, " (such as: {first})")?;
        }
        write!(f, "; {refused} connections refused, {reset} reset with the listener; {draining} × 503 `draining`; ")?;
        write!(f, "{sent_again} kept connections closed before an answer")
    }
}
