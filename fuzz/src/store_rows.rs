//! Rows of every kind that a writer of the store could have put there: each reader reads or refuses them, says which one it
//! was and nothing of what is in it, and goes on with the others.
//!
//! Input: a byte that says which row is replaced, one that says its state, then the row's body.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use flexslot_proxy::{
    model::{Clock, GrantId, Random, ScopeSet, Secret, SessionId, TenantId, Timestamp, Version},
    store::{
        NewFlow, Patience, SessionWish, StoreError, TokenStore,
        backend::{Backend, Change, Expect, Key, Kind, Label, RowState, Written},
        memory::MemoryBackend,
        record::Body,
        seal::{KeyRing, Sealer},
    },
};

const NOW: Timestamp = Timestamp::from_secs(1_795_200_000);
const GRANT: [u8; 16] = [0x11; 16];
const TENANT: &str = "acme";
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// What the corpus writes into fields. No word of ours contains it.
const CANARY: &str = "CANARY";

struct At(Timestamp);

impl Clock for At {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// The store, and what was put into it in good order.
struct World {
    backend: Arc<MemoryBackend>,
    store: TokenStore,
    session: SessionId,
    state: &'static str,
    sign_in: Secret,
    rows: Vec<Key>,
}

/// The memory store never waits.
fn done<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("a store in memory has nothing to wait for"),
    }
}

// === impl World ===

impl World {
    /// The same in every run, so that seals and names of the corpus fit.
    fn new() -> Self {
        let drawn = AtomicU64::new(0);
        let random = Random::from_fn(move |bytes| {
            let draw = drawn.fetch_add(1, Ordering::Relaxed) as u8;
            bytes.fill(draw);
        });
        let backend = Arc::new(MemoryBackend::new(Arc::new(At(NOW)), &random));
        let sealer = Sealer::new(KeyRing::parse(&Secret::new(KEY)).expect("a key"), random.clone());
        let store = done(TokenStore::open(backend.clone(), sealer, random)).expect("an empty store opens");
        let tenant: TenantId = TENANT.parse().expect("a name");
        let wish = SessionWish { tenant: tenant.clone(), scopes: None, return_to: None, client: None };
        let session = done(store.open_session(wish)).expect("a session").id;
        let state = "the-state";
        let flow = NewFlow {
            state: Secret::new(state),
            verifier: Secret::new("the-verifier"),
            binding: Secret::new("the-binding"),
            client_id: "client".into(),
            redirect_uri: "http://127.0.0.1:3540/oauth/callback".into(),
            scopes: ScopeSet::new("decks:read"),
        };
        done(store.begin_flow(&session, flow)).expect("a flow");
        let sign_in = done(store.open_sign_in()).expect("a link").token;
        let mut rows = done(backend.changes(Default::default(), 1000)).expect("the rows").1;
        rows.sort_by_key(|(key, _)| (key.kind.code(), key.name.clone()));
        let mut rows: Vec<_> = rows.into_iter().map(|(key, _)| key).collect();
        let grant = GrantId::from_stored(GRANT);
        rows.extend([
            Key::new(Kind::Grant, TENANT),
            Key::new(Kind::Pat, TENANT),
            Key::new(Kind::Identity, TENANT),
            Key::new(Kind::Client, "client"),
            Key::new(Kind::Client, "creation 00"),
            Key::new(Kind::Revocation, format!("{TENANT} {grant}")),
            Key::new(Kind::Tombstone, grant.to_string()),
        ]);
        Self { backend, store, session, state, sign_in, rows }
    }

    /// Puts a row there, whatever there was.
    fn put(&self, key: Key, state: RowState, body: &[u8]) {
        let label = match key.kind {
            Kind::Grant | Kind::Identity | Kind::Revocation => Label {
                grant: Some(GrantId::from_stored(GRANT)),
                version: Some(Version::from_stored(3)),
                state,
                due: None,
            },
            _ => Label { state, ..Label::default() },
        };
        let body = Body::from_stored(body.to_vec());
        let change = Change { key, expect: Expect::Anything, label, body };
        assert!(matches!(done(self.backend.write(vec![change])), Ok(Written::Done(_))));
    }
}

/// What a reader says: nothing of the row's own.
fn told<T>(said: Result<T, impl std::fmt::Display + std::fmt::Debug>) -> Option<T> {
    said.inspect_err(|error| assert!(!format!("{error} {error:?}").contains(CANARY), "{error}")).ok()
}

pub fn run(input: &[u8]) {
    let [which, state, body @ ..] = input else { return };
    let world = World::new();
    let key = world.rows[usize::from(*which) % world.rows.len()].clone();
    world.put(key.clone(), RowState::from_code(state % 3).unwrap_or_default(), body);
    let (store, tenant) = (&world.store, TENANT.parse::<TenantId>().expect("a name"));

    let session = told(done(store.session(&world.session)));
    let flow = told(done(store.take_flow(world.state)));
    let visit = Secret::new("a visit that nobody has noted yet");
    let link = told(done(store.take_sign_in(world.sign_in.expose(), &visit, Duration::from_secs(60))));
    // What all the others are read by is the one exception.
    if !matches!(key.kind, Kind::Flow | Kind::Meta) {
        assert!(matches!((session, flow, link), (Some(Some(_)), Some(Some(_)), Some(true))), "one row stops no other");
    }
    told(done(store.load(&tenant)));
    told(done(store.identity(&tenant)));
    told(done(store.identities(std::slice::from_ref(&tenant))));
    told(done(store.clients()));
    told(done(store.client("client")));
    let revocations = told(done(store.revocations(None, 10)));
    for id in revocations.into_iter().flat_map(|page| page.due) {
        told(done(store.claim_revocation(&id, Patience::AtOnce)));
    }
    told(done(store.revocations_of(&tenant)));
    told(done(store.outset(&tenant)));
    told(done(store.disconnect(&tenant)));
    told(done(store.survey()));
    let resealed: Result<u64, StoreError> = done(store.reseal(|_| {}));
    told(resealed);
}
