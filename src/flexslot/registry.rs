//! The OAuth clients that the store keeps, as whoever talks to the OAuth server needs them: which there are, with which
//! secrets, and whether one is being replaced right now.
//!
//! They change while the process runs: `client create`, `rotate-secret` and `revoke` write them, any process of the same
//! store. This room does not know the store; it is handed a [`ClientSource`].

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::clients::MANAGEMENT_TIMEOUT;
use crate::model::{ClientDescription, ClientStatus, Secret};

/// How long the store is asked again to take a secret, which Flexslot shows once.
pub const STORE_RETRY_FOR: Duration = Duration::from_secs(20);

/// How long a secret that is being replaced is waited for: as long as Flexslot may take to answer, and the store to take
/// the secret. Who died in between does not come back, and then the secret that there is has to do.
pub const LONGEST_ROTATION: Duration = MANAGEMENT_TIMEOUT.saturating_add(STORE_RETRY_FOR);

/// How often the store is looked at meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A client of the store, as a request to Flexslot needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredClient {
    pub client: ClientDescription,
    pub secret: Option<Secret>,
    /// Until when another secret may be on its way.
    pub rotating_until: Option<Instant>,
}

/// Where they come from.
#[async_trait]
pub trait ClientSource: Send + Sync + 'static {
    /// All of them that can be presented. An error says why they cannot be had, for a log.
    async fn load(&self) -> Result<Vec<StoredClient>, String>;
}

/// The clients as they were loaded last. Shared by everything that a process builds.
pub struct StoredClients {
    source: Option<Arc<dyn ClientSource>>,
    loaded: watch::Sender<Loaded>,
    loading: tokio::sync::Mutex<()>,
    /// Whether the last look came to nothing, so that there is to be another.
    is_due: AtomicBool,
    /// The secret that Flexslot took last, by client, as its hash: where there are two, it comes first.
    taken: Mutex<HashMap<String, [u8; 32]>>,
}

#[derive(Default)]
struct Loaded {
    times: u64,
    clients: HashMap<String, StoredClient>,
}

// === impl StoredClients ===

impl StoredClients {
    /// Those of `source`; none before [`StoredClients::load`].
    pub fn new(source: Arc<dyn ClientSource>) -> Self {
        Self { source: Some(source), ..Self::none() }
    }

    /// None, ever.
    pub fn none() -> Self {
        let loaded = watch::Sender::new(Loaded::default());
        Self {
            source: None,
            loaded,
            loading: tokio::sync::Mutex::default(),
            is_due: AtomicBool::new(false),
            taken: Mutex::default(),
        }
    }

    /// Looks at the store again, where the last look came to nothing.
    pub async fn load_if_due(&self) {
        if self.is_due.load(Ordering::Relaxed) {
            self.load().await;
        }
    }

    /// Looks at the store. What cannot be had stays as it was, and [`StoredClients::load_if_due`] looks again.
    pub async fn load(&self) {
        let Some(source) = &self.source else { return };
        let before = self.loaded.borrow().times;
        let _loading = self.loading.lock().await;
        if self.loaded.borrow().times > before + 1 {
            // Somebody else has begun to look after we were asked to.
            return;
        }
        match source.load().await {
            Ok(clients) => {
                self.is_due.store(false, Ordering::Relaxed);
                self.loaded.send_modify(|loaded| {
                    loaded.times += 1;
                    loaded.clients = clients.into_iter().map(|kept| (kept.client.client_id.clone(), kept)).collect();
                });
            }
            // Told once.
            Err(what) if !self.is_due.swap(true, Ordering::Relaxed) => {
                tracing::warn!(what, "the OAuth clients of the store cannot be read; those known so far stay");
            }
            Err(_) => {}
        }
    }

    /// Waits, for a bounded time, until no secret of the client is on its way.
    pub async fn settled(&self, client_id: &str) {
        let mut changes = self.loaded.subscribe();
        loop {
            let until = changes.borrow_and_update().clients.get(client_id).and_then(|kept| kept.rotating_until);
            let now = Instant::now();
            let Some(until) = until.filter(|until| *until > now) else { return };
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                // A command has nobody who follows the changes for it.
                () = sleep_until(until.min(now + LOOK_AGAIN)) => self.load().await,
            }
        }
    }

    /// The client with this id.
    pub fn get(&self, client_id: &str) -> Option<StoredClient> {
        self.loaded.borrow().clients.get(client_id).cloned()
    }

    /// Whether there is such a client.
    pub fn has(&self, client_id: &str) -> bool {
        self.loaded.borrow().clients.contains_key(client_id)
    }

    /// Those that can ask for consents, the newest first.
    pub(super) fn active(&self) -> Vec<StoredClient> {
        let clients = self.loaded.borrow().clients.values().cloned().collect::<Vec<_>>();
        let mut active: Vec<_> =
            clients.into_iter().filter(|kept| kept.client.status == ClientStatus::Active).collect();
        active.sort_by(|a, b| {
            let key = |kept: &StoredClient| (kept.client.created_at, kept.client.client_id.clone());
            key(b).cmp(&key(a))
        });
        active
    }

    /// Whether it is the secret that Flexslot took last.
    pub(super) fn was_taken(&self, client_id: &str, secret: &Secret) -> bool {
        self.taken.lock().get(client_id) == Some(&hash(secret))
    }

    /// Flexslot has taken the client's secret.
    pub(super) fn took(&self, client_id: &str, secret: &Secret) {
        let mut taken = self.taken.lock();
        let hash = hash(secret);
        if taken.get(client_id) != Some(&hash) {
            taken.insert(client_id.to_owned(), hash);
        }
    }
}

impl fmt::Debug for StoredClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredClients").field("clients", &self.loaded.borrow().clients.len()).finish_non_exhaustive()
    }
}

fn hash(secret: &Secret) -> [u8; 32] {
    Sha256::digest(secret.expose().as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// A store that is out of reach until it is not.
    #[derive(Default)]
    struct Away {
        looks: AtomicUsize,
        is_back: AtomicBool,
    }

    #[async_trait]
    impl ClientSource for Away {
        async fn load(&self) -> Result<Vec<StoredClient>, String> {
            self.looks.fetch_add(1, Ordering::SeqCst);
            match self.is_back.load(Ordering::SeqCst) {
                true => Ok(Vec::new()),
                false => Err("away".into()),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_came_to_nothing_is_repeated_until_one_does_not() {
        let away = Arc::new(Away::default());
        let clients = StoredClients::new(Arc::clone(&away) as _);
        let looks = || away.looks.load(Ordering::SeqCst);
        clients.load_if_due().await;
        assert_eq!(looks(), 0, "nobody has looked in vain");
        clients.load().await;
        clients.load_if_due().await;
        assert_eq!(looks(), 2);
        away.is_back.store(true, Ordering::SeqCst);
        clients.load_if_due().await;
        clients.load_if_due().await;
        assert_eq!(looks(), 3);
    }
}
