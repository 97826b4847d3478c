//! A process that a test starts, with a directory of its own. Both are gone when the test is, even when the test
//! process is killed: a small shell watches a pipe whose other end only we hold, and cleans up when that end closes.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// Waits for the end of its input, then ends the process whose id is in the directory and removes the directory.
const WATCH: &str = r#"
    trap '' HUP INT TERM
    cat >/dev/null
    if [ -s "$0/pid" ]; then kill -KILL "$(cat "$0/pid")" 2>/dev/null; fi
    rm -rf "$0" || rm -rf "$0"
"#;

/// Notes its id before it becomes the process, so that there is none that nobody watches.
const START: &str = r#"echo $$ >"$0/pid"; exec "$@" 2>&1"#;

/// A directory, and the process in it while there is one.
#[derive(Debug)]
pub(crate) struct Watched {
    dir: PathBuf,
    watcher: Child,
    running: Option<Child>,
}

// === impl Watched ===

impl Watched {
    /// A new directory, and nothing running in it.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory").keep();
        let mut watch = Command::new("sh");
        watch.args(["-c", WATCH]).arg(&dir).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let watcher = watch.spawn().expect("a shell");
        Self { dir, watcher, running: None }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts `command` (the program and its arguments) and waits until it says `ready` in its output.
    ///
    /// # Errors
    ///
    /// What it said instead, if it ended before.
    pub(crate) fn start(&mut self, command: &[&str], ready: &str) -> Result<(), String> {
        assert!(self.running.is_none(), "one process at a time");
        let mut start = Command::new("sh");
        start.args(["-c", START]).arg(&self.dir).args(command).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = start.spawn().expect("a shell");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        self.running = Some(child);
        let mut said = String::new();
        loop {
            let before = said.len();
            if output.read_line(&mut said).expect("text") == 0 {
                self.kill();
                return Err(said);
            }
            if said[before..].contains(ready) {
                // Whatever else it says is taken off it, so that it never waits for a reader.
                std::thread::spawn(move || io::copy(&mut output, &mut io::sink()));
                return Ok(());
            }
        }
    }

    /// Asks the process to end in good order, and waits until it has.
    pub(crate) fn stop(&mut self) {
        self.end(Signal::TERM);
    }

    /// Ends the process at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    /// Halts the process; returns when it has halted.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
        waitpid(Some(self.pid()), WaitOptions::UNTRACED).expect("our child");
    }

    /// Lets a halted process go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn end(&mut self, signal: Signal) {
        if self.running.is_some() {
            self.signal(signal);
        }
        if let Some(mut child) = self.running.take() {
            child.wait().expect("our child");
            fs::remove_file(self.dir.join("pid")).expect("the id is noted");
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("our child");
    }

    fn pid(&self) -> Pid {
        Pid::from_child(self.running.as_ref().expect("running"))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.kill();
        drop(self.watcher.stdin.take());
        let _ = self.watcher.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::Watched;

    #[test]
    fn process_and_directory_go_when_nobody_holds_the_pipe_any_more() {
        let mut watched = Watched::new();
        watched.start(&["sh", "-c", "echo ready; exec cat /dev/zero >/dev/null"], "ready").expect("started");
        // What the system does when we are killed.
        drop(watched.watcher.stdin.take());
        let killed = watched.running.take().expect("running").wait().expect("our child");
        assert!(!killed.success());
        watched.watcher.wait().expect("our child");
        assert!(!watched.dir().exists());
    }

    #[test]
    fn what_does_not_become_ready_says_why() {
        let said = Watched::new().start(&["sh", "-c", "echo no; echo really >&2"], "ready");
        assert_eq!(said, Err("no\nreally\n".into()));
    }
}
