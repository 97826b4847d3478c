//! What makes a line good besides its form: that no other line speaks of the same tenant or brings the same token.

use std::{collections::HashSet, fmt};

use sha2::{Digest, Sha256};

use super::lines::MAX_LINE;
use crate::{
    cli::Console,
    model::{import::ImportLine, json::Fault},
};

/// Checks lines in their order. The same lines in the same order give the same answers.
pub(super) struct Checker<'a> {
    configured_client: Option<&'a str>,
    tenants: HashSet<Digest64>,
    refresh_tokens: HashSet<Digest64>,
    checked: Checked,
}

/// What the first reading found.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Lines with credentials.
    pub(super) good: u64,
    /// Lines without any.
    pub(super) empty: u64,
    pub(super) bad: u64,
    /// Grants of a client other than the configured one.
    pub(super) foreign: u64,
    told: Vec<BadLine>,
}

/// A line that cannot be imported, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    number: u64,
    fault: Fault,
}

/// The first eight bytes of a SHA-256. Of a million lines two different ones look alike once in thirty million imports.
type Digest64 = u64;

/// More bad lines than anybody reads are counted and not told.
const TOLD: usize = 50;

// === impl Checker ===

impl<'a> Checker<'a> {
    pub(super) fn new(configured_client: Option<&'a str>) -> Self {
        Self { configured_client, tenants: HashSet::new(), refresh_tokens: HashSet::new(), checked: Checked::default() }
    }

    /// What the line brings; `None` for one that is blank. Remembers its tenant and its refresh token.
    pub(super) fn check(&mut self, number: u64, line: &[u8]) -> Result<Option<ImportLine>, BadLine> {
        let bad = |fault| BadLine { number, fault };
        if line.len() >= MAX_LINE {
            return Err(bad(Fault::whole("longer than 1 MiB")));
        }
        let line = if number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        let mut line = ImportLine::parse(line).map_err(bad)?;
        if !self.tenants.insert(digest(line.tenant.as_str())) {
            return Err(bad(Fault::field("tenant", "an earlier line has the same")));
        }
        if let Some(grant) = &mut line.grant {
            if !self.refresh_tokens.insert(digest(grant.refresh.expose())) {
                return Err(bad(Fault::field("refresh_token", "an earlier line has the same, for another tenant")));
            }
            if grant.client_id.is_none() {
                let configured = self.configured_client.ok_or_else(|| {
                    bad(Fault::field("client_id", "missing, and the configuration sets no oauth.client_id"))
                })?;
                grant.client_id = Some(configured.to_owned());
            }
        }
        Ok(Some(line))
    }

    /// Checks a line of the first reading, and keeps no more of it than the outcome.
    pub(super) fn note(&mut self, number: u64, line: &[u8]) {
        let outcome = self.check(number, line);
        let checked = &mut self.checked;
        match outcome {
            Ok(None) => {}
            Ok(Some(line)) if line.pat.is_none() && line.grant.is_none() => checked.empty += 1,
            Ok(Some(line)) => {
                checked.good += 1;
                let client = line.grant.as_ref().and_then(|grant| grant.client_id.as_deref());
                checked.foreign += u64::from(client.is_some() && client != self.configured_client);
            }
            Err(bad) => {
                checked.bad += 1;
                if checked.told.len() < TOLD {
                    checked.told.push(bad);
                }
            }
        }
    }

    /// What was found. Frees what was remembered.
    pub(super) fn finish(self) -> Checked {
        self.checked
    }
}

fn digest(text: &str) -> Digest64 {
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    digest.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

// === impl Checked ===

impl Checked {
    /// Tells the bad lines.
    pub(super) fn tell(&self, console: &mut Console) {
        self.told.iter().for_each(|bad| console.tell(bad));
        match self.bad.saturating_sub(self.told.len() as u64) {
            0 => {}
            more => console.tell(format_args!("… and {more} more bad lines")),
        }
    }
}

// === impl BadLine ===

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.number, self.fault)
    }
}
