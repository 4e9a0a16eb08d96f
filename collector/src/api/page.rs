//! The page and the description of the API: files of this program.

use axum::http::header::CONTENT_TYPE;
use axum::routing::{MethodRouter, get};

/// The description of the API.
pub(super) const OPENAPI: &str = include_str!("../../web/openapi.json");

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Where each is, what it is, and its text.
pub(super) const FILES: [(&str, &str, &str); 11] = [
    ("/", "text/html; charset=utf-8", include_str!("../../web/index.html")),
    ("/app.css", "text/css; charset=utf-8", include_str!("../../web/app.css")),
    ("/app.js", SCRIPT, include_str!("../../web/app.js")),
    ("/plot.js", SCRIPT, include_str!("../../web/plot.js")),
    ("/service.js", SCRIPT, include_str!("../../web/service.js")),
    ("/topology.js", SCRIPT, include_str!("../../web/topology.js")),
    ("/incident.js", SCRIPT, include_str!("../../web/incident.js")),
    ("/people.js", SCRIPT, include_str!("../../web/people.js")),
    ("/tools.js", SCRIPT, include_str!("../../web/tools.js")),
    ("/icon.svg", "image/svg+xml", include_str!("../../web/icon.svg")),
    ("/openapi.json", "application/json", OPENAPI),
];

/// Answers with one of them.
pub(super) fn file<S: Clone + Send + Sync + 'static>(
    kind: &'static str,
    text: &'static str,
) -> MethodRouter<S> {
    get(move || async move { ([(CONTENT_TYPE, kind)], text) })
}
