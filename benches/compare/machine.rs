//! On what was measured, and what it did besides.

use std::{fmt, fs, thread};

use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    processor: String,
    processors: usize,
    kernel: String,
    /// `/proc/loadavg` before and after.
    load: [String; 2],
}

// === impl Machine ===

impl Machine {
    pub(crate) fn look() -> Self {
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            processor: name.map_or("unknown", |(_, name)| name).to_owned(),
            processors: thread::available_parallelism().map_or(0, usize::from),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            load: [load(), String::new()],
        }
    }

    /// All is measured.
    pub(crate) fn end(&mut self) {
        self.load[1] = load();
    }
}

/// As the heading of a table has it.
impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, processors, kernel, load: [before, after] } = self;
        write!(f, "{processors} × {processor}, Linux {kernel}; load {before} before, {after} after")
    }
}

/// The mean of the last minute.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
