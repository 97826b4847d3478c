//! One request from arrival to answer: whose is it, what goes wrong before, the work, what goes wrong after; then it is
//! counted and logged.

use std::{
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming, SizeHint};

use super::{
    Sandbox, Shared,
    answer::{self, Answer, AnswerExt, Body, Note},
    call::{API, Call},
    control,
    faults::{Effect, Endpoint, Moment, RequestBody, Strike},
    grants::Grant,
    log::{Remembered, SeenCredential, visible},
    oauth,
    params::Params,
    resources,
    server::Cut,
};

/// Whose credential a request carries, looked up before anything is done.
struct Whose {
    seen: SeenCredential,
    grant: Option<Arc<Grant>>,
    /// Of a token request.
    grant_type: Option<String>,
}

/// The first bytes of a body, then its end by an error.
struct Truncated {
    inner: Body,
    left: usize,
    /// Whether the connection has had a turn to send what it was given; hyper drops what waits when a body fails.
    flushed: bool,
}

pub(super) async fn exchange(sandbox: &Sandbox, request: Request<Incoming>) -> Result<Answer, Cut> {
    let outcome = handle(sandbox, request).await;
    outcome.map(|answer| answer.at(sandbox.shared.now()))
}

async fn handle(sandbox: &Sandbox, request: Request<Incoming>) -> Result<Answer, Cut> {
    let shared = &*sandbox.shared;
    let mut call = Call::new(request);
    if let Some(path) = call.path.strip_prefix("/_sandbox/") {
        let path = path.to_owned();
        return Ok(control::handle(sandbox, &mut call, &path).await);
    }
    let at = shared.now();
    let whose = whose(shared, &mut call).await;
    tally(shared, &call, &whose);
    let outcome = work(shared, &mut call, whose.seen.user.as_deref()).await;
    let status = outcome.as_ref().ok().map(Answer::status);
    shared.counters.answered(call.endpoint, status);
    if status.is_none() {
        shared.counters.cut.fetch_add(1, Relaxed);
    }
    shared.log.line(line(&call, &whose.seen, outcome.as_ref().ok()));
    shared.memory.remember(Remembered {
        at,
        endpoint: call.endpoint,
        method: call.method,
        target: call.target,
        version: call.version,
        headers: visible(&call.headers),
        credential: whose.seen,
        body: call.seen,
        status: status.map(|status| status.as_u16()),
    });
    outcome
}

async fn work(shared: &Shared, call: &mut Call, user: Option<&str>) -> Result<Answer, Cut> {
    let answer = match strike(shared, call.endpoint, Moment::BeforeProcessing, user).await {
        None => route(shared, call).await,
        // There is nothing to truncate before the work is done.
        Some(effect @ Effect::Truncate(_)) => {
            let answer = route(shared, call).await;
            end(shared, call, effect, answer)?
        }
        Some(effect) => {
            match &effect {
                Effect::Cut => {}
                Effect::Answer(canned) if canned.request_body == RequestBody::Unread => {}
                _ => call.drain().await,
            }
            return end(shared, call, effect, answer::empty(StatusCode::OK));
        }
    };
    call.drain().await;
    match strike(shared, call.endpoint, Moment::AfterProcessing, user).await {
        None => Ok(answer),
        Some(effect) => end(shared, call, effect, answer),
    }
}

/// Waits at gates and delays; answers the effect that ends the request, if there is one.
async fn strike(shared: &Shared, endpoint: Endpoint, moment: Moment, user: Option<&str>) -> Option<Effect> {
    for strike in shared.faults.take(endpoint, moment, user) {
        match strike {
            Strike::Pause(Effect::Hold(gate)) => gate.pass().await,
            Strike::Pause(Effect::Delay(time)) => tokio::time::sleep(time).await,
            Strike::Pause(effect) | Strike::End(effect) => return Some(effect),
        }
    }
    None
}

/// What `effect` makes of `answer`.
fn end(shared: &Shared, call: &Call, effect: Effect, answer: Answer) -> Result<Answer, Cut> {
    match effect {
        Effect::Answer(canned) => Ok(canned.answer().note("fault")),
        Effect::OAuthError(code) if call.endpoint == Endpoint::Authorize => {
            Ok(oauth::authorize_error(shared, call, &code))
        }
        Effect::OAuthError(code) => {
            Ok(answer::oauth_error(StatusCode::BAD_REQUEST, &code, "A fault set for this test."))
        }
        Effect::Truncate(left) => {
            Ok(answer.map(|inner| Truncated { inner, left, flushed: false }.boxed_unsync()).note("truncated"))
        }
        Effect::Delay(_) | Effect::Hold(_) => Ok(answer),
        Effect::Cut => Err(Cut),
    }
}

async fn route(shared: &Shared, call: &mut Call) -> Answer {
    match call.endpoint {
        Endpoint::Token => oauth::token(shared, call).await,
        Endpoint::Revoke => oauth::revoke(shared, call).await,
        Endpoint::Introspect => oauth::introspect(shared, call).await,
        Endpoint::Authorize => oauth::authorize(shared, call).await,
        Endpoint::Resource => resources::handle(shared, call).await,
        Endpoint::Site => oauth::site(shared, call).await,
    }
}

async fn whose(shared: &Shared, call: &mut Call) -> Whose {
    match call.endpoint {
        Endpoint::Resource => bearer(shared, resources::access_token(call).map(|(_, token)| token)),
        Endpoint::Token | Endpoint::Revoke | Endpoint::Introspect => {
            let body = call.read().await.unwrap_or_default();
            let form = std::str::from_utf8(&body).ok().and_then(|text| Params::parse(text).ok()).unwrap_or_default();
            let grant_type = form.get("grant_type").map(str::to_owned);
            let whose = match form.get("code").and_then(|code| shared.world.code(code)) {
                Some(code) => Whose::of(SeenCredential::of("oauth", &code.user.name)),
                None => bearer(shared, form.get("refresh_token").or(form.get("token"))),
            };
            Whose { grant_type, ..whose }
        }
        Endpoint::Authorize | Endpoint::Site => {
            let user = shared.world.signed_in.read().clone();
            Whose::of(SeenCredential { user, ..SeenCredential::none() })
        }
    }
}

fn bearer(shared: &Shared, token: Option<&str>) -> Whose {
    let Some(token) = token else { return Whose::of(SeenCredential::none()) };
    let found = shared.world.access(token).map(|token| (Arc::clone(&token.grant), token.version));
    let found = found.or_else(|| shared.world.refresh(token).map(|token| (token.grant, token.version)));
    if let Some((grant, version)) = found {
        let seen = SeenCredential {
            grant: Some(grant.id.to_string()),
            version: Some(version),
            ..SeenCredential::of("oauth", &grant.user.name)
        };
        return Whose { grant: Some(grant), ..Whose::of(seen) };
    }
    Whose::of(match shared.world.pat(token) {
        Some(pat) => SeenCredential::of("pat", &pat.user.name),
        None => SeenCredential { kind: "unknown", ..SeenCredential::none() },
    })
}

fn tally(shared: &Shared, call: &Call, whose: &Whose) {
    match call.endpoint {
        Endpoint::Resource => shared.counters.credential(whose.seen.kind),
        Endpoint::Token => shared.counters.token_request(whose.grant_type.as_deref()),
        Endpoint::Revoke | Endpoint::Introspect | Endpoint::Authorize | Endpoint::Site => {}
    }
    let Some(grant) = &whose.grant else { return };
    match call.endpoint {
        Endpoint::Resource => grant.tally.resource_requests.fetch_add(1, Relaxed),
        Endpoint::Token => grant.tally.token_requests.fetch_add(1, Relaxed),
        Endpoint::Revoke | Endpoint::Introspect | Endpoint::Authorize | Endpoint::Site => return,
    };
    if grant.ended().is_some() {
        grant.tally.after_end.fetch_add(1, Relaxed);
        shared.counters.presented_after_end.fetch_add(1, Relaxed);
    }
}

/// The log line of a request. It names no query, which may hold a code.
fn line(call: &Call, whose: &SeenCredential, answer: Option<&Answer>) -> String {
    let what = match call.endpoint {
        Endpoint::Resource => format!("{} {}", call.method, call.path.strip_prefix(API).unwrap_or(&call.path)),
        Endpoint::Site => format!("{} {}", call.method, call.path),
        endpoint => endpoint.to_string(),
    };
    let status = answer.map_or("cut".to_owned(), |answer| answer.status().as_u16().to_string());
    let note = answer.and_then(|answer| answer.extensions().get::<Note>()).map_or("", |Note(words)| words);
    let user = whose.user.as_deref().unwrap_or_default();
    let version = whose.version.map(|version| format!("v{version}")).unwrap_or_default();
    let words: Vec<&str> = match call.endpoint {
        Endpoint::Resource => vec![&what, &status, note, user, whose.kind, &version],
        // Their notes tell the whole story.
        _ if answer.is_some_and(|answer| answer.status().is_success()) && !note.is_empty() => vec![&what, note],
        _ => vec![&what, user, &status, note],
    };
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

// === impl Whose ===

impl Whose {
    fn of(seen: SeenCredential) -> Self {
        Self { seen, grant: None, grant_type: None }
    }
}

// === impl SeenCredential ===

impl SeenCredential {
    fn none() -> Self {
        Self { kind: "none", user: None, grant: None, version: None }
    }

    fn of(kind: &'static str, user: &str) -> Self {
        Self { kind, user: Some(user.to_owned()), ..Self::none() }
    }
}

// === impl Truncated ===

impl hyper::body::Body for Truncated {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 && !self.flushed {
            self.flushed = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.left == 0 {
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
        }
        let Some(frame) = ready!(Pin::new(&mut self.inner).poll_frame(cx)) else {
            self.left = 0;
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
        };
        let mut data = match frame?.into_data() {
            Ok(data) => data,
            Err(_trailers) => return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into()))),
        };
        data.truncate(self.left);
        self.left -= data.len();
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
