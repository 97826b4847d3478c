//! The whole of proxy.toml as written, and its way to a [`Config`].

use super::{
    Config, ConfigSource,
    meaning::Resolver,
    reader::Table,
    sections::{admin, limits, log, oauth, refresh, server, store, tenants, traces, upstream},
};

/// The file as written, and what flags and variables say instead.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) server: server::Written,
    pub(super) admin: admin::Written,
    pub(super) upstream: upstream::Written,
    pub(super) oauth: oauth::Written,
    pub(super) refresh: refresh::Written,
    pub(super) store: store::Written,
    pub(super) limits: limits::Written,
    pub(super) log: log::Written,
    pub(super) traces: traces::Written,
    pub(super) tenants: Vec<tenants::Written>,
}

// === impl Written ===

impl Written {
    pub(super) fn read(mut root: Table<'_>) -> Self {
        let written = Self {
            server: server::Written::read(root.table("server")),
            admin: admin::Written::read(root.table("admin")),
            upstream: upstream::Written::read(root.table("upstream")),
            oauth: oauth::Written::read(root.table("oauth")),
            refresh: refresh::Written::read(root.table("refresh")),
            store: store::Written::read(root.table("store")),
            limits: limits::Written::read(root.table("limits")),
            log: log::Written::read(root.table("log")),
            traces: traces::Written::read(root.table("traces")),
            tenants: root.tables("tenants").into_iter().map(tenants::Written::read).collect(),
        };
        root.finish();
        written
    }

    pub(super) fn meaning(
        self,
        source: &ConfigSource,
        unconfigured: store::Unconfigured,
        resolver: &Resolver<'_>,
    ) -> Config {
        let upstream = self.upstream.meaning(resolver);
        let public_url = self.admin.public_url.clone();
        let admin = self.admin.meaning(resolver);
        Config {
            source: source.clone(),
            server: self.server.meaning(resolver),
            oauth: self.oauth.meaning(&upstream.origin, &admin, &public_url, resolver),
            admin,
            upstream,
            refresh: self.refresh.meaning(resolver),
            store: self.store.meaning(unconfigured, resolver),
            limits: self.limits.meaning(),
            log: self.log.meaning(),
            traces: self.traces.meaning(resolver),
            tenants: tenants::meaning(self.tenants, resolver),
        }
    }
}
