//! The real program as a process of its own, to be killed as power cuts and `kill -9` do it.

use nearlake::clock::{SharedClock, SystemClock};
use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_postgres::{Client, NoTls};

/// The account that every Azurite has, and its key, as its manual tells them.
pub(crate) const AZURE_ACCOUNT: &str = "devstoreaccount1";
pub(crate) const AZURE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A start that takes longer than this has failed.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running `nearlake serve`; killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    clock: SharedClock,
    said: String,
    http: Option<SocketAddr>,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code; `None`: a signal.
    pub(crate) code: Option<i32>,
    /// What it wrote to standard error.
    pub(crate) said: String,
}

impl Process {
    /// `nearlake serve` over some data, on free ports, with more flags. Does not wait for it.
    pub(crate) fn spawn(data: &str, flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nearlake"));
        command.args(["serve", "--data", data, "--pg-listen", "127.0.0.1:0"]);
        command.args(["--http-listen", "127.0.0.1:0", "--log-format", "json"]).args(flags);
        Self::of(command)
    }

    /// A command that becomes `nearlake serve`.
    pub(crate) fn of(mut command: Command) -> Self {
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("NEARLAKE_")) {
            command.env_remove(name);
        }
        // A store of a test takes any; those of whoever runs the tests stay out of it.
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        command.env("AWS_REGION", "us-east-1").env_remove("AWS_SESSION_TOKEN");
        command.env("AZURE_STORAGE_ACCOUNT_NAME", AZURE_ACCOUNT);
        command.env("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let errors = BufReader::new(child.stderr.take().expect("it is a pipe"));
        let (sender, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines, clock: SystemClock::shared(), said: String::new(), http: None }
    }

    /// Starts and waits until it serves.
    pub(crate) async fn start(data: &str, flags: &[&str]) -> (Self, SocketAddr) {
        let mut process = Self::spawn(data, flags);
        match process.ready().await {
            Some(at) => (process, at),
            None => panic!("the start failed: {:?}", process.ended().await),
        }
    }

    /// Waits until it serves PostgreSQL clients, and says where; `None`: it ended instead.
    pub(crate) async fn ready(&mut self) -> Option<SocketAddr> {
        let clock = SharedClock::clone(&self.clock);
        let limit = clock.sleep(START_LIMIT);
        tokio::pin!(limit);
        loop {
            let line = tokio::select! {
                line = self.lines.recv() => line?,
                () = &mut limit => panic!("not ready in time: {}", self.said),
            };
            let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            self.said += &format!("{line}\n");
            if event["message"] == "ready" {
                let at = |name: &str| event[name].as_str().expect("it says where").parse().unwrap();
                self.http = Some(at("http"));
                return Some(at("postgres"));
            }
        }
    }

    /// Where it serves HTTP, once it is ready.
    pub(crate) fn http_addr(&self) -> SocketAddr {
        self.http.expect("it is ready")
    }

    /// Waits for a line of the log that contains these words, and gives it.
    pub(crate) async fn heard(&mut self, words: &str) -> String {
        let clock = SharedClock::clone(&self.clock);
        let limit = clock.sleep(START_LIMIT);
        tokio::pin!(limit);
        loop {
            let line = tokio::select! {
                line = self.lines.recv() => line,
                () = &mut limit => panic!("\"{words}\" was not said: {}", self.said),
            };
            let line = line.unwrap_or_else(|| panic!("it ended: {}", self.said));
            self.said += &format!("{line}\n");
            if line.contains(words) {
                return line;
            }
        }
    }

    /// SIGHUP.
    pub(crate) fn hang_up(&self) {
        let kill = format!("kill -HUP {}", self.id());
        assert!(Command::new("bash").args(["-c", &kill]).status().unwrap().success());
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits for the end.
    pub(crate) async fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        self.ended().await
    }

    /// Waits for the end.
    pub(crate) async fn ended(mut self) -> Ended {
        while let Some(line) = self.lines.recv().await {
            self.said += &format!("{line}\n");
        }
        // Standard error is closed, so that this takes no time.
        let code = self.child.wait().unwrap().code();
        Ended { code, said: std::mem::take(&mut self.said) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection, if there is someone to connect to.
pub(crate) async fn connect(at: SocketAddr) -> Result<Client, tokio_postgres::Error> {
    let url = format!("host={} port={} user=postgres dbname=postgres", at.ip(), at.port());
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
