//! The load generator: sends requests on kept connections and reads their answers, in the thread that runs it.

#[path = "../compare/load/answer.rs"]
mod answer;
mod connection;
mod done;
mod schedule;

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    num::NonZeroU64,
    ops::Range,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, epoll, poll},
    process::setpriority_process,
};

use crate::{
    dice::Dice,
    failure::{Failure, Result, Trying},
    flexslot::BODY,
    record::tenant,
};
use answer::Progress;
use connection::Connection;
use done::Sample;
pub(crate) use done::{Done, quantile};
use schedule::{Next, Schedule};
pub(crate) use schedule::{Pace, Until};

const BUFFER: usize = 64 * 1024;

const EVENTS: usize = 256;

/// While there is nothing to begin; also how soon a run notices that it is told to end.
const LONG: Duration = Duration::from_millis(20);

/// How long no answer may come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Kept connections to one port.
#[derive(Debug)]
pub(crate) struct Group {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    /// Those without a request, the one that has been so the longest first.
    idle: VecDeque<usize>,
}

/// What a group has to do.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) whose: Whose,
    pub(crate) pace: Pace,
    pub(crate) until: Until<'a>,
}

/// For whom the next request is.
#[derive(Debug, Clone)]
pub(crate) enum Whose {
    One(u32),
    /// One after the other, and from the beginning again.
    Each(Range<u32>, u32),
    Random(Range<u32>, Dice),
    /// Nobody: what the admin listener answers to anybody.
    Health,
}

/// A run under way.
struct UnderWay<'a> {
    schedule: Schedule<'a>,
    whose: Whose,
    began: Instant,
    now: usize,
    samples: Vec<Sample>,
    message: Vec<u8>,
}

/// Whose work comes first on the core that all of this program share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// What is measured by the time at which it is sent and received.
    Probe,
    /// What probes wait for.
    Neighbour,
}

// === impl Urgency ===

/// Lets this thread go before others. Only root can; without that, what a probe shows is in part what the load beside it takes.
pub(crate) fn hurry(urgency: Urgency) {
    let priority = match urgency {
        Urgency::Probe => -15,
        Urgency::Neighbour => -10,
    };
    let _ = setpriority_process(None, priority);
}

// === impl Whose ===

impl Whose {
    pub(crate) fn each(tenants: Range<u32>) -> Self {
        Self::Each(tenants.clone(), tenants.start)
    }

    fn write(&mut self, message: &mut Vec<u8>) {
        let number = match self {
            Self::One(number) => *number,
            Self::Each(tenants, next) => {
                let number = *next;
                *next = if number + 1 == tenants.end { tenants.start } else { number + 1 };
                number
            }
            Self::Random(tenants, dice) => {
                let among = u64::from(tenants.end - tenants.start);
                tenants.start + u32::try_from(dice.below(among)).unwrap_or(0)
            }
            Self::Health => {
                message.extend_from_slice(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
                return;
            }
        };
        message.extend_from_slice(head(number).as_bytes());
    }
}

fn head(number: u32) -> String {
    format!(
        "GET /api/public/v1/decks/0190c2f4-7b1e-7c3a-9d52-6f1e8a4b2c10 HTTP/1.1\r\nhost: localhost\r\nuser-agent: scale/1\r\n\
         accept: application/json\r\nx-flexslot-tenant: {}\r\n\r\n",
        tenant(number)
    )
}

// === impl Group ===

impl Group {
    /// Connections on which tenants' requests go.
    pub(crate) fn open(port: u16, count: usize) -> Result<Self> {
        Self::expecting(port, count, BODY as u64)
    }

    /// Connections to the admin listener.
    pub(crate) fn of_health(admin: u16, count: usize) -> Result<Self> {
        let head = ask(admin, "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").trying(|| "/healthz".into())?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        Self::expecting(admin, count, length.ok_or_else(|| Failure::new("/healthz without a length"))?)
    }

    fn expecting(port: u16, count: usize, body: u64) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).trying(|| "epoll".into())?;
        let open = |token| Connection::open(port, token, body, &epoll);
        let connections = (0..count as u64).map(open).collect::<Result<Vec<_>>>()?;
        let idle = (0..connections.len()).collect();
        Ok(Self { epoll, connections, idle })
    }

    /// Does what it is told, and fails at the first answer that is not 200.
    pub(crate) fn run(&mut self, run: Run<'_>) -> Result<Done> {
        // Sleeps end when they are to end, and not 50 µs later. 1 is the least that there is.
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).trying(|| "precise timers".into())?;
        let began = Instant::now();
        let schedule = Schedule::new(began, run.pace, run.until);
        let mut run = UnderWay { schedule, whose: run.whose, began, now: 0, samples: Vec::new(), message: Vec::new() };
        self.drive(&mut run)?;
        Ok(Done::new(run.samples))
    }

    fn drive(&mut self, run: &mut UnderWay<'_>) -> Result<()> {
        let none = epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };
        let (mut events, mut buffer) = ([none; EVENTS], vec![0; BUFFER]);
        let mut last = Instant::now();
        while let Some(wait) = self.begin_due(run)? {
            let count = self.wait(&mut events, wait)?;
            if count > 0 || run.now == 0 {
                last = Instant::now();
            } else if last.elapsed() > PATIENCE {
                return Err(Failure::new(format!("{} requests have had no answer for half a minute", run.now)));
            }
            for event in &events[..count] {
                self.progress(usize::try_from(event.data.u64()).unwrap_or(0), run, &mut buffer)?;
            }
        }
        Ok(())
    }

    /// Begins what is due. Returns how long there is nothing to begin, or nothing when all is done.
    fn begin_due(&mut self, run: &mut UnderWay<'_>) -> Result<Option<Duration>> {
        loop {
            let due = match run.schedule.next(Instant::now(), run.now) {
                Next::Over if run.now == 0 => return Ok(None),
                Next::Over | Next::Full => return Ok(Some(LONG)),
                Next::In(wait) => return Ok(Some(wait)),
                Next::Due(due) => due,
            };
            let Some(free) = self.idle.pop_front() else { return Ok(Some(LONG)) };
            run.schedule.start();
            run.now += 1;
            run.message.clear();
            run.whose.write(&mut run.message);
            self.connections[free].begin(&run.message, due)?;
        }
    }

    fn progress(&mut self, index: usize, run: &mut UnderWay<'_>, buffer: &mut [u8]) -> Result<()> {
        let connection = &mut self.connections[index];
        match connection.read(buffer)? {
            Progress::More => Ok(()),
            Progress::Closed => Err(Failure::new("a connection that was to be kept alive was closed")),
            Progress::Complete => {
                let Connection { due, sent, .. } = *connection;
                run.samples.push(Sample { at: due - run.began, took: due.elapsed(), late: sent - due });
                run.now -= 1;
                self.idle.push_back(index);
                self.begin_due(run).map(drop)
            }
        }
    }

    /// Waits for something to read. The timeout of `epoll_wait` is in milliseconds, that of `ppoll` in nanoseconds; an epoll can
    /// be polled itself.
    fn wait(&self, events: &mut [epoll::Event; EVENTS], wait: Duration) -> Result<usize> {
        let what = || "waiting for answers".to_owned();
        let precise = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.min(LONG).subsec_nanos()) };
        poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], Some(&precise)).trying(what)?;
        epoll::wait(&self.epoll, events, Some(&Timespec::default())).trying(what)
    }
}

// === single requests ===

/// Whether a request for this tenant is answered 200.
pub(crate) fn answers(port: u16, number: u32) -> bool {
    ask(port, &head(number)).is_ok_and(|head| head.starts_with("http/1.1 200"))
}

/// The head of the answer, in lower case, on a connection of its own.
fn ask(port: u16, request: &str) -> io::Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while !answer.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => answer.extend_from_slice(&buffer[..length]),
        }
    }
    let answer = String::from_utf8_lossy(&answer).to_lowercase();
    Ok(answer.split("\r\n\r\n").next().unwrap_or_default().to_owned())
}
