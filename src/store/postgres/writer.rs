//! Writes, in the order of their revisions.
//!
//! The row of `flexslot_proxy.store` holds the newest revision. Whoever writes locks it first and holds it until its
//! transaction is committed, in every process. So writes happen one after the other: revisions have no gaps, and they
//! become visible in their order, because PostgreSQL makes a transaction visible before it lets go of its locks. Who
//! sees revision 8 in the change feed therefore sees everything up to 8, and may go on from there; a sequence would not
//! do, since its 8 may be committed before its 7.
//!
//! One write at a time would cost one wait for the disk each. So the writes of this process that are waiting anyway go
//! into one transaction, as a group: each is looked at by itself and has a revision of its own ([`Plan`]), and all are
//! on the disk when the group is.

use std::{collections::HashMap, sync::Arc};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_postgres::types::ToSql;

use super::{
    faults::Fault,
    params::Target,
    plan::{Name, Plan, Stored},
    session::{Lane, Opener, Session},
    values::{code_of, columns, label_of, no_store, signed},
};
use crate::{
    model::Timestamp,
    store::{
        StoreError,
        backend::{Change, Key, Revision, Written},
    },
};

/// How many changes a group takes in before it is closed. One write may bring as many.
const GROUP: usize = 1000;

/// How many writes wait in the queue before their callers wait outside it.
const QUEUE: usize = 1024;

/// Nothing else of the transaction may be done before.
const LOCK: &str = "SELECT head FROM flexslot_proxy.store FOR NO KEY UPDATE";

/// A statement of its own, after the lock: its snapshot has everything that was committed by whoever had the lock
/// before.
const LABELS: &str = "SELECT asked.at, r.revision, r.grant_id, r.version, r.state, r.due, r.last_used
    FROM unnest($1::smallint[], $2::text[]) WITH ORDINALITY AS asked (kind, name, at)
    JOIN flexslot_proxy.records r ON r.kind = asked.kind AND r.name = asked.name";

/// The rows come in the order in which all transactions lock rows.
const PUT: &str = "INSERT INTO flexslot_proxy.records AS r
        (kind, name, revision, grant_id, version, state, due, body, last_used)
    SELECT * FROM unnest($1::smallint[], $2::text[], $3::bigint[], $4::bytea[], $5::bigint[], $6::smallint[],
        $7::bigint[], $8::bytea[], $9::bigint[])
    ON CONFLICT (kind, name) DO UPDATE SET revision = excluded.revision, grant_id = excluded.grant_id,
        version = excluded.version, state = excluded.state, due = excluded.due, body = excluded.body,
        last_used = excluded.last_used";

const HEAD: &str = "UPDATE flexslot_proxy.store SET head = $1";

/// Hands writes to a task that makes them. Dropped, it lets the task finish what is queued.
#[derive(Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Write>,
    target: Arc<Target>,
}

#[derive(Debug)]
struct Write {
    changes: Vec<Change>,
    answer: Answer,
}

type Answer = oneshot::Sender<Result<Written, StoreError>>;

// === impl Writer ===

impl Writer {
    /// Starts the task.
    pub(super) fn start(opener: Opener) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let target = Arc::clone(&opener.target);
        tokio::spawn(work(opener, waiting));
        Self { queue, target }
    }

    pub(super) async fn write(&self, changes: Vec<Change>) -> Result<Written, StoreError> {
        let (answer, answered) = oneshot::channel();
        let stopped = || self.target.unavailable("its task has stopped");
        let broken =
            || self.target.unavailable("a fault in this program has broken the write off; it may have been done");
        let write = async {
            self.queue.send(Write { changes, answer }).await.map_err(|_| stopped())?;
            answered.await.map_err(|_| broken())?
        };
        let late = |_| Err(Fault::Unknown(Box::new(Fault::Late(self.target.timeout))).into_store_error(&self.target));
        timeout(self.target.timeout, write).await.unwrap_or_else(late)
    }
}

async fn work(opener: Opener, mut waiting: mpsc::Receiver<Write>) {
    let mut lane = Arc::new(Lane::new(opener.clone()));
    while let Some(first) = waiting.recv().await {
        let (writes, answers) = group(first, &mut waiting);
        let used = Arc::clone(&lane);
        // In a task of its own: a panic ends this group, and not every write from then on.
        let done = tokio::spawn(async move {
            let outcomes = outcomes(&used, &writes).await;
            for (answer, outcome) in answers.into_iter().zip(outcomes) {
                // Nobody may be waiting any more.
                let _ = answer.send(outcome);
            }
        });
        if done.await.is_err() {
            // Its session may be in the middle of a transaction.
            lane = Arc::new(Lane::new(opener.clone()));
        }
    }
}

/// One for each write. A record that cannot be read is the trouble of those alone who write it.
async fn outcomes(lane: &Lane, writes: &[Vec<Change>]) -> Vec<Result<Written, StoreError>> {
    let together = async |writes| lane.run(|session| write(session, writes)).await;
    match together(writes).await {
        Ok(written) => written.into_iter().map(Ok).collect(),
        Err(StoreError::Unreadable { .. }) if writes.len() > 1 => {
            let mut outcomes = Vec::with_capacity(writes.len());
            for alone in writes.chunks(1) {
                outcomes.push(together(alone).await.map(|written| written[0]));
            }
            outcomes
        }
        Err(error) => vec![Err(error); writes.len()],
    }
}

/// `first` and whatever else waits, as far as it goes in; without what nobody waits for any more.
fn group(first: Write, waiting: &mut mpsc::Receiver<Write>) -> (Vec<Vec<Change>>, Vec<Answer>) {
    let mut size = first.changes.len();
    let mut group = vec![first];
    while size < GROUP
        && let Ok(next) = waiting.try_recv()
    {
        size += next.changes.len();
        group.push(next);
    }
    group.retain(|write| !write.answer.is_closed());
    group.into_iter().map(|write| (write.changes, write.answer)).unzip()
}

/// One transaction in two round trips: what is there, and what it becomes.
async fn write(session: Arc<Session>, writes: &[Vec<Change>]) -> Result<Vec<Written>, Fault> {
    let (head, found) = match begin(&session, writes).await {
        Ok(begun) => begun,
        Err(fault) => {
            // Who waits for the lock shall not wait for this session's end; and if it has ended, this fails, and no
            // harm.
            let _ = session.client().batch_execute("ROLLBACK").await;
            return Err(fault);
        }
    };
    let plan = Plan::new(head, &found, writes);
    if plan.head == head {
        session.client().batch_execute("ROLLBACK").await?;
        return Ok(plan.written);
    }
    match finish(&session, &plan).await {
        Ok(()) => Ok(plan.written),
        Err(fault) if fault.is_certain() => Err(fault),
        Err(fault) => Err(Fault::Unknown(Box::new(fault))),
    }
}

/// Locks the newest revision, and reads what the writes will look at.
async fn begin<'a>(
    session: &Session,
    writes: &'a [Vec<Change>],
) -> Result<(Revision, HashMap<Name<'a>, Stored>), Fault> {
    let keys: Vec<&Key> = writes.iter().flatten().map(|change| &change.key).collect();
    let (kinds, names) = columns(keys.iter().copied());
    let (lock, labels) = (session.prepared(LOCK).await?, session.prepared(LABELS).await?);
    let client = session.client();
    let parameters: [&(dyn ToSql + Sync); 2] = [&kinds, &names];
    let (_, head, rows) = tokio::try_join!(
        biased;
        client.batch_execute("BEGIN"),
        client.query_opt(&lock, &[]),
        client.query(&labels, &parameters),
    )?;
    let head = head.ok_or_else(no_store)?.try_get::<_, i64>(0)?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in &rows {
        let at = usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or_default().wrapping_sub(1);
        let Some(key) = keys.get(at) else { continue };
        let (revision, label) = label_of(row, key)?;
        let last_used = row.try_get::<_, Option<i64>>(6)?.map(Timestamp::from_millis);
        found.insert((key.kind, key.name.as_str()), Stored { revision, label, last_used });
    }
    Ok((Revision(head.unsigned_abs()), found))
}

/// Puts the rows and the newest revision, and commits.
async fn finish(session: &Session, plan: &Plan<'_>) -> Result<(), Fault> {
    let rows = || plan.rows.values();
    let stored = || rows().map(|row| &row.stored);
    let kinds: Vec<_> = plan.rows.keys().map(|(kind, _)| code_of(*kind)).collect();
    let names: Vec<_> = plan.rows.keys().map(|(_, name)| *name).collect();
    let revisions: Vec<_> = stored().map(|row| signed(row.revision.0)).collect();
    let grants: Vec<_> = stored().map(|row| row.label.grant.map(|grant| grant.as_bytes().to_vec())).collect();
    let versions: Vec<_> = stored().map(|row| row.label.version.map(|version| signed(version.number()))).collect();
    let states: Vec<_> = stored().map(|row| i16::from(row.label.state.code())).collect();
    let dues: Vec<_> = stored().map(|row| row.label.due.map(Timestamp::millis)).collect();
    let bodies: Vec<_> = rows().map(|row| row.body.as_bytes()).collect();
    let uses: Vec<_> = stored().map(|row| row.last_used.map(Timestamp::millis)).collect();
    let parameters: [&(dyn ToSql + Sync); 9] =
        [&kinds, &names, &revisions, &grants, &versions, &states, &dues, &bodies, &uses];
    let head = signed(plan.head.0);
    let (put, set) = (session.prepared(PUT).await?, session.prepared(HEAD).await?);
    let client = session.client();
    let head: [&(dyn ToSql + Sync); 1] = [&head];
    tokio::try_join!(
        biased;
        client.execute(&put, &parameters),
        client.execute(&set, &head),
        client.batch_execute("COMMIT"),
    )?;
    Ok(())
}

/// Every statement that looks for rows, with values for it; a test looks at how the server goes about them.
#[cfg(test)]
pub(super) const STATEMENTS: &[(&str, &str)] = &[
    (LABELS, "'{1}', '{tenant-7}'"),
    (PUT, "'{1}', '{tenant-7}', '{7}', '{NULL}', '{NULL}', '{0}', '{NULL}', '{x}', '{NULL}'"),
];
