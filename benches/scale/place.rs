//! A directory with configuration, key and store, and the sidecar that is started on it.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    failure::{Failure, Result, Trying},
    flexslot::Flexslot,
    load,
    measure::{Cpu, Memory},
    process::{self, Cores, Pinned, Process},
};

/// How long a sidecar may take to answer its first request.
const START: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Place {
    dir: PathBuf,
    binary: PathBuf,
    cores: Cores,
    port: u16,
    admin: u16,
    flexslot: u16,
}

/// A sidecar that answers; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Sidecar {
    pub(crate) port: u16,
    pub(crate) admin: u16,
    /// From its start to the end of its first answer.
    pub(crate) started_in: Duration,
    process: Process,
}

/// What of the defaults is not as it is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Settings {
    /// `limits.cached_tenants`
    pub(crate) cached_tenants: Option<u32>,
    /// `refresh.before_expiry`, in seconds
    pub(crate) before_expiry: Option<u32>,
}

// === impl Place ===

impl Place {
    /// A new store.
    pub(crate) fn new(dir: PathBuf, binary: &Path, cores: Cores, flexslot: &Flexslot) -> Result<Self> {
        fs::create_dir_all(&dir).trying(|| dir.display().to_string())?;
        let (port, admin) = (process::free_port()?, process::free_port()?);
        let place = Self { dir, binary: binary.to_owned(), cores, port, admin, flexslot: flexslot.port };
        place.configure(Settings::default())?;
        Ok(place)
    }

    /// What has no default, and what is set besides.
    pub(crate) fn configure(&self, settings: Settings) -> Result<()> {
        let Self { port, admin, flexslot, .. } = self;
        let mut text = format!(
            "[server]\nlisten = \"127.0.0.1:{port}\"\n[admin]\nlisten = \"127.0.0.1:{admin}\"\n\
             [upstream]\nurl = \"http://127.0.0.1:{flexslot}\"\nproxy = \"off\"\n[oauth]\nclient_id = \"flx_client_scale\"\n"
        );
        if let Some(tenants) = settings.cached_tenants {
            text.push_str(&format!("[limits]\ncached_tenants = {tenants}\n"));
        }
        if let Some(seconds) = settings.before_expiry {
            text.push_str(&format!("[refresh]\nbefore_expiry = \"{seconds}s\"\n"));
        }
        let path = self.dir.join("proxy.toml");
        fs::write(&path, text).trying(|| path.display().to_string())
    }

    /// Imports new tokens for these tenants, in the place of those that the store has.
    pub(crate) fn import(&self, flexslot: &Flexslot, tenants: Range<u32>, ends: SystemTime) -> Result<()> {
        let path = self.dir.join("tenants.jsonl");
        let what = || path.display().to_string();
        let mut file = BufWriter::new(File::create(&path).trying(what)?);
        for number in tenants {
            writeln!(file, "{}", flexslot.record.line(number, ends)).trying(what)?;
        }
        file.flush().trying(what)?;
        let mut import = Command::new(&self.binary);
        import.args(["tenant", "import", "--replace"]).arg(&path).current_dir(&self.dir).env_clear();
        let output = import.output().trying(|| format!("starting {}", self.binary.display()))?;
        fs::remove_file(&path).trying(what)?;
        match output.status.success() {
            true => Ok(()),
            false => Err(Failure::new(format!("tenant import: {}", String::from_utf8_lossy(&output.stderr)))),
        }
    }

    /// Starts a sidecar on the first core, and waits until it has answered a request for this tenant.
    pub(crate) fn start(&self, first: u32) -> Result<Sidecar> {
        // Apart from the configuration, whose directory the sidecar watches.
        let logs = self.dir.join("logs");
        fs::create_dir_all(&logs).trying(|| logs.display().to_string())?;
        let log = logs.join("log");
        let _ = fs::remove_file(&log);
        let mut command = process::logging_to(&log, process::command(&self.binary)?)?;
        command.arg("serve").current_dir(&self.dir);
        let began = Instant::now();
        let mut process = self.cores.start(Pinned::First, &mut command)?;
        while !load::answers(self.port, first) {
            if !process.runs() || began.elapsed() > START {
                return Err(Failure::new(format!(
                    "the sidecar does not answer. The end of its log:\n{}",
                    process::end_of(&log)
                )));
            }
            thread::sleep(Duration::from_micros(200));
        }
        Ok(Sidecar { port: self.port, admin: self.admin, started_in: began.elapsed(), process })
    }
}

// === impl Sidecar ===

impl Sidecar {
    pub(crate) fn memory(&self) -> Result<Memory> {
        Memory::of(self.process.id())
    }

    pub(crate) fn cpu(&self) -> Result<Cpu> {
        Cpu::of(self.process.id())
    }
}
