//! What cards cost in a store of fifty tenants and in one of a million, on each engine.
//!
//! `cargo bench --bench cards`, or with another number or fewer engines: `cargo bench --bench cards -- 20000 redis`.
//! Needs the servers that the tests need, a gigabyte on the disk and two of memory for each million.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a program for people at a terminal")]

#[path = "cards/fill.rs"]
mod fill;
#[path = "../tests/servers/mod.rs"]
mod servers;

use std::{collections::HashMap, env, path::Path, sync::Arc, time::Duration};

use flexslot_proxy::{
    credential::{CardQuery, Credentials, RefreshPolicy, Settings, coordinator::Parts},
    flexslot::{
        AuthorizationRequest, AuthorizationServer, Introspection, Redemption, Revocation, Revoke, TokenAnswer,
        TokenEndpoint, TokenError,
    },
    model::{ConnectionState, ProofKey, Random, Secret, SystemClock, Unobserved, Untraced},
    store::{
        Opening, TokenStore,
        backend::Backend,
        postgres::{Postgres, PostgresParams, Trust},
        redis::{RedisBackend, RedisParams},
        seal::{KeyRing, Sealer},
        sqlite::SqliteBackend,
    },
};
use rustls::RootCertStore;
use servers::{
    postgres::{Disk, PostgresServer},
    redis::RedisServer,
};
use tokio::time::Instant;
use url::Url;

/// What the other store is compared with: a page, as the connections page has it.
const FEW: usize = 50;

/// How often each question is asked.
const TIMES: usize = 41;

/// A question, and how it is called in the table.
type Question = (String, Ask);

enum Ask {
    Card(String),
    Page(CardQuery),
}

/// Speaks for one client, and is never asked for anything.
struct Silent;

fn main() {
    #[allow(clippy::disallowed_methods, reason = "the numbers of the bench")]
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let many = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let wanted = |engine: &str| {
        let named = arguments.iter().any(|argument| ["sqlite", "redis", "postgres"].contains(&argument.as_str()));
        !named || arguments.iter().any(|argument| argument == engine)
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        if wanted("sqlite") {
            let dir = tempfile::tempdir().expect("a directory");
            compare("SQLite", many, [sqlite(dir.path(), "few"), sqlite(dir.path(), "many")]).await;
        }
        if wanted("redis") {
            let server = RedisServer::start(&[]);
            compare("Redis", many, [redis(&server, 0).await, redis(&server, 1).await]).await;
        }
        if wanted("postgres") {
            let server = PostgresServer::start(Disk::Unsynced, "");
            compare("PostgreSQL", many, [postgres(&server).await, postgres(&server).await]).await;
        }
    });
}

// === engines ===

fn sqlite(dir: &Path, name: &str) -> Arc<dyn Backend> {
    let path = dir.join(name).with_extension("db");
    Arc::new(SqliteBackend::open(&path, Arc::new(SystemClock), &Random::system()).expect("opened"))
}

async fn redis(server: &RedisServer, database: u32) -> Arc<dyn Backend> {
    let params =
        RedisParams { timeout: Duration::from_secs(30), ..RedisParams::new(Secret::new(server.url(database))) };
    Arc::new(RedisBackend::open(params, &Random::system()).await.expect("opened"))
}

async fn postgres(server: &PostgresServer) -> Arc<dyn Backend> {
    let url = Secret::new(server.url(&server.database()));
    let trust = Trust { system: RootCertStore::empty(), named: None };
    let params = PostgresParams { url, trust, timeout: Duration::from_secs(60), opening: Opening::Make };
    Arc::new(Postgres::open(&params, Random::system()).await.expect("opened"))
}

// === what is measured ===

/// Asks both stores in turn, and takes the fastest answer of each: what else the machine does meanwhile falls on both,
/// and on the slow ones.
async fn compare(engine: &str, many: usize, [small, large]: [Arc<dyn Backend>; 2]) {
    let (small, large) = (sidecar(small, FEW).await, sidecar(large, many).await);
    println!(
        "\n| {engine}: milliseconds, best of {TIMES} | {FEW} tenants | {many} tenants | ratio |\n|---|---|---|---|"
    );
    for ((name, few), (_, lots)) in questions(FEW).into_iter().zip(questions(many)) {
        let mut best = [Duration::MAX; 2];
        for _ in 0..TIMES {
            best[0] = best[0].min(few.ask(&small).await);
            best[1] = best[1].min(lots.ask(&large).await);
        }
        let [few, lots] = best.map(|time| time.as_secs_f64() * 1e3);
        println!("| {name} | {few:.2} | {lots:.2} | {:.1} |", lots / few);
    }
}

/// A sidecar's door to `count` tenants.
async fn sidecar(backend: Arc<dyn Backend>, count: usize) -> Credentials {
    let random = Random::system();
    let sealer = Sealer::new(KeyRing::ephemeral(&random), random.clone());
    let store = TokenStore::open(Arc::clone(&backend), sealer, random.clone()).await.expect("opened");
    fill::fill(&store, &*backend, count).await;
    let settings = Settings {
        origin: fill::ORIGIN.parse().expect("an origin"),
        refresh: RefreshPolicy::default(),
        endpoint: Arc::new(Silent),
        server: Arc::new(Silent),
        tenants: HashMap::new(),
        cached_tenants: 1000,
    };
    let (clock, observer, tracer) = (Arc::new(SystemClock), Arc::new(Unobserved), Arc::new(Untraced));
    Credentials::new(Parts { settings, store, spool: None, instance: None, clock, random, observer, tracer })
}

/// Each tenth tenant or so is in each of the other states, and nobody in the last tenth is: see [`fill`].
fn questions(count: usize) -> Vec<Question> {
    let all = CardQuery { limit: FEW, ..CardQuery::default() };
    let behind = |number: usize| Some(fill::tenant(&fill::name(number)));
    let page = |name: &str, query: CardQuery| (name.to_owned(), Ask::Page(query));
    let mut questions = vec![
        page("the first 50", all.clone()),
        page("50 from the middle", CardQuery { after: behind(count / 2), ..all.clone() }),
    ];
    for state in ConnectionState::ALL {
        let query = CardQuery { state: Some(state), limit: 4, ..all.clone() };
        questions.push(page(&format!("the first 4 that are `{}`", state.as_str()), query));
    }
    let rare = CardQuery { state: Some(ConnectionState::Expiring), after: behind(count - count / 10), ..all.clone() };
    questions.push(page("`expiring` where nobody is: all, or as far as one call looks", rare));
    let name = fill::name(count / 2);
    questions
        .push(page("a prefix that 10 have", CardQuery { prefix: Some(name[..name.len() - 1].into()), ..all.clone() }));
    questions.push(page("a prefix that nobody has", CardQuery { prefix: Some("nobody".into()), ..all }));
    questions.push(("one card".to_owned(), Ask::Card(name)));
    questions
}

// === impl Ask ===

impl Ask {
    /// How long the answer takes.
    async fn ask(&self, credentials: &Credentials) -> Duration {
        let began = Instant::now();
        match self {
            Self::Card(name) => assert!(credentials.card(&fill::tenant(name)).await.expect("read").is_some()),
            Self::Page(query) => drop(credentials.cards(query).await.expect("read")),
        }
        began.elapsed()
    }
}

// === impl Silent ===

#[async_trait::async_trait]
impl TokenEndpoint for Silent {
    fn knows(&self, client_id: &str) -> bool {
        client_id == fill::CLIENT
    }

    async fn refresh(&self, _: &str, _: &Secret, _: Option<&ProofKey>) -> Result<TokenAnswer, TokenError> {
        Err(nobody())
    }
}

#[async_trait::async_trait]
impl AuthorizationServer for Silent {
    fn authorization_url(&self, _: &AuthorizationRequest<'_>) -> Url {
        fill::ORIGIN.parse().expect("a URL")
    }

    async fn redeem(&self, _: &str, _: Redemption<'_>) -> Result<TokenAnswer, TokenError> {
        Err(nobody())
    }

    async fn revoke(&self, _: &str, _: Revoke<'_>) -> Result<Revocation, TokenError> {
        Err(nobody())
    }

    async fn introspect(&self, _: &str, _: &Secret) -> Result<Introspection, TokenError> {
        Err(nobody())
    }
}

fn nobody() -> TokenError {
    TokenError::NotSent("nobody is asked".into())
}
