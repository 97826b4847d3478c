//! A sandbox, a store and a configuration in a directory of their own, and sidecars on them.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc, time::Duration};

use flexslot_proxy::{
    model::{
        Clock, GrantId, GrantState, ProofKey, Random, ScopeSet, Secret, SystemClock, TenantId, TokenSet, TokenType,
    },
    sandbox::{Client, Running, Sandbox, Settings},
    store::{Existing, NewGrant, NewTenant, StoredPat, TokenStore, backend::Backend},
};
use tempfile::TempDir;

use super::engines::{Engine, Place};
use crate::support::{
    free_port,
    process::{Launch, Sidecar},
};

/// The OAuth client of every world.
pub(crate) const CLIENT: &str = "flx_client_process";

/// The file that has `store.url` in it, where that names a server.
pub(crate) const STORE_URL: &str = "store-url";

/// Whether the sidecar believes an imported access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Fresh,
    /// Its recorded end has passed, so that the sidecar refreshes before it sends anything.
    Expired,
}

/// What sidecars are started on. Everything in it ends with it.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) sandbox: Sandbox,
    serving: Running,
    place: Place,
    /// The configuration by section.
    config: BTreeMap<&'static str, Vec<String>>,
    /// What follows the sections: tables in arrays.
    tail: String,
}

/// A tenant with a grant.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    pub(crate) name: String,
    pub(crate) grant: GrantId,
}

// === impl World ===

impl World {
    /// A sandbox with a public client, a new store, and a configuration that says nothing special.
    pub(crate) async fn new() -> Self {
        Self::on(Engine::Sqlite).await
    }

    /// The same with the store on this engine.
    pub(crate) async fn on(engine: Engine) -> Self {
        Self::at(engine.place()).await
    }

    /// The same with the store in this place.
    pub(crate) async fn at(place: Place) -> Self {
        Self::made_of(Client::public(CLIENT), place).await
    }

    /// The same with another client, and the store in a file.
    pub(crate) async fn with_client(client: Client) -> Self {
        Self::made_of(client, Place::Sqlite).await
    }

    async fn made_of(client: Client, place: Place) -> Self {
        let sandbox = Sandbox::new(Settings::default(), Arc::new(SystemClock), Random::system());
        sandbox.add_client(client);
        let serving = sandbox.spawn(free_port()).unwrap();
        let upstream = format!("url = {:?}", serving.origin());
        let config = [
            ("server", vec!["listen = \"127.0.0.1:0\""]),
            ("admin", vec!["listen = \"127.0.0.1:0\""]),
            ("upstream", vec![upstream.as_str(), "proxy = \"off\""]),
            ("oauth", vec!["client_id = \"flx_client_process\""]),
            ("store", vec!["encryption_key = { file = \"key\" }"]),
            ("log", vec!["format = \"json\""]),
        ];
        let owned = |(section, lines): (_, Vec<&str>)| (section, lines.into_iter().map(str::to_owned).collect());
        let dir = tempfile::tempdir().unwrap();
        let config = config.into_iter().map(owned).collect();
        let mut world = Self { dir, sandbox, serving, place, config, tail: String::new() };
        match world.place.url().map(str::to_owned) {
            None => world.set("store", "url = \"sqlite:store.db\""),
            Some(url) => {
                world.write_secret(STORE_URL, &url);
                // As on one host. What a sidecar leaves there, the others find.
                world.set("store", &format!("url = {{ file = {STORE_URL:?} }}")).set("store", "state_dir = \"state\"")
            }
        };
        world
    }

    /// One more line of configuration.
    pub(crate) fn set(&mut self, section: &'static str, line: &str) -> &mut Self {
        self.config.entry(section).or_default().push(line.to_owned());
        self
    }

    /// Nothing of what the section says so far.
    pub(crate) fn clear(&mut self, section: &'static str) -> &mut Self {
        self.config.remove(section);
        self
    }

    /// Lines after all sections.
    pub(crate) fn append(&mut self, lines: &str) -> &mut Self {
        self.tail.push_str(lines);
        self
    }

    pub(crate) fn origin(&self) -> &str {
        self.serving.origin()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The token that admits to the admin API, as a sidecar has made it.
    pub(crate) fn admin_token(&self) -> String {
        fs::read_to_string(self.path("admin-token")).unwrap().trim_end().to_owned()
    }

    /// Writes a file that only we can read.
    pub(crate) fn write_secret(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        // As careful operators do it: whole, with its mode, in the place of the old one.
        let staged = self.path(&format!("{name}.new"));
        fs::write(&staged, text).unwrap();
        fs::set_permissions(&staged, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(&staged, self.path(name)).unwrap();
    }

    /// The configuration as it is written.
    pub(crate) fn toml(&self) -> String {
        let section = |(name, lines): (&&str, &Vec<String>)| format!("[{name}]\n{}\n", lines.join("\n"));
        self.config.iter().map(section).collect::<String>() + &self.tail
    }

    /// Writes proxy.toml, unless it says the same already. In the place of the old one: sidecars that run on it would
    /// take over the half of a file.
    pub(crate) fn write_config(&self) {
        let (toml, path, staged) = (self.toml(), self.path("proxy.toml"), self.path("proxy.toml.new"));
        if fs::read_to_string(&path).is_ok_and(|old| old == toml) {
            return;
        }
        fs::write(&staged, toml).unwrap();
        fs::rename(staged, path).unwrap();
    }

    /// A sidecar on this world's store.
    pub(crate) async fn start(&self) -> Sidecar {
        self.write_config();
        self.launch().listening().await
    }

    /// The command that starts a sidecar, with what stands in proxy.toml.
    pub(crate) fn launch(&self) -> Launch {
        self.command(&["serve"])
    }

    /// Any command, with what stands in proxy.toml.
    pub(crate) fn command(&self, args: &[&str]) -> Launch {
        Launch::sidecar(self.dir.path(), &[args, &["--config", "proxy.toml"]].concat())
    }

    /// The store, opened by the test as another process would. Makes it, and its key, when missing.
    pub(crate) async fn store(&self) -> TokenStore {
        self.place.open(self.dir.path()).await
    }

    /// What is under the store.
    pub(crate) async fn backend(&self) -> Arc<dyn Backend> {
        self.place.backend(self.dir.path()).await
    }

    /// A tenant whose user has just consented.
    pub(crate) async fn connect(&self, name: &str, life: Life) -> Tenant {
        self.connect_all(std::slice::from_ref(&name), life).await.remove(0)
    }

    /// Tenants whose users have just consented; a grant that one of them had before is replaced.
    pub(crate) async fn connect_all<N: AsRef<str>>(&self, names: &[N], life: Life) -> Vec<Tenant> {
        let now = SystemClock.now();
        let expires_at = match life {
            Life::Fresh => now.plus(Duration::from_secs(3600)),
            Life::Expired => now.minus(Duration::from_secs(1)),
        };
        let mut tenants = Vec::new();
        let mut batch = Vec::new();
        for name in names.iter().map(AsRef::as_ref) {
            self.sandbox.add_user(name);
            let pair = self.sandbox.issue_grant(name, CLIENT, "decks:read decks:write cards:read").unwrap();
            let key = pair.key.map(|key| ProofKey::from_jwk(&key.private_jwk()).unwrap());
            let tokens = TokenSet {
                access: pair.access,
                refresh: pair.refresh,
                token_type: if key.is_some() { TokenType::Dpop } else { TokenType::Bearer },
                scopes: ScopeSet::new(&pair.scope),
                expires_at,
                answered_at: None,
                key,
            };
            let grant = NewGrant { client_id: CLIENT.into(), origin: self.origin().parse().unwrap(), tokens };
            batch.push(NewTenant { tenant: tenant(name), pat: None, grant: Some(grant) });
            tenants.push(Tenant { name: name.to_owned(), grant: pair.grant });
        }
        let _ = self.store().await.import(batch, Existing::Replace).await.unwrap();
        tenants
    }

    /// A tenant with a PAT of the sandbox's.
    pub(crate) async fn give_pat(&self, name: &str) -> Secret {
        let pat = self.sandbox.add_pat(name);
        let stored = StoredPat { pat: pat.clone(), origin: self.origin().parse().unwrap() };
        self.store().await.put_pat(&tenant(name), &stored).await.unwrap();
        pat
    }

    /// A tenant's grant as stored.
    pub(crate) async fn stored(&self, name: &str) -> GrantState {
        self.store().await.load(&tenant(name)).await.unwrap().grant
    }
}

pub(crate) fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}
