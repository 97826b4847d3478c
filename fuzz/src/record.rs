//! Stored records: whatever lies in a row is read or refused, by the reader that opens it and by the one that lists it.
//!
//! Input: a byte that says which row and in what state, then the row's body.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use flexslot_proxy::{
    model::{Clock, GrantId, GrantState, Random, Secret, TenantId, Timestamp, Version},
    store::{
        GrantStanding, PatStanding, StoreError, TokenStore,
        backend::{Backend, Change, Expect, Key, Kind, Label, Names, RowState, Written},
        memory::MemoryBackend,
        record::Body,
        seal::{KeyRing, Sealer},
    },
};

/// As in the corpus, so that labels agree with bodies.
const GRANT: [u8; 16] = [0x11; 16];
const VERSION: u64 = 3;
const TENANT: &str = "acme";
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

struct At(Timestamp);

impl Clock for At {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// The memory store never waits.
fn done<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("a store in memory has nothing to wait for"),
    }
}

pub fn run(input: &[u8]) {
    let [which, body @ ..] = input else { return };
    let kind = if which & 1 == 0 { Kind::Grant } else { Kind::Pat };
    let state = RowState::from_code(which >> 1 & 3).unwrap_or_default();
    let label = match kind {
        Kind::Grant => Label {
            grant: Some(GrantId::from_stored(GRANT)),
            version: Some(Version::from_stored(VERSION)),
            state,
            due: None,
        },
        _ => Label { state, ..Label::default() },
    };

    let random = Random::from_fn(|bytes| bytes.fill(7));
    let backend = Arc::new(MemoryBackend::new(Arc::new(At(Timestamp::from_secs(1_795_200_000))), &random));
    let sealer = Sealer::new(KeyRing::parse(&Secret::new(KEY)).expect("a key"), random.clone());
    let store = done(TokenStore::open(backend.clone(), sealer, random)).expect("an empty store opens");
    let body = Body::from_stored(body.to_vec());
    let change = Change { key: Key::new(kind, TENANT), expect: Expect::Absent, label, body };
    assert!(matches!(done(backend.write(vec![change])), Ok(Written::Done(_))));

    let tenant: TenantId = TENANT.parse().expect("a name");
    let loaded = done(store.load(&tenant));
    let listed =
        done(store.list(Names::after(None), 10, None)).expect("a record that cannot be read spoils only its own entry");
    match (loaded, listed.tenants.first()) {
        (Ok(record), Some(summary)) => match (record.grant, &summary.grant) {
            (GrantState::NeverConnected, GrantStanding::NeverConnected) => {
                assert_eq!(record.pat.is_some(), matches!(summary.pat, PatStanding::Stored { .. }));
            }
            (GrantState::Disconnected(read), GrantStanding::Disconnected(shown)) => assert_eq!(read, *shown),
            (GrantState::Connected(read), GrantStanding::Connected(shown)) => {
                assert_eq!((read.id, read.version, &read.origin), (shown.id, shown.version, &shown.origin));
                assert!(shown.intent.is_none());
            }
            (GrantState::Uncertain(read, intent), GrantStanding::Connected(shown)) => {
                assert_eq!((read.id, shown.intent.as_ref()), (shown.id, Some(&intent)));
            }
            (read, shown) => panic!("read as {read:?} and listed as {shown:?}"),
        },
        // Only the marker of something removed is left.
        (Ok(record), None) => assert!(record.is_absent()),
        (Err(StoreError::Unreadable { record, .. }), _) => {
            assert!(record == format!("grant {TENANT}") || record == format!("pat {TENANT}"));
        }
        (Err(error), _) => panic!("{error}"),
    }
}
