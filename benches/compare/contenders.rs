//! Who is compared. Each does the same work: names the tenant by a header, attaches its credential, takes off and adds
//! headers, keeps connections to the upstream, and writes a line for each request into a file.

mod haproxy;
mod nginx;
mod sidecar;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    failure::{Failure, Result, Trying},
    load::Target,
    measure::Memory,
    probe,
    process::{self, Cores, Pinned, Process},
    upstream::{Form, Upstream},
    work::Work,
};

/// How long one may take to answer its first request.
const START: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    #[serde(rename = "flexslot-proxy")]
    Sidecar,
    Nginx,
    Haproxy,
    /// Copies bytes. It has neither TLS nor a second thread.
    Relay,
}

/// What a contender is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan<'a> {
    pub(crate) kind: Kind,
    pub(crate) form: Form,
    /// On the first core, or on both.
    pub(crate) pinned: Pinned,
    pub(crate) upstream: &'a Upstream,
    /// Its own, and empty.
    pub(crate) dir: &'a Path,
    /// The sidecar's.
    pub(crate) binary: &'a Path,
}

/// A contender that can be started.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) kind: Kind,
    pub(crate) port: u16,
    pinned: Pinned,
    dir: PathBuf,
    program: PathBuf,
    arguments: Vec<String>,
}

/// One that answers.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) kind: Kind,
    pub(crate) port: u16,
    pub(crate) process: Process,
    /// From its start to the end of its first answer.
    pub(crate) started_in: Duration,
    log: PathBuf,
}

// === impl Kind ===

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Sidecar, Self::Nginx, Self::Haproxy, Self::Relay];
    /// Those that do the work.
    pub(crate) const PROXIES: [Self; 3] = [Self::Sidecar, Self::Nginx, Self::Haproxy];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sidecar => "flexslot-proxy",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Relay => "byte relay",
        }
    }

    /// What it calls itself, with its version.
    pub(crate) fn version(self, binary: &Path) -> Result<String> {
        let (program, flag) = match self {
            Self::Sidecar => (binary.to_owned(), "--version"),
            Self::Nginx => (process::find("nginx")?, "-v"),
            Self::Haproxy => (process::find("haproxy")?, "-v"),
            Self::Relay => return Ok("of this program".into()),
        };
        let output = Command::new(&program).arg(flag).output().trying(|| program.display().to_string())?;
        let said = [output.stdout, output.stderr].concat();
        // What follows in haproxy's line is not its version.
        let words =
            String::from_utf8_lossy(&said).split_ascii_whitespace().take(3).map(str::to_owned).collect::<Vec<_>>();
        Ok(words.join(" "))
    }
}

// === impl Plan ===

impl Plan<'_> {
    /// Writes its configuration.
    pub(crate) fn prepare(&self) -> Result<Prepared> {
        fs::create_dir_all(self.dir).trying(|| self.dir.display().to_string())?;
        let port = process::free_port()?;
        let (program, arguments) = match self.kind {
            Kind::Sidecar => sidecar::prepare(self, port)?,
            Kind::Nginx => nginx::prepare(self, port)?,
            Kind::Haproxy => haproxy::prepare(self, port)?,
            Kind::Relay => relay(self, port)?,
        };
        let dir = self.dir.to_owned();
        Ok(Prepared { kind: self.kind, port, pinned: self.pinned, dir, program, arguments })
    }

    /// Threads or processes of it that share the work.
    fn workers(&self) -> usize {
        if self.pinned == Pinned::Both { 2 } else { 1 }
    }

    /// Writes a file of its configuration. Returns the file's path.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<String> {
        let path = self.dir.join(name);
        fs::write(&path, content).trying(|| path.display().to_string())?;
        Ok(path.display().to_string())
    }
}

fn relay(plan: &Plan<'_>, port: u16) -> Result<(PathBuf, Vec<String>)> {
    let program = env::current_exe().trying(|| "the relay".into())?;
    Ok((program, vec!["relay".into(), port.to_string(), plan.upstream.port(plan.form).to_string()]))
}

// === impl Prepared ===

impl Prepared {
    /// Starts it, and waits until it has answered a request.
    pub(crate) fn start(&self, cores: Cores) -> Result<Contender> {
        // Apart from the configuration, whose directory the sidecar watches.
        let logs = self.dir.join("logs");
        fs::create_dir_all(&logs).trying(|| logs.display().to_string())?;
        let log = logs.join("log");
        let mut command = process::logging_to(&log, process::command(&self.program)?)?;
        command.args(&self.arguments).current_dir(&self.dir);
        let began = Instant::now();
        let mut process = cores.start(self.pinned, &mut command)?;
        while !probe::answers(self.port, Work::Get, self.kind == Kind::Relay) {
            if !process.runs() || began.elapsed() > START {
                let end = process::end_of(&log);
                return Err(Failure::new(format!("{} does not answer. The end of its log:\n{end}", self.kind.name())));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(Contender { kind: self.kind, port: self.port, process, started_in: began.elapsed(), log })
    }
}

// === impl Contender ===

impl Contender {
    /// Connections to it, for the load generator.
    pub(crate) fn target(&self, work: Work, connections: usize) -> Target {
        Target { port: self.port, connections, work, authorized: self.kind == Kind::Relay }
    }

    /// A failure of the load with what the contender says of it.
    pub(crate) fn explain(&self, failure: &Failure) -> Failure {
        Failure::new(format!("{}: {failure}. The end of its log:\n{}", self.kind.name(), process::end_of(&self.log)))
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        Memory::of(self.process.id())
    }

    /// Fails if it does not do what it is compared for.
    pub(crate) fn prove(&self) -> Result<()> {
        match self.kind {
            Kind::Relay => Ok(()),
            kind => probe::prove(self.port).map_err(|fault| Failure::new(format!("{}: {fault}", kind.name()))),
        }
    }
}
