//! What a node is told before it starts.
//!
//! A setting may stand in four places; the first that has it wins:
//!
//! ```text
//!   --pg-listen 127.0.0.1:5433        the command line
//!   NEARLAKE_PG_LISTEN=…              the environment
//!   pg_listen = "…"                   the file of --config
//!   127.0.0.1:5432                    the default
//! ```
//!
//! A [`Config`] that was loaded is whole and within bounds. A name that nobody knows is an error
//! which says the nearest name that somebody does, since a misspelt setting that is passed over
//! in silence is found in production.

mod machine;
mod settings;
#[cfg(test)]
mod tests;
pub(crate) mod units;

use crate::error::{Error, Result, SqlState};
use clap::{Arg, ArgMatches, Command};
pub use settings::{SETTINGS, Setting};
use std::{
    ffi::OsString,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// Every setting with its effective value; `docs/operate.md` explains each.
#[derive(Debug, Clone)]
pub struct Config {
    /// A folder, or the URL of a bucket, or `memory:`.
    pub data: String,
    /// Where PostgreSQL clients connect.
    pub pg_listen: SocketAddr,
    /// Where HTTP clients connect.
    pub http_listen: SocketAddr,
    /// Bytes that caches, queries and indexes share.
    pub memory: u64,
    cache_dir: Option<PathBuf>,
    cache_dir_given: bool,
    /// Bytes that the cache folder may hold.
    pub cache_size: u64,
    /// Where the bucket's API answers, if not where the cloud says.
    pub store_endpoint: Option<String>,
    /// The password of the role `postgres`; without one clients are trusted.
    pub password: Option<Secret>,
    password_file: Option<PathBuf>,
    tls: TlsMode,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    /// Clients at a time.
    pub max_connections: usize,
    /// How long a client may take to log in.
    pub auth_timeout: Duration,
    /// How long statements may go on after SIGTERM.
    pub shutdown_timeout: Duration,
    /// The longest time between checkpoints while there is something to write.
    pub checkpoint_interval: Duration,
    /// Bytes of log between checkpoints.
    pub checkpoint_size: u64,
    /// Whether webhooks may go to private addresses.
    pub webhook_allow_private: bool,
    /// Rows that an index may be behind its table before commits wait.
    pub unindexed_rows_max: u64,
    /// Who gets in over HTTP, and the bounds there.
    pub http: Http,
    /// Where ONNX Runtime is, if not where it is usually found.
    pub onnxruntime: Option<PathBuf>,
    /// How many threads models compute on.
    pub embed_threads: usize,
    /// Where models that were fetched by name are kept.
    pub models_dir: PathBuf,
    /// Where models are fetched from by name.
    pub hub_endpoint: String,
    /// How a line of the log looks.
    pub log_format: LogFormat,
    /// Which events are logged.
    pub log_filter: String,
    otlp_endpoint: Option<String>,
    otlp_sample: f64,
}

/// What is said of the HTTP port beside its address.
#[derive(Debug, Clone)]
pub struct Http {
    /// Whether everyone may ask how the node does, where clients need a password.
    pub open_health: bool,
    /// Whether everyone may read the metrics there.
    pub open_metrics: bool,
    /// The sites whose pages may talk to it.
    pub origins: Vec<String>,
    /// Requests that a key may make a second; 0 = as many as it likes.
    pub rate_limit: u32,
    /// How long a request may take.
    pub timeout: Duration,
    /// Connections at a time.
    pub max_connections: usize,
    /// The longest body.
    pub max_body: u64,
}

/// Where traces are sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Otlp {
    /// The collector: `http://localhost:4318`.
    pub endpoint: String,
    /// Of traces that begin here, the share that is sent; of others the client decides.
    pub sample: f64,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TlsMode {
    Auto,
    Require,
    Off,
}

/// What clients find when they ask for encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls<'a> {
    /// There is none.
    Off,
    /// They may have it.
    Offered {
        /// The certificate chain, PEM.
        cert: &'a Path,
        /// Its private key, PEM.
        key: &'a Path,
    },
    /// They must take it.
    Required {
        /// The certificate chain, PEM.
        cert: &'a Path,
        /// Its private key, PEM.
        key: &'a Path,
    },
}

/// A text that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: "./nearlake-data".into(),
            pg_listen: SocketAddr::from(([127, 0, 0, 1], 5432)),
            http_listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            memory: machine::memory_bytes() / 2,
            cache_dir: None,
            cache_dir_given: false,
            cache_size: 8 << 30,
            store_endpoint: None,
            password: None,
            password_file: None,
            tls: TlsMode::Auto,
            tls_cert: None,
            tls_key: None,
            max_connections: 100,
            auth_timeout: Duration::from_secs(60),
            shutdown_timeout: Duration::from_secs(10),
            checkpoint_interval: Duration::from_secs(300),
            checkpoint_size: 256 << 20,
            webhook_allow_private: false,
            unindexed_rows_max: 100_000,
            http: Http {
                open_health: true,
                open_metrics: false,
                origins: Vec::new(),
                rate_limit: 0,
                timeout: Duration::from_secs(300),
                max_connections: 1000,
                max_body: 512 << 20,
            },
            onnxruntime: None,
            embed_threads: machine::threads(),
            models_dir: PathBuf::from("./nearlake-models"),
            hub_endpoint: "https://huggingface.co".into(),
            log_format: LogFormat::Human,
            log_filter: "info".into(),
            otlp_endpoint: None,
            otlp_sample: 1.0,
        }
    }
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Request {
    /// Run a node.
    Serve(Config),
    /// Print the effective settings.
    Show(Config),
}

/// The command line of the binary, for `clap` to parse or to explain.
#[must_use]
pub fn command() -> Command {
    let settings = || {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE.toml")
            .env("NEARLAKE_CONFIG")
            .help("A file of settings: name = value");
        let flag = |setting: &Setting| {
            let help = format!(
                "{}\n[default: {}; {}; environment: {}]",
                setting.help,
                setting.default,
                setting.bounds,
                setting.variable()
            );
            let arg = Arg::new(setting.name).long(setting.flag?).value_name("VALUE").help(help);
            Some(arg.allow_hyphen_values(true))
        };
        std::iter::once(file).chain(SETTINGS.iter().filter_map(flag))
    };
    Command::new("nearlake")
        .version(env!("CARGO_PKG_VERSION"))
        .about(env!("CARGO_PKG_DESCRIPTION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(Command::new("serve").about("Run the server until SIGTERM").args(settings()))
        .subcommand(Command::new("config").about("Print the effective settings").args(settings()))
}

/// Reads what the command line asks for, and every setting.
///
/// # Errors
/// F0000 for a setting that is unknown, malformed, out of bounds or at odds with another; the
/// message names it and where it stands.
///
/// # Panics
/// Never: `matches` comes from [`command`], which has these subcommands only.
pub fn request(
    matches: &ArgMatches,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Request> {
    let (name, flags) = matches.subcommand().expect("clap wants a subcommand");
    let config = load(flags, environment)?;
    Ok(if name == "serve" { Request::Serve(config) } else { Request::Show(config) })
}

fn load(
    flags: &ArgMatches,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Config> {
    let mut config = Config::default();
    if let Some(path) = flags.get_one::<String>("config") {
        apply_file(&mut config, path)?;
    }
    apply_environment(&mut config, environment)?;
    for setting in SETTINGS {
        let Some(flag) = setting.flag else { continue };
        if let Some(text) = flags.get_one::<String>(setting.name) {
            set(&mut config, setting, text, &format!("--{flag}"))?;
        }
    }
    config.check()?;
    Ok(config)
}

fn apply_file(config: &mut Config, path: &str) -> Result<()> {
    let fault = |message: String| Error::new(SqlState::CONFIG_FILE_ERROR, message);
    let text = std::fs::read_to_string(path)
        .map_err(|error| fault(format!("cannot read {path}: {error}")).source(error))?;
    let table: toml::Table =
        text.parse().map_err(|error| fault(format!("{path} is not TOML: {error}")))?;
    for (name, value) in &table {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
            return Err(unknown(&format!("setting `{name}` in {path}"), name, |s| s.name.into()));
        };
        let text = match value {
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            _ => return Err(fault(format!("`{name}` in {path} must be a text or a whole number"))),
        };
        set(config, setting, &text, &format!("`{name}` in {path}"))?;
    }
    Ok(())
}

/// Variables with our prefix that are not settings: `--config`, what Kubernetes puts into every
/// pod beside a service of the name `nearlake`, and what the tests tell each other.
fn is_no_setting(variable: &str) -> bool {
    variable == "NEARLAKE_CONFIG"
        || ["NEARLAKE_SERVICE_", "NEARLAKE_PORT", "NEARLAKE_TEST_", "NEARLAKE_VENV"]
            .iter()
            .any(|prefix| variable.starts_with(prefix))
}

fn apply_environment(
    config: &mut Config,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<()> {
    for (variable, value) in environment {
        let Some(variable) = variable.to_str().filter(|name| name.starts_with("NEARLAKE_")) else {
            continue;
        };
        if is_no_setting(variable) {
            continue;
        }
        let Some(setting) = SETTINGS.iter().find(|setting| setting.variable() == variable) else {
            let place = format!("variable `{variable}` in the environment");
            return Err(unknown(&place, variable, Setting::variable));
        };
        let text = value.to_str().ok_or_else(|| {
            Error::new(SqlState::CONFIG_FILE_ERROR, format!("{variable} is not UTF-8"))
        })?;
        set(config, setting, text, variable)?;
    }
    Ok(())
}

fn set(config: &mut Config, setting: &Setting, text: &str, place: &str) -> Result<()> {
    (setting.set)(config, text).map_err(|reason| {
        let shown = setting.flag.map_or("its value".into(), |_| format!("\"{text}\""));
        Error::new(SqlState::CONFIG_FILE_ERROR, format!("{place}: {shown} {reason}"))
            .hint(format!("{} Allowed: {}.", setting.help, setting.bounds))
    })
}

fn unknown(what: &str, name: &str, spelling: fn(&Setting) -> String) -> Error {
    let error = Error::new(SqlState::CONFIG_FILE_ERROR, format!("unknown {what}"));
    let nearest = SETTINGS
        .iter()
        .map(spelling)
        .max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
    match nearest {
        Some(nearest) => error.hint(format!("did you mean `{nearest}`?")),
        None => error,
    }
}

impl Config {
    /// The folder for bytes that were read from a bucket; a local folder and memory need none.
    #[must_use]
    pub fn cache_dir(&self) -> Option<PathBuf> {
        if self.cache_dir_given {
            return self.cache_dir.clone();
        }
        let remote = self.data.contains("://") && !self.data.starts_with("file://");
        remote.then(|| PathBuf::from("./nearlake-cache"))
    }

    /// What clients find when they ask for encryption.
    #[must_use]
    pub fn tls(&self) -> Tls<'_> {
        match (self.tls, &self.tls_cert, &self.tls_key) {
            (TlsMode::Auto, Some(cert), Some(key)) => Tls::Offered { cert, key },
            (TlsMode::Require, Some(cert), Some(key)) => Tls::Required { cert, key },
            _ => Tls::Off,
        }
    }

    /// Where traces are sent, if anywhere.
    #[must_use]
    pub fn otlp(&self) -> Option<Otlp> {
        let endpoint = self.otlp_endpoint.clone()?;
        Some(Otlp { endpoint, sample: self.otlp_sample })
    }

    /// Every setting with its effective value; secrets are only said to be set.
    pub fn effective(&self) -> impl Iterator<Item = (&'static Setting, String)> + '_ {
        SETTINGS.iter().map(|setting| (setting, (setting.show)(self)))
    }

    /// Whether the settings agree with each other.
    ///
    /// # Errors
    /// F0000, with the mending as hint.
    pub fn check(&self) -> Result<()> {
        let fault = |message: String, hint: &str| {
            Err(Error::new(SqlState::CONFIG_FILE_ERROR, message).hint(hint))
        };
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return fault(
                "a certificate and its key belong together".into(),
                "set both tls_cert and tls_key, or neither",
            );
        }
        if self.tls == TlsMode::Require && self.tls_cert.is_none() {
            return fault(
                "tls = require needs a certificate".into(),
                "set tls_cert and tls_key to PEM files",
            );
        }
        let open = [("pg_listen", self.pg_listen), ("http_listen", self.http_listen)]
            .into_iter()
            .find(|(_, address)| !address.ip().is_loopback());
        let Some((name, address)) = open else { return Ok(()) };
        if self.password.is_none() {
            return fault(
                format!(
                    "{name} = {address} can be reached from other machines, and there is no password"
                ),
                "set NEARLAKE_PASSWORD or --password-file, or listen on 127.0.0.1",
            );
        }
        if self.tls == TlsMode::Auto && self.tls_cert.is_none() {
            return fault(
                format!(
                    "{name} = {address} can be reached from other machines, and nothing is said about TLS"
                ),
                "give --tls-cert and --tls-key, or say --tls off if the network is to be trusted",
            );
        }
        Ok(())
    }
}
