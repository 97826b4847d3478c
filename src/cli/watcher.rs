//! Notices when one of the configuration's files has changed.

use std::{
    collections::HashSet,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

/// Long enough for an editor, or a volume's update, to write several files in a row.
const CALM: Duration = Duration::from_millis(300);

/// Watches the directories of the files, because editors and Kubernetes put new files in the place of old ones.
pub(super) struct Watcher {
    /// `None` where the system does not let us watch; then only SIGHUP reloads.
    watching: Option<RecommendedWatcher>,
    events: mpsc::UnboundedReceiver<()>,
}

// === impl Watcher ===

impl Watcher {
    /// Watches `files`, which need not exist.
    pub(super) fn new(files: &[PathBuf]) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let names: HashSet<OsString> = files.iter().filter_map(|file| Some(file.file_name()?.to_owned())).collect();
        let concerns =
            move |path: &PathBuf| path.file_name().is_some_and(|name| names.contains(name) || is_volume_switch(name));
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // A gap in what the system reports is a reason to look, too.
            let concerned = event
                .map_or(true, |event| !matches!(event.kind, EventKind::Access(_)) && event.paths.iter().any(&concerns));
            if concerned {
                let _ = sender.send(());
            }
        });
        let directories: HashSet<&Path> = files.iter().filter_map(|file| file.parent()).collect();
        let watching = watcher.and_then(|mut watcher| {
            directories.iter().try_for_each(|directory| watcher.watch(directory, RecursiveMode::NonRecursive))?;
            Ok(watcher)
        });
        if let Err(error) = &watching {
            tracing::warn!(%error, "changes of the configuration's files are not noticed; SIGHUP still reloads");
        }
        Self { watching: watching.ok(), events }
    }

    /// Comes back when a file has changed and it has been calm since.
    pub(super) async fn changed(&mut self) {
        if self.watching.is_none() || self.events.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        sleep(CALM).await;
        while let Ok(Some(())) = timeout(CALM, self.events.recv()).await {}
    }
}

/// Kubernetes updates a mounted volume by pointing `..data` elsewhere.
fn is_volume_switch(name: &std::ffi::OsStr) -> bool {
    name == "..data"
}
