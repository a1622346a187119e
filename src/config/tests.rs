use super::*;

fn read(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Config> {
    let matches = command().try_get_matches_from([&["nearlake", "serve"], arguments].concat());
    let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
    match request(&matches.expect("the command line parses"), environment)? {
        Request::Serve(config) => Ok(config),
        Request::Show(_) => unreachable!("serve was asked for"),
    }
}

#[track_caller]
fn refused(arguments: &[&str], environment: &[(&str, &str)], words: &[&str]) {
    let error = read(arguments, environment).expect_err("it is refused");
    let said = format!("{} {}", error.message(), error.fields().hint.as_deref().unwrap_or(""));
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    file
}

#[test]
fn nothing_needs_to_be_said() {
    let config = read(&[], &[]).unwrap();

    assert_eq!(config.pg_listen.to_string(), "127.0.0.1:5432");
    assert_eq!(config.tls(), Tls::Off);
    assert_eq!(config.cache_dir(), None);
    assert!(config.memory > 0);
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let file = file("max_connections = 11\nauth_timeout = \"11s\"\nlog_format = \"json\"\n");
    let path = file.path().to_str().unwrap();

    let config = read(
        &["--config", path, "--max-connections", "33"],
        &[("NEARLAKE_MAX_CONNECTIONS", "22"), ("NEARLAKE_AUTH_TIMEOUT", "22s")],
    )
    .unwrap();

    assert_eq!(config.max_connections, 33);
    assert_eq!(config.auth_timeout, Duration::from_secs(22));
    assert_eq!(config.log_format, LogFormat::Json);
    assert_eq!(config.shutdown_timeout, Duration::from_secs(10));
}

#[test]
fn an_unknown_name_is_refused_with_the_nearest_one() {
    let file = file("pg_listn = \"127.0.0.1:0\"\n");
    let path = file.path().to_str().unwrap();

    refused(&["--config", path], &[], &["pg_listn", path, "did you mean `pg_listen`?"]);
    refused(&[], &[("NEARLAKE_MEMRY", "1GB")], &["NEARLAKE_MEMRY", "`NEARLAKE_MEMORY`"]);
    read(&[], &[("NEARLAKE_PORT_5432_TCP", "tcp://10.0.0.1:5432")]).unwrap();
}

#[test]
fn a_wrong_value_is_named_with_its_place() {
    let file = file("memory = \"3 parsecs\"\n");
    let path = file.path().to_str().unwrap();

    refused(&["--config", path], &[], &["memory", path, "3 parsecs", "2GiB"]);
    refused(&["--memory", "1MB"], &[], &["--memory", "between 64MiB and 64TiB"]);
    refused(&["--max-connections", "0"], &[], &["between 1 and 10000"]);
    refused(&["--pg-listen", "5432"], &[], &["127.0.0.1:5432"]);
    refused(&["--config", "/nonexistent.toml"], &[], &["/nonexistent.toml"]);
}

#[test]
fn an_open_door_wants_a_password_and_a_word_about_tls() {
    let open = ["--pg-listen", "0.0.0.0:5432"];
    let password = [("NEARLAKE_PASSWORD", "correct horse")];

    refused(&open, &[], &["0.0.0.0:5432", "NEARLAKE_PASSWORD"]);
    refused(&open, &password, &["TLS", "--tls off"]);
    refused(&["--http-listen", "0.0.0.0:80"], &[], &["http_listen", "NEARLAKE_PASSWORD"]);

    let config = read(&[&open[..], &["--tls", "off"]].concat(), &password).unwrap();
    assert_eq!(config.password.as_ref().map(Secret::reveal), Some("correct horse"));
    assert!(!format!("{config:?}").contains("correct"));
}

#[test]
fn a_certificate_and_its_key_belong_together() {
    refused(&["--tls-cert", "a.pem"], &[], &["belong together"]);
    refused(&["--tls", "require"], &[], &["needs a certificate"]);

    let config = read(&["--tls-cert", "a.pem", "--tls-key", "b.pem"], &[]).unwrap();
    assert_eq!(config.tls(), Tls::Offered { cert: Path::new("a.pem"), key: Path::new("b.pem") });
}

#[test]
fn a_bucket_gets_a_cache_folder_and_a_folder_does_not() {
    assert!(read(&["--data", "gs://b/p"], &[]).unwrap().cache_dir().is_some());
    assert_eq!(read(&["--data", "/tmp/x"], &[]).unwrap().cache_dir(), None);
    let none = read(&["--data", "gs://b/p", "--cache-dir", "none"], &[]).unwrap();
    assert_eq!(none.cache_dir(), None);
}

#[test]
fn what_a_setting_shows_is_what_it_reads() {
    let config = Config::default();
    for (setting, text) in config.effective().filter(|(_, text)| !text.is_empty()) {
        let mut again = Config::default();
        (setting.set)(&mut again, &text)
            .unwrap_or_else(|reason| panic!("{}: {reason}", setting.name));
        assert_eq!((setting.show)(&again), text, "{}", setting.name);
    }
}

#[test]
fn the_manual_lists_every_setting() {
    let manual = include_str!("../../docs/operate.md");
    for setting in SETTINGS {
        let row = format!("| `{}` | {} | {} |", setting.name, setting.default, setting.bounds);
        assert!(manual.contains(&row), "docs/operate.md has no row\n{row}");
    }
}

#[test]
fn the_table_agrees_with_itself() {
    command().debug_assert();
    for setting in SETTINGS {
        let expected = (setting.name != "password").then(|| setting.name.replace('_', "-"));
        assert_eq!(setting.flag, expected.as_deref(), "{}", setting.name);
        if !setting.default.contains(' ') && setting.default != "none" {
            assert_eq!((setting.show)(&Config::default()), setting.default, "{}", setting.name);
        }
    }
}
