//! What could not be done, for people.

use axum::response::{IntoResponse, Response};
use maud::html;

use crate::{
    admin::error::{Code, Failure},
    credential::StoreError,
    model::tenant::InvalidTenant,
    web::{Page, Sign},
};

/// A failure on the page rather than in the API.
#[derive(Debug)]
pub(in crate::admin) struct Trouble(Failure);

// === impl Trouble ===

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let problem = self.0.into_problem();
        let main = html! {
            div.panel.narrow {
                h1 { "Sorry, that did not work" }
                p.says.bad { (Sign::Bad) (problem.title) }
                p { (problem.detail) }
                div.acts { a.button href="./" { "Back to the connections" } }
            }
        };
        Page::new(problem.title, main).status(problem.status).into_response()
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self(error.into())
    }
}

impl From<InvalidTenant> for Trouble {
    fn from(fault: InvalidTenant) -> Self {
        Self(Code::Invalid.problem(format!("That is not the name of a tenant: {fault}.")).into())
    }
}
