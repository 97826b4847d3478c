//! The spans of a request: the request as a whole; each search for a credential, with its waits for refreshes and with
//! what was asked of the store for it; each attempt to have Flexslot answer.

use std::time::Duration;

use http::{Method, Version};

use super::{Attributes, Event, Kind, Scene, Span, Status};
use crate::model::{
    CredentialKind, Origin, Trace,
    trace::{
        Finding, GrantFinding, Outcome, PatFinding, Spans, Step,
        context::SpanId,
        spans::Attempt,
        step::{Answer, HeldBack, Landing, Refresh, Sent},
    },
};

/// The methods that the semantic conventions know (RFC 9110 section 9, RFC 5789). Clients may make up others.
const METHODS: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// A search for a credential.
struct Pick {
    span: Span,
    began: Duration,
}

/// The whole of a request on its way to being spans.
struct Telling<'a> {
    scene: Scene,
    trace: &'a Trace,
    spans: &'a Spans,
}

/// All spans of a request; its own comes first.
pub(super) fn spans_of(trace: &Trace, spans: &Spans) -> Vec<Span> {
    let telling = Telling { scene: Scene { context: spans.context, at: trace.at }, trace, spans };
    let mut ids = spans.further_ids();
    let mut whole = telling.whole();
    let mut picks = telling.picks(&mut ids);
    let mut others = Vec::new();
    telling.tell_steps(&mut whole, &mut picks, &mut others, &mut ids);
    for (operation, id) in spans.operations.all().iter().zip(ids) {
        others.push(telling.scene.operation(id, parent_at(&picks, operation.began(), &whole), operation));
    }
    [whole].into_iter().chain(picks.into_iter().map(|pick| pick.span)).chain(others).collect()
}

/// How many there are.
pub(super) fn count(trace: &Trace, spans: &Spans) -> usize {
    let waits = trace.steps.iter().filter(|(_, step)| is_awaited(step)).count();
    let sends = trace.steps.iter().filter(|(_, step)| matches!(step, Step::Sent(_))).count();
    let attempts = (0..sends).map(|send| attempts_of(spans, send).count().max(1)).sum::<usize>();
    1 + spans.picks().count() + waits + attempts + spans.operations.count()
}

fn is_awaited(step: &Step) -> bool {
    matches!(step, Step::Refresh(refresh) if refresh.landing != Landing::NotAwaited)
}

fn attempts_of(spans: &Spans, send: usize) -> impl Iterator<Item = &Attempt> {
    spans.attempts().iter().filter(move |attempt| attempt.send == send)
}

/// The span in which something happened: the search that had begun last by then, else the request's own.
fn parent_at(picks: &[Pick], at: Duration, whole: &Span) -> SpanId {
    picks.iter().rfind(|pick| pick.began <= at).map_or(whole.id, |pick| pick.span.id)
}

// === impl Telling ===

impl Telling<'_> {
    /// The request, from its header to the end of its response.
    fn whole(&self) -> Span {
        let Self { scene, trace, spans } = self;
        let context = spans.context;
        let (method, _) = method(&trace.method);
        Span {
            kind: Kind::Server,
            parent: spans.parent.map(|parent| parent.span),
            parent_is_remote: spans.parent.is_some(),
            attributes: self.asked().joined(self.outcome()).joined(self.known()),
            status: self.status(),
            ..scene.span(context.span, context.span, span_name(method), Duration::ZERO, trace.end.took.total)
        }
    }

    /// What the client asked for.
    fn asked(&self) -> Attributes {
        let Self { trace, spans, .. } = self;
        let (method, is_known) = method(&trace.method);
        Attributes::default()
            .text("http.request.method", method)
            .maybe("http.request.method_original", (!is_known).then(|| trace.method.to_string()))
            .text("url.scheme", spans.scheme.to_string())
            .text("url.path", trace.path.to_string())
            .maybe("network.protocol.version", version(trace.protocol))
    }

    /// What the access log says besides.
    fn known(&self) -> Attributes {
        let Self { trace, spans, .. } = self;
        Attributes::default()
            .text("flexslot_proxy.request_id", trace.id.to_string())
            .maybe("flexslot_proxy.tenant", trace.tenant.as_ref().map(|tenant| tenant.as_str().to_owned()))
            .maybe("flexslot_proxy.tenant_by", trace.named_by.map(|by| by.as_str()))
            .maybe("flexslot_proxy.caller", spans.caller.as_deref().map(str::to_owned))
            .maybe("flexslot_proxy.credential", trace.credential.map(CredentialKind::as_str))
            .maybe_number("flexslot_proxy.token_version", trace.version.map(|version| version.number()))
            .maybe("flexslot_proxy.retry", trace.retry.map(|retry| retry.as_str()))
            .maybe("flexslot_proxy.replay", trace.replay.map(|replay| replay.as_str()))
            .maybe("flexslot_proxy.problem", trace.problem.as_ref().map(|told| told.code))
    }

    /// What the client got. A 4xx is the client's affair, and no error of a server's (semantic conventions of HTTP).
    fn outcome(&self) -> Attributes {
        let end = &self.trace.end;
        let attributes = Attributes::default()
            .maybe_number("http.response.status_code", end.outcome.status())
            .number("http.response.body.size", end.bytes_sent)
            .text("flexslot_proxy.outcome", end.outcome.as_str());
        let kind = match (end.outcome, &self.trace.problem) {
            (Outcome::Unanswered, _) => Some("client_gone".into()),
            (_, Some(told)) if end.outcome.status() >= Some(500) => Some(told.code.into()),
            (Outcome::Broken(_), _) => Some("broken_off".into()),
            _ => end.outcome.status().filter(|status| *status >= 500).map(|status| status.to_string()),
        };
        attributes.maybe("error.type", kind)
    }

    fn status(&self) -> Status {
        let end = &self.trace.end;
        let is_flexslots = matches!(end.outcome, Outcome::Broken(_)) && end.cause.is_some();
        match is_flexslots || end.outcome.status() >= Some(500) {
            true => Status::Error(end.cause.clone()),
            false => Status::Unset,
        }
    }

    fn picks(&self, ids: &mut impl Iterator<Item = SpanId>) -> Vec<Pick> {
        let whole = self.spans.context.span;
        let pick = |((began, ended), id): ((Duration, Option<Duration>), SpanId)| {
            let ended = ended.unwrap_or(self.trace.end.took.total);
            Pick { span: self.scene.span(id, whole, "pick", began, ended), began }
        };
        self.spans.picks().zip(ids).map(pick).collect()
    }

    /// Each step becomes a span of its own, or an event of the one in which it happened.
    fn tell_steps(
        &self,
        whole: &mut Span,
        picks: &mut [Pick],
        others: &mut Vec<Span>,
        ids: &mut impl Iterator<Item = SpanId>,
    ) {
        let mut refreshes = self.spans.refreshes.iter().copied();
        let mut sends = 0..;
        for (at, step) in self.trace.steps.iter() {
            let link = if let Step::Refresh(_) = step { refreshes.next().flatten() } else { None };
            if let Step::Sent(sent) = step {
                others.extend(self.sent(at, sent, sends.next().unwrap_or_default(), ids));
            } else if let Step::Refresh(refresh) = step
                && is_awaited(&step)
            {
                let Some(id) = ids.next() else { continue };
                let mut wait = self.waited(at, refresh, (id, parent_at(picks, at, whole)));
                wait.links.extend(link);
                others.push(wait);
            } else {
                let span = match picks.iter_mut().rfind(|pick| pick.began <= at) {
                    Some(pick) if !matches!(step, Step::Unauthorized(_)) => &mut pick.span,
                    _ => &mut *whole,
                };
                span.links.extend(link);
                span.events.push(self.event(at, step));
            }
        }
    }

    /// A wait for a refresh, whose own trace it is linked with.
    fn waited(&self, at: Duration, refresh: Refresh, (id, parent): (SpanId, SpanId)) -> Span {
        let Refresh { cause, part, waited, landing } = refresh;
        let is_error = matches!(landing, Landing::Ended(_) | Landing::Failed(_));
        Span {
            attributes: Attributes::default()
                .text("flexslot_proxy.refresh.cause", cause.as_str())
                .text("flexslot_proxy.refresh.part", part.as_str())
                .landing(landing),
            status: if is_error { Status::Error(None) } else { Status::Unset },
            ..self.scene.span(id, parent, "wait for refresh", at, at + waited.duration())
        }
    }

    /// The attempts of one send. All but the last did provably nothing.
    fn sent(&self, at: Duration, sent: Sent, number: usize, ids: &mut impl Iterator<Item = SpanId>) -> Vec<Span> {
        let attempts: Vec<_> = attempts_of(self.spans, number).copied().collect();
        let ended = at + sent.took.duration();
        if attempts.is_empty() {
            // The client went away before there was a connection to try it on.
            return ids.next().map(|id| self.attempt(id, (at, ended), sent, (None, 0))).into_iter().collect();
        }
        let starts = attempts.iter().enumerate().map(|(nth, attempt)| if nth == 0 { at } else { attempt.began() });
        let ends = attempts.iter().skip(1).map(|next| next.began()).chain([ended]);
        let before = self.spans.attempts().iter().take_while(|attempt| attempt.send < number).count();
        let spans = attempts.iter().zip(starts.zip(ends)).enumerate().map(|(nth, (attempt, (from, to)))| {
            let is_last = nth + 1 == attempts.len();
            let sent = if is_last { sent } else { Sent { answer: Answer::Failed, ..sent } };
            self.attempt(attempt.span, (from, to), sent, (attempt.failure, before + nth))
        });
        spans.collect()
    }

    /// `resends`: how often the request had gone out before.
    fn attempt(
        &self,
        id: SpanId,
        (from, to): (Duration, Duration),
        sent: Sent,
        (failure, resends): (Option<&'static str>, usize),
    ) -> Span {
        let (method, _) = method(&self.trace.method);
        let (status, error) = match sent.answer {
            Answer::Status(status) => (Some(status), (status >= 400).then(|| status.to_string())),
            Answer::Failed => (None, Some(failure.unwrap_or("no_answer").to_owned())),
            Answer::Awaited => (None, Some("client_gone".to_owned())),
        };
        let is_error = error.is_some() && sent.answer != Answer::Awaited;
        Span {
            kind: Kind::Client,
            attributes: Attributes::default()
                .text("http.request.method", method)
                .joined(
                    self.spans
                        .sent_to
                        .as_ref()
                        .map_or_else(Attributes::default, |(origin, path)| to_whom(origin, path)),
                )
                .maybe_number("http.response.status_code", status)
                .maybe_number("http.request.resend_count", Some(resends).filter(|resends| *resends > 0))
                .maybe("error.type", error)
                .text("flexslot_proxy.credential", sent.credential.as_str()),
            status: if is_error { Status::Error(None) } else { Status::Unset },
            ..self.scene.span(id, self.spans.context.span, span_name(method), from, to)
        }
    }

    /// In the words of `explain`.
    fn event(&self, at: Duration, step: Step) -> Event {
        let result = |result: &'static str| Attributes::default().text("flexslot_proxy.result", result);
        let (name, attributes) = match step {
            Step::NotLoaded(why) => ("tenant", result(why.as_str())),
            Step::Considered(finding) => ("considered", considered(finding)),
            Step::Refresh(refresh) => (
                "refresh",
                Attributes::default()
                    .text("flexslot_proxy.refresh.cause", refresh.cause.as_str())
                    .text("flexslot_proxy.refresh.part", refresh.part.as_str())
                    .landing(refresh.landing),
            ),
            Step::HeldBack(cause, why) => {
                let reason = if let HeldBack::Failed(class) = why { Some(class.as_str()) } else { None };
                let attributes = result(why.code()).text("flexslot_proxy.refresh.cause", cause.as_str());
                ("refresh", attributes.maybe("flexslot_proxy.reason", reason))
            }
            Step::FoundChanged(cause) => {
                ("refresh", result("found_changed").text("flexslot_proxy.refresh.cause", cause.as_str()))
            }
            Step::Sent(sent) => ("sent", result(sent.answer.code())),
            Step::Unauthorized(remedy) => ("unauthorized", result(remedy.as_str())),
        };
        self.scene.event(at, name, attributes)
    }
}

fn considered(finding: Finding) -> Attributes {
    let (scope, reason) = match finding {
        Finding::OAuth(GrantFinding::TakenWithoutScope(scope, _) | GrantFinding::LacksScope(scope)) => {
            (Some(scope.to_string()), None)
        }
        Finding::OAuth(GrantFinding::Ended(reason)) => (None, Some(reason.as_str())),
        Finding::OAuth(GrantFinding::NotRefreshed(class)) => (None, Some(class.as_str())),
        Finding::Pat(PatFinding::StandsIn(_, cause)) => (None, Some(cause.as_str())),
        Finding::OAuth(_) | Finding::Pat(_) => (None, None),
    };
    Attributes::default()
        .text("flexslot_proxy.credential", finding.kind().as_str())
        .text("flexslot_proxy.result", finding.code())
        .maybe("flexslot_proxy.freshness", finding.pair().map(|pair| pair.freshness.as_str()))
        .maybe_number("flexslot_proxy.token_version", finding.pair().map(|pair| pair.version.number()))
        .maybe("flexslot_proxy.scope", scope)
        .maybe("flexslot_proxy.reason", reason)
}

/// Without the query: nobody knows what is in it.
fn to_whom(origin: &Origin, path: &str) -> Attributes {
    Attributes::default()
        .text("server.address", origin.host().to_owned())
        .number("server.port", origin.port())
        .text("url.full", format!("{origin}{path}"))
}

/// The method, and whether it is one that the conventions know.
fn method(method: &Method) -> (&'static str, bool) {
    match METHODS.into_iter().find(|known| *known == method.as_str()) {
        Some(known) => (known, true),
        None => ("_OTHER", false),
    }
}

/// Paths are not in it: there is no end of them.
fn span_name(method: &'static str) -> &'static str {
    if method == "_OTHER" { "HTTP" } else { method }
}

fn version(protocol: Version) -> Option<&'static str> {
    match protocol {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        _ => None,
    }
}
