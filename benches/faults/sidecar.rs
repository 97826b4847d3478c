//! The sidecar as a process: how it is started, what it weighs, what it has logged.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::{
    failure::{Failure, Result, Trying},
    http::{self, Request, Unanswered},
};

/// How long a start or an end may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A sidecar that is to be started.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    binary: PathBuf,
    dir: PathBuf,
    /// What starts it in place of us, and is told the rest of the line.
    wrapper: Vec<String>,
    env: Vec<(String, String)>,
    log_to: Option<PathBuf>,
}

/// A running sidecar, killed when it is dropped.
pub(crate) struct Sidecar {
    child: Child,
    id: u32,
    pub(crate) admin: u16,
    pub(crate) log: Log,
    /// From its start until it was ready.
    pub(crate) started_in: Duration,
}

/// What it has logged, but for the lines of requests that went well.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Value>>>);

/// What the process weighs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weight {
    /// In bytes.
    pub(crate) resident: u64,
    /// The most so far.
    pub(crate) peak: u64,
    pub(crate) threads: u64,
    pub(crate) descriptors: usize,
}

// === impl Launch ===

impl Launch {
    pub(crate) fn new(binary: &Path, dir: &Path) -> Self {
        let (binary, dir) = (binary.to_owned(), dir.to_owned());
        Self { binary, dir, wrapper: Vec::new(), env: Vec::new(), log_to: None }
    }

    pub(crate) fn wrapped(self, wrapper: &[&str]) -> Self {
        Self { wrapper: wrapper.iter().map(|&word| word.to_owned()).collect(), ..self }
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Its log goes to this file, and nobody reads it.
    pub(crate) fn log_to(self, file: PathBuf) -> Self {
        Self { log_to: Some(file), ..self }
    }

    /// Starts it, and waits until its admin listener says that it is ready.
    pub(crate) async fn start(&self, admin: u16) -> Result<Sidecar> {
        let what = || format!("starting {}", self.binary.display());
        let mut command = Command::new("setpriv");
        // It ends with us, however that is.
        command.args(["--pdeathsig", "KILL", "--"]).args(&self.wrapper).arg(&self.binary).arg("serve");
        command.current_dir(&self.dir).env_clear().envs(self.env.iter().cloned()).kill_on_drop(true);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        match &self.log_to {
            None => command.stderr(Stdio::piped()),
            Some(file) => command.stderr(fs::File::create(file).trying(what)?),
        };
        let began = Instant::now();
        let mut child = command.spawn().trying(what)?;
        let log = Log::default();
        if let Some(pipe) = child.stderr.take() {
            let pipe = pipe.into_owned_fd().trying(what)?;
            log.follow(fs::File::from(pipe));
        }
        let id = child.id().ok_or_else(|| Failure::new("the sidecar has ended at once"))?;
        let mut sidecar = Sidecar { child, id, admin, log, started_in: Duration::ZERO };
        while sidecar.readiness().await != "ready" {
            if began.elapsed() > PATIENCE || sidecar.child.try_wait().trying(what)?.is_some() {
                return Err(Failure::new(format!("the sidecar does not start. {}", sidecar.log.end())));
            }
            sleep(Duration::from_millis(2)).await;
        }
        sidecar.started_in = began.elapsed();
        Ok(sidecar)
    }
}

// === impl Sidecar ===

impl Sidecar {
    /// What `/readyz` says, with its reasons; or why it says nothing.
    pub(crate) async fn readiness(&self) -> String {
        readiness(self.admin).await
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id).ok().and_then(Pid::from_raw);
        // One that has ended meanwhile needs no signal.
        let _ = id.map(|id| kill_process(id, signal));
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> Result<ExitStatus> {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended.map_err(|_| Failure::new("the sidecar does not end"))?.trying(|| "waiting for the sidecar".into())
    }

    /// SIGTERM, and waits for a good end.
    pub(crate) async fn stop(&mut self) -> Result<Duration> {
        let began = Instant::now();
        self.signal(Signal::TERM);
        match self.ended().await? {
            status if status.success() => Ok(began.elapsed()),
            status => Err(Failure::new(format!("it ended with {status}. {}", self.log.end()))),
        }
    }

    /// Whether it has been killed by the kernel, as for want of memory.
    pub(crate) fn was_killed(&mut self) -> bool {
        self.child.try_wait().ok().flatten().is_some_and(|status| status.signal() == Some(9))
    }

    pub(crate) fn weight(&self) -> Weight {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id)).unwrap_or_default();
        let line = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name));
            value.and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default()
        };
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.id)).map_or(0, Iterator::count);
        Weight { resident: line("VmRSS:") * 1024, peak: line("VmHWM:") * 1024, threads: line("Threads:"), descriptors }
    }
}

/// What `/readyz` of this admin listener says.
pub(crate) async fn readiness(admin: u16) -> String {
    let request = Request { path: "/readyz", ..Request::get("none") };
    let answer = match timeout(Duration::from_secs(2), http::ask(admin, &request)).await {
        Err(_) => return "no answer within 2 s".to_owned(),
        Ok(Err(Unanswered::Refused)) => return "refused".to_owned(),
        Ok(Err(unanswered)) => return unanswered.to_string(),
        Ok(Ok(answer)) => answer,
    };
    let said: Value = serde_json::from_slice(&answer.text).unwrap_or_default();
    let reasons: Vec<&str> = said["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let status = said["status"].as_str().unwrap_or("strange");
    if reasons.is_empty() { status.to_owned() } else { format!("{status} ({})", reasons.join(", ")) }
}

// === impl Log ===

impl Log {
    /// Reads lines until the process ends, on a thread of its own.
    fn follow(&self, pipe: fs::File) {
        let kept = Arc::clone(&self.0);
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(std::result::Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                let is_well = line["target"] == "access"
                    && line["complete"] == true
                    && line["status"].as_u64().is_some_and(|status| status < 400);
                if !is_well {
                    kept.lock().push(line);
                }
            }
        });
    }

    /// Takes what has been kept so far.
    pub(crate) fn take(&self) -> Vec<Value> {
        std::mem::take(&mut self.0.lock())
    }

    /// How many lines have a message with this in it.
    pub(crate) fn count(&self, text: &str) -> usize {
        let lines = self.0.lock();
        lines.iter().filter(|line| line["message"].as_str().is_some_and(|message| message.contains(text))).count()
    }

    fn end(&self) -> String {
        let lines = self.0.lock();
        let last = lines.iter().rev().take(5).rev().map(Value::to_string);
        format!("The end of its log:\n{}", last.collect::<Vec<_>>().join("\n"))
    }
}
