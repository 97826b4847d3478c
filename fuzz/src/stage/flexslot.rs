//! The OAuth server, as strict as one can be: a refresh token that comes twice ends its grant. It answers when it is told
//! to, knows which intents lie in the store, and says what must never be seen.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use flexslot_proxy::{
    flexslot::{
        AuthorizationRequest, AuthorizationServer, ConsentClient, Introspection, NoClient, Redemption, Revocation,
        Revoke, TokenAnswer, TokenEndpoint, TokenError, answer,
    },
    model::{
        GrantState, ProofKey, RedirectUri, ScopeSet, Secret, TenantId, Timestamp, TokenSet, TokenType,
        token::{Attempt, Intent},
    },
    store::{Existing, NewGrant, NewTenant, StoredPat, TokenStore},
};
use http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER};
use parking_lot::Mutex;
use tokio::{sync::oneshot, time::timeout};
use url::Url;

use super::{CLIENT, ORIGIN, SECRET, START, Which};

/// How long a token request is kept open. What has not been answered by then never is.
const GIVE_UP: Duration = Duration::from_secs(30);

/// What becomes of a token request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A new pair, for so many seconds.
    Rotate(u32),
    /// A new access token; the refresh token stays.
    KeepRefresh,
    /// It rotates, and the answer is lost.
    LoseAnswer,
    /// Nothing happens, and nobody can know.
    LoseQuestion,
    /// The user has ended the grant.
    End,
    Busy,
    NotSent,
    /// 401 `invalid_client`.
    Misconfigured,
    /// 500 without a word that is known.
    Broken,
    /// 200, and no token in it.
    Nonsense,
}

/// One of the numbered pairs of a consent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pair {
    pub tenant: String,
    pub consent: u64,
    pub number: u64,
    /// How many access tokens there were beside the same refresh token before.
    pub beside: u64,
}

/// What a request was sent with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Credential {
    Access(Pair),
    Pat { tenant: String, number: u64 },
}

/// A consent's line of rotating pairs.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    current: u64,
    beside: u64,
    ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Open,
    /// Provably without effect.
    NotTaken,
    Unknown,
    /// The asker has been told.
    Told,
}

/// A presentation of a refresh token.
#[derive(Debug)]
struct Asked {
    token: String,
    by: Which,
    attempt: Attempt,
    outcome: Outcome,
}

struct Waiting {
    question: usize,
    refresh: Secret,
    tell: oneshot::Sender<Result<TokenAnswer, TokenError>>,
}

/// All that is known at Flexslot.
pub struct Flexslot {
    /// The same store, without faults.
    store: TokenStore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lines: HashMap<(String, u64), Line>,
    consents: u64,
    pats: HashMap<String, u64>,
    /// Every intent that was ever stored, and the presentation that it was for.
    intents: Vec<(Intent, Option<usize>)>,
    asked: Vec<Asked>,
    waiting: VecDeque<Waiting>,
    /// Sidecars that have been told that a pair is of no use any more, since that was asked for last.
    told_of_end: Vec<(Which, Pair)>,
    /// Everything is answered at once, and well.
    open: bool,
    fault: Option<String>,
    /// What has happened, for whoever has to find out why.
    story: Vec<String>,
}

/// Flexslot as one sidecar sees it.
pub struct Door {
    pub flexslot: Arc<Flexslot>,
    pub sidecar: Which,
}

// === impl Pair ===

impl Pair {
    /// The first of a consent.
    fn first(tenant: &str, consent: u64) -> Self {
        Self { tenant: tenant.to_owned(), consent, number: 0, beside: 0 }
    }

    pub fn refresh(&self) -> Secret {
        Secret::new(format!("flx_rt_{}.{}.{}.{SECRET}", self.tenant, self.consent, self.number))
    }

    pub fn access(&self) -> Secret {
        let Self { tenant, consent, number, beside } = self;
        Secret::new(format!("flx_at_{tenant}.{consent}.{number}.{beside}.{SECRET}"))
    }

    /// As the token endpoint hands it out, for so many seconds.
    fn answer(&self, life: u32) -> String {
        let (access, refresh) = (self.access(), self.refresh());
        format!(
            r#"{{"access_token":"{}","refresh_token":"{}","token_type":"Bearer","expires_in":{life}}}"#,
            access.expose(),
            refresh.expose()
        )
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (tenant, consent, number) = (parts.next()?, parts.next()?, parts.next()?);
        let beside = parts.next().and_then(|beside| beside.parse().ok()).unwrap_or_default();
        Some(Self { tenant: tenant.to_owned(), consent: consent.parse().ok()?, number: number.parse().ok()?, beside })
    }

    fn line(&self) -> (String, u64) {
        (self.tenant.clone(), self.consent)
    }
}

// === impl Credential ===

impl Credential {
    /// What an `Authorization` says.
    pub fn parse(authorization: &str) -> Option<Self> {
        let token = authorization.strip_prefix("Bearer ")?;
        match (token.strip_prefix("flx_at_"), token.strip_prefix("flx_pat_")) {
            (Some(access), _) => Pair::parse(access).map(Self::Access),
            (None, Some(pat)) => {
                let (tenant, number) = pat.split_once('.')?;
                let number = number.split('.').next()?.parse().ok()?;
                Some(Self::Pat { tenant: tenant.to_owned(), number })
            }
            (None, None) => None,
        }
    }

    pub fn tenant(&self) -> &str {
        match self {
            Self::Access(pair) => &pair.tenant,
            Self::Pat { tenant, .. } => tenant,
        }
    }
}

// === impl Flexslot ===

impl Flexslot {
    pub fn new(store: TokenStore) -> Self {
        Self { store, state: Mutex::default() }
    }

    pub fn store(&self) -> &TokenStore {
        &self.store
    }

    /// What was seen that must not be, and how it came to that.
    pub fn fault(&self) -> Option<String> {
        let state = self.state.lock();
        state.fault.as_ref().map(|fault| format!("{fault}\n{}", state.story.join("\n")))
    }

    /// All that has happened.
    pub fn story(&self) -> String {
        self.state.lock().story.join("\n")
    }

    /// Something has happened.
    pub fn note(&self, what: String) {
        self.state.lock().story.push(what);
    }

    /// A user consents; the pair is written into the store by somebody else's hand. Answers the consent's number.
    pub async fn connect(&self, tenant: &str, life: Duration, age: Duration, now: Timestamp) -> u64 {
        let consent = {
            let mut state = self.state.lock();
            state.consents += 1;
            let consent = state.consents;
            state.lines.insert((tenant.to_owned(), consent), Line::default());
            consent
        };
        let pair = Pair::first(tenant, consent);
        let tokens = TokenSet {
            access: pair.access(),
            refresh: pair.refresh(),
            token_type: TokenType::Bearer,
            scopes: ScopeSet::unknown(),
            expires_at: now.plus(life),
            answered_at: Some(now.minus(age)),
            key: None,
        };
        let origin = ORIGIN.parse().expect("an origin");
        let grant = NewGrant { client_id: CLIENT.into(), origin, tokens };
        let new = NewTenant { tenant: tenant.parse().expect("a name"), pat: None, grant: Some(grant) };
        // Where a presentation is under way, the grant stays as it is.
        let done = self.store.import(vec![new], Existing::Replace).await.expect("the store takes it");
        self.note(format!("{tenant} is connected, {consent}, for {life:?}, age {age:?}: {done:?}"));
        consent
    }

    /// A PAT is made, and handed in.
    pub async fn set_pat(&self, tenant: &str) {
        let number = {
            let mut state = self.state.lock();
            let number = state.pats.entry(tenant.to_owned()).or_default();
            *number += 1;
            *number
        };
        let pat = Secret::new(format!("flx_pat_{tenant}.{number}.{SECRET}"));
        let stored = StoredPat { pat, origin: ORIGIN.parse().expect("an origin") };
        self.store.put_pat(&tenant.parse().expect("a name"), &stored).await.expect("the store takes it");
    }

    /// Somebody has written a grant's row: where there is a new intent in it, that is noted.
    pub async fn grant_was_written(&self, tenant: &TenantId) {
        let record = self.store.load(tenant).await;
        if let Ok(GrantState::Uncertain(_, intent)) = record.map(|record| record.grant) {
            let mut state = self.state.lock();
            if state.intents.iter().all(|(known, _)| *known != intent) {
                state.story.push(format!("{tenant}: the store has {intent:?}"));
                state.intents.push((intent, None));
            }
        }
    }

    /// The oldest token request that waits gets its answer. False where none waits.
    pub fn answer(&self, fate: Fate) -> bool {
        let Some(waiting) = self.state.lock().waiting.pop_front() else { return false };
        self.state.lock().happen(waiting, fate);
        true
    }

    /// From now on everything is answered at once, and well.
    pub fn open(&self) {
        let mut state = self.state.lock();
        state.open = true;
        while let Some(waiting) = state.waiting.pop_front() {
            state.happen(waiting, Fate::Rotate(3600));
        }
    }

    /// Who has been told since the last time that a pair is of no use any more.
    pub fn told_of_ends(&self) -> Vec<(Which, Pair)> {
        std::mem::take(&mut self.state.lock().told_of_end)
    }

    /// Whether a request with this would be answered.
    pub fn takes(&self, credential: &Credential) -> bool {
        let state = self.state.lock();
        match credential {
            Credential::Access(pair) => {
                state.lines.get(&pair.line()).is_some_and(|line| !line.ended && line.current == pair.number)
            }
            Credential::Pat { tenant, number } => state.pats.get(tenant) == Some(number),
        }
    }

    /// How many consents there have been; each has the number of the last.
    pub fn consents(&self) -> u64 {
        self.state.lock().consents
    }

    async fn present(&self, by: Which, refresh: &Secret) -> Result<TokenAnswer, TokenError> {
        let (tell, told) = oneshot::channel();
        {
            let mut state = self.state.lock();
            let question = state.asked(by, refresh);
            let waiting = Waiting { question, refresh: refresh.clone(), tell };
            match state.open {
                true => state.happen(waiting, Fate::Rotate(3600)),
                false => state.waiting.push_back(waiting),
            }
        }
        match timeout(GIVE_UP, told).await {
            Ok(Ok(answer)) => answer,
            _ => Err(TokenError::Unknown("no answer".into())),
        }
    }
}

// === impl State ===

impl State {
    fn violate(&mut self, what: String) {
        self.fault.get_or_insert(what);
    }

    /// A sidecar presents `refresh`. Not without a stored intent, and not twice unless nobody knows how the first time
    /// ended; then once more.
    fn asked(&mut self, by: Which, refresh: &Secret) -> usize {
        let token = refresh.expose().to_owned();
        let question = self.asked.len();
        let hash = hash_of(refresh);
        let stored = self.intents.iter_mut().rev().find(|(intent, of)| of.is_none() && intent.refresh_hash == hash);
        let attempt = stored.map(|(intent, of)| {
            *of = Some(question);
            intent.attempt
        });
        let attempt = attempt.unwrap_or_else(|| {
            self.violate(format!("{by} presents {token} without a stored intent"));
            Attempt::First
        });
        self.story.push(format!("{by} presents {token}, as {attempt:?}"));
        let taken = || self.asked.iter().filter(|asked| asked.token == token && asked.outcome != Outcome::NotTaken);
        let is_last_resort = |asked: &&Asked| asked.attempt == Attempt::LastResort;
        if taken().count() > 0 && (attempt == Attempt::First || taken().any(|asked| is_last_resort(&asked))) {
            let before: Vec<_> = taken().map(|asked| (asked.by, asked.attempt, asked.outcome)).collect();
            self.violate(format!("{by} presents {token} once more, as {attempt:?}; before: {before:?}"));
        }
        let told = |asked: &Asked| asked.token == token && asked.by == by && asked.outcome == Outcome::Told;
        if self.asked.iter().any(told) {
            self.violate(format!("{by} presents {token}, of which it had a completed answer"));
        }
        self.asked.push(Asked { token, by, attempt, outcome: Outcome::Open });
        question
    }

    fn happen(&mut self, waiting: Waiting, fate: Fate) {
        let Waiting { question, refresh, tell } = waiting;
        self.story.push(format!("{} -> {fate:?}, heard: {}", refresh.expose(), !tell.is_closed()));
        if tell.is_closed() {
            self.asked[question].outcome = Outcome::Unknown;
            return;
        }
        let mut rotate = |life| self.rotate(&refresh, Some(life));
        let (outcome, answer) = match fate {
            Fate::Rotate(life) => (Outcome::Told, rotate(life)),
            Fate::KeepRefresh => {
                let answer = self.rotate(&refresh, None);
                (if answer.is_ok() { Outcome::NotTaken } else { Outcome::Told }, answer)
            }
            Fate::LoseAnswer => {
                let _ = rotate(3600);
                (Outcome::Unknown, Err(TokenError::Unknown("scripted".into())))
            }
            Fate::LoseQuestion => (Outcome::Unknown, Err(TokenError::Unknown("scripted".into()))),
            Fate::End => {
                self.line_of(&refresh).ended = true;
                (Outcome::Told, said(400, r#"{"error":"invalid_grant"}"#))
            }
            Fate::Busy => (Outcome::NotTaken, said(429, "")),
            Fate::NotSent => (Outcome::NotTaken, Err(TokenError::NotSent("scripted".into()))),
            Fate::Misconfigured => (Outcome::NotTaken, said(401, r#"{"error":"invalid_client"}"#)),
            Fate::Broken => (Outcome::Unknown, said(500, "<html>")),
            Fate::Nonsense => (Outcome::Unknown, said(200, r#"{"access_token":7}"#)),
        };
        let revoked = answer == Err(TokenError::Revoked);
        let by = self.asked[question].by;
        let stays = fate == Fate::KeepRefresh && answer.is_ok();
        let heard = tell.send(answer).is_ok();
        if heard && stays {
            // Whoever is told so may present it again, and then it was never spent either.
            let same = self.asked.iter_mut().filter(|asked| asked.token == refresh.expose());
            same.for_each(|asked| asked.outcome = Outcome::NotTaken);
        }
        self.asked[question].outcome = if heard { outcome } else { Outcome::Unknown };
        if revoked && heard {
            self.told_of_end.push((by, pair_of(&refresh)));
        }
    }

    fn line_of(&mut self, refresh: &Secret) -> &mut Line {
        self.lines.entry(pair_of(refresh).line()).or_default()
    }

    /// `life`: of a whole new pair; without one, the refresh token stays.
    fn rotate(&mut self, refresh: &Secret, life: Option<u32>) -> Result<TokenAnswer, TokenError> {
        let pair = pair_of(refresh);
        let line = self.line_of(refresh);
        line.ended |= pair.number != line.current;
        if line.ended {
            return said(400, r#"{"error":"invalid_grant","error_description":"whatever"}"#);
        }
        let Some(life) = life else {
            line.beside += 1;
            let access = Pair { beside: line.beside, ..pair }.access();
            return said(
                200,
                &format!(r#"{{"access_token":"{}","token_type":"Bearer","expires_in":600}}"#, access.expose()),
            );
        };
        (line.current, line.beside) = (line.current + 1, 0);
        let next = Pair { number: line.current, beside: 0, ..pair };
        said(200, &next.answer(life))
    }
}

/// What the program makes of such an answer.
fn said(status: u16, body: &str) -> Result<TokenAnswer, TokenError> {
    let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("7"))]);
    let status = StatusCode::from_u16(status).expect("a status");
    answer::read(status, &headers, body.as_bytes(), START)
}

fn pair_of(refresh: &Secret) -> Pair {
    let pair = refresh.expose().strip_prefix("flx_rt_").and_then(Pair::parse);
    pair.unwrap_or_else(|| panic!("no refresh token of ours is presented: {}", refresh.expose()))
}

/// As an intent has it.
fn hash_of(refresh: &Secret) -> [u8; 32] {
    let tokens = TokenSet {
        access: Secret::new(""),
        refresh: refresh.clone(),
        token_type: TokenType::Bearer,
        scopes: ScopeSet::unknown(),
        expires_at: START,
        answered_at: None,
        key: None,
    };
    tokens.refresh_hash()
}

// === impl Door ===

#[async_trait]
impl TokenEndpoint for Door {
    fn knows(&self, client_id: &str) -> bool {
        client_id == CLIENT
    }

    async fn refresh(&self, _: &str, refresh: &Secret, _: Option<&ProofKey>) -> Result<TokenAnswer, TokenError> {
        self.flexslot.present(self.sidecar, refresh).await
    }
}

#[async_trait]
impl AuthorizationServer for Door {
    fn client(&self, wish: Option<&str>, callback: &RedirectUri) -> Result<ConsentClient, NoClient> {
        match wish {
            None | Some(CLIENT) => {
                let client_id = CLIENT.to_owned();
                Ok(ConsentClient { client_id, redirect_uri: callback.clone(), scopes: None, allowed: None })
            }
            Some(_) => Err(NoClient::None),
        }
    }

    fn authorization_url(&self, request: &AuthorizationRequest<'_>) -> Url {
        request.url(&format!("{ORIGIN}/authorize").parse().expect("a URL"))
    }

    async fn redeem(&self, _: &str, redemption: Redemption<'_>) -> Result<TokenAnswer, TokenError> {
        match redemption.code.expose() {
            "good" => {
                let pair = Pair::first("code", 0);
                said(200, &pair.answer(3600))
            }
            "lost" => Err(TokenError::Unknown("scripted".into())),
            _ => Err(TokenError::Revoked),
        }
    }

    async fn revoke(&self, _: &str, what: Revoke<'_>) -> Result<Revocation, TokenError> {
        let mut state = self.flexslot.state.lock();
        state.line_of(what.token()).ended = true;
        Ok(Revocation::Accepted)
    }

    async fn introspect(&self, _: &str, _: &Secret) -> Result<Introspection, TokenError> {
        Ok(Introspection::Inactive)
    }
}
