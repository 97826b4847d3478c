//! Between the wire and the rooms: names each request, keeps its record, and turns whatever comes out of the corridor
//! into a response.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::CONNECTION, uri::Scheme};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::watch;

use super::{
    accept::{Answers, Came},
    access_log::{Audience, Beginning, Lines, Record},
    connections_page::ConnectionsPage,
    outgoing::{Content, Outgoing},
    request_id::RequestIds,
    respond,
    under_way::UnderWay,
    wire::Refusal,
};
use crate::{
    admin::trace::Traces,
    model::{Action, Clock, Observer, Peer, Problem, Tracer, trace::Told},
    proxy::{
        Caller, Corridor, Failure,
        error::{Code, path_problem},
        guard::Reach,
        path::PathFault,
    },
};

/// Answers the requests of the data plane.
pub struct Front {
    corridor: Arc<Corridor>,
    ids: RequestIds,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    traces: Arc<Traces>,
    tracer: Arc<dyn Tracer>,
    lines: ArcSwap<Lines>,
    /// Known once its listener is bound.
    connections_page: OnceLock<ConnectionsPage>,
    /// As many as there may be connections. Only HTTP/2, with many streams on one, can come to this.
    under_way: UnderWay,
    draining: watch::Receiver<bool>,
}

/// What a front is built from.
pub struct Parts {
    pub corridor: Arc<Corridor>,
    pub ids: RequestIds,
    pub clock: Arc<dyn Clock>,
    pub told: Audience,
    /// Decides which requests are exported besides.
    pub tracer: Arc<dyn Tracer>,
    /// So many requests may be under way at a time.
    pub capacity: usize,
    /// New requests are turned away once it is true.
    pub draining: watch::Receiver<bool>,
}

// === impl Front ===

impl Front {
    /// A front before a corridor.
    pub fn new(parts: Parts) -> Self {
        let Parts { corridor, ids, clock, told, tracer, capacity, draining } = parts;
        let Audience { observer, traces, lines } = told;
        Self {
            corridor,
            ids,
            clock,
            observer,
            traces,
            tracer,
            lines: ArcSwap::from_pointee(lines),
            connections_page: OnceLock::new(),
            under_way: UnderWay::at_most(capacity),
            draining,
        }
    }

    /// Where those are sent from now on who have to connect.
    pub fn show_connections_page(&self, page: ConnectionsPage) {
        self.connections_page.get_or_init(|| page);
    }

    /// Whether lines are written for the requests that come from now on.
    pub fn set_lines(&self, lines: Lines) {
        self.lines.store(Arc::new(lines));
    }

    async fn respond(&self, request: Request<Incoming>, came: Came) -> Response<Outgoing> {
        // A refused head was replaced by a stand-in, whose method and path are not the client's.
        let path = if came.refusal.is_some() { "" } else { request.uri().path() };
        let (method, version) = (request.method().clone(), request.version());
        let beginning = Beginning { id: self.ids.next(), at: self.clock.now(), method, path, version };
        let mut record = Box::new(Record::begin(beginning, self.audience()));
        let headers = came.refusal.is_none().then(|| request.headers());
        if let Some(spans) = self.tracer.request(headers, scheme(came.on.reach), record.started()) {
            record.export(spans, &self.tracer);
        }
        let answered = match self.caller(&came, &mut record) {
            Ok(caller) => self.corridor.handle(caller, request, &mut record.facts).await,
            Err(failure) => Err(failure),
        };
        // Whatever the upstream made of a body that was cut short: the client broke the framing, and is told so.
        let is_broken = came.refusal.is_none() && came.on.wire.is_body_fault();
        let answered = if is_broken { Err(Failure::Bare(StatusCode::BAD_REQUEST)) } else { answered };
        let (mut response, content) = match answered {
            Ok(response) => split(response, Content::Upstream),
            Err(Failure::Bare(status)) => split(respond::bare(status), Content::Own),
            Err(Failure::Problem(problem)) => {
                let problem = self.addressed(problem, &record);
                record.problem = Some(Told { code: problem.code, detail: problem.detail.clone() });
                split(self.problem(&problem, (&record, came.on.peer), version), Content::Own)
            }
        };
        record.facts.readers.say(&mut response.headers);
        if let Some(kind) = record.facts.credential {
            response.headers.insert(respond::CREDENTIAL, HeaderValue::from_static(kind.as_str()));
        }
        response.headers.insert(respond::REQUEST_ID, respond::id_header(record.id()));
        record.answered(response.status.as_u16());
        Response::from_parts(response, Outgoing::new(content, Some(record)))
    }

    /// Who sends the request, if it is to be looked at any further. Gives it its place.
    fn caller<'a>(&self, came: &'a Came, record: &mut Record) -> Result<Caller<'a>, Failure> {
        if let Some(refusal) = came.refusal {
            return Err(refused(refusal));
        }
        if *self.draining.borrow() {
            return Err(draining().into());
        }
        record.place = Some(self.under_way.enter().ok_or_else(overloaded)?);
        let on = &*came.on;
        record.of_share = on.share.as_ref().map(|share| share.enter().ok_or_else(share_spent)).transpose()?;
        Ok(Caller { reach: on.reach, tenant: on.tenant.as_ref(), worker: on.worker })
    }

    fn audience(&self) -> Audience {
        Audience { observer: Arc::clone(&self.observer), traces: Arc::clone(&self.traces), lines: **self.lines.load() }
    }

    /// The problem with what is known only here: the tenant, and where its connection can be mended.
    fn addressed(&self, problem: Problem, record: &Record) -> Problem {
        let problem = match (&problem.tenant, &record.facts.tenant) {
            (None, Some(tenant)) => problem.of(tenant),
            _ => problem,
        };
        match self.connections_page.get() {
            Some(page) if problem.action == Action::Reconnect => {
                let detail = format!("{} Or open {}", problem.detail, page.url_of(problem.tenant.as_ref()));
                Problem { detail: detail.into(), ..problem }
            }
            _ => problem,
        }
    }

    fn problem(
        &self,
        problem: &Problem,
        (record, peer): (&Record, Peer),
        version: http::Version,
    ) -> Response<Full<Bytes>> {
        let mut response = respond::problem(problem, (record.id(), peer), self.connections_page.get());
        // The rest of a body that nobody wants is not worth reading; and a connection that is to end need not be used
        // again.
        let ends = matches!(problem.status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::NOT_IMPLEMENTED)
            || problem.code == Code::Draining.as_str();
        if ends && version < http::Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl Answers for Front {
    type Body = Outgoing;

    fn answer(&self, request: Request<Incoming>, came: Came) -> impl Future<Output = Response<Outgoing>> + Send {
        self.respond(request, came)
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("corridor", &self.corridor).finish_non_exhaustive()
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("corridor", &self.corridor).finish_non_exhaustive()
    }
}

fn split<B>(response: Response<B>, content: impl FnOnce(B) -> Content) -> (http::response::Parts, Content) {
    let (parts, body) = response.into_parts();
    (parts, content(body))
}

/// As it came over the wire.
fn scheme(reach: Reach) -> Scheme {
    if matches!(reach, Reach::Tls(_)) { Scheme::HTTPS } else { Scheme::HTTP }
}

fn draining() -> Problem {
    Code::Draining
        .problem("The sidecar is shutting down. Try again; another one may be there already.")
        .retry_after(Duration::from_secs(1))
}

fn overloaded() -> Problem {
    Code::Overloaded
        .problem("The sidecar has as many requests under way as limits.connections lets it have.")
        .retry_after(Duration::from_secs(1))
}

fn share_spent() -> Problem {
    Code::Overloaded
        .problem("This caller has as many requests under way as limits.connections_per_peer lets one have.")
        .retry_after(Duration::from_secs(1))
}

/// What the strict reader of the wire has refused.
fn refused(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Fragment => path_problem(PathFault::Fragment.into()).into(),
        other => Failure::Bare(other.status()),
    }
}
