use crate::{
    clock::SystemClock,
    support::process::{AZURE_ACCOUNT, AZURE_KEY},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A store that runs; it ends when dropped.
pub(super) struct Emulator {
    server: Child,
    pub(super) at: SocketAddr,
}

impl Emulator {
    /// Moto, an S3 in Python.
    pub(super) async fn moto() -> Self {
        let program = PathBuf::from(folder("NEARLAKE_VENV")).join("bin/moto_server");
        let mut moto = Command::new(program);
        moto.args(["-H", "127.0.0.1", "-p", "0"]);
        Self::start(moto, "Running on http://").await
    }

    /// Azurite, an Azure in Node, which keeps everything in memory.
    pub(super) async fn azurite() -> Self {
        let program = PathBuf::from(folder("NODE_PATH")).join(".bin/azurite-blob");
        let mut azurite = Command::new(program);
        azurite.args(["--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence"]);
        azurite.args(["--skipApiVersionCheck", "--disableTelemetry"]);
        Self::start(azurite, "successfully listens on http://").await
    }

    async fn start(mut program: Command, greeting: &'static str) -> Self {
        let started = tokio::task::spawn_blocking(move || {
            let (reader, writer) = std::io::pipe().expect("a pipe can be made");
            let mut server = program
                .stdout(writer.try_clone().expect("a pipe has many ends"))
                .stderr(writer)
                .stdin(Stdio::null())
                .spawn()
                .expect("it is installed; `make setup` does it");
            drop(program);
            let mut lines = BufReader::new(reader).lines();
            let mut said = String::new();
            let at = loop {
                let Some(line) = lines.next() else {
                    let _ = server.kill();
                    panic!("it does not say where it runs: {said}");
                };
                let line = line.expect("it speaks UTF-8");
                if let Some((_, address)) = line.split_once(greeting) {
                    break address.trim().parse().expect("an address");
                }
                said += &format!("{line}\n");
            };
            std::thread::spawn(move || lines.for_each(drop));
            Self { server, at }
        });
        started.await.unwrap()
    }

    /// PUT of a bucket or a container.
    pub(super) async fn create(&self, path: &str, headers: &[(&str, String)]) {
        let mut request = format!("PUT {path} HTTP/1.1\r\nHost: {}\r\n", self.at);
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += "Content-Length: 0\r\nConnection: close\r\n\r\n";
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The headers that create `container`, signed with the account's key.
pub(super) fn azure_headers() -> [(&'static str, String); 3] {
    let version = "2021-08-06".to_owned();
    let now = chrono::DateTime::from_timestamp_micros(SystemClock::shared().now_micros());
    let date = now.expect("now is a date").format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let resource = format!("/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/container\nrestype:container");
    let text =
        format!("PUT{}x-ms-date:{date}\nx-ms-version:{version}\n{resource}", "\n".repeat(12));
    let key = STANDARD.decode(AZURE_KEY).expect("the key is base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any length serves");
    mac.update(text.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let authorization = format!("SharedKey {AZURE_ACCOUNT}:{signature}");
    [("x-ms-date", date), ("x-ms-version", version), ("Authorization", authorization)]
}

fn folder(variable: &str) -> std::ffi::OsString {
    std::env::var_os(variable)
        .filter(|value| value != OsStr::new(""))
        .unwrap_or_else(|| panic!("{variable} is not set; run the tests by `make test`"))
}
