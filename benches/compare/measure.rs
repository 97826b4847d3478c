//! What the kernel says about a process and all that it has started.

use std::{collections::HashMap, fs, time::Duration};

use crate::failure::{Failure, Result, Trying};

/// CPU time of each thread of a process and of its descendants, in nanoseconds.
///
/// Of `/proc/PID/task/TID/schedstat`, which counts to the nanosecond; the times of `/proc/PID/stat` are in ticks.
#[derive(Debug)]
pub(crate) struct Cpu(HashMap<u32, u64>);

/// Memory of a process and of its descendants, in bytes. Pages that they share count once for each.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// `VmRSS`
    pub(crate) resident: u64,
    /// `VmHWM`, the most that was resident so far
    pub(crate) peak: u64,
}

// === impl Cpu ===

impl Cpu {
    pub(crate) fn of(process: u32) -> Result<Self> {
        let mut times = HashMap::new();
        for thread in family(process).into_iter().flat_map(|process| threads(process).map(move |id| (process, id))) {
            let path = format!("/proc/{}/task/{}/schedstat", thread.0, thread.1);
            // A thread may end while this looks.
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let time = text.split(' ').next().and_then(|first| first.parse().ok());
            times.insert(thread.1, time.ok_or_else(|| Failure::new(format!("{path} holds no time")))?);
        }
        if times.is_empty() {
            return Err(Failure::new(format!("process {process} is gone, or this kernel has no schedstat")));
        }
        Ok(Self(times))
    }

    /// What was used since. What a thread used that has ended is lost, and never taken off what the others used.
    pub(crate) fn since(&self, before: &Self) -> Duration {
        let used = self.0.iter().map(|(thread, time)| time.saturating_sub(*before.0.get(thread).unwrap_or(&0)));
        Duration::from_nanos(used.sum())
    }
}

// === impl Memory ===

impl Memory {
    pub(crate) fn of(process: u32) -> Result<Self> {
        let mut sum = Self::default();
        for process in family(process) {
            let path = format!("/proc/{process}/status");
            let status = fs::read_to_string(&path).trying(|| path)?;
            sum.resident += kibibytes(&status, "VmRSS:") * 1024;
            sum.peak += kibibytes(&status, "VmHWM:") * 1024;
        }
        Ok(sum)
    }
}

fn kibibytes(status: &str, name: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse().ok());
    value.unwrap_or(0)
}

// === processes ===

/// A process and its descendants: nginx has a master and workers.
pub(crate) fn family(process: u32) -> Vec<u32> {
    let mut family = vec![process];
    let mut next = 0;
    while let Some(process) = family.get(next).copied() {
        next += 1;
        for thread in threads(process) {
            let children = fs::read_to_string(format!("/proc/{process}/task/{thread}/children")).unwrap_or_default();
            family.extend(children.split_ascii_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    family
}

fn threads(process: u32) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}
