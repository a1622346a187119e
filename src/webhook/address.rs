//! Where requests may go. A webhook's URL is written by a user of the database, and what answers on
//! the database's own network may trust whoever is there: so only public addresses are allowed,
//! unless the setting `webhook_allow_private` says otherwise.
//!
//! The address that was checked is the one that is connected to: the client asks [`Guard`] for
//! addresses, at every connection. Redirects are not followed, and no proxy is used.

use crate::error::{Error, Result, SqlState};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use url::{Host, Url};

/// What is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses, by https.
    Public,
    /// Private ones too, and those by http as well.
    Private,
}

/// The URL of a webhook, as far as it can be checked before its name is resolved.
///
/// # Errors
/// 22023 for what is no URL, another scheme, credentials; 42501 for an address that is not allowed.
pub fn check_url(text: &str, reach: Reach) -> Result<Url> {
    let invalid = |why: &str| {
        Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("the URL of a webhook is not valid: {why}"),
        )
    };
    let url = Url::parse(text).map_err(|error| invalid(&error.to_string()))?;
    if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
        return Err(
            invalid("it does not begin with https://").hint("Write it like https://host/path.")
        );
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("it has a user or password").hint("Requests are signed instead."));
    }
    if url.scheme() == "http" && reach == Reach::Public {
        return Err(invalid("it is not https")
            .hint("http is for private addresses, with the setting webhook_allow_private."));
    }
    check_host(&url, reach)?;
    Ok(url)
}

/// Checks a host that is an address already, of which no resolver is asked.
///
/// # Errors
/// 42501.
pub(super) fn check_host(url: &Url, reach: Reach) -> Result<()> {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        _ => return Ok(()),
    };
    match is_allowed(address, reach, url.scheme() == "http") {
        true => Ok(()),
        false => Err(refused(&address.to_string(), address)),
    }
}

fn is_allowed(address: IpAddr, reach: Reach, is_plain: bool) -> bool {
    match reach {
        Reach::Public => is_public(address) && !is_plain,
        Reach::Private => !(is_plain && is_public(address)),
    }
}

fn refused(host: &str, address: IpAddr) -> Error {
    let message = match is_public(address) {
        true => {
            format!("webhooks to \"{host}\" must use https: it has the public address {address}")
        }
        false => {
            format!("webhooks to \"{host}\" are not allowed: it has the private address {address}")
        }
    };
    let error = Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message);
    match is_public(address) {
        true => error,
        false => error.hint("The setting webhook_allow_private allows it."),
    }
}

/// Whether an address belongs to the public network.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// By IANA's registry of special purposes.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19)))
}

/// Only global unicast, and of that not what is special or what carries an address of IPv4 that is not
/// public itself.
fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = address.to_ipv4_mapped() {
        return is_public_v4(inner);
    }
    let parts = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match parts {
        // NAT64.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(v4(high, low)),
        // 6to4.
        [0x2002, high, low, ..] => is_public_v4(v4(high, low)),
        // Teredo, benchmarks, ORCHID and kin; documentation.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// Resolves names to addresses that are allowed.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    reach: Reach,
    is_plain: bool,
}

impl Guard {
    /// For requests by http (`is_plain`) or https.
    pub(super) fn new(reach: Reach, is_plain: bool) -> Self {
        Self { reach, is_plain }
    }

    async fn addresses(self, host: String) -> Result<Vec<SocketAddr>> {
        let found = tokio::net::lookup_host((host.as_str(), 0)).await.map_err(|error| {
            let message = format!("the name \"{host}\" cannot be resolved");
            Error::new(SqlState::CONNECTION_FAILURE, message).source(error)
        })?;
        let found: Vec<SocketAddr> = found.collect();
        // One that is not allowed spoils all: the others are there to get past the check.
        let wrong = found.iter().find(|a| !is_allowed(a.ip(), self.reach, self.is_plain));
        match wrong {
            Some(address) => Err(refused(&host, address.ip())),
            None => Ok(found),
        }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, host) = (self.clone(), name.as_str().to_owned());
        Box::pin(async move {
            let found = guard.addresses(host).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(address: &str) -> bool {
        is_public(address.parse().unwrap())
    }

    #[test]
    fn what_is_not_public_is_told_by_its_number() {
        for no in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:0a00:0001::1",
            "3fff::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!public(no), "{no}");
        }
        for yes in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.0.1",
            "100.128.0.1",
            "172.32.0.1",
            "198.20.0.1",
            "2606:4700:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:0808:0808::1",
        ] {
            assert!(public(yes), "{yes}");
        }
    }

    #[test]
    fn urls_are_https_and_public_unless_allowed() {
        let ok = |url: &str, reach| check_url(url, reach).is_ok();
        assert!(ok("https://example.com/hook", Reach::Public));
        assert!(ok("https://1.1.1.1/hook", Reach::Public));
        for no in [
            "http://example.com/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://user:password@example.com/",
            "ftp://example.com/",
            "file:///etc/passwd",
            "example.com",
            "",
        ] {
            assert!(!ok(no, Reach::Public), "{no}");
        }
        assert!(ok("http://127.0.0.1:8080/", Reach::Private));
        assert!(ok("http://localhost:8080/", Reach::Private));
        assert!(!ok("http://1.1.1.1/", Reach::Private));
    }

    #[tokio::test]
    async fn a_name_is_as_good_as_its_addresses() {
        let public = Guard::new(Reach::Public, false).addresses("localhost".into()).await;
        assert_eq!(public.unwrap_err().state(), SqlState::INSUFFICIENT_PRIVILEGE);
        let private = Guard::new(Reach::Private, true).addresses("localhost".into()).await;
        assert!(!private.unwrap().is_empty());
    }
}
