//! Tenants and their cards.

use axum::{Json, extract::State};
use http::StatusCode;
use serde::Deserialize;

use crate::{
    admin::{
        Admin,
        client::{CardDocument, CardList},
        error::{Code, Failure},
        request::{Named, Params},
    },
    credential::{CardPage, CardQuery},
    model::{ConnectionState, TenantId},
};

/// What of the list is wanted, as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    state: Option<String>,
    /// What the tenants' names begin with.
    q: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

/// How many cards are sent where nobody says how many.
const FEW: usize = 50;

/// How many at most.
const MANY: usize = 1000;

/// `GET /v1/tenants`
pub(super) async fn list(
    State(admin): State<Admin>,
    Params(wanted): Params<Wanted>,
) -> Result<Json<CardList>, Failure> {
    let CardPage { cards, next, .. } = admin.credentials.cards(&wanted.meaning()?).await?;
    let settings = admin.settings.get();
    let tenants = cards.iter().map(|card| CardDocument::new(card, &settings.manage_url)).collect();
    Ok(Json(CardList { tenants, next: next.map(|tenant| tenant.to_string()) }))
}

/// `GET /v1/tenants/{tenant}`
pub(super) async fn one(State(admin): State<Admin>, Named(tenant): Named) -> Result<Json<CardDocument>, Failure> {
    let card = admin.credentials.card(&tenant).await?.ok_or_else(|| unknown(&tenant))?;
    Ok(Json(CardDocument::new(&card, &admin.settings.get().manage_url)))
}

/// `DELETE /v1/tenants/{tenant}`
pub(super) async fn remove(State(admin): State<Admin>, Named(tenant): Named) -> Result<StatusCode, Failure> {
    if admin.credentials.card(&tenant).await?.is_none() {
        return Err(unknown(&tenant));
    }
    admin.credentials.remove(&tenant).await?;
    tracing::info!(%tenant, "the admin API has removed a tenant");
    Ok(StatusCode::NO_CONTENT)
}

fn unknown(tenant: &TenantId) -> Failure {
    Code::NotFound.problem("Neither the store nor the configuration knows this tenant.").of(tenant).into()
}

// === impl Wanted ===

impl Wanted {
    fn meaning(self) -> Result<CardQuery, Failure> {
        let state = self.state.map(|name| match ConnectionState::from_name(&name) {
            Some(state) => Ok(state),
            None => {
                let names = ConnectionState::ALL.map(ConnectionState::as_str).join(", ");
                Err(unusable(&format!("state: not one of {names}")))
            }
        });
        let after = self.after.map(|name| name.parse().map_err(|invalid| unusable(&format!("after: {invalid}"))));
        let limit = self.limit.map_or(Ok(FEW), |limit| match limit.parse() {
            Ok(limit) if (1..=MANY).contains(&limit) => Ok(limit),
            _ => Err(unusable(&format!("limit: not a number from 1 to {MANY}"))),
        });
        Ok(CardQuery { state: state.transpose()?, prefix: self.q, after: after.transpose()?, limit: limit? })
    }
}

fn unusable(what: &str) -> Failure {
    Code::Invalid.problem(format!("The query cannot be used: {what}.")).into()
}
