//! The load generator: a process of its own on the second core, told by lines of JSON what to do.
//!
//! It holds groups of keep-alive connections, and runs one group at a time.

mod answer;
mod connection;
mod generator;
mod schedule;

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Command, Stdio},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    failure::{Failure, Result, Trying},
    process::{self, Cores, Pinned, Process},
    work::Work,
};
use generator::Generator;
pub(crate) use schedule::Until;

/// How long a group may take beyond its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections to one address, and the request that is sent on them.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) port: u16,
    pub(crate) connections: usize,
    pub(crate) work: Work,
    /// Whether the request brings its credential along.
    pub(crate) authorized: bool,
}

/// What a group has to do.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) group: usize,
    pub(crate) until: Until,
    /// Requests under way at a time, at most.
    pub(crate) at_a_time: usize,
    /// Requests per second that are due whether or not earlier ones have been answered; as fast as answers come, if none.
    pub(crate) per_second: Option<u32>,
}

/// What came of it. Every answer was as it has to be.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) answered: u64,
    pub(crate) seconds: f64,
    /// From the moment in which a request was due to the end of its answer, in seconds: half of the requests, and 99 of
    /// 100, took no longer.
    pub(crate) latency: [f64; 2],
}

#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Open(Target),
    Run(Run),
    Close(usize),
}

#[derive(Debug, Serialize, Deserialize)]
enum Reply {
    Opened(usize),
    Done(Done),
    Closed,
    Failed(String),
}

/// The process, as its master sees it.
#[derive(Debug)]
pub(crate) struct Load {
    orders: UnixStream,
    replies: BufReader<UnixStream>,
    _process: Process,
}

// === impl Load ===

impl Load {
    pub(crate) fn start(cores: Cores) -> Result<Self> {
        let what = || "starting the load generator".to_owned();
        let (ours, theirs) = UnixStream::pair().trying(what)?;
        let program = env::current_exe().trying(what)?;
        let mut command: Command = process::command(&program)?;
        let input = OwnedFd::from(theirs.try_clone().trying(what)?);
        command.arg("load").stdin(Stdio::from(input)).stdout(Stdio::from(OwnedFd::from(theirs)));
        let process = cores.start(Pinned::Second, &mut command)?;
        let replies = BufReader::new(ours.try_clone().trying(what)?);
        Ok(Self { orders: ours, replies, _process: process })
    }

    /// Makes a group's connections.
    pub(crate) fn open(&mut self, target: Target) -> Result<usize> {
        match self.tell(&Order::Open(target), Duration::ZERO)? {
            Reply::Opened(group) => Ok(group),
            reply => Err(unexpected(&reply)),
        }
    }

    pub(crate) fn run(&mut self, run: Run) -> Result<Done> {
        match self.tell(&Order::Run(run), run.until.time())? {
            Reply::Done(done) if done.answered > 0 => Ok(done),
            reply => Err(unexpected(&reply)),
        }
    }

    pub(crate) fn close(&mut self, group: usize) -> Result<()> {
        match self.tell(&Order::Close(group), Duration::ZERO)? {
            Reply::Closed => Ok(()),
            reply => Err(unexpected(&reply)),
        }
    }

    fn tell(&mut self, order: &Order, takes: Duration) -> Result<Reply> {
        let what = || "the load generator".to_owned();
        let line = serde_json::to_string(order).trying(what)?;
        self.orders.set_read_timeout(Some(takes + PATIENCE)).trying(what)?;
        writeln!(self.orders, "{line}").trying(what)?;
        let mut reply = String::new();
        self.replies.read_line(&mut reply).trying(|| format!("no answer of the load generator to {line}"))?;
        match serde_json::from_str(&reply).trying(what)? {
            Reply::Failed(why) => Err(Failure::new(why)),
            reply => Ok(reply),
        }
    }
}

fn unexpected(reply: &Reply) -> Failure {
    Failure::new(format!("the load generator answered {reply:?}"))
}

// === the process itself ===

/// Does what standard input says, until it ends.
pub(crate) fn serve() -> Result<()> {
    process::raise_file_limit()?;
    let mut generator = Generator::new()?;
    for line in io::stdin().lines() {
        let order = serde_json::from_str(&line.trying(|| "reading an order".into())?);
        let reply = match order.trying(|| "an order".into())? {
            Order::Open(target) => generator.open(target).map(Reply::Opened),
            Order::Run(run) => generator.run(run).map(Reply::Done),
            Order::Close(group) => {
                generator.close(group);
                Ok(Reply::Closed)
            }
        };
        let reply = reply.unwrap_or_else(|failure| Reply::Failed(failure.to_string()));
        println!("{}", serde_json::to_string(&reply).trying(|| "a reply".into())?);
    }
    Ok(())
}
