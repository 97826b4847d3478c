//! `nginx`, as an HTTP server that notes what it was sent.

use std::{fs, path::Path};

use serde_json::Value;

use super::{free_port, watched::Watched};

/// How often another port is tried when somebody else has taken the one that was free.
const TRIES: usize = 5;

/// Where Debian has it, which is not on everybody's path.
const DEBIAN: &str = "/usr/sbin/nginx";

/// An nginx on a free port of this machine. It reads each request to its end, answers 204, and repeats the target in
/// `X-Target`.
pub(crate) struct Nginx {
    watched: Watched,
    port: u16,
}

/// A line of its access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Noted {
    /// What it took for the request line.
    pub(crate) request: String,
    pub(crate) target: String,
    pub(crate) body: String,
    /// 204 where it read the whole request.
    pub(crate) status: u16,
}

// === impl Nginx ===

impl Nginx {
    pub(crate) fn start() -> Self {
        let mut watched = Watched::new();
        for _ in 0..TRIES {
            let port = free_port();
            match run(&mut watched, port) {
                Ok(()) => return Self { watched, port },
                Err(said) => assert!(said.contains("Address already in use"), "nginx does not start:\n{said}"),
            }
        }
        panic!("no free port");
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it has noted so far. It notes a request when it is done with it, and writes each line at once.
    pub(crate) fn noted(&self) -> Vec<Noted> {
        let log = fs::read(self.watched.dir().join("seen")).expect("a log");
        // Less the line that is being written.
        let whole = log.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        String::from_utf8_lossy(&log[..whole]).lines().map(Noted::read).collect()
    }
}

fn run(watched: &mut Watched, port: u16) -> Result<(), String> {
    let dir = watched.dir().to_str().expect("a path in UTF-8").to_owned();
    let file = format!("{dir}/nginx.conf");
    fs::write(&file, config(&dir, port)).expect("a file");
    let program = if Path::new(DEBIAN).exists() { DEBIAN } else { "nginx" };
    // It says that once it listens.
    watched.start(&[program, "-p", &dir, "-e", "stderr", "-c", &file], "using the \"epoll\" event method")
}

/// One process, so that killing it ends it, and so that lines stand in the log in the order in which requests ended. A
/// body is read whole, and can be logged, where it is handed on; so there is a second server that it is handed to.
fn config(dir: &str, port: u16) -> String {
    format!(
        r#"
daemon off;
master_process off;
pid {dir}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 4096; }}
http {{
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    log_format seen escape=json '{{"request":"$request","target":"$request_uri","body":"$request_body","status":"$status"}}';
    access_log off;
    large_client_header_buffers 8 128k;
    client_max_body_size 0;
    client_body_buffer_size 1m;
    client_body_in_single_buffer on;
    keepalive_requests 1000000;
    keepalive_timeout 300s;
    merge_slashes off;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        access_log {dir}/seen seen;
        location / {{
            proxy_pass http://unix:{dir}/answers:;
            proxy_pass_request_headers off;
            add_header X-Target $request_uri always;
        }}
    }}
    server {{
        listen unix:{dir}/answers backlog=4096;
        return 204;
    }}
}}
"#
    )
}

// === impl Noted ===

impl Noted {
    fn read(line: &str) -> Self {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |name: &str| line[name].as_str().expect("text").to_owned();
        let status = text("status").parse().expect("a status");
        Self { request: text("request"), target: text("target"), body: text("body"), status }
    }
}
