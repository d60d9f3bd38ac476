//! Version 1 of the API: JSON and CSV. Within a version, fields are added and none is renamed or removed.

use std::borrow::Cow;

use axum::{
    Json, Router,
    extract::{Path, RawQuery, State},
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use super::{csv, error::ApiError, server::AppState};
use crate::view::{
    AccountView, ActivityEntry, ActivityQuery, DayProfit, MarketView, PositionView, PositionsQuery, Problem,
    QueryError, Readiness, View, count,
};

/// The schema of this version.
const SCHEMA: &str = include_str!("openapi.json");

/// The routes of this version.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/schema.json", get(|| async { ([(header::CONTENT_TYPE, "application/json")], SCHEMA) }))
        .route("/api/v1/status", get(status))
        .route("/api/v1/markets", get(markets))
        .route("/api/v1/markets/{market}", get(market))
        .route("/api/v1/positions", get(positions))
        .route("/api/v1/positions.csv", get(positions_csv))
        .route("/api/v1/accounts/{account}", get(account))
        .route("/api/v1/activity", get(activity))
        .route("/api/v1/activity.csv", get(activity_csv))
        .route("/api/v1/profit", get(profit))
        .route("/api/v1/profit.csv", get(profit_csv))
}

/// Splits the query of a URL into its parameters.
fn parameters(query: Option<&str>) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).collect()
}

/// Reads the query of positions from a URL.
pub(super) fn positions_query(view: &View, query: Option<&str>) -> Result<PositionsQuery, QueryError> {
    PositionsQuery::parse(view, parameters(query).iter().map(|(name, value)| (&**name, &**value)))
}

/// Reads the query of activity from a URL.
pub(super) fn activity_query(view: &View, query: Option<&str>) -> Result<ActivityQuery, QueryError> {
    ActivityQuery::parse(view, parameters(query).iter().map(|(name, value)| (&**name, &**value)))
}

#[derive(Serialize)]
struct Status<'a> {
    readiness: Readiness,
    problems: Vec<Problem>,
    #[serde(flatten)]
    view: &'a View,
}

async fn status(State(state): State<AppState>) -> Response {
    let view = state.view();
    Json(Status { readiness: view.readiness(), problems: view.problems(), view: &view }).into_response()
}

#[derive(Serialize)]
struct Markets<'a> {
    block: Option<u64>,
    markets: &'a [MarketView],
}

async fn markets(State(state): State<AppState>) -> Response {
    let view = state.view();
    Json(Markets { block: view.block(), markets: &view.markets }).into_response()
}

#[derive(Serialize)]
struct OneMarket<'a> {
    block: Option<u64>,
    market: &'a MarketView,
}

async fn market(State(state): State<AppState>, Path(market): Path<String>) -> Result<Response, ApiError> {
    let view = state.view();
    let market = view.find_market(&market)?;
    Ok(Json(OneMarket { block: view.block(), market }).into_response())
}

#[derive(Serialize)]
struct Positions {
    block: Option<u64>,
    /// Number of all positions below the watched health factor.
    watched: u64,
    /// Number of those that the query selects.
    total: u64,
    offset: u64,
    limit: u64,
    positions: Vec<PositionView>,
}

async fn positions(State(state): State<AppState>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let view = state.view();
    let query = positions_query(&view, query.as_deref())?;
    let selection = query.select(&view);
    let positions = Positions {
        block: view.block(),
        watched: view.watched(),
        total: count(selection.total),
        offset: count(query.offset),
        limit: count(query.limit),
        positions: selection.page.into_iter().map(|row| row.view()).collect(),
    };
    Ok(Json(positions).into_response())
}

async fn positions_csv(State(state): State<AppState>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let view = state.view();
    let query = PositionsQuery { offset: 0, limit: usize::MAX, ..positions_query(&view, query.as_deref())? };
    Ok(csv::response("positions.csv", csv::positions(query.select(&view).page)))
}

#[derive(Serialize)]
struct Account {
    block: Option<u64>,
    #[serde(flatten)]
    account: AccountView,
}

async fn account(State(state): State<AppState>, Path(account): Path<String>) -> Result<Response, ApiError> {
    let view = state.view();
    Ok(Json(Account { block: view.block(), account: view.account(&account)? }).into_response())
}

#[derive(Serialize)]
struct Activity<'a> {
    block: Option<u64>,
    total: u64,
    offset: u64,
    limit: u64,
    activity: Vec<&'a ActivityEntry>,
}

async fn activity(State(state): State<AppState>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let view = state.view();
    let query = activity_query(&view, query.as_deref())?;
    let selection = query.select(&view);
    let activity = Activity {
        block: view.block(),
        total: count(selection.total),
        offset: count(query.offset),
        limit: count(query.limit),
        activity: selection.page,
    };
    Ok(Json(activity).into_response())
}

async fn activity_csv(State(state): State<AppState>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let view = state.view();
    let query = ActivityQuery { offset: 0, limit: usize::MAX, ..activity_query(&view, query.as_deref())? };
    Ok(csv::response("activity.csv", csv::activity(&view.keeper.coin, query.select(&view).page)))
}

#[derive(Serialize)]
struct Profit<'a> {
    block: Option<u64>,
    days: &'a [DayProfit],
}

async fn profit(State(state): State<AppState>) -> Response {
    let view = state.view();
    Json(Profit { block: view.block(), days: &view.profit }).into_response()
}

async fn profit_csv(State(state): State<AppState>) -> Response {
    csv::response("profit.csv", csv::profit(&state.view().profit))
}
