//! Credentials that an app brings and takes away.

use axum::extract::State;
use http::StatusCode;

use crate::{
    admin::{
        Admin,
        error::{Code, Failure},
        request::{Json, Named},
    },
    credential::{Brought, BroughtGrant, Existing, Import},
    model::{
        Secret,
        import::ImportLine,
        json::{self, Fault},
    },
};

/// `PUT /v1/tenants/{tenant}/pat`
pub(super) async fn set_pat(
    State(admin): State<Admin>,
    Named(tenant): Named,
    Json(body): Json,
) -> Result<StatusCode, Failure> {
    let [pat] = body.fields([&["pat"]])?;
    let pat = json::secret("pat", pat, Secret::is_header_safe)?.ok_or_else(|| Fault::missing("pat"))?;
    admin.credentials.set_pat(&tenant, pat).await?;
    tracing::info!(%tenant, "the admin API has set a PAT");
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /v1/tenants/{tenant}/pat`
pub(super) async fn remove_pat(State(admin): State<Admin>, Named(tenant): Named) -> Result<StatusCode, Failure> {
    if admin.credentials.remove_pat(&tenant).await? {
        tracing::info!(%tenant, "the admin API has removed a PAT");
    }
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT /v1/tenants/{tenant}/grant`: takes the place of whatever grant there is.
pub(super) async fn import_grant(
    State(admin): State<Admin>,
    Named(tenant): Named,
    Json(body): Json,
) -> Result<StatusCode, Failure> {
    let ImportLine { pat, grant, .. } = ImportLine::of(&tenant, body)?;
    let grant = grant.ok_or_else(|| Fault::missing("refresh_token"))?;
    let client_id = match grant.client_id.clone().or_else(|| admin.settings.get().client_id.clone()) {
        Some(client_id) => client_id,
        None => return Err(Fault::field("client_id", "missing, and the configuration sets no oauth.client_id").into()),
    };
    let grant = BroughtGrant { client_id, tokens: grant.into_tokens() };
    let brought = Brought { pat, grant: Some(grant) };
    match admin.credentials.import_grant(&tenant, brought, Existing::Replace).await? {
        Import::Added | Import::Replaced => {
            tracing::info!(%tenant, "the admin API has imported a grant");
            Ok(StatusCode::NO_CONTENT)
        }
        Import::Skipped | Import::Uncertain => Err(Code::Conflict
            .problem("This very refresh token is being presented to Flexslot just now, so the grant stays as it is.")
            .of(&tenant)
            .into()),
    }
}
