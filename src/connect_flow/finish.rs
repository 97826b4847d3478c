//! Redeems a code, and finds out whose grant it brings before that is anybody's.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    ConnectFlow, Outcome, Refusal, Refused, Settings,
    begin::{secret, wanted},
    callback::Back,
    outcome::{Confirmation, GivenBack},
    return_to,
};
use crate::{
    credential::{Awaiting, Consented, SessionOutcome, consent::Again},
    flexslot::{Introspection, Redemption, Revocation, Revoke, TokenAnswer, TokenError, Verifier},
    model::{Identity, ScopeSet, Secret, TenantId, TokenSet, TokenType, token::DEFAULT_LIFE},
};

/// How long its user waits for what is good to know and not needed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who tells its user how it went.
enum Way {
    /// Our own page.
    Page,
    /// The app at this address, which has the last word by this code.
    App { address: String, code: Secret },
}

/// Whose a grant is, against whose it was.
enum Whose {
    /// The same user's, or the first one's.
    Expected,
    /// Another's, or nobody knows; before it was this one's.
    Other(Identity),
}

// === impl ConnectFlow ===

impl ConnectFlow {
    /// Redeems the code that a flow has brought, to the end, whether or not its browser waits for it, and a drain waits
    /// for it: a code is spent once it is sent.
    pub(super) async fn redeem(&self, back: Back, code: Secret) -> Outcome {
        let flow = self.clone();
        let redeeming = async move { flow.redeem_and_keep(back, &code).await };
        let outcome = self.credentials().see_through(redeeming).await;
        outcome.unwrap_or_else(|| {
            let interrupted = TokenError::Unknown("it was interrupted".into());
            self.refuse(Refused::outright(Refusal::Token(interrupted)))
        })
    }

    async fn redeem_and_keep(&self, back: Back, code: &Secret) -> Outcome {
        // One Flexslot from here to the end, whatever is reloaded meanwhile.
        let settings = self.settings();
        let way = match self.way(&settings, &back) {
            Ok(way) => way,
            Err(why) => return self.fail(&back, why).await,
        };
        // Asked first, because a store that is out of reach should not cost the code. Whoever disconnects from here on has
        // a later word than the one who allowed it.
        let outset = match self.credentials().outset(&back.session.tenant).await {
            Ok(outset) => outset,
            Err(error) => return self.fail(&back, error.into()).await,
        };
        // A revocation that arrives after this grant could end it too.
        self.credentials().clear_revocations(&back.session.tenant).await;
        let redemption = Redemption {
            code,
            verifier: Verifier::from_stored(back.flow.verifier.clone()),
            redirect_uri: &back.flow.redirect_uri,
        };
        let answer = match settings.server.redeem(&back.flow.client_id, redemption).await {
            Ok(answer) => answer,
            Err(error) => return self.fail(&back, Refusal::Token(error)).await,
        };
        let (identity, told) = self.introspect(&settings, &back, &answer.access).await;
        let tokens = match self.usable(&settings, &back, answer, told).await {
            Ok(tokens) => tokens,
            Err(why) => return self.fail(&back, why).await,
        };
        let whose = whose(outset.identity.clone(), identity.as_ref());
        let (client_id, origin) = (back.flow.client_id.clone(), settings.origin.clone());
        let consented = Consented { tokens, client_id, origin, identity, outset };
        match whose {
            Whose::Expected => self.take_over(&back, consented, way).await,
            Whose::Other(before) => self.ask(&back, consented, before).await,
        }
    }

    /// Whose the grant is, and its scopes, as far as Flexslot says.
    async fn introspect(
        &self,
        settings: &Settings,
        back: &Back,
        access: &Secret,
    ) -> (Option<Identity>, Option<String>) {
        match timeout(PATIENCE, settings.server.introspect(&back.flow.client_id, access)).await {
            Ok(Ok(Introspection::Active { identity, scope })) => (identity, scope),
            Ok(Ok(Introspection::Inactive)) => {
                tracing::warn!(tenant = %back.session.tenant, "Flexslot calls a grant inactive that it has just given");
                (None, None)
            }
            Ok(Err(error)) => {
                tracing::warn!(tenant = %back.session.tenant, %error, "Flexslot does not say whose a new grant is");
                (None, None)
            }
            Err(_) => {
                tracing::warn!(tenant = %back.session.tenant, "Flexslot does not say in time whose a new grant is");
                (None, None)
            }
        }
    }

    /// What was given, as far as it can be used; what cannot is given back.
    async fn usable(
        &self,
        settings: &Settings,
        back: &Back,
        answer: TokenAnswer,
        told: Option<String>,
    ) -> Result<TokenSet, Refusal> {
        let Some(refresh) = answer.refresh else {
            let given_back = self.give_back(settings, back, Revoke::Access(&answer.access)).await;
            return Err(Refusal::Unusable("the token answer has no refresh token", given_back));
        };
        if answer.token_type == TokenType::Dpop && answer.key.is_none() {
            let given_back = self.give_back(settings, back, Revoke::Refresh(&refresh)).await;
            let what = "Flexslot binds the tokens to a key (DPoP), and none was shown to it";
            return Err(Refusal::Unusable(what, given_back));
        }
        let scopes = match (answer.scope.or(told), &back.flow.scopes) {
            (Some(scope), _) => ScopeSet::new(&scope),
            // What was asked for (RFC 6749 section 5.1).
            (None, Some(asked)) => asked.clone(),
            (None, None) => wanted(&back.session, None, settings.client(&back.session).ok().as_ref(), settings),
        };
        let now = self.0.clock.now();
        Ok(TokenSet {
            access: answer.access,
            refresh,
            token_type: answer.token_type,
            scopes,
            expires_at: now.plus(answer.expires_in.unwrap_or(DEFAULT_LIFE)),
            answered_at: Some(now),
            key: answer.key,
        })
    }

    /// Where the browser ends if all goes well.
    fn way(&self, settings: &Settings, back: &Back) -> Result<Way, Refusal> {
        if back.session.return_to.is_none() {
            return Ok(Way::Page);
        }
        let code = secret(&self.0.random);
        let (id, session) = (&back.flow.session, &back.session);
        let address = return_to::address(settings, id, session, &SessionOutcome::Connected, Some(&code));
        address.map(|address| Way::App { address, code }).ok_or(Refusal::NoWayBack)
    }

    /// The grant becomes the tenant's; or, where an app has the last word, waits for it.
    async fn take_over(&self, back: &Back, consented: Consented, way: Way) -> Outcome {
        let id = &back.flow.session;
        let kept = match way {
            Way::Page => self.credentials().connect(id, consented).await.map(Outcome::Connected),
            Way::App { address, code } => {
                let parked = self.credentials().park(id, consented, Awaiting::Completion { code }).await;
                parked.map(|()| Outcome::Return(address))
            }
        };
        match kept {
            Ok(outcome) => self.tell(&back.session.tenant, outcome),
            Err(error) => self.fail(back, error.into()).await,
        }
    }

    /// The browser has to say whether the other user is meant.
    async fn ask(&self, back: &Back, consented: Consented, before: Identity) -> Outcome {
        let (id, tenant) = (&back.flow.session, &back.session.tenant);
        let now = consented.identity.clone();
        let awaiting = Awaiting::Confirmation { binding: back.binding.clone() };
        match self.credentials().park(id, consented, awaiting).await {
            Ok(()) => {
                let asked = Confirmation { session: id.clone(), tenant: tenant.clone(), before: Some(before), now };
                self.tell(tenant, Outcome::Confirm(asked))
            }
            Err(error) => self.fail(back, error.into()).await,
        }
    }

    /// Has Flexslot end a grant that cannot be used. Whether that works changes nothing for who waits.
    async fn give_back(&self, settings: &Settings, back: &Back, what: Revoke<'_>) -> GivenBack {
        let tenant = &back.session.tenant;
        match timeout(PATIENCE, settings.server.revoke(&back.flow.client_id, what)).await {
            Ok(Ok(Revocation::Accepted)) => return GivenBack::Yes,
            Ok(Ok(Revocation::Refused(what))) => {
                tracing::warn!(%tenant, what, "Flexslot refused to revoke a grant that cannot be used");
            }
            Ok(Err(error)) => tracing::warn!(%tenant, %error, "a grant that cannot be used was not revoked"),
            Err(_) => tracing::warn!(%tenant, "a grant that cannot be used was not revoked in time"),
        }
        GivenBack::No
    }

    /// The flow came to nothing by a word of Flexslot's, or of ours.
    pub(super) async fn fail(&self, back: &Back, why: Refusal) -> Outcome {
        let Back { flow, session, .. } = back;
        let outcome = match why {
            Refusal::Denied => SessionOutcome::Denied,
            _ => SessionOutcome::Failed(why.as_str().to_owned()),
        };
        let left = self.credentials().fail_flow(&flow.session, outcome.clone()).await.unwrap_or_else(|error| {
            tracing::debug!(tenant = %session.tenant, %error, "the end of a connect session was not noted");
            Again::Over
        });
        let again = (left == Again::Possible).then(|| flow.session.clone());
        let refused = Refused { why, tenant: Some(session.tenant.clone()), again };
        let told = self.refuse(refused);
        return_to::address(&self.settings(), &flow.session, session, &outcome, None).map_or(told, Outcome::Return)
    }

    /// The end of a flow, with its line in the log.
    pub(super) fn refuse(&self, refused: Refused) -> Outcome {
        let Refused { why, tenant, .. } = &refused;
        let (tenant, detail) = (tenant.as_ref().map(TenantId::as_str), why.detail());
        tracing::info!(tenant, outcome = "refused", reason = why.as_str(), detail, "a connect flow has ended");
        Outcome::Refused(refused)
    }

    /// The same for one that came to something.
    pub(super) fn tell(&self, tenant: &TenantId, outcome: Outcome) -> Outcome {
        let word = match &outcome {
            Outcome::Connected(_) => "connected",
            Outcome::Confirm(_) => "awaits_confirmation",
            Outcome::Return(_) => "awaits_completion",
            Outcome::Refused(_) => "refused",
        };
        tracing::info!(%tenant, outcome = word, "a connect flow has ended");
        outcome
    }
}

fn whose(known: Option<Identity>, now: Option<&Identity>) -> Whose {
    match (known, now) {
        (None, _) => Whose::Expected,
        (Some(known), Some(now)) if known.sub == now.sub => Whose::Expected,
        (Some(known), _) => Whose::Other(known),
    }
}
