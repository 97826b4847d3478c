//! What the system is told to keep of a sidecar's memory.

use std::fs;

use super::world::World;

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_sidecar_may_leave_no_core() {
    let world = World::new().await;
    let sidecar = world.start().await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", sidecar.process.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit of cores");
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{limits}");
    sidecar.stop().await;
}
