//! The HTTP server. It is read-only, and no response waits for the chain.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response, Sse, sse::KeepAlive},
    routing::get,
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use tracing::{info, warn};

use super::{
    error::{self, ApiError, status_and_code},
    sse::{self, Sections},
    v1,
};
use crate::{
    dashboard,
    shutdown::Shutdown,
    telemetry::{Metrics, MetricsFormat},
    view::{QueryError, View},
};

/// Maximum number of visitors that receive live updates at a time.
const MAX_VISITORS: usize = 64;
/// Time for open connections to finish after a shutdown was requested.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);

/// Headers of every response: load nothing from other hosts, allow no framing, cache nothing.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'self'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

/// A running HTTP server.
#[derive(Debug)]
pub struct Server {
    /// The address that it listens on; port 0 has been replaced with the port that the system chose.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts to listen and responds from the newest view until shutdown. Fails if the address cannot be bound.
    pub async fn start(listen: SocketAddr, views: watch::Receiver<Arc<View>>, shutdown: Shutdown) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await.map_err(|error| {
            io::Error::new(error.kind(), format!("{listen}, `listen` in [http]: {error}{}", remedy(&error)))
        })?;
        let address = listener.local_addr()?;
        if !address.ip().is_loopback() {
            warn!(%address, "HTTP server is reachable from other machines and asks for no password");
        }
        let (sender, sections) = watch::channel(Arc::new(Vec::new()));
        tokio::spawn(sse::render_sections(views.clone(), sender, shutdown.clone()));
        let visitors = Arc::new(Semaphore::new(MAX_VISITORS));
        let metrics = Metrics::new(views.clone());
        let router = router(AppState { views, metrics, sections, visitors, shutdown: shutdown.clone() });
        let task = tokio::spawn(async move {
            let ended = shutdown.clone();
            let serve = axum::serve(listener, router).with_graceful_shutdown(async move { ended.requested().await });
            let deadline = async {
                shutdown.requested().await;
                tokio::time::sleep(SHUTDOWN_GRACE).await;
            };
            tokio::select! {
                result = serve.into_future() => if let Err(error) = result { warn!(%error, "HTTP server failed") },
                () = deadline => {}
            }
        });
        info!(url = %format_args!("http://{address}/"), "HTTP server started");
        Ok(Self { address, task })
    }

    /// Waits until the server has stopped: after a shutdown, once all connections are closed or their grace period is
    /// over.
    pub async fn ended(self) {
        // The task neither panics nor is it cancelled; in both cases it would have ended, too.
        let _ = self.task.await;
    }
}

/// What to do where an address cannot be listened on.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => ": stop what listens there, which may be another keeper, or set another address",
        io::ErrorKind::AddrNotAvailable => ": set an address of this machine, such as 127.0.0.1:9464",
        io::ErrorKind::PermissionDenied => ": set a port from 1024 on",
        _ => "",
    }
}

#[derive(Debug, Clone)]
pub(super) struct AppState {
    views: watch::Receiver<Arc<View>>,
    metrics: Metrics,
    sections: Sections,
    visitors: Arc<Semaphore>,
    shutdown: Shutdown,
}

impl AppState {
    /// The newest view.
    pub(super) fn view(&self) -> Arc<View> {
        Arc::clone(&self.views.borrow())
    }
}

fn router(state: AppState) -> Router {
    let asset = |content_type: &'static str, text: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, content_type)], text) })
    };
    Router::new()
        .route("/", get(index))
        .route("/page.css", asset("text/css; charset=utf-8", dashboard::STYLE))
        .route("/page.js", asset("text/javascript; charset=utf-8", dashboard::SCRIPT))
        .route("/icon.svg", asset("image/svg+xml", dashboard::ICON))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/positions", get(positions_page))
        .route("/activity", get(activity_page))
        .route("/markets/{market}", get(market_page))
        .route("/accounts/{account}", get(account_page))
        .route("/api/v1/events", get(events))
        .merge(v1::routes())
        .fallback(unknown_path)
        .with_state(state)
        .layer(middleware::from_fn(with_headers))
}

async fn with_headers(request: axum::extract::Request, next: Next) -> Response {
    let is_of_api = request.uri().path().starts_with("/api");
    let mut response = next.run(request).await;
    if is_of_api {
        response = error::in_json(response);
    }
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn index(State(state): State<AppState>) -> Response {
    let view = state.view();
    html(StatusCode::OK, dashboard::overview(&view, &dashboard::sections(&view)))
}

async fn positions_page(State(state): State<AppState>, RawQuery(query): RawQuery) -> Response {
    let view = state.view();
    let page = v1::positions_query(&view, query.as_deref()).map(|query| dashboard::positions_page(&view, &query));
    page_or_error(&view, page)
}

async fn activity_page(State(state): State<AppState>, RawQuery(query): RawQuery) -> Response {
    let view = state.view();
    let page = v1::activity_query(&view, query.as_deref()).map(|query| dashboard::activity_page(&view, &query));
    page_or_error(&view, page)
}

async fn market_page(State(state): State<AppState>, Path(market): Path<String>) -> Response {
    let view = state.view();
    let page = view.find_market(&market).map(|market| dashboard::market_page(&view, market));
    page_or_error(&view, page)
}

async fn account_page(State(state): State<AppState>, Path(account): Path<String>) -> Response {
    let view = state.view();
    let page = view.account(&account).map(|account| dashboard::account_page(&view, &account));
    page_or_error(&view, page)
}

/// Responds to a path that does not exist: in JSON under `/api`, else with a page.
async fn unknown_path(State(state): State<AppState>, uri: Uri) -> Response {
    let error = QueryError::UnknownPath { path: uri.path().to_owned() };
    if uri.path().starts_with("/api") {
        return ApiError::from(error).into_response();
    }
    page_or_error(&state.view(), Err(error))
}

fn html(status: StatusCode, page: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

fn page_or_error(view: &View, page: Result<String, QueryError>) -> Response {
    match page {
        Ok(page) => html(StatusCode::OK, page),
        Err(error) => {
            let (status, _) = status_and_code(&error);
            let title = if status == StatusCode::NOT_FOUND { "Not found" } else { "Invalid request" };
            html(status, dashboard::error_page(view, title, &error.to_string()))
        }
    }
}

/// Responds with 200 if a block was applied recently, else with 503 and the reason.
async fn readyz(State(state): State<AppState>) -> impl IntoResponse {
    let readiness = state.view().readiness();
    let code = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(readiness))
}

async fn metrics(State(state): State<AppState>, headers: HeaderMap) -> impl IntoResponse {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = MetricsFormat::accepted(accept);
    ([(header::CONTENT_TYPE, format.content_type())], state.metrics.text(format))
}

async fn events(State(state): State<AppState>) -> Response {
    let Ok(permit) = Arc::clone(&state.visitors).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many visitors\n").into_response();
    };
    let mut sections = state.sections.clone();
    sections.mark_unchanged();
    let now = dashboard::sections(&state.view());
    Sse::new(sse::events(now, sections, permit, state.shutdown)).keep_alive(KeepAlive::default()).into_response()
}
