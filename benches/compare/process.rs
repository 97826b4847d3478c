//! Processes of the comparison: on which cores they run, and how they end.

use std::{
    env, fs,
    fs::OpenOptions,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

use crate::failure::{Failure, Result, Trying};

/// Where Debian has servers, besides what `PATH` of a user who is not root names.
const SYSTEM: [&str; 2] = ["/usr/sbin", "/sbin"];

/// How long a process may take to end in good order.
const GRACE: Duration = Duration::from_secs(5);

/// Two cores: the first is the proxy's, the second is the load generator's and the upstream's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cores {
    first: usize,
    second: usize,
}

/// What a process is started on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pinned {
    First,
    Second,
    Both,
}

/// A process that runs until this is dropped, or until this program has ended, however that was.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

// === impl Cores ===

impl Cores {
    /// The first two of those that this program may use: `taskset -c 2,4 just compare` chooses others.
    pub(crate) fn choose() -> Result<Self> {
        let allowed = sched_getaffinity(None).trying(|| "the cores that may be used".into())?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        match (cores.next(), cores.next()) {
            (Some(first), Some(second)) => Ok(Self { first, second }),
            _ => {
                Err(Failure::new("there is only one core").hint("the proxy needs one for itself: use a larger machine"))
            }
        }
    }

    /// Puts this thread, and what it starts from now on, on these cores.
    pub(crate) fn pin(self, pinned: Pinned) -> Result<()> {
        let mut set = CpuSet::new();
        if pinned != Pinned::Second {
            set.set(self.first);
        }
        if pinned != Pinned::First {
            set.set(self.second);
        }
        sched_setaffinity(None, &set).trying(|| format!("running on {pinned:?}"))
    }

    /// Starts a process there; this thread stays on the second core.
    pub(crate) fn start(self, pinned: Pinned, command: &mut Command) -> Result<Process> {
        self.pin(pinned)?;
        let child = command.spawn();
        self.pin(Pinned::Second)?;
        Ok(Process { child: child.trying(|| format!("starting {command:?}"))? })
    }
}

// === impl Process ===

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // One that has ended meanwhile needs no signal.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Waits for its end; false if it has not ended by then.
    pub(crate) fn ends_within(&mut self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        while self.runs() {
            if Instant::now() > deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        true
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.runs() {
            self.signal(Signal::TERM);
        }
        if !self.ends_within(GRACE) {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

// === commands ===

/// A command that is told to end when this program ends, with an environment that holds nothing but the path.
pub(crate) fn command(program: &Path) -> Result<Command> {
    let mut command = Command::new(find("setpriv")?);
    command.args(["--pdeathsig", "TERM", "--"]).arg(program).env_clear().stdin(Stdio::null());
    command.env("PATH", env::var_os("PATH").unwrap_or_default());
    Ok(command)
}

/// A command whose output goes to the end of a file.
pub(crate) fn logging_to(file: &Path, mut command: Command) -> Result<Command> {
    let open = || OpenOptions::new().create(true).append(true).open(file);
    let both = open().and_then(|out| open().map(|err| (out, err)));
    let (out, err) = both.trying(|| file.display().to_string())?;
    command.stdout(out).stderr(err);
    Ok(command)
}

/// Where a program is.
pub(crate) fn find(program: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places = env::split_paths(&path).chain(SYSTEM.map(PathBuf::from)).map(|dir| dir.join(program));
    places.find(|place| place.is_file()).ok_or_else(|| {
        let package = match program {
            "nginx" => "nginx-light",
            "setpriv" => "util-linux",
            other => other,
        };
        Failure::new(format!("{program} is not installed")).hint(format!("apt-get install {package}"))
    })
}

/// The last lines of a file, for an error message.
pub(crate) fn end_of(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}

// === what the machine gives ===

/// A port that nobody listens on.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").trying(|| "a free port".into())?;
    Ok(listener.local_addr().trying(|| "a free port".into())?.port())
}

/// Lets this program, and what it starts, open as many files as the system allows. Returns how many that are.
pub(crate) fn raise_file_limit() -> Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .trying(|| "the limit of open files".into())?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

// === the end ===

/// On SIGINT and SIGTERM this program ends without looking back; processes that it has started end with it.
pub(crate) fn remove_when_stopped(dir: PathBuf) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.trying(|| "waiting for signals".into())?;
    thread::spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
            let _ = fs::remove_dir_all(dir);
            std::process::exit(130);
        });
    });
    Ok(())
}
