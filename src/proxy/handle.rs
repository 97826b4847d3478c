//! The corridor: one request, from its header to its response's.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{EXPECT, UPGRADE},
    request::Parts,
    response,
};
use http_body::Body;

use super::{
    body::{RequestBody, ResponseBody},
    busy::{Busy, Turn},
    cors::{self, Readers},
    error::{Code, body_failure, guard_problem, lookalike_problem, path_problem, permitted, tenant_denied},
    exchange::{Exchange, Exchanged, ProofRetry},
    facts::Facts,
    guard::{Admitted, Guard, Holder, Reach},
    headers,
    path::Target,
    proxy_status::PROXY_STATUS,
    replay::{ReplayBody, ReplayLimits, Start},
    route, shown,
    upstream::{Outgoing, Upstreams},
    urls::{
        self, Bodies, CallerBase, CallerScheme, Rewriting,
        bodies::{self, BodyRewriter},
    },
};
use crate::{
    credential::{Ask, Credentials, Resend, Resource},
    model::{Observer, Origin, Problem, Scope, TenantId},
};

/// How long an upload that expects `100 Continue` is kept back for the upstream's word.
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The data plane. One for the process.
pub struct Corridor {
    settings: ArcSwap<Settings>,
    credentials: Credentials,
    observer: Arc<dyn Observer>,
    busy: Busy,
}

/// Everything of the configuration that the corridor needs; replaced as a whole on reload.
#[derive(Debug, Clone)]
pub struct Settings {
    pub guard: Guard,
    pub tenant_header: HeaderName,
    pub default_tenant: Option<TenantId>,
    pub upstream: Upstreams,
    /// The upstream's origin, as credentials name theirs.
    pub origin: Origin,
    /// Absent: URLs in responses stay as they are.
    pub rewrite_urls: Option<Rewriting>,
    pub replay: ReplayLimits,
    pub in_flight_per_tenant: usize,
}

/// Who sends the request, as far as the listener knows.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    pub reach: Reach,
    /// The tenant that the listener is bound to.
    pub tenant: Option<&'a TenantId>,
    /// The number of the worker that serves it, which has connections of its own to the upstream.
    pub worker: usize,
}

/// Why a request gets no response of the upstream's.
#[derive(Debug)]
pub enum Failure {
    Problem(Problem),
    /// An answer without anything in it, after which the connection is closed.
    Bare(StatusCode),
}

/// What becomes of a request at first sight.
enum Received {
    /// It is answered already.
    Preflight(Response<ResponseBody>),
    Accepted(Accepted, ReplayBody),
}

/// A request that has passed guard and route.
pub(super) struct Accepted {
    pub(super) method: Method,
    pub(super) target: Target,
    /// As they go out, but for what the credential adds.
    pub(super) headers: HeaderMap,
    pub(super) tenant: TenantId,
    turn: Turn,
    /// Of the caller's URL, for rewritten ones.
    scheme: CallerScheme,
    /// The caller's `Host`, for rewritten URLs.
    host: Option<String>,
    /// A browser would show the answer as a document of our origin.
    shown: bool,
}

// === impl Corridor ===

impl Corridor {
    /// The corridor as configured.
    pub fn new(settings: Settings, credentials: Credentials, observer: Arc<dyn Observer>) -> Self {
        Self { settings: ArcSwap::from_pointee(settings), credentials, observer, busy: Busy::default() }
    }

    /// Takes over a new configuration, for requests that come from now on.
    pub fn reload(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// Answers a request. Dropping the future cancels the request, and nothing else.
    pub async fn handle<B>(
        &self,
        caller: Caller<'_>,
        request: Request<B>,
        facts: &mut Facts,
    ) -> Result<Response<ResponseBody>, Failure>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let settings = self.settings.load_full();
        let (accepted, body) = match self.receive(&settings, caller, request, facts)? {
            Received::Preflight(response) => return Ok(response),
            Received::Accepted(accepted, body) => (accepted, body),
        };
        let exchanged = self.exchange(&settings, caller.worker, &accepted, &body, facts).run(body).await?;
        Ok(deliver(&settings, accepted, exchanged))
    }

    /// All that happens before anything is waited for. Apart, because a future is as large as all that it has ever held.
    fn receive<B>(
        &self,
        settings: &Settings,
        caller: Caller<'_>,
        request: Request<B>,
        facts: &mut Facts,
    ) -> Result<Received, Failure>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let (parts, body) = request.into_parts();
        facts.readers = settings.guard.readers(&parts.headers);
        check_method(&parts)?;
        let (admitted, holder) = settings.guard.admit_caller(&parts, caller.reach).map_err(guard_problem)?;
        facts.caller = holder.name();
        match admitted {
            Admitted::Direct | Admitted::FromOrigin(_) => {}
            Admitted::Preflight(origin) => {
                facts.readers = Readers::Unsaid;
                return Ok(Received::Preflight(answer_preflight(&parts, &origin)));
            }
        }
        let accepted = self.accept(settings, (caller, holder), parts, facts)?;
        let body = replayable(body, &accepted.headers, settings)?;
        Ok(Received::Accepted(accepted, body))
    }

    /// Judges target and tenant, and makes the header that goes out.
    fn accept(
        &self,
        settings: &Settings,
        (caller, holder): (Caller<'_>, Holder<'_>),
        parts: Parts,
        facts: &mut Facts,
    ) -> Result<Accepted, Problem> {
        let header = route::in_header(&parts.headers, &settings.tenant_header);
        let target = target_of(&parts.uri).inspect_err(|_| {
            // What cannot be read as a path may have named a tenant, and then only that one counts.
            let named = header.as_ref().ok().filter(|_| !parts.uri.path().starts_with("/t/"));
            let tenant = |header: &Option<TenantId>| {
                route::tenant(header.clone(), None, caller.tenant, settings.default_tenant.as_ref()).ok()
            };
            (facts.tenant, facts.named_by) = named.and_then(tenant).unzip();
        })?;
        let scheme = if matches!(caller.reach, Reach::Tls(_)) { CallerScheme::Https } else { CallerScheme::Http };
        let (host, shown) = (host_of(&parts), shown::is_shown(&parts.headers));
        let mut headers = headers::outbound(parts.headers, &settings.tenant_header, parts.version)
            .map_err(|header| lookalike_problem(&header))?;
        if settings.rewrite_urls.as_ref().is_some_and(|rewriting| rewriting.bodies == Bodies::Json) {
            bodies::fit(&mut headers);
        }
        let (tenant, named_by) =
            route::tenant(header?, target.tenant(), caller.tenant, settings.default_tenant.as_ref())?;
        facts.tenant = Some(tenant.clone());
        facts.named_by = Some(named_by);
        if let Holder::Named(named) = holder
            && !named.speaks_for.includes(&tenant)
        {
            return Err(tenant_denied(named, &tenant));
        }
        let class = target.class();
        let permission = target.agree(|segments| self.credentials.permit(&tenant, &parts.method, class, segments));
        permitted(permission)?;
        let turn = self.busy.enter(&tenant, settings.in_flight_per_tenant).ok_or_else(|| {
            let problem = Code::TenantBusy
                .problem("This tenant has as many requests under way as limits.in_flight_per_tenant lets it have.");
            problem.retry_after(Duration::from_secs(1))
        })?;
        Ok(Accepted { method: parts.method, target, headers, tenant, turn, scheme, host, shown })
    }

    /// The dealings with the upstream that the request needs.
    fn exchange<'a>(
        &'a self,
        settings: &'a Settings,
        worker: usize,
        accepted: &'a Accepted,
        body: &ReplayBody,
        facts: &'a mut Facts,
    ) -> Exchange<'a> {
        Exchange {
            upstream: settings.upstream.of(worker),
            origin: &settings.origin,
            credentials: &self.credentials,
            observer: &*self.observer,
            request: accepted,
            ask: Ask {
                tenant: &accepted.tenant,
                need: Scope::needed(&accepted.method, accepted.target.segments()),
                class: accepted.target.class(),
                resend: resend(body, settings),
                resource: Resource { method: &accepted.method, path: accepted.target.forward().path() },
            },
            replayer: body.replayer(),
            facts,
            proofs: ProofRetry::Available,
        }
    }
}

// === impl Accepted ===

impl Accepted {
    /// The request as it goes out, but for what the credential adds.
    pub(super) fn outgoing(&self) -> Outgoing<'_> {
        Outgoing { method: &self.method, target: self.target.forward(), headers: &self.headers }
    }
}

impl fmt::Debug for Corridor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Corridor").field("credentials", &self.credentials).finish_non_exhaustive()
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

// === the steps ===

/// Methods and upgrades that a forwarder of single requests cannot serve. Any other `Upgrade` is ignored (RFC 9110
/// section 7.8).
fn check_method(parts: &Parts) -> Result<(), Problem> {
    let websocket = || parts.headers.get_all(UPGRADE).iter().any(|value| contains_token(value, b"websocket"));
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        return Err(Code::MethodUnsupported
            .problem("The sidecar forwards single requests; it opens no tunnels and sends no traces."));
    }
    if websocket() {
        return Err(Code::MethodUnsupported.problem("The sidecar forwards single requests; it opens no WebSockets."));
    }
    Ok(())
}

fn contains_token(value: &HeaderValue, token: &[u8]) -> bool {
    value.as_bytes().split(|&byte| byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

fn answer_preflight(parts: &Parts, origin: &HeaderValue) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    *response.headers_mut() = cors::preflight(parts, origin);
    response
}

fn target_of(uri: &Uri) -> Result<Target, Problem> {
    let target = uri.path_and_query().ok_or_else(|| Code::NotProxied.problem("The request names no path."))?;
    Target::check(target).map_err(path_problem)
}

fn host_of(parts: &Parts) -> Option<String> {
    let host = parts.uri.authority().map(|authority| authority.as_str());
    let host = host.or_else(|| parts.headers.get(http::header::HOST)?.to_str().ok());
    host.filter(|host| !host.is_empty()).map(str::to_owned)
}

/// The body, kept as far as the limits let it be.
fn replayable<B>(body: B, headers: &HeaderMap, settings: &Settings) -> Result<ReplayBody, Failure>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let expects_continue = headers.get(EXPECT).is_some_and(|value| contains_token(value, b"100-continue"));
    let start = if expects_continue { Start::AfterContinue(CONTINUE_PATIENCE) } else { Start::Now };
    let body = RequestBody::new(body, settings.tenant_header.clone());
    ReplayBody::new(body, &settings.replay, start).map_err(|error| body_failure(&error))
}

/// Whether the request could be sent again after a 401, by what its body announces.
fn resend(body: &ReplayBody, settings: &Settings) -> Resend {
    if settings.replay.lets_keep(body.size_hint().exact()) { Resend::Possible } else { Resend::Impossible }
}

/// The upstream's response as it goes to the client.
fn deliver(settings: &Settings, accepted: Accepted, exchanged: Exchanged) -> Response<ResponseBody> {
    let Exchanged { response, authorization, details } = exchanged;
    let (mut parts, body) = response.into_parts();
    let received = std::mem::take(&mut parts.headers);
    parts.headers = headers::inbound(received, parts.version);
    // The version of a message is that of whoever sends it (RFC 9112 section 2.3). An answer of HTTP/1.0 passed on as such
    // would have no chunks, and one that breaks off would look whole.
    parts.version = Version::HTTP_11;
    headers::withhold(&mut parts.headers, &authorization);
    let rewriter = settings.rewrite_urls.as_ref().and_then(|rewriting| rewrite(&mut parts, rewriting, &accepted));
    if accepted.shown {
        shown::keep_inert(&mut parts.headers);
    }
    if let Some(details) = details
        && let Ok(value) = HeaderValue::try_from(format!("flexslot-proxy; received-status=401; details=\"{details}\""))
    {
        parts.headers.append(PROXY_STATUS, value);
    }
    parts.extensions.clear();
    let body = ResponseBody::new(body, authorization, accepted.turn);
    Response::from_parts(parts, if let Some(rewriter) = rewriter { body.rewritten(rewriter) } else { body })
}

/// Rewrites the URLs in headers; answers what does so in the body, where that is looked into.
fn rewrite(parts: &mut response::Parts, rewriting: &Rewriting, accepted: &Accepted) -> Option<BodyRewriter> {
    let caller =
        CallerBase { scheme: accepted.scheme, authority: accepted.host.as_deref(), prefix: accepted.target.prefix() };
    urls::rewrite(&mut parts.headers, &rewriting.upstream, caller);
    match (rewriting.bodies, parts.status) {
        (Bodies::Untouched, _) => None,
        (Bodies::Json, StatusCode::NOT_MODIFIED) => {
            bodies::weaken(&mut parts.headers);
            None
        }
        (Bodies::Json, status) if bodies::is_rewritten(status, &parts.headers) => {
            bodies::loosen(&mut parts.headers);
            Some(BodyRewriter::new(&rewriting.upstream, caller))
        }
        (Bodies::Json, _) => None,
    }
}
