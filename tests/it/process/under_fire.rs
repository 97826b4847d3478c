//! Restarts and reloads while apps go on asking: no request that is under way fails.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use flexslot_proxy::sandbox::Endpoint;
use rustix::process::Signal;
use tokio::task::JoinSet;

use super::{
    http::{Connection, DECKS, request},
    world::{Life, World},
};
use crate::support::{ReservedPort, field, in_time, until};

const TIMES: usize = 100;
const CALLERS: usize = 4;

/// What callers met over all of it.
#[derive(Debug, Default, Clone, Copy)]
struct Met {
    answered: usize,
    /// Nobody listened.
    refused: usize,
    /// The system had taken the connection, and closed it with the listener before the sidecar saw it.
    reset: usize,
    /// A kept connection was closed before an answer began: it was on its way out when the request was sent.
    closed: usize,
    /// 503 `draining`: the connection was to end, and the request was sent all the same.
    draining: usize,
}

/// Apps that ask, one request after the other, until they are told to stop.
struct Callers {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    tasks: JoinSet<Met>,
}

// === impl Callers ===

impl Callers {
    /// Half of them keep their connections. Anything but an answer of Flexslot's, or what a stop has to say, fails.
    fn begin(at: SocketAddr) -> Self {
        let (over, answered, mut tasks) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default(), JoinSet::new());
        for number in 0..CALLERS {
            let (over, answered) = (Arc::clone(&over), Arc::clone(&answered));
            tasks.spawn(async move {
                let (mut met, mut kept) = (Met::default(), None);
                while !over.load(Ordering::Relaxed) {
                    kept = ask(at, kept, number.is_multiple_of(2), &mut met).await;
                    answered.fetch_max(met.answered, Ordering::Relaxed);
                }
                met
            });
        }
        Self { over, answered, tasks }
    }

    /// Waits until some caller has been answered once more.
    async fn are_served(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        until("another answer", async || self.answered.load(Ordering::Relaxed) > before).await;
    }

    async fn end(self) -> Met {
        self.over.store(true, Ordering::Relaxed);
        let all = in_time("the end of the callers", self.tasks.join_all()).await;
        all.into_iter().fold(Met::default(), |sum, met| Met {
            answered: sum.answered + met.answered,
            refused: sum.refused + met.refused,
            reset: sum.reset + met.reset,
            closed: sum.closed + met.closed,
            draining: sum.draining + met.draining,
        })
    }
}

/// One request, on the kept connection if there is one. Returns the connection where it goes on.
async fn ask(
    at: SocketAddr,
    kept: Option<(Connection, usize)>,
    keeps: bool,
    met: &mut Met,
) -> Option<(Connection, usize)> {
    let (mut connection, answers) = match kept {
        Some(kept) => kept,
        None => match Connection::open(at).await {
            Ok(connection) => (connection, 0),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                met.refused += 1;
                tokio::task::yield_now().await;
                return None;
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                met.reset += 1;
                return None;
            }
            Err(error) => panic!("connecting: {error}"),
        },
    };
    let close = if keeps { "" } else { "Connection: close\r\n" };
    match connection.ask(&request("GET", DECKS, "acme", close, b"")).await {
        Ok(answer) if answer.status == 200 => {
            met.answered += 1;
            let goes_on = keeps && field(&answer.head, "connection") != Some("close");
            goes_on.then_some((connection, answers + 1))
        }
        Ok(answer) if answer.code() == "draining" => {
            met.draining += 1;
            None
        }
        Ok(answer) => panic!("{}\n{}", answer.head, answer.text()),
        Err(error) if answers > 0 => {
            assert!(connection.is_untouched(), "an answer broke off: {error}");
            met.closed += 1;
            None
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
            assert!(connection.is_untouched(), "an answer broke off: {error}");
            met.reset += 1;
            None
        }
        Err(error) => panic!("no answer on a new connection: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_under_way_fails_over_a_hundred_restarts_where_nobody_keeps_the_port() {
    let port = ReservedPort::new();
    let mut world = World::new().await;
    world.clear("server").set("server", &format!("listen = \"{}\"", port.address));
    world.connect("acme", Life::Fresh).await;
    let mut sidecar = world.start().await;
    let callers = Callers::begin(port.address);
    for _ in 0..TIMES {
        callers.are_served().await;
        assert_eq!(sidecar.stop().await.status.code(), Some(0));
        sidecar = world.start().await;
    }
    callers.are_served().await;
    let met = callers.end().await;
    println!("over {TIMES} restarts: {met:?}");
    assert!(met.answered > TIMES && met.refused > 0, "{met:?}");
    let seen = world.sandbox.counters().requests(Endpoint::Resource);
    assert_eq!(met.answered as u64, seen, "what Flexslot has seen was under way: {met:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_over_a_hundred_reloads() {
    let world = World::new().await;
    world.connect("acme", Life::Fresh).await;
    let sidecar = world.start().await;
    let callers = Callers::begin(sidecar.proxy);
    for number in 1..=TIMES {
        let toml = format!("{}[limits]\nrequest_body = \"{number}MiB\"\n", world.toml());
        std::fs::write(world.path("proxy.toml.new"), toml).unwrap();
        std::fs::rename(world.path("proxy.toml.new"), world.path("proxy.toml")).unwrap();
        sidecar.process.signal(Signal::HUP);
        let in_use = || sidecar.process.stderr().matches("the new configuration is in use").count();
        until("the configuration is in use", async || in_use() >= number).await;
        callers.are_served().await;
    }
    let met = callers.end().await;
    println!("over {TIMES} reloads: {met:?}");
    assert!(met.answered > TIMES, "{met:?}");
    assert_eq!((met.refused, met.reset, met.closed, met.draining), (0, 0, 0, 0), "{met:?}");
}
