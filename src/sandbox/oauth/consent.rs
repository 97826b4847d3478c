//! The consent page: who asks for what, Allow and Deny.

use std::{fmt::Write, sync::Arc, time::Duration};

use http::StatusCode;
use parking_lot::Mutex;

use super::{
    authorize::{location, page as error_page},
    html::{document, escape},
};
use crate::{
    model::{ScopeSet, Timestamp},
    sandbox::{
        Shared,
        answer::{self, Answer, AnswerExt},
        call::{API, Call},
        grants::{Code, CodeUse},
        ids,
        params::Params,
        world::{Registered, User},
    },
};

/// How long a consent page can be answered.
pub(super) const LIFE: Duration = Duration::from_secs(600);

/// A checked authorization request that waits for its user.
pub(in crate::sandbox) struct Pending {
    pub(super) client: Arc<Registered>,
    pub(super) redirect_uri: String,
    pub(super) state: String,
    pub(super) challenge: String,
    pub(super) scope: ScopeSet,
    pub(super) expires: Timestamp,
}

/// Serves the page. Its nonce is the proof that the answer comes from this page, once.
pub(super) fn page(shared: &Shared, pending: Pending) -> Answer {
    let nonce = ids::nonce(&shared.random);
    let signed_in = shared.world.signed_in.read().clone().unwrap_or_default();
    let mut scopes = String::new();
    for scope in pending.scope.as_str().unwrap_or_default().split(' ') {
        // Writing to a String cannot fail.
        let _ = write!(scopes, "<li>{} <small>({scope})</small></li>", in_words(scope));
    }
    let title = format!("{} wants to connect to Flexslot", pending.client.name);
    let main = format!(
        "<h1>{title}</h1>\n<p>It would be allowed to:</p>\n\
         <ul>{scopes}</ul>\n<form method=post action=\"{API}/oauth/authorize\">\n\
         <input type=hidden name=nonce value=\"{nonce}\">\n\
         <label for=user>Signed in as</label>\n<input id=user name=user value=\"{user}\" autocomplete=off>\n\
         <button name=decision value=allow class=main>Allow</button> <button name=decision value=deny>Deny</button>\n</form>\n",
        title = escape(&title),
        user = escape(&signed_in),
    );
    shared.world.pending.insert(nonce, Arc::new(pending));
    answer::html(StatusCode::OK, document(&title, &main)).note("consent page shown")
}

/// Takes the answer to a page.
pub(super) async fn decide(shared: &Shared, call: &mut Call) -> Answer {
    let body = call.read().await.unwrap_or_default();
    let form = std::str::from_utf8(&body).ok().and_then(|text| Params::parse_unique(text).ok()).unwrap_or_default();
    let pending = form.get("nonce").and_then(|nonce| shared.world.pending.remove(nonce)).map(|(_, pending)| pending);
    let Some(pending) = pending.filter(|pending| shared.now() < pending.expires) else {
        return error_page("This page has expired or was answered already.");
    };
    let user = form.get("user").map(str::to_owned).or_else(|| shared.world.signed_in.read().clone());
    match (form.get("decision"), user.and_then(|name| shared.world.user(&name))) {
        (Some("allow"), Some(user)) => allow(shared, &pending, &user, StatusCode::SEE_OTHER),
        (Some("allow"), None) => error_page("There is no such user in the sandbox."),
        (_, _) => {
            let back = [("error", "access_denied"), ("state", pending.state.as_str()), ("iss", shared.origin())];
            answer::redirect(StatusCode::SEE_OTHER, &location(&pending.redirect_uri, &back))
                .no_store()
                .note("access_denied")
        }
    }
}

/// Issues a code and sends the browser back.
pub(super) fn allow(shared: &Shared, pending: &Pending, user: &Arc<User>, status: StatusCode) -> Answer {
    let code = ids::token(&shared.random, "flx_code_");
    let entry = Code {
        client: Arc::clone(&pending.client),
        user: Arc::clone(user),
        redirect_uri: pending.redirect_uri.clone(),
        challenge: pending.challenge.clone(),
        scope: pending.scope.clone(),
        expires: shared.now().plus(shared.settings.code_life),
        use_: Mutex::new(CodeUse::Fresh),
    };
    shared.world.codes.insert(ids::digest(code.expose()), Arc::new(entry));
    let back = [("code", code.expose()), ("state", pending.state.as_str()), ("iss", shared.origin())];
    answer::redirect(status, &location(&pending.redirect_uri, &back)).no_store().note(format!("{} allowed", user.name))
}

/// A scope as people read it.
pub(super) fn in_words(scope: &str) -> &'static str {
    crate::model::scope::in_words(scope).unwrap_or("Something else")
}
