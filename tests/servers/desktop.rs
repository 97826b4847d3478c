//! A desktop's session without the desktop: `dbus-daemon`, and GNOME Keyring on its bus.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::watched::Watched;

/// A session with a home directory of its own. Nothing on its bus is started by the bus, so that there is no more than
/// what a test has started, and nobody asks for a password.
pub(crate) struct Desktop {
    bus: Watched,
    keyring: Watched,
}

/// What the keyring's owner has done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    /// Has typed the password, as one does at a login.
    Unlocked,
    Locked,
}

const PASSWORD: &str = "password-of-the-keyring";

const BUS: &str = r#"<busconfig>
<type>session</type>
<listen>unix:path=RUN/bus</listen>
<auth>EXTERNAL</auth>
<policy context="default">
<allow send_destination="*" eavesdrop="true"/>
<allow eavesdrop="true"/>
<allow own="*"/>
</policy>
</busconfig>
"#;

/// Says when the keyring can be asked; becomes it meanwhile. `$1` is what tells that it can, `$2` its password.
const KEYRING: &str = r#"
    (until eval "$1" 2>/dev/null; do [ -e "/proc/$$/exe" ] || exit; done; echo ready) &
    if [ "$2" ]; then
        exec gnome-keyring-daemon --foreground --components=secrets --unlock <<END
$2
END
    fi
    exec gnome-keyring-daemon --foreground --components=secrets
"#;

// === impl Desktop ===

impl Desktop {
    /// A session with a keyring that is open.
    pub(crate) fn new() -> Self {
        let mut desktop = Self::without_keyring();
        desktop.log_in(Login::Unlocked);
        desktop
    }

    /// A session in which nobody keeps secrets.
    pub(crate) fn without_keyring() -> Self {
        let desktop = Self { bus: Watched::new(), keyring: Watched::new() };
        for dir in ["home", "run"] {
            fs::create_dir(desktop.dir().join(dir)).expect("made");
        }
        desktop.start_bus()
    }

    fn start_bus(mut self) -> Self {
        let config = self.dir().join("bus.conf");
        fs::write(&config, BUS.replace("RUN", &self.run_dir())).expect("written");
        let config = format!("--config-file={}", config.display());
        let bus = self.within(&["dbus-daemon", "--nofork", "--print-address=1", &config]);
        let bus: Vec<_> = bus.iter().map(String::as_str).collect();
        self.bus.start(&bus, "unix:path=").unwrap_or_else(|said| panic!("dbus-daemon does not start:\n{said}"));
        self
    }

    /// Starts the keyring, or starts it again.
    pub(crate) fn log_in(&mut self, login: Login) {
        self.keyring.kill();
        let (can_be_asked, password) = match login {
            Login::Unlocked => {
                ("echo open | timeout 10 secret-tool store --label=open is open && secret-tool clear is open", PASSWORD)
            }
            Login::Locked => ("timeout 10 secret-tool search is open", ""),
        };
        let keyring = self.within(&["sh", "-c", KEYRING, "sh", can_be_asked, password]);
        let keyring: Vec<_> = keyring.iter().map(String::as_str).collect();
        let started = self.keyring.start(&keyring, "ready");
        started.unwrap_or_else(|said| panic!("gnome-keyring-daemon does not start:\n{said}"));
    }

    /// What a process of the session finds in its environment.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let home = self.dir().join("home").display().to_string();
        let path = std::env::var_os("PATH").and_then(|path| path.into_string().ok()).expect("a PATH");
        vec![("HOME", home), ("XDG_RUNTIME_DIR", self.run_dir()), ("PATH", path)]
    }

    /// Runs `secret-tool` with words that are separated by single spaces; answers what it prints.
    pub(crate) fn secret_tool(&self, words: &str) -> String {
        let mut tool = Command::new("secret-tool");
        let ran =
            tool.args(words.split(' ')).env_clear().envs(self.variables()).output().expect("scripts/test installs it");
        String::from_utf8(ran.stdout).expect("text")
    }

    /// Has an item hold this.
    pub(crate) fn put(&self, attributes: &str, text: &str) {
        let mut shell = Command::new("sh");
        let store = r#"printf %s "$1" | secret-tool store --label=test $2"#;
        let ran = shell.args(["-c", store, "sh", text, attributes]).env_clear().envs(self.variables()).status();
        assert!(ran.expect("a shell").success());
    }

    /// Where everything of the session lies.
    pub(crate) fn dir(&self) -> &Path {
        self.bus.dir()
    }

    fn run_dir(&self) -> String {
        self.dir().join("run").display().to_string()
    }

    fn within(&self, command: &[&str]) -> Vec<String> {
        let variables = self.variables().into_iter().map(|(name, value)| format!("{name}={value}"));
        let start = ["env", "-i"].map(str::to_owned).into_iter();
        start.chain(variables).chain(command.iter().map(|&word| word.to_owned())).collect()
    }
}

/// Every file below `dir`.
pub(crate) fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry"));
    let found = entries.flat_map(|entry| match entry.file_type().expect("a type") {
        kind if kind.is_dir() => files_below(&entry.path()),
        kind if kind.is_file() => vec![entry.path()],
        _ => Vec::new(),
    });
    found.collect()
}
