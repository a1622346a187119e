//! From the first byte to a startup message: encryption is asked for, the protocol's version is
//! agreed on, or a statement of another connection is cancelled.

use super::{fault::Fault, message, message::violation, shared::Shared, wire::Wire};
use crate::error::{Error, Result, SqlState};
use bytes::{Buf, Bytes};
use pgwire::messages::startup::{GssEncRequest, NegotiateProtocolVersion, SslRequest};
use std::{io, sync::atomic::Ordering::Relaxed};

/// The longest packet of a client that is not let in; PostgreSQL's bound.
const PACKET_BYTES_MAX: usize = 10_000;
const CANCEL_REQUEST: u32 = 80_877_102;
const VERSION_3_0: u32 = 3 << 16;
/// The newest version spoken here: cancel keys may be longer than four bytes.
pub(super) const VERSION_3_2: u32 = VERSION_3_0 + 2;

/// What a client said to be let in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Startup {
    /// The version that both speak.
    pub(super) version: u32,
    pub(super) role: String,
    pub(super) database: String,
    /// Settings, those of `options` first, in the order in which they were said.
    pub(super) parameters: Vec<(String, String)>,
}

/// Negotiates until there is a startup message; `None` when the client wanted something else.
pub(super) async fn negotiate(wire: &mut Wire, shared: &Shared) -> Result<Option<Startup>, Fault> {
    let is_encrypted = begin_with_tls(wire, shared).await?;
    let (mut tls_asked, mut gss_asked) = (is_encrypted, is_encrypted);
    loop {
        let Some((code, body)) = wire.packet(PACKET_BYTES_MAX).await? else { return Ok(None) };
        match code.cast_signed() {
            SslRequest::BODY_MAGIC_NUMBER if !tls_asked => {
                tls_asked = true;
                match shared.options.encryption.identity() {
                    Some(identity) => {
                        wire.answer(b'S');
                        wire.flush().await?;
                        wire.encrypt(&identity.current()).await?;
                        // Nobody asks for a second encryption inside the first.
                        gss_asked = true;
                    }
                    None => {
                        wire.answer(b'N');
                        wire.flush().await?;
                    }
                }
            }
            GssEncRequest::BODY_MAGIC_NUMBER if !gss_asked => {
                gss_asked = true;
                wire.answer(b'N');
                wire.flush().await?;
            }
            _ if code == CANCEL_REQUEST => {
                cancel(body, shared);
                return Ok(None);
            }
            _ => {
                let startup = startup(wire, code, body)?;
                check_encrypted(wire, shared)?;
                return Ok(Some(startup));
            }
        }
    }
}

/// Clients with `sslnegotiation=direct` begin with a handshake; whether this one did. They have to name
/// the protocol in it, so that no other protocol's client can be made to talk to this port.
async fn begin_with_tls(wire: &mut Wire, shared: &Shared) -> Result<bool, Fault> {
    /// The first byte of every handshake; no startup packet is that long.
    const HANDSHAKE: u8 = 0x16;
    if wire.first_byte().await? != Some(HANDSHAKE) {
        return Ok(false);
    }
    let Some(identity) = shared.options.encryption.identity() else {
        return Err(Fault::Gone(io::ErrorKind::Unsupported.into()));
    };
    wire.encrypt_at_once(&identity.current()).await?;
    if !wire.speaks_postgres() {
        let message =
            "received direct SSL connection request without ALPN protocol negotiation extension";
        return Err(Fault::Fatal(violation(message)));
    }
    Ok(true)
}

/// Where TLS is required, nothing is said in the clear: not even whether there is such a role. A
/// socket file does not leave the machine.
fn check_encrypted(wire: &Wire, shared: &Shared) -> Result<(), Fault> {
    if !shared.options.encryption.is_required() || wire.is_private() {
        return Ok(());
    }
    let message = "connections without encryption are not accepted";
    Err(Fault::Fatal(
        Error::new(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, message)
            .hint("Connect with sslmode=require, or stricter."),
    ))
}

/// Answers nothing, so that nobody learns whether the key was right.
fn cancel(mut body: Bytes, shared: &Shared) {
    if let Ok(process_id) = body.try_get_i32()
        && shared.registry.cancel(process_id, &body)
    {
        shared.counters.cancels_total.fetch_add(1, Relaxed);
    }
}

fn startup(wire: &mut Wire, version: u32, body: Bytes) -> Result<Startup, Fault> {
    let (major, minor) = (version >> 16, version & 0xffff);
    if major != 3 {
        let message =
            format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2");
        return Err(Fault::Fatal(Error::unsupported(message)));
    }
    let (startup, unknown) = read(version.min(VERSION_3_2), body).map_err(Fault::Fatal)?;
    if version > VERSION_3_2 || !unknown.is_empty() {
        let version = startup.version.cast_signed();
        wire.send(&NegotiateProtocolVersion::new(version, unknown))?;
    }
    Ok(startup)
}

/// Reads a startup message; also the names of the protocol's options that nobody knows here.
fn read(version: u32, mut body: Bytes) -> Result<(Startup, Vec<String>)> {
    let mut text = || -> Result<String> {
        let end = body.iter().position(|&byte| byte == 0).ok_or_else(malformed)?;
        let text = body.split_to(end);
        body.advance(1);
        message::utf8(&text).map(str::to_owned)
    };
    let (mut role, mut database) = (String::new(), String::new());
    let (mut parameters, mut unknown) = (Vec::new(), Vec::new());
    let mut from_options = Vec::new();
    loop {
        let name = text()?;
        if name.is_empty() {
            break;
        }
        let value = text()?;
        match name.as_str() {
            "user" => role = value,
            "database" => database = value,
            "options" => from_options = options(&value)?,
            "replication" => match value.as_str() {
                "" | "false" | "off" | "no" | "0" => {}
                _ => {
                    return Err(Error::unsupported("replication connections are not supported")
                        .hint("Connect without the parameter \"replication\"."));
                }
            },
            _ if name.starts_with("_pq_.") => unknown.push(name),
            _ => parameters.push((name, value)),
        }
    }
    if !body.is_empty() {
        return Err(malformed());
    }
    if role.is_empty() {
        return Err(Error::new(
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            "no PostgreSQL user name specified in startup packet",
        ));
    }
    if database.is_empty() {
        database.clone_from(&role);
    }
    from_options.append(&mut parameters);
    Ok((Startup { version, role, database, parameters: from_options }, unknown))
}

fn malformed() -> Error {
    violation("invalid startup packet layout: expected terminator as last byte")
}

/// The settings in `options`, which is a command line: `-c name=value`, `-cname=value` or
/// `--name=value`, words separated by spaces, a backslash before a space that belongs to a word.
fn options(line: &str) -> Result<Vec<(String, String)>> {
    let mut settings = Vec::new();
    let mut words = words(line).into_iter();
    while let Some(word) = words.next() {
        let invalid = || {
            Error::new(
                SqlState::SYNTAX_ERROR,
                format!("invalid command-line argument for server process: {word}"),
            )
            .hint("Write settings as \"-c name=value\".")
        };
        let setting = if let Some(setting) = word.strip_prefix("--") {
            setting.to_owned()
        } else if word == "-c" {
            words.next().ok_or_else(invalid)?
        } else {
            word.strip_prefix("-c").ok_or_else(invalid)?.to_owned()
        };
        let (name, value) = setting.split_once('=').ok_or_else(|| {
            Error::new(SqlState::SYNTAX_ERROR, format!("-c {setting} requires a value"))
        })?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let last = words.last_mut().expect("there is always one");
        match character {
            '\\' => last.extend(characters.next()),
            space if space.is_whitespace() => words.push(String::new()),
            other => last.push(other),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(fields: &[&str]) -> Bytes {
        let mut body: Vec<u8> =
            fields.iter().flat_map(|f| [f.as_bytes(), b"\0"].concat()).collect();
        body.push(0);
        body.into()
    }

    #[test]
    fn settings_of_options_come_before_the_others() {
        let fields = [
            "user",
            "ann",
            "application_name",
            "psql",
            "options",
            r"-c search_path=a\ b --statement-timeout=5 -cjit=off",
            "_pq_.wish",
            "1",
        ];
        let (startup, unknown) = read(VERSION_3_0, body(&fields)).unwrap();
        assert_eq!((startup.role.as_str(), startup.database.as_str()), ("ann", "ann"));
        let names: Vec<_> =
            startup.parameters.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(
            names,
            [
                ("search_path", "a b"),
                ("statement_timeout", "5"),
                ("jit", "off"),
                ("application_name", "psql")
            ]
        );
        assert_eq!(unknown, ["_pq_.wish"]);
    }

    #[test]
    fn a_packet_that_says_nothing_sensible_is_refused() {
        let state = |body: Bytes| read(VERSION_3_0, body).unwrap_err().state().to_string();
        assert_eq!(state(body(&[])), "28000");
        assert_eq!(state(Bytes::from_static(b"user\0ann")), "08P01");
        assert_eq!(state(Bytes::from_static(b"user\0ann\0\0x")), "08P01");
        assert_eq!(state(Bytes::new()), "08P01");
        assert_eq!(state(body(&["user", "ann", "options", "-x"])), "42601");
        assert_eq!(state(body(&["user", "ann", "options", "-c jit"])), "42601");
        assert_eq!(state(body(&["user", "ann", "replication", "database"])), "0A000");
    }
}
