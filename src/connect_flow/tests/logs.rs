//! What the log says of flows, and what it does not.

use std::{io, sync::Arc};

use parking_lot::Mutex;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use super::{
    server::tokens,
    world::{APP, World, allowed, failed},
};
use crate::flexslot::TokenError;

/// Everything that is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Log {
    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn one_line_at_the_end_of_each_flow_and_no_secret_in_any() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("trace"))
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = World::new().await;
    let lost = TokenError::Unknown("no answer in time".into());
    let mut secrets = Vec::new();
    for (answer, return_to, redeem) in [
        (allowed("CODE-1"), None, Ok(tokens("CODE-1"))),
        (allowed("CODE-2"), Some(APP), Ok(tokens("CODE-2"))),
        (allowed("CODE-3"), None, Err(lost)),
        (failed("access_denied"), None, Ok(tokens("CODE-4"))),
        ("code=CODE-5".to_owned(), None, Ok(tokens("CODE-5"))),
    ] {
        let walk = world.begin(&world.link_for("acme", None, return_to).await).await;
        *world.server.redeems.lock() = [redeem].into();
        let outcome = world.comes_back(&walk, &answer).await;
        if let crate::connect_flow::Outcome::Return(address) = outcome {
            secrets.push(address.split_once("flexslot_code=").unwrap().1.to_owned());
        }
        let begun = &walk.begun;
        secrets.extend([walk.session.expose(), begun.state.expose(), begun.binding.expose()].map(str::to_owned));
    }
    let lines = log.lines();
    for secret in secrets.iter().map(String::as_str).chain(["CODE-", "CANARY"]) {
        assert!(!lines.iter().any(|line| line.contains(secret)), "{secret} is in the log");
    }
    let ends: Vec<_> = lines.iter().filter(|line| line.contains("a connect flow has ended")).collect();
    assert_eq!(ends.len(), 5, "{ends:?}");
    for (end, words) in ends.iter().zip([
        &["outcome=\"connected\""][..],
        &["outcome=\"awaits_completion\""],
        &["outcome=\"refused\"", "reason=\"outcome_unknown\"", "no answer in time"],
        &["outcome=\"refused\"", "reason=\"access_denied\""],
        &["outcome=\"refused\"", "reason=\"iss_mismatch\""],
    ]) {
        assert!(words.iter().all(|word| end.contains(word)) && end.contains("acme"), "{end}");
    }
}
