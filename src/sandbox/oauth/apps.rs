//! The user-facing site: `/account/connected-apps`, where users see and revoke what they allowed.

use std::{fmt::Write, sync::Arc};

use http::{Method, StatusCode};

use super::{
    authorize::page as error_page,
    consent::in_words,
    html::{document, escape},
};
use crate::{
    model::GrantId,
    sandbox::{
        End, Shared,
        answer::{self, Answer, AnswerExt},
        call::Call,
        params::Params,
        world::User,
    },
};

const PATH: &str = "/account/connected-apps";

/// `GET ?user=` shows a user's grants, the signed-in user's without it; `POST` with `csrf` and `grant` revokes one.
pub(in crate::sandbox) async fn site(shared: &Shared, call: &mut Call) -> Answer {
    if call.path != PATH {
        return answer::not_found();
    }
    match call.method {
        Method::GET => {
            let params = Params::parse(&call.query).unwrap_or_default();
            match user(shared, &params) {
                Some(user) => page(&user),
                None => error_page("There is no such user in the sandbox."),
            }
        }
        Method::POST => {
            let body = call.read().await.unwrap_or_default();
            let text = String::from_utf8_lossy(&body).into_owned();
            revoke(shared, &Params::parse_unique(&text).unwrap_or_default())
        }
        _ => answer::method_not_allowed("GET, POST"),
    }
}

fn user(shared: &Shared, params: &Params) -> Option<Arc<User>> {
    let name = params.get("user").map(str::to_owned).or_else(|| shared.world.signed_in.read().clone())?;
    shared.world.user(&name)
}

fn page(user: &User) -> Answer {
    let (mut apps, name) = (String::new(), escape(&user.name));
    for grant in user.grants.lock().iter().filter(|grant| grant.ended().is_none()) {
        let (app, id) = (escape(&grant.client.name), grant.id);
        let scopes: Vec<_> = grant.scope.as_str().unwrap_or_default().split(' ').map(in_words).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(
            apps,
            "<section aria-labelledby=\"app-{id}\"><h2 id=\"app-{id}\">{app}</h2>\n<p>It can: {}.</p>\n\
             <form method=post action={PATH}><input type=hidden name=csrf value=\"{}\">\
             <input type=hidden name=user value=\"{name}\">\
             <button name=grant value={id} id=\"revoke-{id}\" aria-labelledby=\"revoke-{id} app-{id}\">Revoke</button></form></section>",
            scopes.join("; "),
            user.csrf,
        );
    }
    if apps.is_empty() {
        apps.push_str("<p>None is connected.</p>\n");
    }
    let main = format!("<h1>Apps connected to @{name}</h1>\n{apps}");
    answer::html(StatusCode::OK, document("Connected apps", &main))
}

fn revoke(shared: &Shared, form: &Params) -> Answer {
    let Some(user) = user(shared, form).filter(|user| form.get("csrf") == Some(user.csrf.as_str())) else {
        let main = "<h1>Not done</h1>\n<p>This form is not from this site.</p>\n";
        return answer::html(StatusCode::FORBIDDEN, document("Not done", main));
    };
    let grant = form.get("grant").and_then(|id| id.parse::<GrantId>().ok()).and_then(|id| shared.world.grant(id));
    match grant.filter(|grant| Arc::ptr_eq(&grant.user, &user)) {
        Some(grant) => {
            grant.end(End::RevokedByUser);
            let back = super::authorize::location(PATH, &[("user", &user.name)]);
            answer::redirect(StatusCode::SEE_OTHER, &back).note(format!("{} revoked {}", user.name, grant.client.name))
        }
        None => answer::not_found(),
    }
}
