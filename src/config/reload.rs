//! What a running process wants to know of its configuration.

use std::path::{Path, PathBuf};

use super::{Config, ConfiguredSecret, ExtraRoots, KeyLocation, SecretSource};

// === impl Config ===

impl Config {
    /// The files whose change is a reason to read the configuration again: proxy.toml, every secret's file, the CA
    /// files, the key file.
    pub fn watched_files(&self) -> Vec<PathBuf> {
        let secrets = [self.server.client_token.as_ref(), self.admin.token.as_ref()];
        let of_tls = self.server.tls.as_ref().map(|tls| tls.key.as_ref());
        let of_callers = self.server.callers.iter().map(|caller| caller.token.as_ref());
        let of_clients = self.oauth.all_clients().map(|client| client.secret.as_ref());
        let of_traces = self.traces.export.iter().flat_map(|export| &export.header_sources);
        let pats = self.tenants.iter().map(|tenant| tenant.pat.as_ref());
        let mut files: Vec<PathBuf> = secrets
            .into_iter()
            .chain(of_tls)
            .chain(of_callers)
            .chain(of_clients)
            .chain(pats)
            .flatten()
            .filter_map(|ConfiguredSecret { source, .. }| source.file())
            .chain(self.source.path())
            .chain(
                [
                    self.upstream.extra_roots.as_ref(),
                    self.store.engine.extra_roots(),
                    self.client_roots(),
                    self.traces.export.as_ref().and_then(|export| export.extra_roots.as_ref()),
                ]
                .into_iter()
                .flatten()
                .map(|roots| roots.path.as_path()),
            )
            .chain(
                [
                    self.store.key_location().and_then(KeyLocation::file),
                    self.store.url_source.as_ref().and_then(SecretSource::file),
                ]
                .into_iter()
                .flatten(),
            )
            .chain(self.server.tls.as_ref().map(|tls| tls.certificate.as_path()))
            .chain(of_traces.filter_map(SecretSource::file))
            .map(Path::to_owned)
            .collect();
        files.sort();
        files.dedup();
        files
    }

    fn client_roots(&self) -> Option<&ExtraRoots> {
        self.server.tls.as_ref()?.client_roots.as_ref()
    }

    /// Whether `new`, read later, says the same. The key that the start has made meanwhile is no news.
    pub fn says_the_same(&self, new: &Self) -> bool {
        let mut as_before = new.clone();
        if let (Some(before), Some(key)) = (self.store.engine.key(), as_before.store.engine.key_mut())
            && before.text.is_none()
        {
            key.text = None;
        }
        *self == as_before
    }

    /// The keys whose new values take effect only with the next start.
    pub fn changes_needing_restart(&self, new: &Self) -> Vec<&'static str> {
        // The key's text may change under way: a reload takes it over.
        let same_store = self.store.engine.lies_where(&new.store.engine);
        [
            ("server.listen", self.server.listeners == new.server.listeners),
            ("admin.listen", self.admin.listeners == new.admin.listeners),
            ("admin.metrics_listen", self.admin.metrics_listeners == new.admin.metrics_listeners),
            ("store.url", self.store.engine.is_reached_like(&new.store.engine)),
            ("store.ca_file", self.store.engine.extra_roots() == new.store.engine.extra_roots()),
            ("store.encryption_key", !same_store || self.store.key_location() == new.store.key_location()),
            ("store.state_dir", self.store.state_dir == new.store.state_dir),
            ("server.drain_timeout", self.server.drain_timeout == new.server.drain_timeout),
            ("limits.connections", self.limits.connections == new.limits.connections),
            ("limits.connections_per_peer", self.limits.connections_per_peer == new.limits.connections_per_peer),
            ("limits.header_size", self.limits.header_size == new.limits.header_size),
            ("limits.header_timeout", self.limits.header_timeout == new.limits.header_timeout),
            ("limits.keep_alive_timeout", self.limits.keep_alive_timeout == new.limits.keep_alive_timeout),
            // The client's side of it; the upstream's follows at once.
            ("upstream.body_idle_timeout", self.upstream.body_idle_timeout == new.upstream.body_idle_timeout),
            ("log.format", self.log.format == new.log.format),
        ]
        .into_iter()
        .filter_map(|(key, same)| (!same).then_some(key))
        .collect()
    }
}
