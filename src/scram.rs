//! SCRAM-SHA-256 (RFC 5802 and 7677) as PostgreSQL stores and speaks it. The server keeps a
//! [`Verifier`], from which the password cannot be read; an [`Exchange`] proves that the client
//! knows the password without either side saying it. For a role that does not exist the whole
//! exchange is run with a [`Verifier::mock`], so that nobody learns which roles exist.

use crate::error::{Error, Result, SqlState};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, Mac};
use rand::{TryRngCore, rngs::OsRng};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// The name under which the mechanism is offered.
pub const MECHANISM: &str = "SCRAM-SHA-256";
/// The same bound to the encrypted channel: whoever sits between two channels fails.
pub const MECHANISM_PLUS: &str = "SCRAM-SHA-256-PLUS";
/// What the channel is bound by: the hash of the server's certificate (RFC 5929).
const BINDING: &str = "p=tls-server-end-point";
/// How often a password is hashed unless someone asks for more; PostgreSQL's default.
pub const ITERATIONS: u32 = 4096;
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 18;

type Key = [u8; 32];

/// Bytes that nobody can guess: keys, salts, nonces.
///
/// # Panics
/// When the system has no randomness to give; going on would make secrets guessable.
#[must_use]
pub fn secret<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.try_fill_bytes(&mut bytes).expect("the system gives random bytes");
    bytes
}

/// The text that `pg_authid` keeps for a password, with a salt of its own.
#[must_use]
pub fn encrypt(password: &str) -> String {
    scram_verifier(password, &secret::<SALT_BYTES>(), ITERATIONS)
}

/// The text that `pg_authid` keeps: `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`.
#[must_use]
pub fn scram_verifier(password: &str, salt: &[u8], iterations: u32) -> String {
    Verifier::new(password, salt, iterations).to_string()
}

/// What the server keeps of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: Key,
    server_key: Key,
}

impl Verifier {
    /// The verifier of a password.
    #[must_use]
    pub fn new(password: &str, salt: &[u8], iterations: u32) -> Self {
        let salted = salted_password(password, salt, iterations);
        Self {
            iterations,
            salt: salt.to_vec(),
            stored_key: Sha256::digest(hmac(&salted, &[b"Client Key"])).into(),
            server_key: hmac(&salted, &[b"Server Key"]),
        }
    }

    /// Reads what [`scram_verifier`] wrote; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (cost, keys) = text.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
        let (iterations, salt) = cost.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        Some(Self {
            iterations: iterations.parse().ok().filter(|&n| n > 0)?,
            salt: BASE64.decode(salt).ok()?,
            stored_key: BASE64.decode(stored_key).ok()?.try_into().ok()?,
            server_key: BASE64.decode(server_key).ok()?.try_into().ok()?,
        })
    }

    /// A verifier that no password fits. The same `key` gives a role the same salt each time, as
    /// a role that exists would have.
    #[must_use]
    pub fn mock(key: &[u8], role: &str) -> Self {
        Self {
            iterations: ITERATIONS,
            salt: hmac(key, &[role.as_bytes()])[..SALT_BYTES].to_vec(),
            stored_key: secret(),
            server_key: secret(),
        }
    }

    /// Whether this is the password.
    #[must_use]
    pub fn accepts(&self, password: &str) -> bool {
        let other = Self::new(password, &self.salt, self.iterations);
        other.stored_key.ct_eq(&self.stored_key).into()
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored_key, server_key] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(|b| BASE64.encode(b));
        write!(f, "SCRAM-SHA-256${}:{salt}${stored_key}:{server_key}", self.iterations)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(..)")
    }
}

/// What an authentication may be bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel<'a> {
    /// Nothing: [`MECHANISM_PLUS`] was not offered.
    Plain,
    /// It was offered, and the client chose [`MECHANISM`].
    Declined,
    /// The client chose it; the hash of the certificate that it has to have seen.
    Bound(&'a [u8]),
}

/// The server's side of one authentication, after the client's first message:
///
/// ```text
///  client                                server
///  n,,n=,r=NONCE                   ->    Exchange::answer
///                                  <-    challenge(): r=NONCE+OURS,s=salt,i=4096
///  c=biws,r=NONCE+OURS,p=proof     ->    finish()
///                                  <-    v=signature, or the password was wrong
/// ```
#[derive(Debug)]
pub struct Exchange {
    verifier: Verifier,
    /// What the client has to say of the channel, in base64.
    channel_binding: String,
    nonce: String,
    client_first_bare: String,
    challenge: String,
}

impl Exchange {
    /// Takes the client's first message.
    ///
    /// # Errors
    /// 08P01 when the message is malformed or does not fit the channel; 28000 when somebody between
    /// hid from the client that the channel can be bound.
    pub fn answer(verifier: Verifier, channel: Channel<'_>, client_first: &[u8]) -> Result<Self> {
        let nonce = BASE64.encode(secret::<NONCE_BYTES>());
        Self::answer_with_nonce(verifier, channel, client_first, &nonce)
    }

    fn answer_with_nonce(
        verifier: Verifier,
        channel: Channel<'_>,
        client_first: &[u8],
        nonce: &str,
    ) -> Result<Self> {
        let message = text(client_first)?;
        let (flag, rest) = message.split_once(',').ok_or_else(|| malformed("gs2 header"))?;
        check_flag(flag, channel)?;
        let (authorization, bare) =
            rest.split_once(',').ok_or_else(|| malformed("authorization identity"))?;
        if !authorization.is_empty() {
            return Err(Error::unsupported(
                "client uses authorization identity, but it is not supported",
            ));
        }
        if bare.starts_with("m=") {
            return Err(Error::unsupported("client requires an unsupported SCRAM extension"));
        }
        // The name in `n=` is ignored, as in PostgreSQL: the startup message has said it.
        let (_, nonces) = bare
            .strip_prefix("n=")
            .and_then(|rest| rest.split_once(','))
            .ok_or_else(|| malformed("user name"))?;
        let client_nonce = nonces
            .strip_prefix("r=")
            .and_then(|rest| rest.split(',').next())
            .filter(|nonce| !nonce.is_empty() && nonce.bytes().all(|b| b.is_ascii_graphic()))
            .ok_or_else(|| malformed("nonce"))?;

        let nonce = format!("{client_nonce}{nonce}");
        let salt = BASE64.encode(&verifier.salt);
        Ok(Self {
            challenge: format!("r={nonce},s={salt},i={}", verifier.iterations),
            verifier,
            channel_binding: BASE64.encode(match channel {
                Channel::Bound(end_point) => [flag.as_bytes(), b",,", end_point].concat(),
                Channel::Plain | Channel::Declined => format!("{flag},,").into_bytes(),
            }),
            nonce,
            client_first_bare: bare.to_owned(),
        })
    }

    /// What to send now.
    #[must_use]
    pub fn challenge(&self) -> &str {
        &self.challenge
    }

    /// Takes the client's proof; the signature to send, or `None` when the password was wrong.
    ///
    /// # Errors
    /// 08P01 when the message is malformed or is not an answer to the challenge.
    pub fn finish(self, client_final: &[u8]) -> Result<Option<String>> {
        let message = text(client_final)?;
        let (without_proof, proof) =
            message.rsplit_once(",p=").ok_or_else(|| malformed("proof"))?;
        let proof: Key = BASE64
            .decode(proof)
            .ok()
            .and_then(|proof| proof.try_into().ok())
            .ok_or_else(|| malformed("proof"))?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|a| a.strip_prefix("c="));
        if binding != Some(&self.channel_binding) {
            return Err(malformed("channel binding"));
        }
        let nonce = attributes.next().and_then(|a| a.strip_prefix("r="));
        if nonce != Some(&self.nonce) {
            return Err(malformed("nonce"));
        }

        let said = [&self.client_first_bare, ",", &self.challenge, ",", without_proof];
        let said = said.map(str::as_bytes);
        let signature = hmac(&self.verifier.stored_key, &said);
        let mut client_key = proof;
        client_key.iter_mut().zip(signature).for_each(|(byte, mask)| *byte ^= mask);
        let stored_key: Key = Sha256::digest(client_key).into();
        if !bool::from(stored_key.ct_eq(&self.verifier.stored_key)) {
            return Ok(None);
        }
        let signature = hmac(&self.verifier.server_key, &said);
        Ok(Some(format!("v={}", BASE64.encode(signature))))
    }
}

/// Whether what the client says of channel binding fits what it chose and what it was offered.
fn check_flag(flag: &str, channel: Channel<'_>) -> Result<()> {
    let violation = |message: &str| Err(Error::new(SqlState::PROTOCOL_VIOLATION, message));
    match (flag, channel) {
        ("n", Channel::Plain | Channel::Declined) | ("y", Channel::Plain) => Ok(()),
        (BINDING, Channel::Bound(_)) => Ok(()),
        ("y", Channel::Declined) => Err(Error::new(
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            "SCRAM channel binding negotiation error",
        )
        .detail(
            "The client supports SCRAM channel binding but thinks the server does not.  However, \
             this server does support channel binding.",
        )),
        ("n" | "y", Channel::Bound(_)) => {
            violation("the client selected SCRAM-SHA-256-PLUS, but its message binds no channel")
        }
        (other, Channel::Bound(_)) if other.starts_with("p=") => Err(Error::new(
            SqlState::PROTOCOL_VIOLATION,
            format!("unsupported SCRAM channel-binding type \"{}\"", &other[2..]),
        )),
        (other, _) if other.starts_with("p=") => {
            violation("the client binds the channel without having selected SCRAM-SHA-256-PLUS")
        }
        _ => Err(malformed("channel-binding flag")),
    }
}

fn text(message: &[u8]) -> Result<&str> {
    std::str::from_utf8(message).map_err(|_| malformed("encoding"))
}

fn malformed(part: &str) -> Error {
    Error::new(SqlState::PROTOCOL_VIOLATION, "malformed SCRAM message")
        .detail(format!("The {part} is not as expected."))
}

/// PBKDF2 with HMAC-SHA-256, one block. A password that SASLprep forbids is taken as it is, as
/// PostgreSQL does.
fn salted_password(password: &str, salt: &[u8], iterations: u32) -> Key {
    let prepared = stringprep::saslprep(password);
    let password = prepared.as_deref().unwrap_or(password);
    let keyed = keyed(password.as_bytes());
    let next = |input: &[&[u8]]| -> Key {
        let mut mac = keyed.clone();
        input.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    };
    let mut block = next(&[salt, &1_u32.to_be_bytes()]);
    let mut sum = block;
    for _ in 1..iterations {
        block = next(&[&block]);
        sum.iter_mut().zip(block).for_each(|(byte, other)| *byte ^= other);
    }
    sum
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut mac = keyed(key);
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7677, section 3.
    const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
    const FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const FINAL: &[u8] = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    fn exchange(password: &str) -> Exchange {
        let verifier = Verifier::new(password, &BASE64.decode(SALT).unwrap(), 4096);
        Exchange::answer_with_nonce(verifier, Channel::Plain, FIRST, NONCE).unwrap()
    }

    #[test]
    fn the_example_of_the_rfc_is_answered_as_it_says() {
        let exchange = exchange("pencil");
        assert_eq!(
            exchange.challenge(),
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        assert_eq!(
            exchange.finish(FINAL).unwrap().as_deref(),
            Some("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
        );
    }

    #[test]
    fn a_wrong_password_is_refused_and_a_wrong_message_is_malformed() {
        assert_eq!(exchange("pen").finish(FINAL).unwrap(), None);
        let other_nonce = b"c=biws,r=x,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(
            exchange("pencil").finish(other_nonce).unwrap_err().state(),
            SqlState::PROTOCOL_VIOLATION
        );
        for garbage in [&b""[..], b"n,,", b"p=tls-unique,,n=,r=x", b"n,,n=,r=", b"\xff"] {
            let verifier = Verifier::mock(b"", "x");
            assert!(Exchange::answer(verifier, Channel::Plain, garbage).is_err());
        }
    }

    /// What a client that knows the password sends last.
    fn proof(binding: &[u8], bare: &str, challenge: &str) -> String {
        let nonce = challenge.split(',').next().unwrap();
        let without_proof = format!("c={},{nonce}", BASE64.encode(binding));
        let salted = salted_password("pencil", &BASE64.decode(SALT).unwrap(), 4096);
        let client_key = hmac(&salted, &[b"Client Key"]);
        let said = [bare, ",", challenge, ",", &without_proof].map(str::as_bytes);
        let signature = hmac(&Sha256::digest(client_key), &said);
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        format!("{without_proof},p={}", BASE64.encode(proof))
    }

    #[test]
    fn a_proof_is_bound_to_the_certificate_that_the_client_saw() {
        let bare = "n=,r=abc";
        let first = format!("{BINDING},,{bare}");
        let finish = |seen: &[u8]| {
            let verifier = Verifier::new("pencil", &BASE64.decode(SALT).unwrap(), 4096);
            let channel = Channel::Bound(b"the hash");
            let exchange = Exchange::answer(verifier, channel, first.as_bytes()).unwrap();
            let binding = [BINDING.as_bytes(), b",,", seen].concat();
            let last = proof(&binding, bare, exchange.challenge());
            exchange.finish(last.as_bytes())
        };
        assert!(finish(b"the hash").unwrap().is_some());
        assert_eq!(finish(b"another").unwrap_err().state(), SqlState::PROTOCOL_VIOLATION);
    }

    #[test]
    fn who_hides_that_the_channel_can_be_bound_is_found_out() {
        let state = |channel, first: &[u8]| {
            Exchange::answer(Verifier::mock(b"", "x"), channel, first).err().map(|e| e.state())
        };
        assert_eq!(state(Channel::Plain, b"y,,n=,r=x"), None);
        assert_eq!(state(Channel::Declined, b"n,,n=,r=x"), None);
        let hidden = Some(SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
        assert_eq!(state(Channel::Declined, b"y,,n=,r=x"), hidden);
        let wrong = Some(SqlState::PROTOCOL_VIOLATION);
        assert_eq!(state(Channel::Bound(b"h"), b"n,,n=,r=x"), wrong);
        assert_eq!(state(Channel::Bound(b"h"), b"p=tls-unique,,n=,r=x"), wrong);
        assert_eq!(state(Channel::Plain, b"p=tls-server-end-point,,n=,r=x"), wrong);
    }

    #[test]
    fn a_verifier_is_read_back_and_takes_only_its_password() {
        let text = encrypt("tr0ub4dor");
        let verifier = Verifier::parse(&text).unwrap();
        assert_eq!(verifier.to_string(), text);
        assert!(verifier.accepts("tr0ub4dor"));
        assert!(!verifier.accepts("tr0ub4dor "));
        assert_eq!(Verifier::parse("md5abc"), None);
        assert_eq!(Verifier::parse("SCRAM-SHA-256$0:eA==$eA==:eA=="), None);
    }

    #[test]
    fn a_role_that_does_not_exist_keeps_its_salt() {
        let salt = |role| Verifier::mock(b"key", role).salt;
        assert_eq!(salt("a"), salt("a"));
        assert_ne!(salt("a"), salt("b"));
    }
}
