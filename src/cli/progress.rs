//! How far something has come, on a terminal.

use super::{Console, StreamKind};

/// A bar on standard error; nothing where that is no terminal.
pub(super) struct Progress {
    stream: StreamKind,
    /// What is counted, such as `tenants`.
    what: &'static str,
    total: u64,
    done: u64,
}

/// Characters of the bar.
const BAR: u64 = 30;

// === impl Progress ===

impl Progress {
    pub(super) fn new(console: &Console, what: &'static str, total: u64) -> Self {
        Self { stream: console.err_kind(), what, total, done: 0 }
    }

    pub(super) fn advance(&mut self, by: u64, console: &mut Console) {
        self.done += by;
        if self.stream == StreamKind::Terminal {
            let (done, total, what) = (self.done, self.total.max(self.done).max(1), self.what);
            let full = usize::try_from(BAR * done / total).unwrap_or(0);
            let rest = usize::try_from(BAR).unwrap_or(0).saturating_sub(full);
            let bar = format!("{}{}", "#".repeat(full), ".".repeat(rest));
            console.tell_part(format_args!("\r[{bar}] {done} of {total} {what}"));
        }
    }

    /// Leaves the bar's line.
    pub(super) fn end(&self, console: &mut Console) {
        if self.stream == StreamKind::Terminal && self.done > 0 {
            console.tell("");
        }
    }
}

/// Such as "1 tenant" and "2 tenants".
pub(super) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
