//! The way back to the app that opened a session.

use url::Url;

use super::Settings;
use crate::{
    credential::{Session, SessionOutcome},
    model::{Secret, SessionId},
};

/// Where the browser of `session` goes, with how it went. `None` where the session's page tells that itself, and where
/// the configuration no longer lets browsers go there.
pub(super) fn address(
    settings: &Settings,
    id: &SessionId,
    session: &Session,
    outcome: &SessionOutcome,
    code: Option<&Secret>,
) -> Option<String> {
    let mut url = Url::parse(session.return_to.as_deref()?).ok()?;
    let origin = url.origin().ascii_serialization();
    settings.return_origins.iter().find(|allowed| allowed.as_str() == origin)?;
    let mut added = form_urlencoded::Serializer::new(String::new());
    added.append_pair("flexslot_session", id.expose()).append_pair("flexslot_result", outcome.as_str());
    if let Some(code) = code {
        added.append_pair("flexslot_code", code.expose());
    }
    // What is there stays byte for byte; the app may have signed it.
    let query = match url.query() {
        Some(own) if !own.is_empty() => format!("{own}&{}", added.finish()),
        Some(_) | None => added.finish(),
    };
    url.set_query(Some(&query));
    Some(url.into())
}
