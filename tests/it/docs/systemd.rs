//! The units below deploy/systemd.

use std::fs;

use super::reading::{read, root, run};

/// Ten times the exposure that `systemd-analyze security` may find.
const EXPOSURE: &str = "15";

#[tokio::test]
async fn the_service_is_exposed_to_little() {
    let threshold = format!("--threshold={EXPOSURE}");
    let arguments = ["security", "--offline=true", "--no-pager", &threshold, "deploy/systemd/flexslot-proxy.service"];
    let exit = run("systemd-analyze", &arguments).await;
    assert!(exit.status.success(), "{}{}", exit.stdout, exit.stderr);
}

/// With the program where it is in a test, because systemd looks for it.
#[tokio::test]
async fn systemd_understands_the_units() {
    let dir = tempfile::tempdir().expect("a directory");
    for unit in ["flexslot-proxy.service", "flexslot-proxy.socket"] {
        let text = read(root().join("deploy/systemd").join(unit));
        let text = text.replace("/usr/bin/flexslot-proxy", env!("CARGO_BIN_EXE_flexslot-proxy"));
        fs::write(dir.path().join(unit), text).expect("written");
    }
    let units = ["flexslot-proxy.service", "flexslot-proxy.socket"].map(|unit| dir.path().join(unit));
    let [service, socket] = units.map(|unit| unit.display().to_string());
    let exit = run("systemd-analyze", &["verify", "--man=no", &service, &socket]).await;
    let told: Vec<&str> = exit.stderr.lines().filter(|line| line.contains("flexslot-proxy.")).collect();
    assert!(exit.status.success() && told.is_empty(), "{}", exit.stderr);
}

#[tokio::test]
async fn the_script_for_commands_is_one() {
    let exit = run("sh", &["-n", "deploy/systemd/in-service"]).await;
    assert!(exit.status.success(), "{}", exit.stderr);
}
