//! The API: one file per kind of thing that it is about.

mod connecting;
mod credentials;
mod proof;
mod requests;
mod tenants;

use axum::{
    Router, middleware,
    routing::{get, post, put},
};

pub(super) use connecting::open_session;

use super::{Admin, auth, openapi};

/// The routes below `/v1`. All but the description and the proof want a caller who may call.
pub(super) fn routes(admin: &Admin) -> Router<Admin> {
    Router::new()
        .route("/v1/tenants", get(tenants::list))
        .route("/v1/tenants/{tenant}", get(tenants::one).delete(tenants::remove))
        .route("/v1/tenants/{tenant}/pat", put(credentials::set_pat).delete(credentials::remove_pat))
        .route("/v1/tenants/{tenant}/grant", put(credentials::import_grant))
        .route("/v1/tenants/{tenant}/connect-sessions", post(connecting::open))
        .route("/v1/tenants/{tenant}/disconnect", post(connecting::disconnect))
        .route("/v1/connect-sessions/{id}/complete", post(connecting::complete))
        .route("/v1/requests/{request_id}", get(requests::one))
        .route("/v1/sign-in-links", post(auth::make_link))
        .route_layer(middleware::from_fn_with_state(admin.clone(), auth::authenticated))
        .route("/v1/openapi.json", get(openapi::serve))
        .route("/v1/proof", get(proof::prove))
}
