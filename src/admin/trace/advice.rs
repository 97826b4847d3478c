//! What to do about a request that did not end well.

use crate::model::{
    CredentialKind, Trace,
    trace::{
        Finding, GrantFinding, Outcome, PatFinding, Step,
        step::{HeldBack, Remedy},
    },
};

/// The next step, in words; `None` where there is nothing to mend, or nothing that we know of.
pub(super) fn next_step(trace: &Trace) -> Option<String> {
    if let Some(told) = &trace.problem {
        return Some(told.detail.clone().into_owned());
    }
    let advice = match trace.end.outcome {
        Outcome::Unanswered => {
            "The client went away before there was a response. Where that is its own timeout, it has to be longer than what it waited \
             for: Flexslot (upstream.response_timeout), or a refresh (refresh.timeout)."
        }
        Outcome::Broken(_) if trace.end.cause.is_some() => {
            "Flexslot broke off in the middle of its response. Send the request again if that is safe; if it stays so, look at what lies \
             between this host and upstream.url."
        }
        Outcome::Broken(_) => "The client broke off before it had read the whole response.",
        Outcome::UnderWay(status) | Outcome::Complete(status) => return for_status(trace, status).map(str::to_owned),
    };
    Some(advice.to_owned())
}

fn for_status(trace: &Trace, status: u16) -> Option<&'static str> {
    let is_flexslots = trace.steps.upstream_status().is_some();
    match status {
        401 => Some(for_401(trace)),
        403 if is_flexslots => Some(for_403(trace)),
        500.. if is_flexslots => Some("This is Flexslot's own failure, passed on as it is. Try again later."),
        400.. if !is_flexslots => Some(
            "The request could not be parsed, could be framed in two ways, or came too slowly: docs/errors.md, \"Without a body\". Mend \
             the client.",
        ),
        _ => None,
    }
}

/// Flexslot's own 401, by what was done about it last.
fn for_401(trace: &Trace) -> &'static str {
    let remedy =
        trace.steps.iter().filter_map(|(_, step)| if let Step::Unauthorized(done) = step { Some(done) } else { None });
    let is_held_back =
        |why: HeldBack| trace.steps.iter().any(|(_, step)| matches!(step, Step::HeldBack(_, held) if held == why));
    match (remedy.last(), trace.credential) {
        (Some(Remedy::BodyNotKept), _) => {
            "Send the request again: the token is new now. Where that happens often, raise limits.replay_body above the size of such bodies."
        }
        (Some(Remedy::RefreshUnavailable), _) => {
            "The token was refused and could not be refreshed for now. Try again later; the log line `the token was not refreshed` says what \
             is in the way."
        }
        (Some(Remedy::ProofRefused), _) => {
            "Send the request again: the sidecar has learned what Flexslot wants of a proof of possession (DPoP). Where that does not help, \
             compare clocks, or connect the tenant again, which makes a new key."
        }
        (Some(Remedy::NotAboutToken), _) => {
            "Flexslot's 401 is about something else than the token: its body says what."
        }
        (_, Some(CredentialKind::Pat)) => {
            "Flexslot refuses the personal access token. If it was revoked or has expired, mint a new one at Flexslot and put it where this \
             one comes from: `flexslot-proxy tenant set-pat`, or proxy.toml."
        }
        (Some(Remedy::PassedOn), _) if is_held_back(HeldBack::Uncured) => {
            "Refreshing has not cured the 401s of this connection lately, and pauses. Compare clocks, check upstream.url, and see whether \
             Flexslot knows of a disturbance."
        }
        (Some(Remedy::AfterRefresh), _) if is_held_back(HeldBack::TooSoon) => {
            "No refresh is tried until refresh.min_interval has passed since the last token answer. Send the request again then. If the user \
             has just revoked the access at Flexslot, connect the tenant again. Only if it lasts, compare clocks and check upstream.url."
        }
        _ => {
            "Flexslot refuses a token that it has just issued; refreshing does not help. Compare clocks and check upstream.url."
        }
    }
}

/// Flexslot's own 403, by which credential it was given.
fn for_403(trace: &Trace) -> &'static str {
    let lacks_scope = trace.steps.iter().any(|(_, step)| {
        matches!(
            step,
            Step::Considered(Finding::OAuth(GrantFinding::TakenWithoutScope(..) | GrantFinding::LacksScope(_)))
        )
    });
    let had_pat = trace.steps.iter().any(|(_, step)| {
        matches!(step, Step::Considered(Finding::Pat(PatFinding::Taken(_) | PatFinding::StandsIn(..))))
    });
    match (lacks_scope, had_pat) {
        (true, false) => {
            "The connection lacks a scope. Connect the tenant again with the scope that is missing, or give it a personal access token."
        }
        _ => "Flexslot does not let this user do that: its body says more. Another token would not change it.",
    }
}
