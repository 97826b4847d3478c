//! Sends requests on the connections of a group and reads their answers, in one thread.

use std::{
    collections::VecDeque,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

use super::{
    Done, PATIENCE, Run, Target,
    answer::Progress,
    connection::{Connection, Message},
    schedule::{Next, Schedule},
};
use crate::failure::{Failure, Result, Trying};

/// Large enough for what a socket holds of a download.
const BUFFER: usize = 256 * 1024;

const EVENTS: usize = 256;

/// One in so many requests, at most, may find its connection closed. haproxy closes a client's connection where its own
/// connection to the upstream turns out to be gone.
const FEW: usize = 1000;

/// While there is nothing to begin.
const LONG: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Generator {
    groups: Vec<Option<Group>>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Group {
    epoll: OwnedFd,
    message: Message,
    connections: Vec<Connection>,
    /// Those without a request, the one that has been so the longest first.
    idle: VecDeque<usize>,
}

/// A run under way.
#[derive(Debug)]
struct UnderWay {
    schedule: Schedule,
    at_a_time: usize,
    now: usize,
    /// Requests that were sent once more, because their connection was closed before an answer.
    again: usize,
    latencies: Vec<Duration>,
}

// === impl Generator ===

impl Generator {
    pub(super) fn new() -> Result<Self> {
        // Sleeps end when they are to end, and not 50 µs later. 1 is the least that there is.
        let least = std::num::NonZeroU64::new(1);
        rustix::thread::set_current_timer_slack(least).trying(|| "precise timers".into())?;
        Ok(Self { groups: Vec::new(), buffer: vec![0; BUFFER] })
    }

    pub(super) fn open(&mut self, target: Target) -> Result<usize> {
        self.groups.push(Some(Group::open(target)?));
        Ok(self.groups.len() - 1)
    }

    pub(super) fn close(&mut self, group: usize) {
        self.groups[group] = None;
    }

    pub(super) fn run(&mut self, run: Run) -> Result<Done> {
        let group = self.groups[run.group].as_mut().ok_or_else(|| Failure::new("the group is closed"))?;
        let began = Instant::now();
        let schedule = Schedule::new(began, run.until, run.per_second);
        let mut under_way = UnderWay { schedule, at_a_time: run.at_a_time, now: 0, again: 0, latencies: Vec::new() };
        let deadline = began + run.until.time() + PATIENCE / 2;
        group.drive(&mut under_way, &mut self.buffer, deadline)?;
        let (again, answered) = (under_way.again, under_way.latencies.len());
        if again * FEW > answered {
            return Err(Failure::new(format!("{again} of {answered} requests found their connection closed")));
        }
        Ok(done(under_way.latencies, began.elapsed()))
    }
}

fn done(mut latencies: Vec<Duration>, took: Duration) -> Done {
    latencies.sort_unstable();
    let at = |percent: usize| latencies.get(latencies.len() * percent / 100).map_or(0.0, Duration::as_secs_f64);
    Done { answered: latencies.len() as u64, seconds: took.as_secs_f64(), latency: [at(50), at(99)] }
}

// === impl Group ===

impl Group {
    fn open(target: Target) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).trying(|| "epoll".into())?;
        let open = |token| Connection::open(target.port, token, target.work, &epoll);
        let connections = (0..target.connections as u64).map(open).collect::<Result<Vec<_>>>()?;
        let idle = (0..connections.len()).collect();
        Ok(Self { epoll, message: Message::new(target.work, target.authorized), connections, idle })
    }

    fn drive(&mut self, run: &mut UnderWay, buffer: &mut [u8], deadline: Instant) -> Result<()> {
        let none = epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };
        let mut events = [none; EVENTS];
        while let Some(wait) = self.begin_due(run)? {
            if Instant::now() > deadline {
                return Err(Failure::new(format!("{} requests have had no answer for half a minute", run.now)));
            }
            let count = self.wait(&mut events, wait)?;
            for event in &events[..count] {
                let (token, flags) = (event.data.u64(), event.flags);
                self.progress(usize::try_from(token).unwrap_or(0), flags, run, buffer)?;
            }
        }
        Ok(())
    }

    /// Begins what is due. Returns how long there is nothing to begin, or nothing when all is done.
    fn begin_due(&mut self, run: &mut UnderWay) -> Result<Option<Duration>> {
        loop {
            let next = run.schedule.next(Instant::now());
            let due = match next {
                Next::Over if run.now == 0 => return Ok(None),
                Next::Over => return Ok(Some(LONG)),
                Next::In(wait) => return Ok(Some(wait)),
                Next::Due(due) => due,
            };
            let free = if run.now < run.at_a_time { self.idle.pop_front() } else { None };
            let Some(free) = free else { return Ok(Some(LONG)) };
            run.schedule.start();
            run.now += 1;
            self.connections[free].begin(&self.message, due, &self.epoll)?;
        }
    }

    fn progress(
        &mut self,
        index: usize,
        flags: epoll::EventFlags,
        run: &mut UnderWay,
        buffer: &mut [u8],
    ) -> Result<()> {
        let connection = &mut self.connections[index];
        if flags.contains(epoll::EventFlags::OUT) {
            connection.write(&self.message, &self.epoll)?;
        }
        if !flags.intersects(!epoll::EventFlags::OUT) {
            return Ok(());
        }
        match connection.read(buffer)? {
            Progress::More => Ok(()),
            Progress::Closed if self.idle.contains(&index) => {
                Err(Failure::new("a connection that was to be kept alive was closed without a request"))
            }
            Progress::Closed => {
                run.again += 1;
                connection.again(&self.message, &self.epoll)
            }
            Progress::Complete => {
                run.latencies.push(connection.due.elapsed());
                run.now -= 1;
                self.idle.push_back(index);
                self.begin_due(run).map(drop)
            }
        }
    }

    /// Waits for something to read or write. The timeout of `epoll_wait` is in milliseconds, that of `ppoll` in
    /// nanoseconds; an epoll can be polled itself.
    fn wait(&self, events: &mut [epoll::Event; EVENTS], wait: Duration) -> Result<usize> {
        let what = || "waiting for answers".to_owned();
        let mut timeout = Timespec { tv_sec: 1, tv_nsec: 0 };
        if wait < LONG {
            let precise = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
            poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], Some(&precise)).trying(what)?;
            timeout = Timespec::default();
        }
        epoll::wait(&self.epoll, events, Some(&timeout)).trying(what)
    }
}
