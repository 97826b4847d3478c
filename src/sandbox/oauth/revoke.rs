//! `POST /oauth/revoke` (RFC 7009).
//!
//! A live refresh token ends the whole grant, an access token itself alone. Everything else that authenticates gets its
//! 200 without effect, a spent refresh token too: whoever loses the race between refresh and disconnect has to revoke
//! the newer pair.

use std::sync::Arc;

use http::StatusCode;

use super::{client, form};
use crate::sandbox::{
    End, Shared,
    answer::{self, Answer, AnswerExt},
    call::Call,
    grants::Standing,
};

pub(in crate::sandbox) async fn revoke(shared: &Shared, call: &mut Call) -> Answer {
    let form = match form(call).await {
        Ok(form) => form,
        Err(answer) => return answer,
    };
    let client = match client(shared, call, &form) {
        Ok(client) => client,
        Err(error) => return error.answer(),
    };
    let Some(text) = form.get("token") else {
        return answer::oauth_error(StatusCode::BAD_REQUEST, "invalid_request", "The parameter token is missing.");
    };
    let refresh = shared.world.refresh(text).filter(|token| Arc::ptr_eq(&token.grant.client, &client));
    let access = shared.world.access(text).filter(|token| Arc::ptr_eq(&token.grant.client, &client));
    let effect = match (refresh, access) {
        (Some(token), _) if token.grant.refresh_standing(token.version, shared.now()) == Standing::Live => {
            token.grant.end(End::Revoked);
            format!("{} ok, the grant is over", token.grant.user.name)
        }
        (None, Some(token)) => {
            token.revoked.set(shared.now());
            format!("{} ok, the access token is over", token.grant.user.name)
        }
        (Some(_) | None, _) => "ok, nothing to revoke".to_owned(),
    };
    answer::empty(StatusCode::OK).no_store().note(effect)
}
