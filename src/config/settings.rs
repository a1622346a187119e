//! Every setting, in one table. From it come the flags, the names in the environment and in the
//! file, what `nearlake config` prints, and what `docs/operate.md` must say.

use super::{
    Config, LogFormat, TlsMode,
    units::{format_duration, format_size, parse_duration, parse_size},
};
use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

/// One setting: its name in the file; the flag has dashes for underscores, the variable of the
/// environment is in capitals behind `NEARLAKE_`.
#[derive(Debug)]
pub struct Setting {
    /// The key in the file.
    pub name: &'static str,
    /// What holds when nobody says anything, in words where it depends on the machine.
    pub default: &'static str,
    /// What it may be.
    pub bounds: &'static str,
    /// What it does, in one sentence.
    pub help: &'static str,
    /// The flag without its two dashes; a secret has none, since everybody on a machine can read
    /// a command line.
    pub flag: Option<&'static str>,
    /// Reads a text into the configuration.
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
    /// The effective value.
    pub(super) show: fn(&Config) -> String,
}

impl Setting {
    /// The variable of the environment.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("NEARLAKE_{}", self.name.to_ascii_uppercase())
    }
}

/// Every setting, in the order in which a reader wants to meet them.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "data",
        default: "./nearlake-data",
        bounds: "a folder, file:///…, gs://bucket/prefix, s3://bucket/prefix, az://container/prefix or memory:",
        help: "Where everything is stored.",
        flag: Some("data"),
        set: |config, text| {
            if text.is_empty() {
                return Err("is empty; name a folder or a bucket".into());
            }
            config.data = text.into();
            Ok(())
        },
        show: |config| config.data.clone(),
    },
    Setting {
        name: "pg_listen",
        default: "127.0.0.1:5432",
        bounds: "address:port; port 0 picks a free one",
        help: "Where PostgreSQL clients connect.",
        flag: Some("pg-listen"),
        set: |config, text| parse_address(text).map(|address| config.pg_listen = address),
        show: |config| config.pg_listen.to_string(),
    },
    Setting {
        name: "http_listen",
        default: "127.0.0.1:8080",
        bounds: "address:port; port 0 picks a free one",
        help: "Where health, metrics and the JSON API are served over HTTP.",
        flag: Some("http-listen"),
        set: |config, text| parse_address(text).map(|address| config.http_listen = address),
        show: |config| config.http_listen.to_string(),
    },
    Setting {
        name: "memory",
        default: "half of the machine or container",
        bounds: "64MiB to 64TiB",
        help: "The memory that caches, queries and indexes share.",
        flag: Some("memory"),
        set: |config, text| {
            size_within(text, 64 << 20..=64 << 40).map(|bytes| config.memory = bytes)
        },
        show: |config| format_size(config.memory),
    },
    Setting {
        name: "cache_dir",
        default: "./nearlake-cache for a bucket, none for a folder or memory",
        bounds: "a folder on a local disk, or none",
        help: "Where bytes that were read from a bucket are kept near; may be deleted while stopped.",
        flag: Some("cache-dir"),
        set: |config, text| {
            config.cache_dir = (text != "none").then(|| PathBuf::from(text));
            config.cache_dir_given = true;
            Ok(())
        },
        show: |config| match config.cache_dir() {
            Some(folder) => folder.display().to_string(),
            None => "none".into(),
        },
    },
    Setting {
        name: "cache_size",
        default: "8GiB",
        bounds: "64MiB to 64TiB",
        help: "The most that the cache folder may hold.",
        flag: Some("cache-size"),
        set: |config, text| {
            size_within(text, 64 << 20..=64 << 40).map(|bytes| config.cache_size = bytes)
        },
        show: |config| format_size(config.cache_size),
    },
    Setting {
        name: "store_endpoint",
        default: "that of the cloud",
        bounds: "an http:// or https:// address",
        help: "Where the bucket's API answers, for emulators and private clouds.",
        flag: Some("store-endpoint"),
        set: |config, text| http_address(text).map(|address| config.store_endpoint = Some(address)),
        show: |config| config.store_endpoint.clone().unwrap_or_default(),
    },
    Setting {
        name: "password",
        default: "none: clients on this machine are trusted",
        bounds: "not empty; environment and file only",
        help: "The password of the role postgres; with one, every client has to log in (SCRAM-SHA-256).",
        flag: None,
        set: |config, text| password(text).map(|secret| config.password = Some(secret)),
        show: |config| if config.password.is_some() { "(set)" } else { "" }.into(),
    },
    Setting {
        name: "password_file",
        default: "none",
        bounds: "a file; its first line is the password",
        help: "The same, kept in a file.",
        flag: Some("password-file"),
        set: |config, text| {
            let content = std::fs::read_to_string(text)
                .map_err(|error| format!("cannot be read: {error}"))?;
            config.password = Some(password(content.lines().next().unwrap_or_default())?);
            config.password_file = Some(PathBuf::from(text));
            Ok(())
        },
        show: |config| show_path(config.password_file.as_ref()),
    },
    Setting {
        name: "tls",
        default: "auto",
        bounds: "auto (offered when there is a certificate), require, off",
        help: "Whether clients may or must encrypt, on both ports.",
        flag: Some("tls"),
        set: |config, text| {
            config.tls = match text {
                "auto" => TlsMode::Auto,
                "require" => TlsMode::Require,
                "off" => TlsMode::Off,
                _ => return Err("must be auto, require or off".into()),
            };
            Ok(())
        },
        show: |config| match config.tls {
            TlsMode::Auto => "auto".into(),
            TlsMode::Require => "require".into(),
            TlsMode::Off => "off".into(),
        },
    },
    Setting {
        name: "tls_cert",
        default: "none",
        bounds: "a PEM file; needs tls_key",
        help: "The server's certificate chain.",
        flag: Some("tls-cert"),
        set: |config, text| {
            config.tls_cert = Some(text.into());
            Ok(())
        },
        show: |config| show_path(config.tls_cert.as_ref()),
    },
    Setting {
        name: "tls_key",
        default: "none",
        bounds: "a PEM file; needs tls_cert",
        help: "The private key of the certificate.",
        flag: Some("tls-key"),
        set: |config, text| {
            config.tls_key = Some(text.into());
            Ok(())
        },
        show: |config| show_path(config.tls_key.as_ref()),
    },
    Setting {
        name: "http_public",
        default: "health",
        bounds: "none, or health and metrics with a comma between them",
        help: "What of the HTTP port is open to everyone where clients need a password.",
        flag: Some("http-public"),
        set: |config, text| {
            let (mut health, mut metrics) = (false, false);
            for word in text.split(',').map(str::trim).filter(|&word| word != "none") {
                match word {
                    "health" => health = true,
                    "metrics" => metrics = true,
                    _ => return Err("must name health, metrics, or none".into()),
                }
            }
            (config.http.open_health, config.http.open_metrics) = (health, metrics);
            Ok(())
        },
        show: |config| {
            let words =
                [(config.http.open_health, "health"), (config.http.open_metrics, "metrics")];
            let open: Vec<_> = words.iter().filter(|word| word.0).map(|word| word.1).collect();
            if open.is_empty() { "none".into() } else { open.join(",") }
        },
    },
    Setting {
        name: "http_origins",
        default: "none",
        bounds: "sites like https://example.com with commas between them, or none",
        help: "The sites whose pages may talk to the HTTP port (CORS).",
        flag: Some("http-origins"),
        set: |config, text| {
            let sites = text.split(',').map(str::trim).filter(|&site| site != "none");
            config.http.origins = sites.map(origin).collect::<Result<_, _>>()?;
            Ok(())
        },
        show: |config| match config.http.origins.as_slice() {
            [] => "none".into(),
            sites => sites.join(","),
        },
    },
    Setting {
        name: "http_rate_limit",
        default: "0",
        bounds: "0 to 1000000",
        help: "How many requests a second one key may make over HTTP; 0 is as many as it likes.",
        flag: Some("http-rate-limit"),
        set: |config, text| {
            whole_within(text, 0..=1_000_000).map(|rate| config.http.rate_limit = rate)
        },
        show: |config| config.http.rate_limit.to_string(),
    },
    Setting {
        name: "http_timeout",
        default: "5min",
        bounds: "1s to 1d",
        help: "How long a request over HTTP may take until it is given up.",
        flag: Some("http-timeout"),
        set: |config, text| {
            duration_within(text, Duration::from_secs(1)..=Duration::from_secs(86_400))
                .map(|time| config.http.timeout = time)
        },
        show: |config| format_duration(config.http.timeout),
    },
    Setting {
        name: "http_max_connections",
        default: "1000",
        bounds: "1 to 100000",
        help: "How many connections over HTTP there may be at a time; one more is told 503.",
        flag: Some("http-max-connections"),
        set: |config, text| {
            whole_within(text, 1..=100_000)
                .map(|count| config.http.max_connections = count as usize)
        },
        show: |config| config.http.max_connections.to_string(),
    },
    Setting {
        name: "http_max_body",
        default: "512MiB",
        bounds: "1KiB to 4GiB",
        help: "The longest body of a request over HTTP, as sent and inflated; all together have twice that.",
        flag: Some("http-max-body"),
        set: |config, text| {
            size_within(text, 1 << 10..=4 << 30).map(|bytes| config.http.max_body = bytes)
        },
        show: |config| format_size(config.http.max_body),
    },
    Setting {
        name: "max_connections",
        default: "100",
        bounds: "1 to 10000",
        help: "How many clients may be connected at a time; one more is told 53300.",
        flag: Some("max-connections"),
        set: |config, text| {
            let count = text.parse().map_err(|_| "is not a whole number")?;
            if !(1..=10_000).contains(&count) {
                return Err("must be between 1 and 10000".into());
            }
            config.max_connections = count;
            Ok(())
        },
        show: |config| config.max_connections.to_string(),
    },
    Setting {
        name: "auth_timeout",
        default: "1min",
        bounds: "1s to 10min",
        help: "How long a client may take to log in.",
        flag: Some("auth-timeout"),
        set: |config, text| {
            duration_within(text, Duration::from_secs(1)..=Duration::from_secs(600))
                .map(|time| config.auth_timeout = time)
        },
        show: |config| format_duration(config.auth_timeout),
    },
    Setting {
        name: "shutdown_timeout",
        default: "10s",
        bounds: "0 to 10min",
        help: "How long running statements may go on after SIGTERM before they are cancelled.",
        flag: Some("shutdown-timeout"),
        set: |config, text| {
            duration_within(text, Duration::ZERO..=Duration::from_secs(600))
                .map(|time| config.shutdown_timeout = time)
        },
        show: |config| format_duration(config.shutdown_timeout),
    },
    Setting {
        name: "checkpoint_interval",
        default: "5min",
        bounds: "1s to 1d",
        help: "The longest time between checkpoints while there is something to write.",
        flag: Some("checkpoint-interval"),
        set: |config, text| {
            duration_within(text, Duration::from_secs(1)..=Duration::from_secs(86_400))
                .map(|time| config.checkpoint_interval = time)
        },
        show: |config| format_duration(config.checkpoint_interval),
    },
    Setting {
        name: "checkpoint_size",
        default: "256MiB",
        bounds: "1MiB to 64GiB",
        help: "The log that may grow between checkpoints; a start replays at most about this much.",
        flag: Some("checkpoint-size"),
        set: |config, text| {
            size_within(text, 1 << 20..=64 << 30).map(|bytes| config.checkpoint_size = bytes)
        },
        show: |config| format_size(config.checkpoint_size),
    },
    Setting {
        name: "webhook_allow_private",
        default: "off",
        bounds: "on or off",
        help: "Whether webhooks may go to private addresses (this machine, its network), and there by http too.",
        flag: Some("webhook-allow-private"),
        set: |config, text| {
            config.webhook_allow_private = match text {
                "on" | "true" => true,
                "off" | "false" => false,
                _ => return Err("must be on or off".into()),
            };
            Ok(())
        },
        show: |config| if config.webhook_allow_private { "on".into() } else { "off".into() },
    },
    Setting {
        name: "unindexed_rows_max",
        default: "100000",
        bounds: "1000 to 1000000000",
        help: "How many rows a vector index may be behind its table before commits to it wait.",
        flag: Some("unindexed-rows-max"),
        set: |config, text| {
            let rows = text.parse().map_err(|_| "is not a whole number")?;
            if !(1000..=1_000_000_000).contains(&rows) {
                return Err("must be between 1000 and 1000000000".into());
            }
            config.unindexed_rows_max = rows;
            Ok(())
        },
        show: |config| config.unindexed_rows_max.to_string(),
    },
    Setting {
        name: "onnxruntime",
        default: "found: ORT_DYLIB_PATH, beside the server, the usual folders",
        bounds: "the library, or a folder that holds it",
        help: "Where ONNX Runtime is, which runs models that make vectors of texts.",
        flag: Some("onnxruntime"),
        set: |config, text| {
            config.onnxruntime = (!text.is_empty()).then(|| PathBuf::from(text));
            Ok(())
        },
        show: |config| show_path(config.onnxruntime.as_ref()),
    },
    Setting {
        name: "embed_threads",
        default: "one for each core",
        bounds: "1 to 1024",
        help: "How many threads models compute on.",
        flag: Some("embed-threads"),
        set: |config, text| {
            let count = text.parse().map_err(|_| "is not a whole number")?;
            if !(1..=1024).contains(&count) {
                return Err("must be between 1 and 1024".into());
            }
            config.embed_threads = count;
            Ok(())
        },
        show: |config| config.embed_threads.to_string(),
    },
    Setting {
        name: "models_dir",
        default: "./nearlake-models",
        bounds: "a folder on a local disk",
        help: "Where models that were fetched by name are kept.",
        flag: Some("models-dir"),
        set: |config, text| {
            if text.is_empty() {
                return Err("is empty; name a folder".into());
            }
            config.models_dir = text.into();
            Ok(())
        },
        show: |config| config.models_dir.display().to_string(),
    },
    Setting {
        name: "hub_endpoint",
        default: "https://huggingface.co",
        bounds: "an http:// or https:// address",
        help: "Where models are fetched from by name.",
        flag: Some("hub-endpoint"),
        set: |config, text| http_address(text).map(|address| config.hub_endpoint = address),
        show: |config| config.hub_endpoint.clone(),
    },
    Setting {
        name: "log_format",
        default: "human",
        bounds: "human or json",
        help: "How a line of the log looks; the log goes to standard error.",
        flag: Some("log-format"),
        set: |config, text| {
            config.log_format = match text {
                "human" => LogFormat::Human,
                "json" => LogFormat::Json,
                _ => return Err("must be human or json".into()),
            };
            Ok(())
        },
        show: |config| match config.log_format {
            LogFormat::Human => "human".into(),
            LogFormat::Json => "json".into(),
        },
    },
    Setting {
        name: "log_filter",
        default: "info",
        bounds: "a level, or target=level pairs with commas between them",
        help: "Which events are logged, as in `info,nearlake::storage=debug`.",
        flag: Some("log-filter"),
        set: |config, text| {
            text.parse::<tracing_subscriber::filter::Targets>()
                .map_err(|error| format!("is not a filter: {error}"))?;
            config.log_filter = text.into();
            Ok(())
        },
        show: |config| config.log_filter.clone(),
    },
    Setting {
        name: "otlp_endpoint",
        default: "none",
        bounds: "an http:// or https:// address, or none",
        help: "The collector that spans are sent to, by OTLP over HTTP: `http://localhost:4318`.",
        flag: Some("otlp-endpoint"),
        set: |config, text| {
            config.otlp_endpoint = None;
            if text != "none" {
                check_url(text)?;
                config.otlp_endpoint = Some(text.into());
            }
            Ok(())
        },
        show: |config| config.otlp_endpoint.clone().unwrap_or_default(),
    },
    Setting {
        name: "otlp_sample",
        default: "1",
        bounds: "0 to 1",
        help: "Of the traces that begin here, the share that is sent; of others the client decides.",
        flag: Some("otlp-sample"),
        set: |config, text| {
            let share: f64 = text.parse().map_err(|_| "is not a number")?;
            if !(0.0..=1.0).contains(&share) {
                return Err("must be between 0 and 1".into());
            }
            config.otlp_sample = share;
            Ok(())
        },
        show: |config| config.otlp_sample.to_string(),
    },
];

fn check_url(text: &str) -> Result<(), String> {
    let url = url::Url::parse(text).map_err(|error| format!("is not an address: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must begin with http:// or https://".into());
    }
    Ok(())
}

/// A site as browsers name it: scheme, host, and a port that is not the usual one.
fn origin(text: &str) -> Result<String, String> {
    let wrong =
        || format!("names {text:?}, which is not a site; write it like https://example.com");
    let url = url::Url::parse(text).map_err(|_| wrong())?;
    let origin = url.origin().ascii_serialization();
    (origin == text).then_some(origin).ok_or_else(wrong)
}

fn whole_within(text: &str, bounds: RangeInclusive<u32>) -> Result<u32, String> {
    let number = text.parse().map_err(|_| "is not a whole number")?;
    if !bounds.contains(&number) {
        return Err(format!("must be between {} and {}", bounds.start(), bounds.end()));
    }
    Ok(number)
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let resolved = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    resolved.parse().map_err(|_| {
        "is not an address; write it like 127.0.0.1:5432, [::1]:5432 or localhost:5432".into()
    })
}

fn http_address(text: &str) -> Result<String, String> {
    let url = url::Url::parse(text).map_err(|error| format!("is not an address: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("must begin with http:// or https://".into());
    }
    Ok(text.into())
}

fn size_within(text: &str, bounds: RangeInclusive<u64>) -> Result<u64, String> {
    let bytes = parse_size(text)?;
    if !bounds.contains(&bytes) {
        let (least, most) = (format_size(*bounds.start()), format_size(*bounds.end()));
        return Err(format!("must be between {least} and {most}"));
    }
    Ok(bytes)
}

fn duration_within(text: &str, bounds: RangeInclusive<Duration>) -> Result<Duration, String> {
    let duration = parse_duration(text)?;
    if !bounds.contains(&duration) {
        let (least, most) = (format_duration(*bounds.start()), format_duration(*bounds.end()));
        return Err(format!("must be between {least} and {most}"));
    }
    Ok(duration)
}

fn password(text: &str) -> Result<super::Secret, String> {
    if text.is_empty() {
        return Err("is empty".into());
    }
    Ok(super::Secret(text.into()))
}

fn show_path(path: Option<&PathBuf>) -> String {
    path.map(|path| path.display().to_string()).unwrap_or_default()
}
