//! `status --watch`

use std::{
    hash::{DefaultHasher, Hasher as _},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{Look, Seen};
use crate::cli::{Console, Failure, console::Reader, signals::Signals};

/// How often is looked whether something has changed, at the most.
const EVERY: Duration = Duration::from_secs(2);

/// How much longer than a look the pause after it is: a store of a million tenants has other things to do.
const PAUSE: u32 = 9;

/// What tells two pictures apart. The pictures themselves may be of a million cards.
type Print = u64;

impl Look<'_> {
    /// Ends with a signal, or with whoever reads.
    pub(super) async fn watch(&self, console: &mut Console) -> Result<(), Failure> {
        let mut signals = Signals::of_a_terminal()?;
        tokio::select! {
            () = signals.stop() => Ok(()),
            ended = self.keep_showing(console) => ended,
        }
    }

    async fn keep_showing(&self, console: &mut Console) -> Result<(), Failure> {
        let (mut seen, mut shown) = (self.see().await?, None);
        loop {
            let begun = Instant::now();
            if shown.is_none() || shown != Some(self.print(&seen).await?) {
                if self.is_for_people() && shown.is_some() {
                    console.turn_page()?;
                }
                let (print, reader) = self.picture(&seen, |piece| console.data_to_reader(piece.as_bytes())).await?;
                if reader == Reader::Gone {
                    return Ok(());
                }
                shown = Some(print);
            }
            sleep(pause(begun.elapsed())).await;
            if !seen.looking.has_store {
                seen = self.see().await?;
            }
        }
    }

    /// What would be shown.
    async fn print(&self, seen: &Seen) -> Result<Print, Failure> {
        Ok(self.picture(seen, |_| Ok(Reader::There)).await?.0)
    }

    /// Has `out` take what is to be shown, piece by piece.
    async fn picture(
        &self,
        seen: &Seen,
        mut out: impl FnMut(&str) -> Result<Reader, Failure>,
    ) -> Result<(Print, Reader), Failure> {
        let (mut print, mut reader) = (DefaultHasher::new(), Reader::There);
        let mut piece_by_piece = |piece: &str| {
            print.write(piece.as_bytes());
            reader = out(piece)?;
            Ok(reader)
        };
        if self.write(seen, &mut piece_by_piece).await? == 0 && self.is_for_people() {
            piece_by_piece(&format!("{}\n", seen.nobody()))?;
        }
        Ok((print.finish(), reader))
    }
}

/// How long to wait after a look that took so long.
fn pause(look: Duration) -> Duration {
    EVERY.max(look.saturating_mul(PAUSE))
}

#[cfg(test)]
mod tests {
    use super::{EVERY, pause};
    use std::time::Duration;

    #[test]
    fn looking_takes_a_tenth_of_the_time_at_the_most() {
        assert_eq!(pause(Duration::from_millis(5)), EVERY);
        assert_eq!(pause(Duration::from_secs(20)), Duration::from_secs(180));
        assert_eq!(pause(Duration::MAX), Duration::MAX);
    }
}
