use super::{BindError, Handed, Listener, bind_all};
use crate::model::{ListenAddress, ListenOn, Need};
use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
};

fn bind(addresses: &[ListenOn]) -> Result<Vec<Listener>, BindError> {
    bind_all(addresses, &mut Handed::default(), None)
}

fn tcp(address: &str) -> ListenOn {
    ListenOn::required(ListenAddress::Tcp(address.parse().unwrap()))
}

fn unix(path: &Path, mode: u32) -> ListenOn {
    ListenOn::required(ListenAddress::Unix { path: path.to_owned(), mode })
}

#[tokio::test]
async fn port_zero_becomes_a_port_that_can_be_asked() {
    let listener = Listener::bind(&tcp("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    assert_ne!(address.port(), 0);
    assert_eq!(listener.to_string(), format!("http://{address}"));
    let error = Listener::bind(&tcp(&address.to_string())).unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot listen on {address}: ")), "{error}");
}

#[tokio::test]
async fn an_address_that_the_host_lacks_is_skipped_only_where_it_may_be() {
    let absent = tcp("192.0.2.1:0");
    assert!(bind(std::slice::from_ref(&absent)).is_err());
    let listeners = bind(&[ListenOn { need: Need::IfPresent, ..absent }, tcp("127.0.0.1:0")]).unwrap();
    assert_eq!(listeners.len(), 1);
    let taken = tcp(&listeners[0].local_addr().unwrap().to_string());
    assert!(bind(&[ListenOn { need: Need::IfPresent, ..taken }]).is_err(), "taken is not absent");
}

#[tokio::test]
async fn a_socket_file_has_its_mode_and_goes_with_its_listener() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("proxy.sock");
    for mode in [0o600, 0o660, 0o666] {
        let listener = Listener::bind(&unix(&path, mode)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left in the directory");
        UnixStream::connect(&path).unwrap();
        listener.accept().await.unwrap();
        drop(listener);
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn a_dead_process_socket_is_replaced_and_a_living_ones_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("proxy.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "what a killed process leaves");
    let listener = Listener::bind(&unix(&path, 0o600)).unwrap();
    let error = Listener::bind(&unix(&path, 0o600)).unwrap_err();
    assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
    assert!(path.exists());
    drop(listener);
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    fs::write(&path, "precious").unwrap();
    assert!(Listener::bind(&unix(&path, 0o600)).is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_successors_socket_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("proxy.sock");
    let listener = Listener::bind(&unix(&path, 0o600)).unwrap();
    fs::remove_file(&path).unwrap();
    let successor = Listener::bind(&unix(&path, 0o600)).unwrap();
    drop(listener);
    assert!(path.exists());
    drop(successor);
    assert!(!path.exists());
}

#[tokio::test]
async fn where_tls_is_asked_for_and_there_is_none_nothing_is_served_in_clear() {
    assert!(bind(&[ListenOn { tls: true, ..tcp("127.0.0.1:0") }]).is_err());
}

#[tokio::test]
async fn what_others_have_made_in_the_directory_stops_no_start_and_stays() {
    let directory = tempfile::tempdir().unwrap();
    let theirs = directory.path().join(format!(".fsp-{}", std::process::id()));
    fs::create_dir(&theirs).unwrap();
    fs::write(theirs.join("s"), "a file").unwrap();
    Listener::bind(&unix(&directory.path().join("proxy.sock"), 0o600)).unwrap();
    assert_eq!(fs::read(theirs.join("s")).unwrap(), b"a file");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing of ours is left");
}

#[tokio::test]
async fn the_longest_path_that_an_address_holds_is_bound() {
    let directory = tempfile::tempdir().unwrap();
    let length = |path: &Path| path.as_os_str().len();
    let deep = directory.path().join("d".repeat(104 - length(directory.path())));
    fs::create_dir(&deep).unwrap();
    let path = deep.join("s");
    assert_eq!(length(&path), 107);
    let listener = Listener::bind(&unix(&path, 0o660)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o660);
    assert_eq!(fs::read_dir(&deep).unwrap().count(), 1, "nothing else is left in the directory");
    UnixStream::connect(&path).unwrap();
    listener.accept().await.unwrap();
}
