//! Encryption on both ports: what clients find that ask for it, and those that do not.

use crate::{
    clients::python,
    support::{self, process},
};
use std::{net::SocketAddr, path::PathBuf, process::Command};
use tempfile::TempDir;
use tokio_postgres::{NoTls, error::SqlState};

/// A certificate for `localhost` that signs itself, in a folder of its own.
struct Certificate {
    folder: TempDir,
    pem: String,
}

impl Certificate {
    fn new() -> Self {
        let this = Self { folder: tempfile::tempdir().unwrap(), pem: String::new() };
        this.renewed()
    }

    /// Another one in the same place.
    fn renewed(mut self) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        self.pem = made.cert.pem();
        std::fs::write(self.cert(), &self.pem).unwrap();
        std::fs::write(self.key(), made.signing_key.serialize_pem()).unwrap();
        self
    }

    fn cert(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    fn password_file(&self, password: &str) -> String {
        let file = self.folder.path().join("password");
        std::fs::write(&file, format!("{password}\n")).unwrap();
        file.to_str().unwrap().to_owned()
    }

    fn flags(&self, tls: &str) -> Vec<String> {
        let [cert, key] = [self.cert(), self.key()].map(|path| path.to_str().unwrap().to_owned());
        ["--tls", tls, "--tls-cert", &cert, "--tls-key", &key].map(str::to_owned).to_vec()
    }

    /// A client of HTTPS that trusts this certificate and no other.
    fn client(&self) -> reqwest::Client {
        let root = reqwest::Certificate::from_pem(self.pem.as_bytes()).unwrap();
        let client = reqwest::Client::builder().tls_built_in_root_certs(false);
        client.add_root_certificate(root).no_proxy().build().unwrap()
    }
}

fn borrowed(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

fn https(at: SocketAddr, path: &str) -> String {
    format!("https://localhost:{}{path}", at.port())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn libpq_encrypts_and_binds_its_password_to_the_certificate() {
    let certificate = Certificate::new();
    let mut flags = certificate.flags("require");
    flags.extend(["--password-file".to_owned(), certificate.password_file("open sesame")]);
    let node = support::start_on("memory:", &borrowed(&flags)).await;

    let script =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/tls_story.py");
    let mut command = Command::new(python());
    command
        .arg(script)
        .env("PGPORT", node.pg_addr().port().to_string())
        .env("STORY_PASSWORD", "open sesame")
        .env("STORY_CERTIFICATE", certificate.cert());
    let said = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let [out, complained] =
        [said.stdout, said.stderr].map(|s| String::from_utf8_lossy(&s).into_owned());
    assert!(said.status.success() && out.trim_end().ends_with("ok"), "{out}\n{complained}");

    let at = node.pg_addr();
    let target = format!("host={} port={} user=nobody dbname=postgres", at.ip(), at.port());
    let refused = tokio_postgres::connect(&target, NoTls).await.err().unwrap();
    assert_eq!(refused.code(), Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn https_is_spoken_and_plain_http_only_where_it_may_be() {
    let certificate = Certificate::new();
    for (tls, plain_status) in [("require", 403), ("auto", 200)] {
        let flags = certificate.flags(tls);
        let node = support::start_on("memory:", &borrowed(&flags)).await;
        let at = node.http_addr();

        let answer = certificate.client().get(https(at, "/readyz")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let write = certificate
            .client()
            .post(https(at, "/v2/namespaces/n"))
            .header("content-type", "application/json")
            .body(r#"{"upsert_rows": [{"id": 1, "a": "b"}]}"#)
            .send();
        assert_eq!(write.await.unwrap().status(), 200);
        let plain = certificate.client().get(format!("http://{at}/livez")).send().await.unwrap();
        assert_eq!(plain.status(), plain_status);

        // Who does not know the certificate says no more.
        let stranger = reqwest::Client::builder().no_proxy().build().unwrap();
        assert!(stranger.get(https(at, "/livez")).send().await.is_err());
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_and_password_disturb_nobody() {
    let certificate = Certificate::new();
    let data = tempfile::tempdir().unwrap();
    let config = certificate.folder.path().join("nearlake.toml");
    let settings =
        |filter: &str| std::fs::write(&config, format!("log_filter = \"{filter}\"\n")).unwrap();
    settings("info");
    let mut flags = certificate.flags("auto");
    flags.extend(["--password-file".to_owned(), certificate.password_file("one")]);
    flags.extend(["--config".to_owned(), config.to_str().unwrap().to_owned()]);
    let (mut process, at) =
        process::Process::start(data.path().to_str().unwrap(), &borrowed(&flags)).await;
    let login = |password: &str| {
        let (ip, port) = (at.ip(), at.port());
        format!("host={ip} port={port} user=postgres dbname=postgres password={password}")
    };
    let (client, connection) = tokio_postgres::connect(&login("one"), NoTls).await.unwrap();
    tokio::spawn(connection);
    let http = process.http_addr();
    let kept = certificate.client();
    assert_eq!(kept.get(https(http, "/livez")).send().await.unwrap().status(), 200);

    let certificate = certificate.renewed();
    certificate.password_file("two");
    settings("debug");
    process.hang_up();
    process.heard("settings, certificate and password read again").await;

    assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
    let filter = client.query_one("SHOW nearlake.log_filter", &[]).await.unwrap();
    assert_eq!(filter.get::<_, &str>(0), "debug");
    let refused = tokio_postgres::connect(&login("one"), NoTls).await.err().unwrap();
    assert_eq!(refused.code(), Some(&SqlState::INVALID_PASSWORD));
    drop(tokio_postgres::connect(&login("two"), NoTls).await.unwrap());
    let fresh = certificate.client();
    assert_eq!(fresh.get(https(http, "/livez")).send().await.unwrap().status(), 200);

    // Files that cannot be used leave what was before.
    std::fs::write(certificate.cert(), "no certificate").unwrap();
    process.hang_up();
    process.heard("not reloaded").await;
    let again = certificate.client();
    assert_eq!(again.get(https(http, "/livez")).send().await.unwrap().status(), 200);
    process.kill().await;
}
