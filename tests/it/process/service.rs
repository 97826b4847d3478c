//! Under a service manager: what it is told, and sockets that it keeps (`sd_notify(3)`, `sd_listen_fds(3)`).

use std::{net::TcpListener, os::fd::AsRawFd, path::Path};

use http::Method;
use rustix::{io::FdFlags, process::Signal};
use tokio::net::UnixDatagram;

use super::{
    http::DECKS,
    world::{Life, World},
};
use crate::support::{Call, Reach, in_time, process::Launch};

/// A service manager that only listens.
struct Manager(UnixDatagram);

// === impl Manager ===

impl Manager {
    fn at(path: &Path) -> Self {
        Self(UnixDatagram::bind(path).unwrap())
    }

    /// What it is told next, one assignment a line.
    async fn told(&self) -> String {
        let mut message = [0; 256];
        let length = in_time("a word to the service manager", self.0.recv(&mut message)).await.unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    }

    /// The same, but for what only says that the process lives.
    async fn told_more(&self) -> String {
        loop {
            match self.told().await {
                told if told.trim_end() == "WATCHDOG=1" => {}
                told => return told,
            }
        }
    }
}

/// Has children of ours inherit the socket, by its number.
fn hand_over(launch: Launch, socket: &TcpListener) -> Launch {
    rustix::io::fcntl_setfd(socket, FdFlags::empty()).unwrap();
    launch.env("LISTEN_FDS", "1").env("LISTEN_FDS_FIRST_FD", &socket.as_raw_fd().to_string())
}

/// A world whose data plane is at the address of a socket that the test keeps.
async fn kept() -> (World, TcpListener) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut world = World::new().await;
    world.clear("server").set("server", &format!("listen = \"{}\"", socket.local_addr().unwrap()));
    world.connect("acme", Life::Fresh).await;
    world.write_config();
    (world, socket)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_manager_is_told_of_start_reload_and_stop() {
    let world = World::new().await;
    world.write_config();
    let manager = Manager::at(&world.path("notify.sock"));
    let launch = world.launch().env("NOTIFY_SOCKET", world.path("notify.sock").to_str().unwrap());
    let sidecar = launch.listening().await;
    assert_eq!(manager.told().await.trim_end(), "READY=1");
    assert_eq!(Call::new(Reach::Tcp(sidecar.admin), Method::GET, "/readyz").send().await.status, 200);
    sidecar.process.signal(Signal::HUP);
    let reloading = manager.told().await;
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(manager.told().await.trim_end(), "READY=1");
    sidecar.process.signal(Signal::TERM);
    assert_eq!(manager.told().await.trim_end(), "STOPPING=1");
    assert!(sidecar.process.exited().await.status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_watchdog_hears_of_a_process_that_lives() {
    let world = World::new().await;
    world.write_config();
    let manager = Manager::at(&world.path("notify.sock"));
    let launch = world.launch().env("NOTIFY_SOCKET", world.path("notify.sock").to_str().unwrap());
    let sidecar = launch.env("WATCHDOG_USEC", "20000").listening().await;
    assert_eq!(manager.told_more().await.trim_end(), "READY=1");
    for _ in 0..3 {
        assert_eq!(manager.told().await.trim_end(), "WATCHDOG=1");
    }
    sidecar.stop().await;
    assert_eq!(manager.told_more().await.trim_end(), "STOPPING=1");
}

/// Each request on a connection of its own, one after the other, while sidecars come and go behind the socket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_one_sidecar_takes_the_place_of_another_on_a_kept_socket() {
    const TIMES: usize = 100;
    let (world, socket) = kept().await;
    let address = socket.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let stopped = stopped.clone();
            tokio::spawn(async move {
                let mut answered = 0;
                while !*stopped.borrow() {
                    let call = Call::new(Reach::Tcp(address), Method::GET, DECKS).tenant("acme");
                    call.header("connection", "close").send().await.is(200);
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    for _ in 0..TIMES {
        let sidecar = hand_over(world.launch(), &socket).listening().await;
        assert_eq!(sidecar.proxy, address);
        let call = Call::new(Reach::Tcp(address), Method::GET, DECKS).tenant("acme");
        call.header("connection", "close").send().await.is(200);
        assert!(sidecar.stop().await.status.success());
    }
    let last = hand_over(world.launch(), &socket).listening().await;
    stop.send_replace(true);
    let mut answered = 0;
    for caller in callers {
        answered += in_time("the end of a caller", caller).await.unwrap();
    }
    println!("{answered} requests, none failed, over {TIMES} sidecars");
    assert!(answered > TIMES);
    last.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_nothing_listens_on_stops_the_start() {
    let (mut world, socket) = kept().await;
    world.clear("server").set("server", "listen = \"127.0.0.1:0\"");
    world.write_config();
    let exit = hand_over(world.launch(), &socket).run().await;
    assert_eq!(exit.status.code(), Some(1), "{}", exit.stderr);
    let address = socket.local_addr().unwrap().to_string();
    assert!(exit.stderr.contains("was started with a socket that nothing here listens on"), "{}", exit.stderr);
    assert!(exit.stderr.contains(&address), "{}", exit.stderr);
}
