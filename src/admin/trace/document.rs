//! Makes the document of a trace: all its words.

use std::time::Duration;

use super::advice::next_step;
use crate::{
    admin::client::{StepDocument, TimingsDocument, ToldDocument, TraceDocument},
    model::{
        CredentialKind, Trace,
        refresh::Cause,
        trace::{
            Finding, GrantFinding, PatFinding, Step,
            step::{Answer, HeldBack, Landing, Part, Refresh, Remedy, Sent},
        },
    },
};

/// The document of `trace`.
pub fn document(trace: &Trace) -> TraceDocument {
    let Trace { steps, end, .. } = trace;
    TraceDocument {
        request_id: trace.id.to_string(),
        time: trace.at.to_string(),
        method: trace.method.to_string(),
        path: trace.path.to_string(),
        protocol: format!("{:?}", trace.protocol),
        state: word(end.outcome.as_str()),
        status: end.outcome.status(),
        tenant: trace.tenant.as_ref().map(|tenant| word(tenant.as_str())),
        tenant_by: trace.named_by.map(|by| word(by.as_str())),
        credential: trace.credential.map(|kind| word(kind.as_str())),
        token_version: trace.version.map(|version| version.number()),
        retry: trace.retry.map(|retry| word(retry.as_str())),
        upstream_status: steps.upstream_status(),
        replay: trace.replay.map(|replay| word(replay.as_str())),
        steps: steps.iter().map(|(at, step)| StepDocument { at_ms: millis(at), ..told(step) }).collect(),
        steps_left_out: steps.lost(),
        problem: trace
            .problem
            .as_ref()
            .map(|told| ToldDocument { code: word(told.code), detail: told.detail.clone().into_owned() }),
        cause: end.cause.clone(),
        timings: TimingsDocument {
            duration_ms: millis(end.took.total),
            upstream_ms: millis(end.took.upstream),
            overhead_ms: millis(end.took.overhead),
            refresh_wait_ms: millis(steps.refresh_wait()),
        },
        bytes_sent: end.bytes_sent,
        next_step: next_step(trace),
    }
}

/// A step without its time.
fn told(step: Step) -> StepDocument {
    match step {
        Step::NotLoaded(why) => StepDocument {
            step: word("tenant"),
            result: word(why.as_str()),
            text: why.to_string(),
            ..StepDocument::default()
        },
        Step::Considered(finding) => considered(finding),
        Step::Refresh(refresh) => refreshed(refresh),
        Step::HeldBack(cause, why) => held_back(cause, why),
        Step::FoundChanged(cause) => StepDocument {
            step: word("refresh"),
            result: word("found_changed"),
            text: format!("no refresh ({cause}): others had refreshed or changed the connection meanwhile"),
            cause: Some(word(cause.as_str())),
            ..StepDocument::default()
        },
        Step::Sent(sent) => sent_to_flexslot(sent),
        Step::Unauthorized(remedy) => unauthorized(remedy),
    }
}

fn considered(finding: Finding) -> StepDocument {
    let pair = finding.pair();
    let (scope, reason, source) = match finding {
        Finding::OAuth(GrantFinding::TakenWithoutScope(scope, _) | GrantFinding::LacksScope(scope)) => {
            (Some(scope.to_string()), None, None)
        }
        Finding::OAuth(GrantFinding::Ended(reason)) => (None, Some(word(reason.as_str())), None),
        Finding::OAuth(GrantFinding::NotRefreshed(class)) => (None, Some(word(class.as_str())), None),
        Finding::Pat(PatFinding::Taken(source) | PatFinding::Rejected(source)) => {
            (None, None, Some(word(source.as_str())))
        }
        Finding::Pat(PatFinding::StandsIn(source, cause)) => {
            (None, Some(word(cause.as_str())), Some(word(source.as_str())))
        }
        Finding::OAuth(_) | Finding::Pat(_) => (None, None, None),
    };
    StepDocument {
        step: word("considered"),
        result: word(finding.code()),
        text: format!("{}: {finding}", finding.kind()),
        credential: Some(word(finding.kind().as_str())),
        token_version: pair.map(|pair| pair.version.number()),
        freshness: pair.map(|pair| word(pair.freshness.as_str())),
        scope,
        source,
        reason,
        ..StepDocument::default()
    }
}

fn refreshed(refresh: Refresh) -> StepDocument {
    let Refresh { cause, part, waited, landing } = refresh;
    let begun = match part {
        Part::Led => "began a refresh",
        Part::Joined => "joined a refresh that was under way",
    };
    let (text, took) = match landing {
        Landing::NotAwaited => (format!("{begun} ({cause}): {landing}"), None),
        _ => {
            let waited = waited.duration();
            (format!("{begun} ({cause}) and waited {}: {landing}", shown(waited)), Some(millis(waited)))
        }
    };
    let reason = match landing {
        Landing::Ended(reason) => Some(word(reason.as_str())),
        Landing::Failed(class) => Some(word(class.as_str())),
        Landing::NotAwaited | Landing::Awaited | Landing::Renewed | Landing::Moved => None,
    };
    StepDocument {
        step: word("refresh"),
        result: word(landing.code()),
        text,
        cause: Some(word(cause.as_str())),
        part: Some(word(part.as_str())),
        reason,
        took_ms: took,
        ..StepDocument::default()
    }
}

fn held_back(cause: Cause, why: HeldBack) -> StepDocument {
    let reason = if let HeldBack::Failed(class) = why { Some(word(class.as_str())) } else { None };
    StepDocument {
        step: word("refresh"),
        result: word(why.code()),
        text: format!("no refresh ({cause}): {why}"),
        cause: Some(word(cause.as_str())),
        reason,
        ..StepDocument::default()
    }
}

fn sent_to_flexslot(sent: Sent) -> StepDocument {
    let Sent { credential, took, answer } = sent;
    let took = took.duration();
    let with = match credential {
        CredentialKind::OAuth => "sent to Flexslot with the connection's token",
        CredentialKind::Pat => "sent to Flexslot with the personal access token",
    };
    let (text, status) = match answer {
        Answer::Awaited => (format!("{with}; no answer in the {} until the client went away", shown(took)), None),
        Answer::Status(status) => (format!("{with}: {status} after {}", shown(took)), Some(status)),
        Answer::Failed => (format!("{with}: no answer; given up after {}", shown(took)), None),
    };
    StepDocument {
        step: word("sent"),
        result: word(answer.code()),
        text,
        credential: Some(word(credential.as_str())),
        status,
        took_ms: Some(millis(took)),
        ..StepDocument::default()
    }
}

fn unauthorized(remedy: Remedy) -> StepDocument {
    StepDocument {
        step: word("unauthorized"),
        result: word(remedy.as_str()),
        text: format!("about the 401: {remedy}"),
        ..StepDocument::default()
    }
}

fn word(word: &str) -> String {
    word.to_owned()
}

/// Milliseconds with three decimals, as in the access log.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

/// The same for people.
fn shown(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
