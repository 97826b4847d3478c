//! Accepting, speaking HTTP/1.1 and cleartext HTTP/2, and cutting connections.

use std::{
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot, watch},
    task::{JoinHandle, JoinSet},
};

use super::{Sandbox, dispatch};
use crate::model::listen::from_here;

/// How long connections may finish after the shutdown; then they are cut.
const GRACE: Duration = Duration::from_secs(1);

/// How long to wait after a failed accept, so that a want of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// A sandbox that serves in its own task until it is dropped.
pub struct Running {
    origin: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// No answer: the connection ends instead.
#[derive(Debug)]
pub(super) struct Cut;

// === impl Sandbox ===

impl Sandbox {
    /// Serves plain HTTP/1.1 and HTTP/2 (by prior knowledge) until `shutdown` is ready; then gives open requests a
    /// second.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()> + Send) {
        if let Ok(address) = listener.local_addr() {
            self.shared.origin.get_or_init(|| origin(address));
        }
        let (closing, watched) = watch::channel(());
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => {
                    // Accepting fails for want of descriptors or because the peer went away; both pass.
                    let Ok((stream, _)) = accepted else { tokio::time::sleep(ACCEPT_PAUSE).await; continue };
                    self.shared.counters.connections.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(connection(self.clone(), stream, watched.clone()));
                }
            }
        }
        drop((listener, closing));
        let _ = tokio::time::timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
    }

    /// Serves in a task of its own. Needs a tokio runtime.
    pub fn spawn(&self, listener: TcpListener) -> io::Result<Running> {
        let origin = origin(listener.local_addr()?);
        // Known from now on, not only once the task has run.
        self.shared.origin.get_or_init(|| origin.clone());
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { drop(stopped.await) };
        Ok(Running { origin, stop, task: tokio::spawn(self.clone().serve(listener, shutdown)) })
    }
}

/// The origin by which a client on this machine reaches `address`.
fn origin(address: SocketAddr) -> String {
    format!("http://{}", from_here(address))
}

async fn connection(sandbox: Sandbox, stream: TcpStream, mut closing: watch::Receiver<()>) {
    // Without it small answers wait for the peer's acknowledgement.
    let _ = stream.set_nodelay(true);
    let cut = Arc::new(Notify::new());
    let service = service_fn(|request| {
        let (sandbox, cut) = (sandbox.clone(), Arc::clone(&cut));
        async move { dispatch::exchange(&sandbox, request).await.inspect_err(|Cut| cut.notify_one()) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let served = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    tokio::select! {
        biased;
        // Dropping the connection closes the socket under every request on it.
        () = cut.notified() => return,
        _ = served.as_mut() => return,
        _ = closing.changed() => served.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        () = cut.notified() => {}
        _ = served => {}
    }
}

// === impl Running ===

impl Running {
    /// `http://127.0.0.1:PORT`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Stops serving and waits for the end of it.
    pub async fn stop(self) {
        drop(self.stop);
        // The task ends by itself; a panic in it has been reported already.
        let _ = self.task.await;
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("origin", &self.origin).finish_non_exhaustive()
    }
}

// === impl Cut ===

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is cut on demand")
    }
}

impl std::error::Error for Cut {}
