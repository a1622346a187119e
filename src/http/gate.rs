//! Who may ask. Where no password is set, whoever is on this machine may, as on the other wire; then
//! no web page may, whatever address it makes the browser believe to be ours. Where one is set, a
//! request bears an API key, `role:password`, or the password of `postgres` alone.

use super::{Api, cors, listener::Peer, rate::Key, refusal::Refusal};
use crate::{namespaces::Caller, scram::Verifier};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use std::{collections::HashMap, net::IpAddr, sync::Arc};

/// The role of those who need not say who they are.
const TRUSTED_ROLE: &str = "postgres";
/// So many passwords that were right are remembered, by their hashes.
const REMEMBERED_MAX: usize = 256;

/// Passwords that were right. To check one takes milliseconds by design, so it is done once, and for
/// one client at a time: guessing is slow, and takes one processor at most.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// By the hash of what was borne and of the verifier that it passed.
    right: Mutex<HashMap<[u8; 32], Caller>>,
    checking: tokio::sync::Mutex<()>,
}

/// Lets a request through with the [`Caller`] that it comes from.
pub(super) async fn pass(
    State(api): State<Arc<Api>>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let admitted = match caller(&api, request.headers(), peer).await {
        Ok((caller, key)) => match api.rate.as_ref().map_or(Ok(()), |rate| rate.take(key)) {
            Ok(()) => Ok(caller),
            Err(wait) => Err(Refusal::too_often(wait)),
        },
        Err(refusal) => Err(refusal),
    };
    match admitted {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// Lets through who asks how the node does, or what it counted: everyone where the settings say so,
/// and otherwise whoever may ask for more.
pub(super) async fn pass_unless_open(
    State((api, is_open)): State<(Arc<Api>, bool)>,
    request: Request,
    next: Next,
) -> Response {
    if is_open {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<Peer>().copied();
    match caller(&api, request.headers(), peer).await {
        Ok(_) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// Who asks, and by what its requests are counted.
async fn caller(
    api: &Api,
    headers: &HeaderMap,
    peer: Option<Peer>,
) -> Result<(Caller, Key), Refusal> {
    let borne = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let borne = borne.and_then(|value| value.split_once(' '));
    let token = borne.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let token = token.map(|(_, token)| token.trim());
    if let Some(key) = token
        && let Some(role) = api.engine.role_of_api_key(key)
    {
        return Ok((Caller { role: role.into() }, Sha256::digest(key).into()));
    }
    // A role that is named has to be proven all the same, where it has a password.
    let named = token.and_then(|token| token.split_once(':'));
    let login = named.and_then(|(role, _)| api.engine.login(role).ok());
    let is_proven = login.is_some_and(|login| login.verifier.is_some());
    if !is_proven && !api.engine.requires_password() {
        if peer.is_some_and(|peer| !peer.0.ip().to_canonical().is_loopback()) {
            return Err(foreign("they come from another one"));
        }
        check_local(headers, &api.options.origins)?;
        return Ok((Caller { role: TRUSTED_ROLE.into() }, Key::default()));
    }
    let unknown = || {
        let message = "expected `Authorization: Bearer` with an API key, with role:password, or with \
                       the password of postgres";
        Refusal::new(StatusCode::UNAUTHORIZED, message)
    };
    let token = token.ok_or_else(unknown)?;
    // A password may have a colon too.
    let named = token.split_once(':').filter(|(role, _)| api.engine.login(role).is_ok());
    let (role, password) = named.unwrap_or((TRUSTED_ROLE, token));
    let login = api.engine.login(role).ok().filter(|login| login.can_login).ok_or_else(unknown)?;
    let verifier = login.verifier.ok_or_else(unknown)?;
    let hash = Sha256::new().chain_update(token).chain_update([0]).chain_update(&verifier);
    let hash: [u8; 32] = hash.finalize().into();
    if let Some(caller) = api.known.right.lock().get(&hash) {
        return Ok((caller.clone(), hash));
    }
    let turn = api.known.checking.lock().await;
    let password = password.to_owned();
    let checked = tokio::task::spawn_blocking(move || {
        Verifier::parse(&verifier).is_some_and(|verifier| verifier.accepts(&password))
    });
    let is_right = checked.await.unwrap_or(false);
    drop(turn);
    if !is_right {
        return Err(unknown());
    }
    let caller = Caller { role: role.into() };
    let mut right = api.known.right.lock();
    if right.len() >= REMEMBERED_MAX {
        right.clear();
    }
    right.insert(hash, caller.clone());
    Ok((caller, hash))
}

fn foreign(what: &str) -> Refusal {
    let message = format!("requests without a password come from this machine: {what}");
    Refusal::new(StatusCode::FORBIDDEN, message)
}

/// Refuses what a browser sends for a page that is neither of this machine nor of a listed site.
fn check_local(headers: &HeaderMap, origins: &[String]) -> Result<(), Refusal> {
    let denied = |what| Err(foreign(what));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if !host.is_some_and(is_loopback) {
        return denied("the Host header names another one");
    }
    let is_ours = |origin: &HeaderValue| {
        let origin = origin.to_str().unwrap_or_default();
        let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        host.is_some_and(is_loopback)
    };
    let is_ours = |origin: &HeaderValue| is_ours(origin) || cors::is_listed(origins, origin);
    if !headers.get_all(header::ORIGIN).iter().all(is_ours) {
        return denied("the Origin header names another one");
    }
    // A picture of a page bears no Origin; browsers say where it is asked from all the same.
    let is_listed = headers.contains_key(header::ORIGIN);
    let from = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if !is_listed && matches!(from, Some(b"cross-site" | b"same-site")) {
        return denied("a page of another site asks");
    }
    Ok(())
}

/// Whether a host, perhaps with a port, is this machine by its very name.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(name, _)| name),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let is_address = name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_address || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_by_name() {
        for yes in ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "127.9.9.9", "[::1]:80", "[::1]"]
        {
            assert!(is_loopback(yes), "{yes}");
        }
        for no in ["example.com", "localhost.example.com", "127.0.0.1.example.com", "10.0.0.1", ""]
        {
            assert!(!is_loopback(no), "{no}");
        }
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let check = |host: &'static str, origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            check_local(&headers, &["https://listed.example".to_owned()]).is_ok()
        };
        assert!(check("localhost:8080", None));
        assert!(check("localhost:8080", Some("http://127.0.0.1:3000")));
        assert!(!check("localhost:8080", Some("https://example.com")));
        assert!(!check("localhost:8080", Some("null")));
        assert!(check("localhost:8080", Some("https://listed.example")));
        assert!(!check("listed.example", Some("https://listed.example")));
        assert!(!check("example.com", None));
        assert!(check_local(&HeaderMap::new(), &[]).is_err());
        let from = |site: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("localhost"));
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            check_local(&headers, &[]).is_ok()
        };
        assert!(from("same-origin") && from("none"));
        assert!(!from("cross-site") && !from("same-site"));
    }
}
