//! What the browser brings back from Flexslot (RFC 6749 sections 4.1.2 and 4.1.2.1, RFC 9207).
//!
//! The order is the protection: `state` is looked for among what this browser began, taken from the store, once, and
//! its binding compared; then `iss` is compared byte for byte; only then is anything else of the answer believed.

use std::borrow::Cow;

use super::{ConnectFlow, Outcome, Refusal, Refused, outcome::ErrorCode};
use crate::{
    credential::{Flow, Progress, Session},
    model::Secret,
};

/// An authorization response, as it came.
#[derive(Debug)]
pub struct Answer {
    pub state: Secret,
    iss: Option<String>,
    error: Option<String>,
    code: Option<Secret>,
}

/// What a checked answer says.
pub(super) enum Word {
    Code(Secret),
    Error(ErrorCode),
    Denied,
}

/// A flow that has come back to where it began, and its session.
pub(super) struct Back {
    pub(super) flow: Flow,
    /// What the browser has proved that with.
    pub(super) binding: Secret,
    pub(super) session: Session,
}

// === impl Answer ===

impl Answer {
    /// Reads a query. `None`: it has no `state`, or one of its parameters twice (RFC 6749 section 3.1). What it says
    /// else, the server's own words among it, is left aside.
    pub fn parse(query: &str) -> Option<Self> {
        let (mut state, mut iss, mut error, mut code) = (None, None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let known: &mut Option<Cow<'_, str>> = match name.as_ref() {
                "state" => &mut state,
                "iss" => &mut iss,
                "error" => &mut error,
                "code" => &mut code,
                _ => continue,
            };
            if known.replace(value).is_some() {
                return None;
            }
        }
        Some(Self {
            state: Secret::new(state.filter(|state| !state.is_empty())?),
            iss: iss.map(Cow::into_owned),
            error: error.map(Cow::into_owned),
            code: code.filter(|code| !code.is_empty()).map(Secret::new),
        })
    }

    /// What it says, once it is known to be from `issuer`.
    fn word(self, issuer: &str) -> Result<Word, Refusal> {
        if self.iss.as_deref() != Some(issuer) {
            return Err(Refusal::OtherIssuer);
        }
        match (self.error, self.code) {
            (Some(error), _) if error == "access_denied" => Ok(Word::Denied),
            (Some(error), _) => Ok(Word::Error(ErrorCode::from_name(&error))),
            (None, Some(code)) => Ok(Word::Code(code)),
            (None, None) => Err(Refusal::NoAnswer),
        }
    }
}

// === impl ConnectFlow ===

impl ConnectFlow {
    /// Takes what came back. `binding` is what the browser has for this `state`, and `None` where it has nothing: then
    /// nothing is consumed either.
    pub async fn callback(&self, answer: Answer, binding: Option<&str>) -> Outcome {
        let back = match self.take_back(&answer, binding).await {
            Ok(back) => back,
            Err(refused) => return self.refuse(refused),
        };
        let stays_open =
            |why| Refused { why, tenant: Some(back.session.tenant.clone()), again: Some(back.flow.session.clone()) };
        match answer.word(&self.settings().issuer) {
            // Nobody knows who says so; whatever Flexslot itself would have said is not for this answer to end.
            Err(why) => self.refuse(stays_open(why)),
            Ok(Word::Denied) => self.fail(&back, Refusal::Denied).await,
            Ok(Word::Error(code)) => self.fail(&back, Refusal::Flexslot(code)).await,
            Ok(Word::Code(code)) => self.redeem(back, code).await,
        }
    }

    /// The flow that the answer belongs to, which is over by that.
    async fn take_back(&self, answer: &Answer, binding: Option<&str>) -> Result<Back, Refused> {
        let refused = Refused::outright;
        let binding = binding.ok_or(refused(Refusal::OtherBrowser))?;
        let taken = self.credentials().take_flow(answer.state.expose()).await;
        let flow = taken.map_err(|error| refused(error.into()))?.ok_or(refused(Refusal::Spent))?;
        if !flow.binding.is_of(binding) {
            return Err(refused(Refusal::OtherBrowser));
        }
        let session = self.session(&flow.session).await?;
        let used = match &session.progress {
            Progress::Open => return Ok(Back { flow, binding: Secret::new(binding), session }),
            Progress::Parked(_) => Refusal::Waiting,
            Progress::Ended(outcome) => Refusal::UsedLink(outcome.clone()),
        };
        Err(Refused { why: used, tenant: Some(session.tenant), again: None })
    }
}
