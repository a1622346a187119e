//! Who the server is to clients that encrypt: a certificate chain and its key, read from PEM files and
//! read again when they are renewed. A handshake keeps the picture that it began with, so that a new
//! certificate disturbs nobody who is connected.

use crate::error::{Error, Result, SqlState};
use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use sha2::{Digest as _, Sha224, Sha256, Sha384, Sha512};
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What clients find that ask for encryption, and those that do not.
#[derive(Debug, Clone, Default)]
pub enum Encryption {
    /// Who asks for it is told that there is none.
    #[default]
    None,
    /// Who asks for it gets it.
    Offered(Arc<Identity>),
    /// Who does not ask for it is refused.
    Required(Arc<Identity>),
}

impl Encryption {
    /// The certificate, where there is one.
    #[must_use]
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        match self {
            Self::None => None,
            Self::Offered(identity) | Self::Required(identity) => Some(identity),
        }
    }

    /// Whether a client has to encrypt.
    #[must_use]
    pub fn is_required(&self) -> bool {
        matches!(self, Self::Required(_))
    }
}

/// The certificate of a server, as its files were when they were last read.
pub struct Identity {
    cert: PathBuf,
    key: PathBuf,
    current: ArcSwap<Certified>,
}

/// What one handshake needs.
pub struct Certified {
    /// For the Postgres port.
    pub postgres: Arc<ServerConfig>,
    /// For the HTTP port.
    pub http: Arc<ServerConfig>,
    /// What SCRAM binds an authentication to (`tls-server-end-point`, RFC 5929): the hash of the
    /// certificate. `None` where its signature names no hash, as Ed25519 does.
    pub end_point: Option<Vec<u8>>,
}

impl Identity {
    /// Reads a certificate chain and its key.
    ///
    /// # Errors
    /// F0000, naming the file.
    pub fn read(cert: &Path, key: &Path) -> Result<Self> {
        let current = ArcSwap::from_pointee(Certified::read(cert, key)?);
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), current })
    }

    /// Reads the files again. When they cannot be used, what was read before stays.
    ///
    /// # Errors
    /// F0000, naming the file.
    pub fn reload(&self) -> Result<()> {
        self.current.store(Arc::new(Certified::read(&self.cert, &self.key)?));
        Ok(())
    }

    /// What a handshake that begins now needs.
    #[must_use]
    pub fn current(&self) -> Arc<Certified> {
        self.current.load_full()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("cert", &self.cert).finish_non_exhaustive()
    }
}

impl fmt::Debug for Certified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certified(..)")
    }
}

impl Certified {
    fn read(cert: &Path, key: &Path) -> Result<Self> {
        let bad = |path: &Path, error: String| {
            Error::new(
                SqlState::CONFIG_FILE_ERROR,
                format!("cannot use \"{}\": {error}", path.display()),
            )
        };
        let chain = CertificateDer::pem_file_iter(cert)
            .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
            .map_err(|error| bad(cert, error.to_string()))?;
        let private =
            PrivateKeyDer::from_pem_file(key).map_err(|error| bad(key, error.to_string()))?;
        let first = chain.first().ok_or_else(|| bad(cert, "no certificate is in it".into()))?;
        let end_point = end_point(first);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
            .map_err(|error| bad(cert, error.to_string()))?;
        let speaking = |protocol: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            Arc::new(config)
        };
        Ok(Self { postgres: speaking(b"postgresql"), http: speaking(b"http/1.1"), end_point })
    }
}

/// The hash of a certificate by the algorithm that signed it; SHA-256 in place of MD5 and SHA-1.
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    // The last byte of rsaEncryption's family (1.2.840.113549.1.1.x) and of ecdsa-with-SHA2's
    // (1.2.840.10045.4.3.x).
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
    const ECDSA_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01];
    let algorithm = signature_algorithm(certificate)?;
    let last = *algorithm.last()?;
    let bits = match &algorithm[..algorithm.len() - 1] {
        RSA => match last {
            4 | 5 | 11 => 256,
            12 => 384,
            13 => 512,
            14 => 224,
            _ => return None,
        },
        ECDSA => match last {
            1 => 224,
            2 => 256,
            3 => 384,
            4 => 512,
            _ => return None,
        },
        _ if algorithm == ECDSA_SHA1 => 256,
        _ => return None,
    };
    Some(match bits {
        224 => Sha224::digest(certificate).to_vec(),
        256 => Sha256::digest(certificate).to_vec(),
        384 => Sha384::digest(certificate).to_vec(),
        _ => Sha512::digest(certificate).to_vec(),
    })
}

/// The object identifier behind what is signed:
/// `SEQUENCE { SEQUENCE { what is signed }, SEQUENCE { OBJECT IDENTIFIER, … }, … }`.
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    const OBJECT_IDENTIFIER: u8 = 0x06;
    let (fields, _) = element(certificate, SEQUENCE)?;
    let (_, after_signed) = element(fields, SEQUENCE)?;
    let (algorithm, _) = element(after_signed, SEQUENCE)?;
    element(algorithm, OBJECT_IDENTIFIER).map(|(identifier, _)| identifier)
}

/// The content of a DER element of this tag, and what comes after the element.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (&length, rest) = rest.split_first()?;
    if first != tag {
        return None;
    }
    let (length, rest) = match length {
        short @ 0..0x80 => (usize::from(short), rest),
        long => {
            let count = usize::from(long & 0x7f);
            let (digits, rest) =
                rest.split_at_checked(count).filter(|_| (1..=4).contains(&count))?;
            (digits.iter().fold(0, |sum, &digit| sum << 8 | usize::from(digit)), rest)
        }
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `SEQUENCE { SEQUENCE { 200 bytes }, SEQUENCE { identifier } }`
    fn certificate(identifier: &[u8]) -> Vec<u8> {
        let mut signed = vec![0x30, 0x81, 200];
        signed.extend([7; 200]);
        let oid = [&[0x06, u8::try_from(identifier.len()).unwrap()], identifier].concat();
        let algorithm = [&[0x30, u8::try_from(oid.len()).unwrap()], &oid[..]].concat();
        let body = [signed, algorithm].concat();
        [&[0x30, 0x81, u8::try_from(body.len()).unwrap()], &body[..]].concat()
    }

    #[test]
    fn the_hash_is_that_of_the_signature_and_never_a_weak_one() {
        let bytes = |identifier: &[u8]| end_point(&certificate(identifier)).map(|hash| hash.len());
        let rsa = |last| [&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last][..]].concat();
        let ecdsa = |last| [&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, last][..]].concat();
        assert_eq!(bytes(&rsa(5)), Some(32));
        assert_eq!(bytes(&rsa(11)), Some(32));
        assert_eq!(bytes(&rsa(13)), Some(64));
        assert_eq!(bytes(&ecdsa(2)), Some(32));
        assert_eq!(bytes(&ecdsa(3)), Some(48));
        // Ed25519 hashes within itself; RSASSA-PSS says elsewhere by what.
        assert_eq!(bytes(&[0x2b, 0x65, 0x70]), None);
        assert_eq!(bytes(&rsa(10)), None);
    }

    #[test]
    fn bytes_that_are_no_certificate_have_no_end_point() {
        let whole = certificate(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 2]);
        assert!(end_point(&whole).is_some());
        for cut in 0..whole.len() {
            assert_eq!(end_point(&whole[..cut]), None, "{cut}");
        }
        assert_eq!(end_point(&[0x30, 0x85, 1, 1, 1, 1, 1]), None);
    }
}
