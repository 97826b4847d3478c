//! What came of an action, told once on the page that follows it.
//!
//! It travels in a cookie: nothing is kept here for it, another replica can answer the next request, and reading the
//! page again does not tell it again.

use maud::{Markup, html};

use crate::{credential::consent::DisconnectOutcome, model::TenantId, web::Sign};

/// Where the browser begins to read: it moves the focus to what is told.
pub(super) const ANCHOR: &str = "#result";

/// A disconnect that was asked for on the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) tenant: TenantId,
    pub(super) what: DisconnectOutcome,
}

const ALL: [DisconnectOutcome; 4] = [
    DisconnectOutcome::Revoked,
    DisconnectOutcome::Queued,
    DisconnectOutcome::Ended,
    DisconnectOutcome::NothingToDisconnect,
];

// === impl Outcome ===

impl Outcome {
    /// What a cookie says of it: only characters that stand there as they are (RFC 6265 section 4.1.1).
    pub(super) fn written(&self) -> String {
        format!("{}.{}", word(self.what), self.tenant)
    }

    /// Reads a cookie. Whoever could write another one there could only have us say another of our sentences.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (word_, tenant) = text.split_once('.')?;
        let what = ALL.into_iter().find(|&what| word(what) == word_)?;
        Some(Self { tenant: tenant.parse().ok()?, what })
    }

    /// The title of the page that tells it, which is what a screen reader says first.
    pub(super) fn title(&self) -> String {
        match self.what {
            DisconnectOutcome::NothingToDisconnect => format!("{} was not connected", self.tenant),
            _ => format!("{} is disconnected", self.tenant),
        }
    }

    pub(super) fn note(&self) -> Markup {
        let tenant = html! { strong { (self.tenant) } };
        html! {
            p #result.note.ok role="status" tabindex="-1" {
                (Sign::Ok)
                span {
                    @match self.what {
                        DisconnectOutcome::Revoked => { (tenant) " is disconnected from Flexslot." },
                        DisconnectOutcome::Queued => {
                            (tenant) " is disconnected. Flexslot cannot be reached at the moment, and will be told as soon as it can."
                        },
                        DisconnectOutcome::Ended => { (tenant) " is disconnected. Its connection had ended before." },
                        DisconnectOutcome::NothingToDisconnect => { (tenant) " was not connected." },
                    }
                }
            }
        }
    }
}

const fn word(what: DisconnectOutcome) -> &'static str {
    match what {
        DisconnectOutcome::Revoked => "revoked",
        DisconnectOutcome::Queued => "queued",
        DisconnectOutcome::Ended => "ended",
        DisconnectOutcome::NothingToDisconnect => "nothing",
    }
}

#[cfg(test)]
mod tests {
    use super::{ALL, Outcome};

    #[test]
    fn an_outcome_travels_in_a_cookie() {
        for what in ALL {
            let outcome = Outcome { tenant: "org.1|a=b@c:d+e".parse().unwrap(), what };
            let written = outcome.written();
            assert!(written.bytes().all(|byte| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)), "{written}");
            assert_eq!(Outcome::read(&written), Some(outcome));
        }
    }

    #[test]
    fn a_cookie_of_somebody_elses_says_nothing() {
        for text in ["", "revoked", "revoked.", "revoked.<b>", "deleted.acme"] {
            assert_eq!(Outcome::read(text), None, "{text}");
        }
    }
}
