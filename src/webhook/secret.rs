//! Signatures by the Standard Webhooks scheme: `v1,` and the base64 of an HMAC-SHA256 over
//! `id.timestamp.body`. While a secret is being replaced a letter bears two of them.

use crate::{
    error::{Error, Result, SqlState},
    scram,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;

const PREFIX: &str = "whsec_";
/// How many bytes a secret has; ours have 32.
const BYTES_MIN: usize = 24;
const BYTES_MAX: usize = 64;

/// A key that signatures are made with.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The text of a new secret.
#[must_use]
pub fn fresh() -> String {
    format!("{PREFIX}{}", STANDARD.encode(scram::secret::<32>()))
}

impl Secret {
    /// Reads a secret's text.
    ///
    /// # Errors
    /// 22023 when it is none.
    pub fn parse(text: &str) -> Result<Self> {
        let bytes = text.strip_prefix(PREFIX).and_then(|rest| STANDARD.decode(rest).ok());
        let bytes = bytes.filter(|bytes| (BYTES_MIN..=BYTES_MAX).contains(&bytes.len()));
        bytes.map(Self).ok_or_else(|| {
            Error::new(SqlState::INVALID_PARAMETER_VALUE, "the secret of a webhook is not valid")
                .hint(format!(
                    "Write {PREFIX} and the base64 of {BYTES_MIN} to {BYTES_MAX} random bytes, or \
                     leave it out to be given one."
                ))
        })
    }

    fn signature(&self, id: &str, timestamp: i64, body: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key may have any length");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body.as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// The header `webhook-signature`: one signature for each secret.
pub(super) fn signatures<'s>(
    secrets: impl Iterator<Item = &'s Secret>,
    id: &str,
    timestamp: i64,
    body: &str,
) -> String {
    let all: Vec<String> = secrets.map(|secret| secret.signature(id, timestamp, body)).collect();
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the library `standardwebhooks` from PyPI signs it.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = r#"{"test": 2432232314}"#;
        let signed =
            signatures([&secret].into_iter(), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);

        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_long_and_random() {
        let (a, b) = (fresh(), fresh());
        assert_ne!(a, b);
        assert!(Secret::parse(&a).is_ok());
        for bad in ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_?"] {
            assert!(Secret::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::parse(&fresh()).unwrap()), "Secret");
    }
}
