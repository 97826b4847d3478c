//! What sidecars are started on: a directory with configuration, key and store, and a stand-in of Flexslot.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    failure::{Failure, Result, Trying},
    flexslot::Flexslot,
    sidecar::{Launch, Sidecar},
};

pub(crate) struct Place {
    dir: TempDir,
    binary: PathBuf,
    pub(crate) flexslot: Flexslot,
    /// Where the sidecar listens: the same from one start to the next.
    pub(crate) proxy: u16,
    pub(crate) admin: u16,
    config: BTreeMap<&'static str, Vec<String>>,
    lines: Vec<String>,
}

// === impl Place ===

impl Place {
    pub(crate) async fn new(binary: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("faults-").tempdir().trying(|| "a directory".into())?;
        let flexslot = Flexslot::start().await?;
        let (proxy, admin) = (free_port()?, free_port()?);
        let config = [
            ("server", format!("listen = \"127.0.0.1:{proxy}\"")),
            ("admin", format!("listen = \"127.0.0.1:{admin}\"")),
            ("upstream", format!("url = \"http://127.0.0.1:{}\"\nproxy = \"off\"", flexslot.port)),
            ("oauth", "client_id = \"flx_client_faults\"".to_owned()),
            ("log", "format = \"json\"".to_owned()),
        ];
        let config = config.into_iter().map(|(section, lines)| (section, vec![lines])).collect();
        Ok(Self { dir, binary: binary.to_owned(), flexslot, proxy, admin, config, lines: Vec::new() })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// One more line of configuration.
    pub(crate) fn set(&mut self, section: &'static str, line: impl Into<String>) -> &mut Self {
        self.config.entry(section).or_default().push(line.into());
        self
    }

    /// The section says this alone.
    pub(crate) fn replace(&mut self, section: &'static str, lines: impl Into<String>) -> &mut Self {
        self.config.insert(section, vec![lines.into()]);
        self
    }

    /// A tenant, as a line of an import that the next start brings in.
    pub(crate) fn tenant(&mut self, line: String) -> &mut Self {
        self.lines.push(line);
        self
    }

    /// Writes proxy.toml, in the place of the one that a running sidecar looks at.
    pub(crate) fn write(&self) -> Result<()> {
        let section = |(name, lines): (&&str, &Vec<String>)| format!("[{name}]\n{}\n", lines.join("\n"));
        let (staged, path) = (self.path("proxy.toml.new"), self.path("proxy.toml"));
        let text = self.config.iter().map(section).collect::<String>();
        fs::write(&staged, text).and_then(|()| fs::rename(staged, &path)).trying(|| path.display().to_string())
    }

    /// Writes a file that only its owner reads.
    pub(crate) fn write_secret(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path(name);
        let written =
            fs::write(&path, text).and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o600)));
        written.trying(|| path.display().to_string())
    }

    /// Writes the configuration, and imports the tenants that have come since the last time.
    pub(crate) fn prepare(&mut self) -> Result<()> {
        self.write()?;
        if self.lines.is_empty() {
            return Ok(());
        }
        let lines: String = self.lines.drain(..).map(|line| line + "\n").collect();
        self.write_secret("tenants.jsonl", &lines)?;
        let mut import = Command::new(&self.binary);
        import.args(["tenant", "import", "tenants.jsonl"]).current_dir(self.dir.path()).env_clear();
        let output = import.output().trying(|| format!("starting {}", self.binary.display()))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(Failure::new(format!("tenant import: {}", String::from_utf8_lossy(&output.stderr)))),
        }
    }

    /// How the sidecar is started here.
    pub(crate) fn launch(&self) -> Launch {
        Launch::new(&self.binary, self.dir.path())
    }

    /// A sidecar that serves.
    pub(crate) async fn start(&mut self) -> Result<Sidecar> {
        self.prepare()?;
        self.launch().start(self.admin).await
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> Result<u16> {
    let bound = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    Ok(bound.trying(|| "a free port".into())?.port())
}
