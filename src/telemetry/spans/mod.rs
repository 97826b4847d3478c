//! What is exported: spans, as OpenTelemetry has them. Attributes of HTTP have the names that its semantic conventions
//! call stable; all others begin with `flexslot_proxy.`, and mean what the access log and `explain` say.

mod refresh;
mod request;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, time::Duration};

use crate::model::{
    Timestamp, Traced,
    observe::StoreOutcome,
    trace::{
        context::{SpanContext, SpanId, TraceFlags, TraceId},
        operations::{Asked, Operation},
        step::Landing,
    },
};

/// A piece of work, from its beginning to its end.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span {
    pub(super) trace: TraceId,
    pub(super) id: SpanId,
    pub(super) flags: TraceFlags,
    pub(super) parent: Option<SpanId>,
    /// Where the parent is another program's.
    pub(super) parent_is_remote: bool,
    pub(super) name: Cow<'static, str>,
    pub(super) kind: Kind,
    /// Nanoseconds since the Unix epoch.
    pub(super) began: u64,
    pub(super) ended: u64,
    pub(super) attributes: Attributes,
    pub(super) events: Vec<Event>,
    /// Spans of other traces that belong to it.
    pub(super) links: Vec<SpanContext>,
    pub(super) status: Status,
}

/// Whose work it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Internal,
    Server,
    Client,
}

/// What happened at one moment of a span.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    pub(super) at: u64,
    pub(super) name: &'static str,
    pub(super) attributes: Attributes,
}

/// How it ended. What went well says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Status {
    #[default]
    Unset,
    /// With words for whoever looks into it, where there are any.
    Error(Option<String>),
}

/// Names and values.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Attributes(pub(super) Vec<(&'static str, Value)>);

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(Cow<'static, str>),
    Number(i64),
}

/// The trace in whose spans something is told.
#[derive(Debug, Clone, Copy)]
struct Scene {
    context: SpanContext,
    at: Timestamp,
}

/// The spans of a request or of a refresh; the one of the whole comes first.
pub(super) fn of(traced: &Traced) -> Vec<Span> {
    match traced {
        Traced::Request(trace, spans) => request::spans_of(trace, spans),
        Traced::Refresh(refresh) => refresh::spans_of(refresh),
    }
}

/// How many spans there would be, without making them.
pub(super) fn count(traced: &Traced) -> u64 {
    let spans = match traced {
        Traced::Request(trace, spans) => request::count(trace, spans),
        Traced::Refresh(refresh) => 1 + refresh.operations.count(),
    };
    spans as u64
}

// === impl Scene ===

impl Scene {
    /// The moment so long after the beginning, in nanoseconds since the Unix epoch.
    fn moment(self, after: Duration) -> u64 {
        let began = u128::try_from(self.at.millis()).unwrap_or_default() * 1_000_000;
        u64::try_from(began + after.as_nanos()).unwrap_or(u64::MAX)
    }

    /// A span below `parent`.
    fn span(
        self,
        id: SpanId,
        parent: SpanId,
        name: impl Into<Cow<'static, str>>,
        from: Duration,
        to: Duration,
    ) -> Span {
        Span {
            trace: self.context.trace,
            id,
            flags: self.context.flags,
            parent: Some(parent),
            parent_is_remote: false,
            name: name.into(),
            kind: Kind::Internal,
            began: self.moment(from),
            ended: self.moment(to.max(from)),
            attributes: Attributes::default(),
            events: Vec::new(),
            links: Vec::new(),
            status: Status::Unset,
        }
    }

    fn event(self, at: Duration, name: &'static str, attributes: Attributes) -> Event {
        Event { at: self.moment(at), name, attributes }
    }

    /// Something that was asked of the store, or of Flexslot's OAuth server.
    fn operation(self, id: SpanId, parent: SpanId, operation: &Operation) -> Span {
        let (from, to) = (operation.began(), operation.began() + operation.took());
        match &operation.what {
            Asked::Store(name, outcome) => Span {
                attributes: Attributes::default().text("flexslot_proxy.store.operation", *name),
                status: if *outcome == StoreOutcome::Error { Status::Error(None) } else { Status::Unset },
                ..self.span(id, parent, format!("store {name}"), from, to)
            },
            Asked::OAuthServer(url, status) => {
                let attributes = Attributes::default()
                    .text("http.request.method", "POST")
                    .text("server.address", url.host_str().unwrap_or_default().to_owned())
                    .number("server.port", url.port_or_known_default().unwrap_or_default())
                    .text("url.full", format!("{}{}", url.origin().ascii_serialization(), url.path()));
                let (attributes, error) = match status {
                    Some(status) => {
                        (attributes.number("http.response.status_code", status.as_u16()), status.as_u16() >= 400)
                    }
                    None => (attributes, true),
                };
                let kind = status.map_or("no_answer".to_owned(), |status| status.as_u16().to_string());
                Span {
                    kind: Kind::Client,
                    attributes: if error { attributes.text("error.type", kind) } else { attributes },
                    status: if error { Status::Error(None) } else { Status::Unset },
                    ..self.span(id, parent, "POST", from, to)
                }
            }
        }
    }
}

// === impl Attributes ===

impl Attributes {
    fn text(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.0.push((name, Value::Text(value.into())));
        self
    }

    fn number(mut self, name: &'static str, value: impl TryInto<i64>) -> Self {
        self.0.push((name, Value::Number(value.try_into().unwrap_or(i64::MAX))));
        self
    }

    /// One that there may be.
    fn maybe(self, name: &'static str, value: Option<impl Into<Cow<'static, str>>>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    fn maybe_number(self, name: &'static str, value: Option<impl TryInto<i64>>) -> Self {
        match value {
            Some(value) => self.number(name, value),
            None => self,
        }
    }

    /// How a refresh ended.
    fn landing(self, landing: Landing) -> Self {
        let reason = match landing {
            Landing::Ended(reason) => Some(reason.as_str()),
            Landing::Failed(class) => Some(class.as_str()),
            Landing::NotAwaited | Landing::Awaited | Landing::Renewed | Landing::Moved => None,
        };
        self.text("flexslot_proxy.result", landing.code()).maybe("flexslot_proxy.reason", reason)
    }

    fn joined(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }
}
