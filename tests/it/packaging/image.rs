//! The container image, made as for a release and run as in a pod.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use super::{root, run};

/// The program with the C library in it, as `scripts/build static` links it, out of the library that this test was built
/// from: to compile everything anew would cost minutes, and only the last step differs.
async fn static_program(dir: &Path) -> PathBuf {
    let deps = Path::new(env!("CARGO_BIN_EXE_flexslot-proxy")).with_file_name("deps");
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("libflexslot_proxy-") && name.ends_with(".rlib")
    };
    let libraries = fs::read_dir(&deps).unwrap().map(|entry| entry.unwrap().path()).filter(is_ours);
    let newest = libraries.max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap()).unwrap();
    let program = dir.join("flexslot-proxy");
    let (library, dependencies) =
        (format!("flexslot_proxy={}", newest.display()), format!("dependency={}", deps.display()));
    let out = program.display().to_string();
    let fixed = [
        "src/main.rs",
        "--edition=2024",
        "--crate-name=flexslot_proxy_static",
        "-Ctarget-feature=+crt-static",
        "-Cstrip=symbols",
    ];
    let rustc = Path::new(env!("CARGO")).with_file_name("rustc");
    run(rustc, &[&fixed[..], &["--extern", &library, "-L", &dependencies, "-o", &out]].concat()).await;
    program
}

/// An authority that the machine does not know, and a certificate of its for the names of pod.py.
fn certificates(dir: &Path) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(dir.join("authorities.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let names = ["api.flexslot.test".to_owned(), "api.flexslot.hosts.test".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    fs::write(dir.join("server.crt"), certificate.pem()).unwrap();
    fs::write(dir.join("server.key"), key.serialize_pem()).unwrap();
}

/// The archive: `FLEXSLOT_PROXY_IMAGE`, where a release is looked at before it is one; otherwise one made here.
async fn archive(dir: &Path) -> PathBuf {
    if let Some(made) = env::var_os("FLEXSLOT_PROXY_IMAGE") {
        return root().join(made);
    }
    let (program, licences, archive) = (static_program(dir).await, dir.join("licences"), dir.join("image.oci.tar"));
    fs::write(&licences, "of a test\n").unwrap();
    let [program, licences, out] = [&program, &licences, &archive].map(|path| path.display().to_string());
    run("scripts/image", &["--program", &program, "--licences", &licences, &out]).await;
    archive
}

/// What pod.py saw.
async fn seen_in_a_pod(archive: &Path, dir: &Path) -> Value {
    let given = ["server.crt", "server.key", "authorities.pem"].map(|name| dir.join(name).display().to_string());
    let archive = archive.display().to_string();
    let mut args = vec!["--net", "python3", "tests/it/packaging/pod.py", &archive];
    if !rustix::process::geteuid().is_root() {
        args.insert(0, "--map-root-user");
    }
    args.extend(given.iter().map(String::as_str));
    serde_json::from_str(&run("unshare", &args).await).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_image_serves_in_a_pod_without_rights_and_without_a_place_to_write_but_its_volume() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let seen = seen_in_a_pod(&archive(dir.path()).await, dir.path()).await;

    assert_eq!(seen["config"]["User"], "10001:10001");
    assert_eq!(seen["config"]["Labels"]["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));
    let version = concat!("flexslot-proxy ", env!("CARGO_PKG_VERSION"));
    assert_eq!(seen["version"], json!({ "status": 0, "said": version }));

    // Over TLS, to a name that a nameserver knows and to one of the hosts file, with the authorities in the image's place.
    let list = r#"{"count":0,"next":null,"previous":null,"results":[]}"#;
    assert_eq!((&seen["by_nameserver"], &seen["by_hosts_file"]), (&json!([200, list]), &json!([200, list])));
    let (target, credential) = ("/api/public/v1/decks/", "Bearer flx_pat_of_the_image");
    let asked = ["api.flexslot.test", "api.flexslot.hosts.test"].map(|host| json!([host, target, credential]));
    assert_eq!(seen["requests"], json!(asked));
    assert_eq!(seen["questions"], json!(["api.flexslot.test"]), "the hosts file comes first");

    assert_eq!(seen["health"], json!({ "status": 0, "said": "ready" }));
    assert_eq!(seen["health_of_none"]["status"], 1);
    assert_eq!(seen["endings"], json!([0, 0]), "SIGTERM ends it in good order");

    // What it keeps lies in the volume, and no other place can be written.
    assert_eq!(seen["stored"]["status"], 0, "{}", seen["stored"]);
    let kept = seen["kept"].as_array().unwrap();
    assert!(kept.contains(&json!("flexslot-proxy.db")) && kept.contains(&json!("flexslot-proxy.key")), "{kept:?}");
    assert_eq!(seen["elsewhere"]["status"], 1, "{}", seen["elsewhere"]);
    let refusal = seen["elsewhere"]["said"].as_str().unwrap();
    assert!(refusal.contains("read-only") || refusal.contains("Read-only"), "{refusal}");
    assert_eq!(seen["state"], json!([10001, "700"]));
    assert_eq!(seen["programs"], json!([["usr/bin/flexslot-proxy", 0, "755"]]), "no shell, nothing else to run");
    assert!(seen["authorities"].as_u64().unwrap() > 100, "{}", seen["authorities"]);
}
