//! That this is the sidecar, for who is about to send it the admin token.

use axum::{Extension, Json, extract::State};
use serde::Deserialize;

use crate::{
    admin::{
        Admin,
        client::{Ends, Nonce, ProofDocument, can_be_proven},
        error::{Code, Failure},
        request::Params,
    },
    model::Peer,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    nonce: String,
}

/// `GET /v1/proof`, for anybody.
pub(super) async fn prove(
    State(admin): State<Admin>,
    Extension(peer): Extension<Peer>,
    Params(asked): Params<Asked>,
) -> Result<Json<ProofDocument>, Failure> {
    let Some(nonce) = Nonce::from_text(&asked.nonce) else {
        return Err(Code::Invalid.problem("The query cannot be used: nonce: not 32 bytes in base64url.").into());
    };
    let token = &admin.settings.get().token;
    let Peer::Tcp { ours, theirs } = peer else {
        return Err(Code::NotFound
            .problem("Over a unix socket nothing is proven: its directory says whose it is.")
            .into());
    };
    if !can_be_proven(token) {
        return Err(Code::NotFound.problem("The admin token is so short that a proof could give it away.").into());
    }
    Ok(Json(ProofDocument::new(token, &nonce, Ends { listener: ours, caller: theirs })))
}
