//! From a name to its addresses, by the system's resolver. Those who ask at about the same time share an answer.
//!
//! The resolver takes a thread and a socket for each question, and keeps them for as long as nobody answers it, which is
//! longer than requests wait. A question for each request would take all of both.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    net::lookup_host,
    select,
    sync::watch,
    time::{Instant, timeout},
};

use super::connect::Target;

/// How old a question may be for others to wait for its answer. An older one may have been lost on the way, so that
/// asking anew is faster.
const YOUNG: Duration = Duration::from_secs(1);

/// The questions that were asked last.
#[derive(Debug, Default)]
pub(super) struct Lookups(Mutex<HashMap<Target, Asked>>);

#[derive(Debug)]
struct Asked {
    at: Instant,
    answer: watch::Receiver<Option<Answer>>,
}

/// Everybody who waited gets the same; an [`io::Error`] cannot be copied.
type Answer = Result<Arc<[SocketAddr]>, (io::ErrorKind, Arc<str>)>;

// === impl Lookups ===

impl Lookups {
    /// The addresses of `target`.
    pub(super) async fn addresses(&self, target: &Target) -> io::Result<Arc<[SocketAddr]>> {
        if let Ok(literal) = target.host.parse::<IpAddr>() {
            return Ok([SocketAddr::new(literal, target.port)].into());
        }
        let resolver = || {
            let Target { host, port } = target.clone();
            async move { Ok(lookup_host((host, port)).await?.collect()) }
        };
        self.by(target, resolver).await
    }

    /// The same by `resolver`, unless somebody has just asked and has no answer yet. A question that gets none within
    /// [`YOUNG`] may have been lost, and is asked once more: who shares it is not to fail with it.
    async fn by<F>(&self, target: &Target, resolver: impl Fn() -> F) -> io::Result<Arc<[SocketAddr]>>
    where
        F: Future<Output = io::Result<Arc<[SocketAddr]>>> + Send + 'static,
    {
        let mut first = pin!(answer(self.ask(target, resolver())));
        match timeout(YOUNG, first.as_mut()).await {
            Ok(answered) => answered,
            Err(_) => {
                let second = answer(self.ask(target, resolver()));
                select! {
                    answered = first => answered,
                    answered = second => answered,
                }
            }
        }
    }

    fn ask(
        &self,
        target: &Target,
        resolver: impl Future<Output = io::Result<Arc<[SocketAddr]>>> + Send + 'static,
    ) -> watch::Receiver<Option<Answer>> {
        let mut asked = self.0.lock();
        let is_awaited = |asked: &&Asked| asked.at.elapsed() < YOUNG && asked.answer.borrow().is_none();
        if let Some(asked) = asked.get(target).filter(is_awaited) {
            return asked.answer.clone();
        }
        let (tell, answer) = watch::channel(None);
        asked.insert(target.clone(), Asked { at: Instant::now(), answer: answer.clone() });
        // Apart: whoever asked first may stop waiting before the others.
        tokio::spawn(async move {
            let answer = resolver.await.map_err(|error| (error.kind(), error.to_string().into()));
            tell.send_replace(Some(answer));
        });
        answer
    }
}

async fn answer(mut question: watch::Receiver<Option<Answer>>) -> io::Result<Arc<[SocketAddr]>> {
    let answered = question.wait_for(Option::is_some).await.map(|answer| answer.clone());
    match answered {
        Ok(Some(Ok(addresses))) => Ok(addresses),
        Ok(Some(Err((kind, why)))) => Err(io::Error::new(kind, &*why)),
        // Whoever asked ends with its runtime.
        Ok(None) | Err(_) => Err(io::Error::other("nobody asks the resolver any more")),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        net::SocketAddr,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use tokio::{
        join,
        sync::Semaphore,
        time::{advance, timeout},
    };

    use super::{Lookups, Target, YOUNG};

    /// Answers when it is let, and counts its questions.
    #[derive(Clone)]
    struct Resolver {
        asked: Arc<AtomicUsize>,
        gate: Arc<Semaphore>,
    }

    impl Resolver {
        fn silent() -> Self {
            Self { asked: Arc::default(), gate: Arc::new(Semaphore::new(0)) }
        }

        async fn ask(self) -> io::Result<Arc<[SocketAddr]>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            match self.gate.acquire().await {
                Ok(permit) => permit.forget(),
                Err(_) => return Err(io::Error::new(io::ErrorKind::NotFound, "no such name")),
            }
            Ok([SocketAddr::from(([192, 0, 2, 7], 443))].into())
        }
    }

    fn target() -> Target {
        Target { host: "api.flexslot.gg".into(), port: 443 }
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_ask_at_the_same_time_share_an_answer_and_the_next_ask_anew() {
        let (lookups, resolver, target) = (Lookups::default(), Resolver::silent(), target());
        resolver.gate.add_permits(1);
        let (one, other) =
            join!(lookups.by(&target, || resolver.clone().ask()), lookups.by(&target, || resolver.clone().ask()));
        assert_eq!((one.unwrap(), resolver.asked.load(Ordering::SeqCst)), (other.unwrap(), 1));
        resolver.gate.add_permits(1);
        lookups.by(&target, || resolver.clone().ask()).await.unwrap();
        assert_eq!(resolver.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_resolver_is_asked_once_a_second_however_many_wait() {
        let (lookups, resolver, target) = (Lookups::default(), Resolver::silent(), target());
        for seconds in 1..=5 {
            for _ in 0..100 {
                let asked = timeout(YOUNG / 200, lookups.by(&target, || resolver.clone().ask())).await;
                assert!(asked.is_err());
            }
            assert_eq!(resolver.asked.load(Ordering::SeqCst), seconds);
            advance(YOUNG).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_was_lost_is_asked_once_more_for_all_who_share_it() {
        let (lookups, resolver, target) = (Lookups::default(), Resolver::silent(), target());
        let second = async {
            advance(YOUNG / 2).await;
            lookups.by(&target, || resolver.clone().ask()).await
        };
        let answered = async {
            tokio::time::sleep(YOUNG + YOUNG / 4).await;
            assert_eq!(resolver.asked.load(Ordering::SeqCst), 2, "one question is lost");
            resolver.gate.add_permits(2);
        };
        let (one, other, ()) = join!(lookups.by(&target, || resolver.clone().ask()), second, answered);
        assert_eq!(one.unwrap(), other.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_told_to_all_who_wait_and_to_nobody_later() {
        let (lookups, resolver, target) = (Lookups::default(), Resolver::silent(), target());
        resolver.gate.close();
        let (one, other) =
            join!(lookups.by(&target, || resolver.clone().ask()), lookups.by(&target, || resolver.clone().ask()));
        for failed in [one, other] {
            let error = failed.unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (io::ErrorKind::NotFound, "no such name"));
        }
        let _ = lookups.by(&target, || resolver.clone().ask()).await;
        assert_eq!(resolver.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn an_address_asks_nobody() {
        let literal = Target { host: "::1".into(), port: 443 };
        let found = Lookups::default().addresses(&literal).await.unwrap();
        assert_eq!(found[..], ["[::1]:443".parse().unwrap()]);
    }
}
