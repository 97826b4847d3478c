//! Log lines: to standard error, as text or JSON, through a filter that a reload can change.

mod json;
mod lines;

use std::fmt;

use tracing::{Level, Metadata};
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets, filter_fn},
    fmt::MakeWriter,
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

use super::{Failure, StreamKind};
use crate::config::{Log, LogFormat};
use json::Json;
use lines::Lines;
pub use lines::Rest;

/// The target of the lines of requests.
const ACCESS: &str = "access";

/// The targets of our own lines.
const OWN: [&str; 3] = ["flexslot_proxy", ACCESS, "sandbox"];

/// Crates whose warnings a peer can have at will: h2 has one for each PING that answers none of ours, ten times the size
/// of that frame.
const PEERS: [&str; 2] = ["h2", "hyper"];

/// The running log, whose filter can be changed.
pub struct Logging {
    filter: reload::Handle<Targets, Registry>,
}

// === impl Logging ===

impl Logging {
    /// Sends this process's log lines to standard error, which is a `stream`. Some are a few milliseconds late; the
    /// [`Rest`] is for the end of the process.
    ///
    /// # Errors
    ///
    /// When something else has done so before.
    pub fn start(log: &Log, stream: StreamKind) -> Result<(Self, Rest), Failure> {
        let lines = Lines::to_stderr()
            .map_err(|error| Failure::new(format!("no thread for the log could be started: {error}")))?;
        let rest = lines.rest();
        let (subscriber, logging) = subscriber(log, stream, lines);
        subscriber.try_init().map_err(|_| Failure::new("logging was started twice"))?;
        Ok((logging, rest))
    }

    /// Lets through what `log` says from now on. The format stays.
    pub fn change(&self, log: &Log) {
        // It fails only once the subscriber is gone, and then nobody logs.
        let _ = self.filter.reload(filter(log));
    }
}

impl fmt::Debug for Logging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logging")
    }
}

/// Makes this process's log lines as they would be written, and drops them: for who counts what a request costs.
///
/// # Errors
///
/// When something else logs already.
pub fn to_sink(log: &Log) -> Result<(), Failure> {
    let (subscriber, _) = subscriber(log, StreamKind::Other, std::io::sink);
    subscriber.try_init().map_err(|_| Failure::new("logging was started twice"))
}

fn subscriber<W>(log: &Log, stream: StreamKind, writer: W) -> (impl tracing::Subscriber + Send + Sync, Logging)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(filter(log));
    let lines = match (log.format, stream) {
        (LogFormat::Text, _) | (LogFormat::Auto, StreamKind::Terminal) => {
            let plain = anstream::ColorChoice::Never == anstream::AutoStream::choice(&std::io::stderr());
            tracing_subscriber::fmt::layer()
                .with_ansi(stream == StreamKind::Terminal && !plain)
                .with_writer(writer)
                .boxed()
        }
        (LogFormat::Json, _) | (LogFormat::Auto, StreamKind::Other) => {
            tracing_subscriber::fmt::layer().event_format(Json).with_ansi(false).with_writer(writer).boxed()
        }
    };
    let lines = lines.with_filter(filter_fn(is_fit));
    (Registry::default().with(filter).with(lines), Logging { filter: handle })
}

/// Whether a line may be written at all. Below `info` only our own are: what other crates say there was not written
/// with secrets in mind (h2 prints the header fields that it decodes). Of those that speak for a peer, errors only: a log
/// must not grow by frames, nor a thread wait for it.
fn is_fit(line: &Metadata<'_>) -> bool {
    let room = line.target().split("::").next().unwrap_or_default();
    let least = if PEERS.contains(&room) { Level::ERROR } else { Level::INFO };
    *line.level() <= least || OWN.contains(&room)
}

/// The filter with the access log's switch worked in: `access` decides whether there is a line per request, whatever
/// the level of the rest, unless the filter itself speaks of that target.
fn filter(log: &Log) -> Targets {
    let filter = log.filter.clone();
    let speaks_of_access = filter.iter().any(|(target, _)| target == ACCESS);
    match (log.access, speaks_of_access) {
        (false, _) => filter.with_target(ACCESS, LevelFilter::OFF),
        (true, true) => filter,
        (true, false) => filter.with_target(ACCESS, LevelFilter::INFO),
    }
}

#[cfg(test)]
mod tests {
    use super::{Log, LogFormat, StreamKind, subscriber};
    use parking_lot::Mutex;
    use std::{io, sync::Arc};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        fn taken(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock())).unwrap()
        }
    }

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log(format: LogFormat, access: bool, filter: &str) -> Log {
        Log { format, access, filter: filter.parse().unwrap() }
    }

    /// What is written of one line of each kind.
    fn written(log: &Log) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, _logging) = subscriber(log, StreamKind::Other, move || writer.clone());
        tracing::subscriber::with_default(subscriber, one_of_each);
        lines.taken()
    }

    fn one_of_each() {
        tracing::error!("an error");
        tracing::info!("an info");
        tracing::info!(target: "access", status = 200, "a request");
    }

    #[test]
    fn what_is_text_stays_text_whatever_is_in_it() {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, _logging) =
            subscriber(&log(LogFormat::Json, true, "info"), StreamKind::Other, move || writer.clone());
        let text = "a \"quote\", a \\, a\ttab,\r\n\u{1}\u{7f}ü ☃";
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(text, debug = ?text, shown = %text, none = None::<&str>, number = -3, real = 0.25, whole = 0.0, "{text}");
            tracing::info!(nothing = f64::NAN, yes = true);
        });
        let written = lines.taken();
        let all: Vec<serde_json::Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [first, second] = &all[..] else { panic!("{written}") };
        assert!(["text", "shown", "message"].iter().all(|field| first[field] == text), "{first}");
        assert_eq!((&first["debug"], first.get("none")), (&format!("{text:?}").into(), None));
        assert_eq!((&first["number"], &first["real"]), (&(-3).into(), &0.25.into()));
        assert!(written.contains("\"whole\":0.0,"), "{written}");
        assert_eq!((&second["nothing"], &second["yes"]), (&serde_json::Value::Null, &true.into()));
        assert_eq!(first["level"], "INFO");
        assert!(first["timestamp"].as_str().unwrap().ends_with('Z'), "{first}");
    }

    #[test]
    fn json_lines_are_objects_with_the_fields_of_the_event() {
        let text = written(&log(LogFormat::Auto, true, "info"));
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(
            (&last["target"], &last["status"], &last["message"]),
            (&"access".into(), &200.into(), &"a request".into())
        );
    }

    #[test]
    fn text_has_no_colour_away_from_a_terminal() {
        let text = written(&log(LogFormat::Text, true, "info"));
        assert!(text.contains("an error") && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn what_other_crates_say_below_info_is_never_written() {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, _logging) =
            subscriber(&log(LogFormat::Json, true, "trace"), StreamKind::Other, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::trace!(target: "h2::hpack::decoder", "a header field");
            tracing::debug!(target: "hyper_util::client", "a detail");
            tracing::warn!(target: "rustls::conn", "a warning");
            tracing::trace!(target: "flexslot_proxy::proxy", "our own");
        });
        let text = lines.taken();
        assert!(!text.contains("a header field") && !text.contains("a detail"), "{text}");
        assert!(text.contains("a warning") && text.contains("our own"), "{text}");
    }

    #[test]
    fn what_a_peer_can_have_by_the_frame_is_never_written() {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, _logging) =
            subscriber(&log(LogFormat::Json, true, "warn"), StreamKind::Other, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(target: "h2::proto::ping_pong", "a PING");
            tracing::warn!(target: "hyper::proto::h2::server", "a request");
            tracing::error!(target: "hyper::proto", "a fault of its own");
        });
        let text = lines.taken();
        assert!(
            !text.contains("a PING") && !text.contains("a request") && text.contains("a fault of its own"),
            "{text}"
        );
    }

    #[test]
    fn the_access_log_has_a_switch_of_its_own() {
        for (access, filter, (info, request)) in [
            (true, "info", (true, true)),
            (false, "info", (true, false)),
            (true, "error", (false, true)),
            (true, "info,access=off", (true, false)),
            (false, "info,access=info", (true, false)),
        ] {
            let text = written(&log(LogFormat::Json, access, filter));
            assert_eq!((text.contains("an info"), text.contains("a request")), (info, request), "{access} {filter}");
        }
    }

    #[test]
    fn a_reload_changes_the_filter() {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, logging) =
            subscriber(&log(LogFormat::Json, false, "error"), StreamKind::Other, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            one_of_each();
            assert_eq!(lines.taken().lines().count(), 1);
            logging.change(&log(LogFormat::Json, true, "info"));
            one_of_each();
            assert_eq!(lines.taken().lines().count(), 3);
        });
    }
}
