//! A connection, set up: it is bound to answer in time, to commit durably, and to find our tables.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync,
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};
use tokio_postgres::{Client, Row, Statement, types::ToSql};

use super::{faults::Fault, params::Target, schema};
use crate::{model::Random, store::StoreError};

/// How often work that can be done again is done, each time in another session.
const TRIES: u32 = 3;

/// How long the tables may take to be brought up to date when the store is opened.
const MIGRATION: Duration = Duration::from_secs(90);

/// Opens sessions.
#[derive(Clone)]
pub(super) struct Opener {
    pub(super) target: Arc<Target>,
    pub(super) random: Random,
}

/// One connection to the server. Statements that are sent without waiting for one another are answered in their order.
pub(super) struct Session {
    client: Client,
    driver: JoinHandle<()>,
    statements: Mutex<HashMap<&'static str, Statement>>,
    /// Nobody new takes it any more.
    retired: AtomicBool,
}

/// Keeps one session, and opens another when it has become useless. Many may use it at the same time.
pub(super) struct Lane {
    opener: Opener,
    current: sync::Mutex<Option<Arc<Session>>>,
    /// How many there have been.
    sessions: AtomicU64,
}

// === impl Opener ===

impl Opener {
    /// Connects, sets the session up, and sees to the tables.
    pub(super) async fn open(&self) -> Result<Session, Fault> {
        let Target { hosts, tls, timeout: limit, opening, .. } = &*self.target;
        let (client, connection) = hosts.connect(tls, *limit, &self.random).await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to PostgreSQL has ended");
            }
        });
        let mut session = Session { client, driver, statements: Mutex::default(), retired: AtomicBool::new(false) };
        let set_up = async {
            session.client.batch_execute(&setup(*limit)).await?;
            schema::ensure(&mut session.client, *opening, &self.random).await
        };
        // A migration is not bound by the time that an operation may take, unless an operation waits for it.
        timeout(MIGRATION, set_up).await.unwrap_or(Err(Fault::Late(MIGRATION)))?;
        Ok(session)
    }
}

/// What a session is told first. Each limit is shorter than the next, and all are shorter than our own patience, so
/// that the server's reason is heard:
///
/// - a transaction of somebody frozen is ended, and its locks with it, before those who wait for them give up;
/// - who waits for a lock gives up before the statement's time is over.
///
/// `remote_apply` is stronger than `on`, so whoever has set it keeps it. What a role or database may have set besides,
/// another isolation for one, is set back to what the statements are written for.
fn setup(timeout: Duration) -> String {
    let part = |fifths: u32| (timeout * fifths / 5).as_millis().max(1);
    let (idle, lock, statement) = (part(2), part(3), part(4));
    format!(
        "SET idle_in_transaction_session_timeout = {idle};
         SET lock_timeout = {lock};
         SET statement_timeout = {statement};
         SET default_transaction_isolation = 'read committed';
         SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') <> 'remote_apply'"
    )
}

// === impl Session ===

impl Session {
    /// Runs one statement.
    pub(super) async fn query(&self, sql: &'static str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Fault> {
        let statement = self.prepared(sql).await?;
        Ok(self.client.query(&statement, parameters).await?)
    }

    /// The statement, prepared once for the session's life.
    pub(super) async fn prepared(&self, sql: &'static str) -> Result<Statement, Fault> {
        let known = self.statements.lock().get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.lock().insert(sql, statement.clone());
        Ok(statement)
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    fn is_usable(&self) -> bool {
        !self.retired.load(Relaxed) && !self.client.is_closed()
    }

    /// Leaves it to those who wait for its answers, unless it is a record that is at fault.
    fn retire_after(&self, fault: &Fault) {
        if !matches!(fault, Fault::Unreadable { .. }) {
            self.retired.store(true, Relaxed);
        }
    }

    /// Gives it up at once. The library would wait for answers first, for ever where there are none.
    fn cut(&self) {
        self.retired.store(true, Relaxed);
        self.driver.abort();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("usable", &self.is_usable()).finish_non_exhaustive()
    }
}

// === impl Lane ===

impl Lane {
    /// A lane that has no session yet.
    pub(super) fn new(opener: Opener) -> Self {
        Self { opener, current: sync::Mutex::new(None), sessions: AtomicU64::new(0) }
    }

    /// How many sessions were opened so far. Work that is done was done in one of them.
    pub(super) fn sessions(&self) -> u64 {
        self.sessions.load(Relaxed)
    }

    /// Has `work` done within the time that an operation may take. It is done again in another session where that may
    /// help, so it must bear being done twice, or answer [`Fault::Unknown`] when it does not.
    ///
    /// A session in which something has failed is not used again: nothing half done is left in it, and a server that
    /// has become a standby is not asked twice.
    pub(super) async fn run<T, F>(&self, work: impl Fn(Arc<Session>) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let target = &self.opener.target;
        let deadline = Instant::now() + target.timeout;
        let late = || Fault::Late(target.timeout);
        let mut tries = 1;
        loop {
            let opened = timeout_at(deadline, self.session()).await.unwrap_or_else(|_| Err(late()));
            let session = opened.map_err(|fault| fault.into_store_error(target))?;
            let fault = match timeout_at(deadline, work(Arc::clone(&session))).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(fault)) => {
                    session.retire_after(&fault);
                    fault
                }
                Err(_) => {
                    session.cut();
                    late()
                }
            };
            if tries == TRIES || !fault.calls_for_another_session() {
                return Err(fault.into_store_error(target));
            }
            tries += 1;
        }
    }

    /// Opens the session now, with the time for a migration.
    pub(super) async fn open(&self) -> Result<(), Fault> {
        self.session().await.map(drop)
    }

    /// The session, opened if there is none to use. One caller opens it, and the others wait.
    async fn session(&self) -> Result<Arc<Session>, Fault> {
        let mut current = self.current.lock().await;
        if let Some(session) = current.as_ref().filter(|session| session.is_usable()) {
            return Ok(Arc::clone(session));
        }
        *current = None;
        let session = Arc::new(self.opener.open().await?);
        self.sessions.fetch_add(1, Relaxed);
        *current = Some(Arc::clone(&session));
        Ok(session)
    }
}
