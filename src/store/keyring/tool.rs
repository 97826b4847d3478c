//! `secret-tool` of libsecret, which speaks to the Secret Service of the session. A secret goes to it by its standard
//! input and comes by its standard output, never in an argument or a variable.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::{self, Read, Write},
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use tokio::time::Instant;
use zeroize::Zeroizing;

/// Runs `secret-tool`.
#[derive(Debug, Clone)]
pub(super) struct Tool {
    /// `None` where it is not installed.
    program: Option<PathBuf>,
    session: Vec<(&'static str, OsString)>,
}

/// What it answered.
pub(super) struct Answer {
    pub(super) status: ExitStatus,
    pub(super) stdout: Bytes,
    /// Its first line, as it can be shown.
    pub(super) said: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    NotInstalled,
    NotStarted(io::Error),
    /// It was ended after this time.
    Late(Duration),
}

/// Wiped when dropped.
type Bytes = Zeroizing<Vec<u8>>;

const NAME: &str = "secret-tool";

/// More than any key file holds.
const MAX_STDOUT: usize = 16 << 10;
const MAX_STDERR: usize = 4 << 10;

/// More of a line than this explains nothing.
const MAX_SAID: usize = 200;

// === impl Tool ===

impl Tool {
    /// Looks for it in the session's `PATH`.
    pub(super) fn find(session: Vec<(&'static str, OsString)>) -> Self {
        let path = session.iter().find(|(name, _)| *name == "PATH").map(|(_, path)| path);
        let program = path.and_then(|path| {
            // A relative entry would run whatever lies in the current directory.
            let dirs = env::split_paths(path).filter(|dir| dir.is_absolute());
            dirs.map(|dir| dir.join(NAME)).find(|program| is_executable(program))
        });
        Self { program, session }
    }

    /// Runs it to its end, or for as long as `limit`. It has the variables of the session and no others.
    pub(super) fn run(&self, args: &[&str], input: Option<&str>, limit: Duration) -> Result<Answer, NoAnswer> {
        let program = self.program.as_deref().ok_or(NoAnswer::NotInstalled)?;
        let mut child = Command::new(program)
            .args(args)
            .env_clear()
            .envs(self.session.iter().map(|(name, value)| (name, value)))
            // What it says is read by us, too.
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(NoAnswer::NotStarted)?;
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            // Shorter than a pipe is deep. Where it reads nothing, its status tells.
            let _ = stdin.write_all(input.as_bytes());
        }
        match heard(&mut child, Instant::now() + limit) {
            Ok(Some((stdout, stderr))) => {
                // Who has closed both is about to end.
                let status = child.wait().map_err(NoAnswer::NotStarted)?;
                Ok(Answer { status, stdout, said: first_line(&stderr) })
            }
            unheard => {
                let _ = child.kill();
                let _ = child.wait();
                Err(unheard.err().map_or(NoAnswer::Late(limit), NoAnswer::NotStarted))
            }
        }
    }
}

// === impl Answer ===

impl Answer {
    /// As it ends where there is nothing, and where somebody has closed the dialog that asked for a password.
    pub(super) fn is_silent(&self) -> bool {
        self.status.code() == Some(1) && self.said.is_empty()
    }
}

/// What it writes until it ends; `None` where it goes on beyond `deadline`.
fn heard(child: &mut Child, deadline: Instant) -> io::Result<Option<(Bytes, Bytes)>> {
    let (stdout, stderr) = (child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from));
    let (Some(stdout), Some(stderr)) = (stdout, stderr) else { return Ok(None) };
    // One after the other: what it complains of is shorter than a pipe is deep.
    let Some(stdout) = all_of(stdout.into(), MAX_STDOUT, deadline)? else { return Ok(None) };
    let stderr = all_of(stderr.into(), MAX_STDERR, deadline)?;
    Ok(stderr.map(|stderr| (stdout, stderr)))
}

/// As much as there is, up to `max` bytes. The buffer never grows, so that no copy of a secret is left behind in freed
/// memory.
fn all_of(mut stream: File, max: usize, deadline: Instant) -> io::Result<Option<Bytes>> {
    let (mut bytes, mut filled) = (Zeroizing::new(vec![0; max]), 0);
    while filled < max {
        if !is_readable(&stream, deadline)? {
            return Ok(None);
        }
        match stream.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(Some(bytes))
}

/// Waits until there is something to read, or an end; `false`: not until `deadline`.
fn is_readable(stream: &File, deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
        match poll(&mut [PollFd::new(stream, PollFlags::IN)], Some(&timeout)) {
            Err(Errno::INTR) => {}
            ready => return Ok(ready? > 0),
        }
    }
}

fn is_executable(program: &Path) -> bool {
    fs::metadata(program).is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

/// The first line that says anything, without the program's name before it.
fn first_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let line = line.strip_prefix(NAME).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(line);
    line.chars().filter(|c| !c.is_control()).take(MAX_SAID).collect()
}
