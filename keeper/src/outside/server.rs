//! The keeper over HTTP: the page, its data, metrics and health checks. Everything is read, nothing can be changed, and
//! no answer waits for the chain.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response, Sse, sse::KeepAlive},
    routing::get,
};
use serde::{Deserialize, Serialize};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use tracing::{info, warn};

use super::{
    live::{self, Sections},
    metrics::Metrics,
    page,
    shutdown::Shutdown,
    view::{MarketView, PositionView, Readiness, View},
};

/// So many people may have the page open at a time.
const VISITORS: usize = 64;
/// How long visitors have to take their last answer when the keeper ends.
const FAREWELL: Duration = Duration::from_secs(3);

/// What every answer carries: nothing from elsewhere is loaded, nobody frames it, nothing is kept.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    /// Where, with the port that the system chose where that was 0.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens, and answers from the newest view until shutdown. Fails where the address cannot be had.
    pub async fn start(
        listen: SocketAddr,
        views: watch::Receiver<Arc<View>>,
        metrics: Metrics,
        shutdown: Shutdown,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|error| io::Error::new(error.kind(), format!("{listen}, `listen` in [http]: {error}")))?;
        let address = listener.local_addr()?;
        if !address.ip().is_loopback() {
            warn!("{address} is open to others, and the page asks for no password");
        }
        let (sender, sections) = watch::channel(Arc::new(Vec::new()));
        tokio::spawn(live::make_sections(views.clone(), sender, shutdown.clone()));
        let visitors = Arc::new(Semaphore::new(VISITORS));
        let router = router(Served { views, metrics, sections, visitors, shutdown: shutdown.clone() });
        let task = tokio::spawn(async move {
            let ended = shutdown.clone();
            let serve = axum::serve(listener, router).with_graceful_shutdown(async move { ended.requested().await });
            let late = async {
                shutdown.requested().await;
                tokio::time::sleep(FAREWELL).await;
            };
            tokio::select! {
                result = serve.into_future() => if let Err(error) = result { warn!("the page is gone: {error}") },
                () = late => {}
            }
        });
        info!("the page is at http://{address}/");
        Ok(Self { address, task })
    }

    /// Waits until the last visitor has gone, which takes a shutdown.
    pub async fn ended(self) {
        // It neither panics nor is it cancelled; if it were, it would have ended all the same.
        let _ = self.task.await;
    }
}

#[derive(Debug, Clone)]
struct Served {
    views: watch::Receiver<Arc<View>>,
    metrics: Metrics,
    sections: Sections,
    visitors: Arc<Semaphore>,
    shutdown: Shutdown,
}

impl Served {
    fn view(&self) -> Arc<View> {
        Arc::clone(&self.views.borrow())
    }
}

fn router(served: Served) -> Router {
    let fixed =
        |kind: &'static str, text: &'static str| get(move || async move { ([(header::CONTENT_TYPE, kind)], text) });
    Router::new()
        .route("/", get(index))
        .route("/page.css", fixed("text/css; charset=utf-8", page::STYLE))
        .route("/page.js", fixed("text/javascript; charset=utf-8", page::SCRIPT))
        .route("/icon.svg", fixed("image/svg+xml", page::ICON))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/status", get(status))
        .route("/api/positions", get(positions))
        .route("/api/markets", get(markets))
        .route("/api/events", get(events))
        .with_state(served)
        .layer(middleware::from_fn(with_headers))
}

async fn with_headers(request: axum::extract::Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn index(State(served): State<Served>) -> impl IntoResponse {
    let view = served.view();
    let page = page::page(&view, &page::sections(&view));
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page)
}

/// 200 while a new block was applied recently, else 503 and why.
async fn readyz(State(served): State<Served>) -> impl IntoResponse {
    let readiness = served.view().readiness();
    let code = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(readiness))
}

async fn metrics(State(served): State<Served>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], served.metrics.text())
}

#[derive(Serialize)]
struct Status<'a> {
    readiness: Readiness,
    #[serde(flatten)]
    view: &'a View,
}

async fn status(State(served): State<Served>) -> Response {
    let view = served.view();
    Json(Status { readiness: view.readiness(), view: &view }).into_response()
}

/// Which positions are asked for.
#[derive(Debug, Deserialize)]
struct Which {
    /// A market's name or id.
    market: Option<String>,
}

#[derive(Serialize)]
struct Positions<'a> {
    block: Option<u64>,
    /// Below the watched health, those that are not listed included.
    watched: u64,
    positions: Vec<&'a PositionView>,
}

async fn positions(State(served): State<Served>, Query(which): Query<Which>) -> Response {
    let view = served.view();
    let asked = |position: &&PositionView| {
        which.market.as_ref().is_none_or(|name| *name == position.market_name || *name == position.market.to_string())
    };
    let positions = view.at_risk.iter().filter(asked).collect();
    Json(Positions { block: view.head.as_ref().map(|head| head.number), watched: view.watched(), positions })
        .into_response()
}

#[derive(Serialize)]
struct Markets<'a> {
    block: Option<u64>,
    markets: &'a [MarketView],
}

async fn markets(State(served): State<Served>) -> Response {
    let view = served.view();
    Json(Markets { block: view.head.as_ref().map(|head| head.number), markets: &view.markets }).into_response()
}

async fn events(State(served): State<Served>) -> Response {
    let Ok(permit) = Arc::clone(&served.visitors).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many visitors at a time\n").into_response();
    };
    let mut sections = served.sections.clone();
    sections.mark_unchanged();
    let now = page::sections(&served.view());
    Sse::new(live::events(now, sections, permit, served.shutdown)).keep_alive(KeepAlive::default()).into_response()
}
