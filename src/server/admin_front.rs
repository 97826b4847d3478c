//! Before the admin routes: the same Host and Origin rules as before the data plane.

use std::fmt;

use arc_swap::ArcSwap;
use axum::{Router, body::Body};
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use tower_service::Service as _;

use super::{
    accept::{Answers, ConnInfo},
    request_id::RequestIds,
    respond,
    wire::Refusal,
};
use crate::{
    model::Problem,
    proxy::{
        error::guard_problem,
        guard::{Admitted, Guard, Reach},
    },
};

/// Answers the requests of the admin listener.
pub struct AdminFront {
    router: Router,
    guard: ArcSwap<Guard>,
    ids: RequestIds,
}

// === impl AdminFront ===

impl AdminFront {
    /// A front before `router`.
    pub fn new(router: Router, guard: Guard, ids: RequestIds) -> Self {
        Self { router, guard: ArcSwap::from_pointee(guard), ids }
    }

    /// Takes over new rules.
    pub fn set_guard(&self, guard: Guard) {
        self.guard.store(std::sync::Arc::new(guard));
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        if let Some(refusal) = request.extensions().get::<Refusal>() {
            return respond::bare(refusal.status()).map(Body::new);
        }
        let reach = request.extensions().get::<std::sync::Arc<ConnInfo>>().map_or(Reach::Unix, |info| info.reach);
        let (parts, body) = request.into_parts();
        let admitted = self.guard.load().admit(&parts, reach);
        let mut response = match admitted {
            Err(denied) => self.problem(&guard_problem(denied)),
            Ok(Admitted::Direct | Admitted::FromOrigin(_) | Admitted::Preflight(_)) => {
                let Ok(answered) = self.router.clone().call(Request::from_parts(parts, body)).await;
                match answered.extensions().get::<Problem>() {
                    Some(problem) => self.problem(problem),
                    None => answered,
                }
            }
        };
        // Nothing in here is a document, whatever a browser makes of it.
        response.headers_mut().insert(http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    fn problem(&self, problem: &Problem) -> Response<Body> {
        respond::problem(problem, &self.ids.next()).map(Body::new)
    }
}

impl Answers for AdminFront {
    type Body = Body;

    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send {
        self.respond(request)
    }
}

impl fmt::Debug for AdminFront {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminFront").finish_non_exhaustive()
    }
}
