//! The console: one page and its parts, out of the binary. It asks nothing of any other machine,
//! and nothing of this one but `/v1/sql`, `/metrics` and `/readyz`, by the rights of whoever looks at it.

use super::body;
use axum::{
    Router,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use sha2::{Digest as _, Sha256};
use std::{fmt::Write as _, sync::LazyLock};

/// Scripts, styles and data come from here alone; nobody may frame the page, and it sends no form.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// A part of the console.
struct Part {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
    /// Its hash: what a browser has of the same is not sent again.
    tag: String,
}

macro_rules! parts {
    ($($path:literal $kind:ident $file:literal;)*) => {
        static PARTS: LazyLock<Vec<Part>> = LazyLock::new(|| {
            vec![$(Part::new($path, $kind, include_str!(concat!("console/", $file))),)*]
        });
    };
}

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

parts! {
    "/" HTML "index.html";
    "/console/style.css" STYLE "style.css";
    "/console/icon.svg" IMAGE "icon.svg";
    "/console/app.js" SCRIPT "app.js";
    "/console/api.js" SCRIPT "api.js";
    "/console/dom.js" SCRIPT "dom.js";
    "/console/sql.js" SCRIPT "sql.js";
    "/console/grid.js" SCRIPT "grid.js";
    "/console/editor.js" SCRIPT "editor.js";
    "/console/plan.js" SCRIPT "plan.js";
    "/console/query.js" SCRIPT "query.js";
    "/console/catalog.js" SCRIPT "catalog.js";
    "/console/search.js" SCRIPT "search.js";
    "/console/tables.js" SCRIPT "tables.js";
    "/console/metrics.js" SCRIPT "metrics.js";
    "/console/chart.js" SCRIPT "chart.js";
    "/console/activity.js" SCRIPT "activity.js";
    "/console/statements.js" SCRIPT "statements.js";
    "/console/webhooks.js" SCRIPT "webhooks.js";
}

impl Part {
    fn new(path: &'static str, kind: &'static str, text: &'static str) -> Self {
        let mut tag = String::from("W/\"");
        for byte in &Sha256::digest(text)[..12] {
            let _ = write!(tag, "{byte:02x}");
        }
        tag.push('"');
        Self { path, kind, text, tag }
    }

    /// The part, or that the client has it already.
    fn answer(&self, asked: &HeaderMap) -> Response {
        let known = asked.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
        let is_known = known.is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == self.tag));
        let mut response = match is_known {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => self.text.into_response(),
        };
        let mut set = |name: HeaderName, value: &str| {
            let value = HeaderValue::from_str(value).expect("headers of the console are ASCII");
            response.headers_mut().insert(name, value);
        };
        set(header::CONTENT_TYPE, self.kind);
        set(header::ETAG, &self.tag);
        // A browser asks each time, so that page and parts are of one version.
        set(header::CACHE_CONTROL, "no-cache");
        set(header::CONTENT_SECURITY_POLICY, POLICY);
        set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        set(header::REFERRER_POLICY, "no-referrer");
        response
    }
}

/// The routes.
pub(super) fn router() -> Router {
    let mut router = Router::new();
    for part in PARTS.iter() {
        router = router
            .route(part.path, get(move |asked: HeaderMap| async move { part.answer(&asked) }));
    }
    router.layer(middleware::from_fn(body::compressed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> &'static Part {
        PARTS.iter().find(|part| part.path == "/").unwrap()
    }

    #[test]
    fn the_page_names_no_other_machine_and_no_part_that_is_missing() {
        for part in PARTS.iter() {
            let text = part.text.replace("http://www.w3.org/", "");
            assert!(!text.contains("http://") && !text.contains("https://"), "{}", part.path);
            let imported =
                text.split("from './").skip(1).filter_map(|rest| rest.split('\'').next());
            let linked =
                text.split("=\"/console/").skip(1).filter_map(|rest| rest.split('"').next());
            for named in imported.chain(linked) {
                let path = format!("/console/{named}");
                assert!(PARTS.iter().any(|part| part.path == path), "{path} in {}", part.path);
            }
        }
        // The policy lets neither run.
        assert!(!page().text.contains("style=") && !page().text.contains("onclick="));
        assert_eq!(
            page().text.matches("<script").count(),
            page().text.matches("<script type=\"module\" src=").count()
        );
    }

    #[test]
    fn what_a_browser_has_is_not_sent_again() {
        let mut asked = HeaderMap::new();
        let first = page().answer(&asked);
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[header::ETAG].clone();
        asked.insert(header::IF_NONE_MATCH, tag);
        assert_eq!(page().answer(&asked).status(), StatusCode::NOT_MODIFIED);
    }
}
