//! Before the admin routes: the same Host and Origin rules as before the data plane, and the paths that an app's web
//! server leaves as they are.

use std::fmt;

use arc_swap::ArcSwap;
use axum::{Router, body::Body};
use http::{HeaderValue, Request, Response, Uri, header::ALLOW, uri::PathAndQuery};
use hyper::body::Incoming;
use tower_service::Service as _;

use super::{
    accept::{Answers, Came},
    request_id::RequestIds,
    respond,
    wire::Refusal,
};
use crate::{
    admin,
    connect_flow::ConnectFlow,
    model::{Peer, Problem},
    proxy::{
        error::guard_problem,
        guard::{Admitted, Guard},
    },
};

/// Answers the requests of the admin listener.
pub struct AdminFront {
    router: Router,
    guard: ArcSwap<Guard>,
    ids: RequestIds,
    /// Knows which paths are its own under another name.
    connecting: Option<ConnectFlow>,
}

// === impl AdminFront ===

impl AdminFront {
    /// A front before `router`.
    pub fn new(router: Router, guard: Guard, ids: RequestIds) -> Self {
        Self { router, guard: ArcSwap::from_pointee(guard), ids, connecting: None }
    }

    /// The same with `connecting` among its routes, also where browsers reach it by the public URL.
    #[must_use]
    pub fn connecting(self, connecting: ConnectFlow) -> Self {
        Self { connecting: Some(connecting), ..self }
    }

    /// Takes over new rules.
    pub fn set_guard(&self, guard: Guard) {
        self.guard.store(std::sync::Arc::new(guard));
    }

    async fn respond(&self, request: Request<Incoming>, came: Came) -> Response<Body> {
        match came.refusal {
            Some(Refusal::Fragment) => {
                return self.problem(
                    &admin::Code::Invalid.problem("The target has a fragment, which is for the client alone."),
                    came.on.peer,
                );
            }
            Some(refusal) => return respond::bare(refusal.status()).map(Body::new),
            None => {}
        }
        let (mut parts, body) = request.into_parts();
        let admitted = self.guard.load().admit(&parts, came.on.reach);
        let mut response = match admitted {
            Err(denied) => self.problem(&guard_problem(denied), came.on.peer),
            Ok(Admitted::Direct | Admitted::FromOrigin(_) | Admitted::Preflight(_)) => {
                if let Some(inner) = self.inner(&parts.uri) {
                    parts.uri = inner;
                }
                // A browser's session is for the user whose browser it is.
                parts.extensions.insert(came.on.peer);
                let Ok(answered) = self.router.clone().call(Request::from_parts(parts, body)).await;
                self.completed(answered, came.on.peer)
            }
        };
        // Nothing in here is a document, whatever a browser makes of it.
        response.headers_mut().insert(http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    /// The target as the routes know it, where that is another.
    fn inner(&self, uri: &Uri) -> Option<Uri> {
        let settings = self.connecting.as_ref()?.settings();
        let path = settings.inner_path(uri.path())?;
        let target = match uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
        Uri::from_parts(parts).ok()
    }

    /// Writes the problem that a route has left to be written.
    fn completed(&self, answered: Response<Body>, peer: Peer) -> Response<Body> {
        let Some(problem) = answered.extensions().get::<Problem>() else { return answered };
        let mut response = self.problem(problem, peer);
        for methods in answered.headers().get_all(ALLOW) {
            response.headers_mut().append(ALLOW, methods.clone());
        }
        response
    }

    fn problem(&self, problem: &Problem, peer: Peer) -> Response<Body> {
        respond::problem(problem, (self.ids.next(), peer), None).map(Body::new)
    }
}

impl Answers for AdminFront {
    type Body = Body;

    fn answer(&self, request: Request<Incoming>, came: Came) -> impl Future<Output = Response<Body>> + Send {
        self.respond(request, came)
    }
}

impl fmt::Debug for AdminFront {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminFront").finish_non_exhaustive()
    }
}
