//! The corridor: one request, from its header to its response's.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{AUTHORIZATION, EXPECT, UPGRADE},
    request::Parts,
};
use http_body::Body;
use tokio::time::Instant;

use super::{
    body::{RequestBody, ResponseBody},
    busy::{Busy, Turn},
    cors,
    error::{Code, guard_problem, path_problem, upstream_failure},
    facts::Facts,
    guard::{Admitted, Guard, Reach},
    headers,
    path::{Class, Target},
    replay::{ReplayBody, ReplayLimits, Replayer, Start},
    route,
    upstream::{Upstream, UpstreamBody},
    urls::{self, CallerBase, UpstreamOrigin},
    verdict::{REFRESH_UNAVAILABLE, Send as Sending, UNAUTHORIZED_AFTER_REFRESH, Verdict, refuses_token},
};
use crate::{
    credential::{Ask, Credentials, PathClass, Permission, Picked, Resend, Unauthorized},
    model::{CredentialKind, Observer, Problem, Scope, TenantId, observe::RetryOutcome},
};

/// How long an upload that expects `100 Continue` is kept back for the upstream's word.
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const CREDENTIAL: HeaderName = HeaderName::from_static("flexslot-proxy-credential");

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
    pub upstream: Upstream,
    /// Absent: URLs in headers stay as they are.
    pub rewrite_urls: Option<UpstreamOrigin>,
    pub replay: ReplayLimits,
    pub in_flight_per_tenant: usize,
}

/// Who sends the request, as far as the listener knows.
#[derive(Debug, Clone)]
pub struct Caller {
    pub reach: Reach,
    /// The tenant that the listener is bound to.
    pub tenant: Option<TenantId>,
}

/// Why a request gets no response of the upstream's.
#[derive(Debug)]
pub enum Failure {
    Problem(Problem),
    /// An answer without anything in it, after which the connection is closed.
    Bare(StatusCode),
}

/// A request that has passed guard and route.
struct Accepted {
    method: Method,
    target: Target,
    headers: HeaderMap,
    tenant: TenantId,
    turn: Turn,
    /// The caller's `Host`, for rewritten URLs.
    host: Option<String>,
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
        caller: &Caller,
        request: Request<B>,
        facts: &mut Facts,
    ) -> Result<Response<ResponseBody>, Failure>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let settings = self.settings.load_full();
        let (parts, body) = request.into_parts();
        check_method(&parts)?;
        match settings.guard.admit(&parts, caller.reach).map_err(guard_problem)? {
            Admitted::Direct => {}
            Admitted::FromOrigin(origin) => facts.cors = Some(origin),
            Admitted::Preflight(origin) => return Ok(answer_preflight(&parts, &origin)),
        }
        let accepted = self.accept(&settings, caller, parts, facts)?;
        let body = replayable(body, &accepted.headers, &settings)?;
        self.forward(&settings, accepted, body, facts).await
    }

    /// Judges target and tenant, and makes the header that goes out.
    fn accept(
        &self,
        settings: &Settings,
        caller: &Caller,
        parts: Parts,
        facts: &mut Facts,
    ) -> Result<Accepted, Problem> {
        let target = target_of(&parts.uri)?;
        let header = route::in_header(&parts.headers, &settings.tenant_header);
        let host = host_of(&parts);
        let headers =
            headers::outbound(parts.headers, &settings.tenant_header, parts.version).map_err(|lookalike| {
                Code::RequestInvalid.problem(format!(
                    "The header {} could be taken for one that the sidecar owns. Leave it out.",
                    lookalike.0
                ))
            })?;
        let (tenant, named_by) =
            route::tenant(header?, target.tenant(), caller.tenant.as_ref(), settings.default_tenant.as_ref())?;
        facts.tenant = Some(tenant.clone());
        facts.named_by = Some(named_by);
        let class = class_of(&target);
        match target.agree(|segments| self.credentials.permit(&tenant, &parts.method, class, segments)) {
            Some(Permission::Granted) => {}
            Some(Permission::NotAllowed) => {
                return Err(Code::PathDenied
                    .problem("The tenant's `allow` list does not name this method and path.")
                    .of(&tenant));
            }
            Some(Permission::Guarded) => {
                let detail = "This method hands out or changes secrets on this path. To let it through, name the path in the tenant's `allow` list.";
                return Err(Code::PathDenied.problem(detail).of(&tenant));
            }
            None => {
                return Err(Code::PathInvalid.problem(
                    "The path means different things to the tenant's `allow` list, depending on how it is decoded.",
                ));
            }
        }
        let turn = self.busy.enter(&tenant, settings.in_flight_per_tenant).ok_or_else(|| {
            let problem = Code::TenantBusy
                .problem("This tenant has as many requests under way as limits.in_flight_per_tenant lets it have.");
            problem.of(&tenant).retry_after(Duration::from_secs(1))
        })?;
        Ok(Accepted { method: parts.method, target, headers, tenant, turn, host })
    }

    /// Picks, sends, and where the credential is refused picks and sends once more.
    async fn forward(
        &self,
        settings: &Settings,
        accepted: Accepted,
        body: ReplayBody,
        facts: &mut Facts,
    ) -> Result<Response<ResponseBody>, Failure> {
        let ask = Ask {
            tenant: &accepted.tenant,
            need: Scope::needed(&accepted.method, accepted.target.segments()),
            class: class_of(&accepted.target),
            resend: resend(&body, settings),
        };
        let picked =
            self.credentials.pick(&ask).await.map_err(|refusal| Problem::from(refusal).of(&accepted.tenant))?;
        let replayer = body.replayer();
        let response = self.send(settings, &accepted, &picked, body, &replayer, facts).await?;
        let verdict = Verdict::of(response.status(), response.headers(), Sending::First);
        let (response, details) = match verdict {
            Verdict::Renew => self.renew(settings, &accepted, &ask, picked, response, &replayer, facts).await?,
            Verdict::Deliver => {
                if response.status() != StatusCode::UNAUTHORIZED {
                    self.credentials.accepted(&accepted.tenant, &picked);
                }
                (response, None)
            }
        };
        Ok(deliver(settings, accepted, response, details, facts))
    }

    /// After a 401: the one retry, if another credential can be had and the body can be sent again.
    #[allow(clippy::too_many_arguments, reason = "a step of the corridor takes what the steps before it made")]
    async fn renew(
        &self,
        settings: &Settings,
        accepted: &Accepted,
        ask: &Ask<'_>,
        refused: Picked,
        response: Response<UpstreamBody>,
        replayer: &Replayer,
        facts: &mut Facts,
    ) -> Result<(Response<UpstreamBody>, Option<&'static str>), Failure> {
        replayer.hold();
        let as_it_is = |response, details| {
            replayer.resume();
            Ok((response, details))
        };
        let next = match self.credentials.unauthorized(ask, &refused).await {
            Unauthorized::Retry(next) => next,
            Unauthorized::Pass => return as_it_is(response, None),
            Unauthorized::AfterRefresh => return as_it_is(response, Some(UNAUTHORIZED_AFTER_REFRESH)),
            Unauthorized::RefreshUnavailable => return as_it_is(response, Some(REFRESH_UNAVAILABLE)),
            Unauthorized::Refuse(refusal) => return Err(Problem::from(refusal).of(&accepted.tenant).into()),
        };
        // A body that is not kept: the token is new now, and the client's own retry will work.
        let Some(body) = replayer.rewind() else { return as_it_is(response, None) };
        drop(response);
        let second = self.send(settings, accepted, &next, body, replayer, facts).await;
        let outcome = match &second {
            Ok(response) if refuses_token(response.status(), response.headers()) => RetryOutcome::StillUnauthorized,
            Ok(_) => RetryOutcome::Cured,
            Err(_) => RetryOutcome::Failed,
        };
        facts.retry = Some(outcome);
        self.observer.retry(outcome);
        match outcome {
            RetryOutcome::Cured => self.credentials.retried(&accepted.tenant, &next, true),
            RetryOutcome::StillUnauthorized => self.credentials.retried(&accepted.tenant, &next, false),
            RetryOutcome::Failed => {}
        }
        let fresh_refused = outcome == RetryOutcome::StillUnauthorized && next.kind == CredentialKind::OAuth;
        Ok((second?, fresh_refused.then_some(UNAUTHORIZED_AFTER_REFRESH)))
    }

    /// Sends the request with this credential.
    async fn send(
        &self,
        settings: &Settings,
        accepted: &Accepted,
        picked: &Picked,
        body: ReplayBody,
        replayer: &Replayer,
        facts: &mut Facts,
    ) -> Result<Response<UpstreamBody>, Failure> {
        facts.credential = Some(picked.kind);
        facts.version = picked.at.map(|at| at.version);
        let mut request = Request::new(body);
        *request.method_mut() = accepted.method.clone();
        *request.uri_mut() = Uri::from(accepted.target.forward().clone());
        *request.headers_mut() = accepted.headers.clone();
        request.headers_mut().insert(AUTHORIZATION, picked.authorization.clone());
        let started = Instant::now();
        let outcome = settings.upstream.send(request).await;
        facts.upstream_time += started.elapsed();
        match outcome {
            Ok(response) => {
                facts.upstream_status = Some(response.status().as_u16());
                Ok(response)
            }
            Err(error) => {
                facts.cause = Some(error.to_string());
                Err(upstream_failure(&error, replayer.failure(), &accepted.tenant))
            }
        }
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

/// Methods and upgrades that a forwarder of single requests cannot serve. Any other `Upgrade` is ignored (RFC 9110 section 7.8).
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

fn class_of(target: &Target) -> PathClass {
    match target.class() {
        Class::Ordinary => PathClass::Ordinary,
        Class::Partner => PathClass::PatOnly,
    }
}

fn host_of(parts: &Parts) -> Option<String> {
    let host = parts.uri.authority().map(|authority| authority.as_str());
    host.or_else(|| parts.headers.get(http::header::HOST)?.to_str().ok()).map(str::to_owned)
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
    ReplayBody::new(body, &settings.replay, start).map_err(|error| super::error::body_failure(&error, None))
}

/// Whether the request could be sent again after a 401, by what its body announces.
fn resend(body: &ReplayBody, settings: &Settings) -> Resend {
    match body.size_hint().exact() {
        Some(length) if length > settings.replay.replay_body => Resend::Impossible,
        _ => Resend::Possible,
    }
}

/// The upstream's response as it goes to the client.
fn deliver(
    settings: &Settings,
    accepted: Accepted,
    response: Response<UpstreamBody>,
    details: Option<&str>,
    facts: &Facts,
) -> Response<ResponseBody> {
    let (mut parts, body) = response.into_parts();
    let received = std::mem::take(&mut parts.headers);
    parts.headers = headers::inbound(received, parts.version);
    if let Some(upstream) = &settings.rewrite_urls {
        let caller =
            CallerBase { scheme: "http", authority: accepted.host.as_deref(), prefix: accepted.target.prefix() };
        urls::rewrite(&mut parts.headers, upstream, caller);
    }
    if let Some(kind) = facts.credential {
        parts.headers.insert(CREDENTIAL, HeaderValue::from_static(kind.as_str()));
    }
    if let Some(details) = details
        && let Ok(value) = HeaderValue::try_from(format!("flexslot-proxy; received-status=401; details=\"{details}\""))
    {
        parts.headers.append(PROXY_STATUS, value);
    }
    parts.extensions.clear();
    Response::from_parts(parts, ResponseBody::new(body, accepted.turn))
}
