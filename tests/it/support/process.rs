//! The real binary as a process: started, watched, stopped, and killed when dropped.

use std::{
    fmt,
    io::{Read, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
    time::Duration,
};

use http::Method;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde_json::Value;
use tokio::{sync::watch, time::timeout};

use super::{Call, PATIENCE, Reach};

/// How many lines of a process are shown where a test fails.
const LAST_WORDS: usize = 60;

/// A process to be started. It gets no environment but what is said here.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    dir: PathBuf,
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    input: String,
    input_end: InputEnd,
}

/// What becomes of standard input once what is known beforehand has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InputEnd {
    AtOnce,
    /// When somebody says so, or drops the process.
    Open,
}

/// A started process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Captured,
    stderr: Captured,
}

/// What a process left.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A running sidecar.
#[derive(Debug)]
pub(crate) struct Sidecar {
    pub(crate) process: Process,
    pub(crate) proxy: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// A stream of a process, read by a thread so that the process never waits for us.
struct Captured {
    text: watch::Receiver<Vec<u8>>,
    thread: Option<JoinHandle<()>>,
}

// === impl Launch ===

impl Launch {
    /// The sidecar's binary with these arguments, working in `dir`.
    pub(crate) fn sidecar(dir: &Path, args: &[&str]) -> Self {
        Self::program(dir, env!("CARGO_BIN_EXE_flexslot-proxy"), args)
    }

    /// Another program.
    pub(crate) fn program(dir: &Path, program: impl Into<PathBuf>, args: &[&str]) -> Self {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        Self {
            dir: dir.to_owned(),
            program: program.into(),
            args,
            env: Vec::new(),
            input: String::new(),
            input_end: InputEnd::AtOnce,
        }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What it reads from standard input, which then ends; no more than a pipe holds.
    pub(crate) fn input(mut self, text: &str) -> Self {
        text.clone_into(&mut self.input);
        self
    }

    /// Leaves standard input open, for [`Process::type_line`].
    pub(crate) fn interactive(mut self) -> Self {
        self.input_end = InputEnd::Open;
        self
    }

    /// Hands on what programs of this machine find their parts by.
    pub(crate) fn with_path_and_home(mut self) -> Self {
        for name in ["PATH", "HOME"] {
            if let Some(value) = std::env::var_os(name).and_then(|value| value.into_string().ok()) {
                self = self.env(name, &value);
            }
        }
        self
    }

    /// Starts a program that scripts/test installs. It has to be there: a test that skips itself tests nothing.
    pub(crate) fn spawn_installed(&self) -> Process {
        let program = self.program.display();
        self.try_spawn().unwrap_or_else(|error| panic!("{program}: {error}; scripts/test installs it"))
    }

    pub(crate) fn spawn(&self) -> Process {
        self.try_spawn().unwrap_or_else(|error| panic!("{} does not start: {error}", self.program.display()))
    }

    pub(crate) fn try_spawn(&self) -> std::io::Result<Process> {
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .current_dir(&self.dir)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdin = child.stdin.take().unwrap();
        // Whoever reads nothing may have ended before.
        let _ = stdin.write_all(self.input.as_bytes());
        let stdin = (self.input_end == InputEnd::Open).then_some(stdin);
        let stdout = Captured::start(child.stdout.take().unwrap());
        let stderr = Captured::start(child.stderr.take().unwrap());
        Ok(Process { child, stdin, stdout, stderr })
    }

    /// Runs it to its own end.
    pub(crate) async fn run(&self) -> Exit {
        self.spawn().exited().await
    }

    /// Starts a sidecar and waits until it listens.
    pub(crate) async fn listening(&self) -> Sidecar {
        Sidecar::of(self.spawn()).await
    }
}

// === impl Process ===

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process is there");
    }

    /// SIGSTOP, and waits until it stands still.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
        waitpid(Some(Pid::from_child(&self.child)), WaitOptions::UNTRACED).expect("our own child");
    }

    /// Lets a process that stands still go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) {
        // It fails only when the process has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for the process's own end.
    pub(crate) async fn exited(self) -> Exit {
        self.exited_within(PATIENCE).await
    }

    /// The same for one that has more to do.
    pub(crate) async fn exited_within(mut self, patience: Duration) -> Exit {
        let mut status = None;
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        let ended = async {
            while status.is_none() {
                ticks.tick().await;
                status = self.child.try_wait().expect("our own child");
            }
        };
        let in_time = timeout(patience, ended).await.is_ok();
        assert!(in_time, "process {} has not ended within {patience:?}", self.id());
        Exit { status: status.expect("it has ended"), stdout: self.stdout.all(), stderr: self.stderr.all() }
    }

    /// Ends its standard input.
    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Writes a line to its standard input.
    pub(crate) fn type_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("standard input was left open");
        writeln!(stdin, "{line}").expect("the process reads");
    }

    /// Waits for the first whole line of standard output, and for the `n`th with `n - 1` before it.
    pub(crate) async fn line(&self, n: usize) -> String {
        let mut text = self.stdout.text.clone();
        let whole = |text: &Vec<u8>| text.iter().filter(|&&byte| byte == b'\n').count() >= n;
        let looked = timeout(PATIENCE, text.wait_for(whole)).await.is_ok_and(|looked| looked.is_ok());
        assert!(looked, "no line {n} of standard output; the process wrote:\n{}", self.stderr());
        self.stdout.so_far().lines().nth(n - 1).expect("it is there").to_owned()
    }

    /// What has been written to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.so_far()
    }

    /// Waits for a log line (JSON) of which `pick` makes something.
    pub(crate) async fn log<T>(&self, what: &str, mut pick: impl FnMut(&Value) -> Option<T>) -> T {
        let mut found = None;
        let mut text = self.stderr.text.clone();
        let looking = text.wait_for(|text| {
            let lines = text.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
            found = lines.filter_map(|line| pick(&line)).next();
            found.is_some()
        });
        let looked = timeout(PATIENCE, looking).await.is_ok_and(|looked| looked.is_ok());
        assert!(looked, "no log line: {what}; the process wrote:\n{}", self.stderr());
        found.expect("looked for until it was there")
    }

    /// Waits for a line on standard output of which `pick` makes something.
    pub(crate) async fn prints<T>(&self, what: &str, mut pick: impl FnMut(&str) -> Option<T>) -> T {
        let mut found = None;
        let mut text = self.stdout.text.clone();
        let looking = text.wait_for(|text| {
            found = String::from_utf8_lossy(text).lines().filter_map(&mut pick).next();
            found.is_some()
        });
        let looked = timeout(PATIENCE, looking).await.is_ok_and(|looked| looked.is_ok());
        assert!(looked, "not printed: {what}; the process wrote:\n{}{}", self.stdout.so_far(), self.stderr());
        found.expect("looked for until it was there")
    }

    /// Waits for a log line whose message contains `text`.
    pub(crate) async fn says(&self, text: &str) -> Value {
        self.log(text, |line| {
            line["message"].as_str().is_some_and(|message| message.contains(text)).then(|| line.clone())
        })
        .await
    }

    /// The resident memory in bytes: now (`VmRSS`), or at its highest since [`Process::forget_peak`] (`VmHWM`).
    pub(crate) fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("the process is there");
        let value = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(':'));
        let kib = value.and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.unwrap_or_else(|| panic!("no {line} in:\n{status}")) * 1024
    }

    /// Lets `VmHWM` begin again at the resident memory of now (proc(5), `clear_refs`).
    pub(crate) fn forget_peak(&self) {
        // A sidecar is not dumpable, so only root may do this. For others the peak counts from the start, which is the
        // stricter test.
        match std::fs::write(format!("/proc/{}/clear_refs", self.id()), "5") {
            Err(error) if error.kind() != std::io::ErrorKind::PermissionDenied => panic!("our own child: {error}"),
            _ => {}
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            tell_last_words(self.id(), &self.stderr());
        }
    }
}

/// Where a test fails, what the processes said of it is worth more than where the test stood.
#[expect(clippy::print_stderr, reason = "for whoever reads the report of the failed test")]
fn tell_last_words(process: u32, said: &str) {
    // Of a sidecar that was asked all the time, the requests hide the rest.
    let lines = || said.lines().filter(|line| !line.contains(r#""target":"access""#));
    let before = lines().count().saturating_sub(LAST_WORDS);
    eprintln!("process {process} wrote at last:");
    lines().skip(before).for_each(|line| eprintln!("{line}"));
}

// === impl Sidecar ===

impl Sidecar {
    /// A call of the admin API by whoever has this token.
    pub(crate) fn api(&self, method: Method, target: &str, token: &str) -> Call {
        Call::new(Reach::Tcp(self.admin), method, target).header("authorization", &format!("Bearer {token}"))
    }

    /// A call of the admin listener as a browser makes it.
    pub(crate) fn page(&self, method: Method, target: &str) -> Call {
        Call::new(Reach::Tcp(self.admin), method, target)
    }

    /// Waits until `process` listens.
    pub(crate) async fn of(process: Process) -> Self {
        let addresses = |line: &Value| {
            let listens = line["message"].as_str().is_some_and(|message| message.ends_with("is listening"));
            let address = |field: &str| line[field].as_str()?.split(", ").next()?.strip_prefix("http://")?.parse().ok();
            listens.then(|| Some((address("listen")?, address("admin")?))).flatten()
        };
        let (proxy, admin) = process.log("is listening", addresses).await;
        Self { process, proxy, admin }
    }

    /// SIGTERM, and waits for the end.
    pub(crate) async fn stop(self) -> Exit {
        self.process.signal(Signal::TERM);
        self.process.exited().await
    }
}

// === impl Captured ===

impl Captured {
    fn start(mut stream: impl Read + Send + 'static) -> Self {
        let (writer, text) = watch::channel(Vec::new());
        let thread = thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                writer.send_modify(|text| text.extend_from_slice(&buffer[..read]));
            }
        });
        Self { text, thread: Some(thread) }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.text.borrow()).into_owned()
    }

    /// Everything, once the process has ended.
    fn all(&mut self) -> String {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("reading does not panic");
        }
        self.so_far()
    }
}

impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.text.borrow().len())
    }
}
