//! Who was left as they are, for whoever would rather not have it so.

use std::fmt;

use crate::{
    model::TenantId,
    store::{Skipped, There},
};

/// Those of an import who were skipped for what the store has of them.
#[derive(Debug, Default)]
pub(super) struct LeftAlone {
    /// With a credential.
    holders: Names,
    /// With a connection that has ended, and no more.
    ended: Names,
}

/// Some names, and how many there are.
#[derive(Debug, Default)]
struct Names {
    first: Vec<TenantId>,
    count: usize,
}

/// More names than anybody reads are counted and not told.
const TOLD: usize = 10;

// === impl LeftAlone ===

impl LeftAlone {
    pub(super) fn add(&mut self, left: Vec<Skipped>) {
        for Skipped { tenant, there } in left {
            match there {
                There::Credential => self.holders.add(tenant),
                There::EndedConnection => self.ended.add(tenant),
            }
        }
    }

    /// What is said of them, a part of a sentence for each kind.
    pub(super) fn parts(&self) -> Vec<String> {
        let Self { holders, ended } = self;
        let mut parts = Vec::new();
        if holders.count > 0 {
            parts.push(format!(
                "skipped {} that already had a credential: {holders} (--replace overrides)",
                holders.count
            ));
        }
        if ended.count > 0 {
            parts.push(format!(
                "skipped {} whose connection has ended: {ended} (--replace puts what the lines bring in its place)",
                ended.count
            ));
        }
        parts
    }
}

// === impl Names ===

impl Names {
    fn add(&mut self, tenant: TenantId) {
        self.count += 1;
        if self.first.len() < TOLD {
            self.first.push(tenant);
        }
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.first.iter().map(TenantId::as_str).collect();
        f.write_str(&names.join(", "))?;
        match self.count - self.first.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LeftAlone, Skipped, There};

    #[test]
    fn many_are_counted_and_the_first_are_named() {
        let left = |n: usize| Skipped { tenant: format!("t{n}").parse().unwrap(), there: There::Credential };
        let mut alone = LeftAlone::default();
        alone.add((0..12).map(left).collect());
        let said = "skipped 12 that already had a credential: t0, t1, t2, t3, t4, t5, t6, t7, t8, t9 and 2 more \
                    (--replace overrides)";
        assert_eq!(alone.parts(), [said]);
    }
}
