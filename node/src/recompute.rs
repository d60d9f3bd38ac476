//! Results computed again for programs of this machine, such as a keeper that challenges false ones: for nothing, so at
//! addresses of this machine alone.

use std::net::SocketAddr;

use alloy::primitives::keccak256;
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    routing::{get, post},
};
use plimsoll_channels::kinds::{KIND_PATH, RECOMPUTE_PATH, Recomputed};

use crate::{engine::Engine, local};

/// More than any input that has an answer.
const MAX_BODY: usize = 64 * 1024;

/// Serves until the process is told to stop.
pub(crate) async fn serve(engine: Engine, listen: SocketAddr) -> eyre::Result<()> {
    tracing::info!(kind = %engine.kind.id, "recomputing");
    local::serve(router(engine), listen, "computes for nothing").await
}

fn router(engine: Engine) -> Router {
    Router::new()
        .route(KIND_PATH, get(async |State(engine): State<Engine>| engine.kind.text.clone()))
        .route(RECOMPUTE_PATH, post(recompute))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(engine)
}

async fn recompute(State(engine): State<Engine>, input: Bytes) -> Result<Json<Recomputed>, StatusCode> {
    let _place = engine.place().ok_or(StatusCode::TOO_MANY_REQUESTS)?;
    let request_hash = keccak256(&input);
    let outcome = engine.answer(input.into(), |_| true).await.map_err(|error| {
        tracing::warn!("not recomputed: {error:#}");
        StatusCode::INTERNAL_SERVER_ERROR
    })?;
    Ok(Json(Recomputed { kind: engine.kind.id, request_hash, result_hash: outcome.result_hash() }))
}
