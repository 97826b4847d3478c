//! What people are told when it came to nothing: what happened, and what to do. Nothing of it is the other side's text.

use http::StatusCode;

use super::Settings;
use crate::{
    connect_flow::{
        Refusal,
        outcome::{ErrorCode, GivenBack},
    },
    credential::SessionOutcome,
    flexslot::{NoClient, TokenError},
    web::Sign,
};

/// What a page of this kind has.
pub(super) struct Words {
    pub(super) status: StatusCode,
    pub(super) sign: Sign,
    pub(super) title: &'static str,
    pub(super) what: &'static str,
    pub(super) next: Next,
    /// What only those can mend who have the configuration.
    pub(super) operator: Option<String>,
}

/// What its reader can do.
pub(super) enum Next {
    /// The same again.
    Again,
    Do(&'static str),
    Nothing,
}

const ASK_FOR_ANOTHER: Next = Next::Do("Go back to where you found it, and ask for a new one.");
const TELL_THEM: Next = Next::Do("You can do nothing about it. Please tell whoever runs this app.");

// === impl Words ===

impl Words {
    pub(super) fn of(why: &Refusal, settings: &Settings) -> Self {
        match why {
            Refusal::UnknownLink => Self::new(
                StatusCode::NOT_FOUND,
                "This link has expired",
                "A link for connecting works for ten minutes. This one is older than that, or there never was one.",
                ASK_FOR_ANOTHER,
            ),
            Refusal::UsedLink(outcome) => Self::used(outcome),
            Refusal::TooManyFlows => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "This link was tried too often",
                "It has asked Flexslot so many times that it does not ask once more.",
                ASK_FOR_ANOTHER,
            ),
            Refusal::Waiting => Self::new(
                StatusCode::CONFLICT,
                "This link is in use",
                "Somebody has allowed access by this link, and it is still being completed.",
                Next::Do("Finish it in the window in which it was begun, or ask for a new link."),
            ),
            Refusal::NoClient(why) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "Connecting is not set up",
                "Without an OAuth client of Flexslot only personal access tokens work here.",
                TELL_THEM,
            )
            .operator(match why {
                NoClient::None => {
                    "set oauth.client_id in proxy.toml, or make a client: flexslot-proxy client create".to_owned()
                }
                why => format!("{why}; flexslot-proxy client list shows those of the store"),
            }),
            Refusal::NoAnswer => Self::new(
                StatusCode::BAD_REQUEST,
                "Something is missing here",
                "This is where Flexslot sends you after it has asked you, and its answer is not in the address.",
                Next::Again,
            ),
            Refusal::OtherBrowser => Self::new(
                StatusCode::BAD_REQUEST,
                "This answer does not belong to this browser",
                "It belongs to the browser in which the link was opened, and it counts once. If you have just \
                 connected, all is well, and you can close this window.",
                Next::Do("Otherwise start again, and stay in one browser until it is done."),
            ),
            Refusal::Spent => Self::new(
                StatusCode::BAD_REQUEST,
                "This answer came too late, or twice",
                "You have ten minutes to answer Flexslot, and each answer counts once.",
                Next::Again,
            ),
            Refusal::OtherIssuer => Self::new(
                StatusCode::BAD_REQUEST,
                "This answer is not from Flexslot",
                "Nothing was connected, because the answer does not say that it comes from the Flexslot that was asked.",
                Next::Again,
            )
            .operator(format!(
                "if this happens each time, oauth.issuer, which is \"{}\", is not what Flexslot sends as iss",
                settings.issuer
            )),
            Refusal::Denied => Self::new(
                StatusCode::FORBIDDEN,
                "You did not allow it",
                "Nothing was connected, and nothing has changed.",
                Next::Again,
            ),
            Refusal::Kept => Self::new(
                StatusCode::OK,
                "Nothing has changed",
                "The other account was not connected. You can close this window.",
                Next::Nothing,
            )
            .sign(Sign::Ok),
            Refusal::Flexslot(code) => Self::flexslot(*code),
            Refusal::Token(error) => Self::token(error),
            Refusal::Unusable(what, given_back) => {
                let became = match given_back {
                    GivenBack::Yes => "what was given was given back".to_owned(),
                    GivenBack::No => format!("what was given is still listed at {}", settings.manage_url),
                };
                Self::set_up_wrongly().operator(format!("{what}; this version cannot use such tokens, and {became}"))
            }
            Refusal::NoWayBack => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "The way back is closed",
                "Nothing was connected, because this page may not send you back to the app that you came from.",
                TELL_THEM,
            )
            .operator("the app's origin is not in admin.return_origins"),
            Refusal::Overtaken => Self::new(
                StatusCode::CONFLICT,
                "The connection was changed meanwhile",
                "Somebody has connected, disconnected or removed it while you were asked. Theirs counts.",
                Next::Again,
            ),
            Refusal::ClientRevoked => Self::new(
                StatusCode::CONFLICT,
                "The app was taken off Flexslot meanwhile",
                "What you have just allowed has ended with it. Nothing was connected.",
                TELL_THEM,
            )
            .operator("its OAuth client was revoked (flexslot-proxy client revoke); connect again through another"),
            Refusal::Busy => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "An earlier connection is still being ended",
                "Please wait for a minute.",
                Next::Again,
            ),
            Refusal::Store(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "Connecting does not work just now",
                "The place where connections are kept cannot be reached. Nothing was connected.",
                Next::Again,
            )
            .sign(Sign::Bad),
        }
    }

    fn used(outcome: &SessionOutcome) -> Self {
        let title = "This link has been used";
        match outcome {
            SessionOutcome::Connected => Self::new(
                StatusCode::GONE,
                title,
                "The connection that it was for stands. You can close this window.",
                Next::Nothing,
            )
            .sign(Sign::Ok),
            SessionOutcome::Denied | SessionOutcome::Failed(_) => {
                Self::new(StatusCode::GONE, title, "No connection came of it.", ASK_FOR_ANOTHER)
            }
        }
    }

    /// The errors of the authorization endpoint, whose codes are all of them that is shown.
    fn flexslot(code: ErrorCode) -> Self {
        let by_hint =
            |hint: &str| Self::set_up_wrongly().operator(format!("Flexslot answered {}; {hint}", code.as_str()));
        match code {
            ErrorCode::InvalidRequest => by_hint("check oauth.client_id, oauth.redirect_uri and oauth.authorize_url"),
            ErrorCode::UnauthorizedClient | ErrorCode::UnsupportedResponseType => {
                by_hint("the OAuth client needs the grant type authorization_code")
            }
            ErrorCode::InvalidScope => by_hint(
                "oauth.scopes, or what the app asked for, goes beyond what the OAuth client is allowed. What the \
                 connection may do already is asked for again; where the client may no longer, disconnect first",
            ),
            ErrorCode::ServerError | ErrorCode::Unknown => Self::new(
                StatusCode::BAD_GATEWAY,
                "Flexslot could not finish",
                "Something went wrong on Flexslot. Nothing was connected.",
                Next::Again,
            )
            .operator(format!("Flexslot answered {}", code.as_str())),
            ErrorCode::TemporarilyUnavailable => Self::busy(),
        }
    }

    /// Why no tokens came for the code.
    fn token(error: &TokenError) -> Self {
        match error {
            TokenError::NotSent(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "Flexslot cannot be reached",
                "You have allowed it, but this app could not tell Flexslot so. Please try again in a few minutes.",
                Next::Again,
            )
            .operator(error.to_string()),
            TokenError::RefusedForNow { .. } => Self::busy(),
            TokenError::Unknown(_) => Self::new(
                StatusCode::BAD_GATEWAY,
                "Flexslot did not answer",
                "You have allowed it, and whether that has reached Flexslot is not known. Starting again does no harm.",
                Next::Again,
            )
            .operator(error.to_string()),
            TokenError::Revoked => Self::new(
                StatusCode::BAD_REQUEST,
                "Flexslot no longer takes this answer",
                "It has expired, or was used already. Please start again, and do not wait too long.",
                Next::Again,
            )
            .operator(
                "Flexslot answered invalid_grant to a new code. Where this happens each time, check that \
                 oauth.redirect_uri is registered for this OAuth client",
            ),
            TokenError::Misconfigured(what) => Self::set_up_wrongly().operator(what.clone()),
        }
    }

    fn busy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Flexslot is busy",
            "It is overloaded or being maintained. Please try again in a few minutes.",
            Next::Again,
        )
    }

    fn set_up_wrongly() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "This app is not set up rightly",
            "Nothing was connected, because Flexslot does not accept how this app asks.",
            TELL_THEM,
        )
        .sign(Sign::Bad)
    }

    const fn new(status: StatusCode, title: &'static str, what: &'static str, next: Next) -> Self {
        Self { status, sign: Sign::Warn, title, what, next, operator: None }
    }

    fn sign(self, sign: Sign) -> Self {
        Self { sign, ..self }
    }

    fn operator(self, words: impl Into<String>) -> Self {
        Self { operator: Some(words.into()), ..self }
    }
}
