//! The page, the API, the metrics: everything that can be asked over HTTP. What is asked for and not here yet is fetched
//! from its device, and what people say is kept; nothing else here changes anything.

mod body;
mod capsule;
mod episode;
mod forecast;
mod health;
mod incident;
mod json;
mod metrics;
mod notice;
mod page;
mod pair;
mod question;
mod silence;
mod told;
mod topology;
mod verdict;

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State as Get};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::counters::Counters;
use crate::desk::Bell;
use crate::desk::patterns::Learn;
use crate::desk::similar::Past;
use crate::intake::{Asker, Door};
use crate::notify::Rules;
use crate::store::{Store, StoreError, Totals};
use crate::topology::{Atlas, Topology};

/// The store may take so long before it is said that it does not answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What answers are made of.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "a store has nothing to show")]
pub struct State {
    /// The store.
    pub store: Arc<dyn Store>,
    /// What depends on what.
    pub atlas: Arc<Mutex<Atlas>>,
    /// Who is told that it changed.
    pub bell: Bell,
    /// What came of incidents before.
    pub past: Arc<Mutex<Past>>,
    /// What people are told, and what not.
    pub rules: Arc<Rules>,
    /// Whether what came together again and again is used.
    pub learn: Learn,
    /// Who asks devices for capsules.
    pub asker: Asker,
    /// Who is let in.
    pub door: Arc<Door>,
    /// The sums of when the store last answered.
    pub last: Arc<Mutex<Totals>>,
    /// Name among the members of a cluster.
    pub instance: Option<String>,
    /// What the process did.
    pub counters: Arc<Counters>,
    /// Name of this collector.
    pub id: String,
    /// First part of every topic.
    pub root: String,
    /// Where agents should connect.
    pub broker: String,
    /// When the process began.
    pub started_ms: u64,
}

impl State {
    /// What depends on what, now.
    fn topology(&self) -> Arc<Topology> {
        self.atlas.lock().unwrap_or_else(PoisonError::into_inner).present()
    }
}

/// Serves until `shutdown` is ready, and then as long as open requests take, within reason.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    state: State,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, router(state)).with_graceful_shutdown(async {
        // Either way it is over.
        let _stop = stopped.await;
    });
    let mut task = tokio::spawn(server.into_future());
    tokio::select! {
        served = &mut task => return Ok(served??),
        () = shutdown => {}
    }
    drop(stop);
    if tokio::time::timeout(Duration::from_secs(2), &mut task).await.is_err() {
        task.abort();
    }
    Ok(())
}

/// Every route, with the very words of the description in `/openapi.json`.
fn routes() -> Vec<(&'static str, MethodRouter<State>)> {
    let mut all: Vec<_> =
        page::FILES.into_iter().map(|(path, kind, text)| (path, page::file(kind, text))).collect();
    all.extend([
        ("/healthz", get(healthz)),
        ("/metrics", get(metrics::text)),
        ("/api/v1/status", get(status)),
        ("/api/v1/devices", get(told::devices)),
        ("/api/v1/devices/{site}/{node}", get(told::device)),
        ("/api/v1/episodes", get(told::episodes)),
        ("/api/v1/episodes/{site}/{node}/{epoch}/{id}", get(told::episode)),
        ("/api/v1/episodes/{site}/{node}/{epoch}/{id}/capsule", get(capsule::capsule)),
        ("/api/v1/incidents", get(incident::list)),
        ("/api/v1/incidents/{id}", get(incident::one)),
        ("/api/v1/incidents/{id}/statement", get(incident::statement)),
        ("/api/v1/incidents/{id}/verdict", get(verdict::of).post(verdict::say).delete(verdict::take_back)),
        ("/api/v1/verdicts", get(verdict::list)),
        ("/api/v1/silences", get(silence::list).post(silence::say).delete(silence::end)),
        ("/api/v1/pairs", get(pair::list).post(pair::say).delete(pair::take_back)),
        ("/api/v1/notices", get(notice::list)),
        ("/api/v1/topology", get(topology::graph)),
        ("/api/v1/topology/edges", post(topology::say).delete(topology::take_back)),
        ("/api/v1/services", get(health::list)),
        ("/api/v1/services/{kind}/{name}", get(health::one)),
        ("/api/v1/facts", get(told::facts)),
        ("/api/v1/troubles", get(told::troubles)),
        ("/api/v1/forecasts", get(told::forecasts)),
        ("/api/v1/dead-letters", get(told::dead_letters)),
    ]);
    all
}

fn router(state: State) -> Router {
    routes()
        .into_iter()
        .fold(Router::new(), |router, (path, method)| router.route(path, method))
        .fallback(|| async { ApiError::NotFound })
        .method_not_allowed_fallback(|| async { ApiError::Method })
        .layer(DefaultBodyLimit::max(body::MOST))
        .layer(middleware::from_fn(headers))
        .with_state(state)
}

/// What a request can fail of. The answer is `{"error": …}`.
#[derive(Debug)]
enum ApiError {
    NotFound,
    Method,
    Question(String),
    TooLarge(String),
    Store(String),
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "there is nothing here".to_owned()),
            Self::Method => {
                (StatusCode::METHOD_NOT_ALLOWED, "this is not done here: see /openapi.json".to_owned())
            }
            Self::Question(what) => (StatusCode::BAD_REQUEST, what),
            Self::TooLarge(what) => (StatusCode::PAYLOAD_TOO_LARGE, what),
            Self::Store(what) => (StatusCode::SERVICE_UNAVAILABLE, what),
        };
        (status, Json(json!({ "error": error }))).into_response()
    }
}

type Answer = Result<Response, ApiError>;

/// Asks the store on a thread that may block.
async fn ask<T: Send + 'static>(
    state: &State,
    question: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ApiError> {
    let store = Arc::clone(&state.store);
    match tokio::task::spawn_blocking(move || question(&*store)).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(e)) => Err(ApiError::Store(e.to_string())),
        Err(e) => Err(ApiError::Store(e.to_string())),
    }
}

/// The sums, or why there are none: what has to be known just then must not hang on the store.
async fn totals(state: &State) -> Result<Totals, String> {
    let asked = tokio::time::timeout(PATIENCE, ask(state, |s| s.totals())).await;
    let found = match asked {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(ApiError::Store(why))) => Err(why),
        Ok(Err(_)) => Err("the store does not answer".to_owned()),
        Err(_) => Err(format!("the store does not answer within {} s", PATIENCE.as_secs())),
    };
    if let Ok(totals) = &found {
        *state.last.lock().unwrap_or_else(PoisonError::into_inner) = totals.clone();
    }
    found
}

async fn status(Get(state): Get<State>) -> Answer {
    let (totals, error) = match totals(&state).await {
        Ok(totals) => (totals, None),
        Err(why) => (state.last.lock().unwrap_or_else(PoisonError::into_inner).clone(), Some(why)),
    };
    Ok(Json(json::status(&state, &totals, error)).into_response())
}

async fn healthz(Get(state): Get<State>) -> Answer {
    let health = json::health(&state.counters, totals(&state).await.is_ok());
    let code = if health.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((code, Json(health)).into_response())
}

/// The page loads nothing from elsewhere, runs nothing that stands inside it, and sits in nobody's frame.
async fn headers(request: Request, next: Next) -> Response {
    const ALWAYS: [(HeaderName, &str); 6] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in ALWAYS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_description_names_exactly_the_routes() {
        let document: serde_json::Value = serde_json::from_str(page::OPENAPI).unwrap();
        let described: BTreeSet<&str> =
            document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        let served: BTreeSet<&str> = routes().iter().map(|r| r.0).collect();
        assert_eq!(described, served);
        for (path, item) in document["paths"].as_object().unwrap() {
            let methods: Vec<&String> = item.as_object().unwrap().keys().collect();
            // What people say, and take back.
            let said = ["/api/v1/incidents/{id}/verdict", "/api/v1/silences", "/api/v1/pairs"];
            let wanted = match path.as_str() {
                "/api/v1/topology/edges" => vec!["delete", "post"],
                path if said.contains(&path) => vec!["delete", "get", "post"],
                _ => vec!["get"],
            };
            assert_eq!(methods, wanted, "{path}");
            let wanted: BTreeSet<&str> =
                path.split('/').filter_map(|p| p.strip_prefix('{')?.strip_suffix('}')).collect();
            for method in item.as_object().unwrap().values() {
                let named = method["parameters"].as_array().into_iter().flatten();
                let named: BTreeSet<&str> =
                    named.filter(|p| p["in"] == "path").map(|p| p["name"].as_str().unwrap()).collect();
                assert_eq!(named, wanted, "{path}");
            }
        }
    }
}
