//! Errors of the API as JSON: a stable code, and a sentence that names the value and what is allowed.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::view::QueryError;

/// An error of the API.
#[derive(Debug)]
pub(super) struct ApiError(QueryError);

#[derive(Serialize)]
struct Body {
    error: Content,
}

#[derive(Serialize)]
struct Content {
    code: &'static str,
    message: String,
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        Self(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = status_and_code(&self.0);
        (status, Json(Body { error: Content { code, message: self.0.to_string() } })).into_response()
    }
}

/// Returns the HTTP status of an error, and its name in JSON.
pub(super) const fn status_and_code(error: &QueryError) -> (StatusCode, &'static str) {
    match error {
        QueryError::InvalidParameter { .. } => (StatusCode::BAD_REQUEST, "invalid_parameter"),
        QueryError::UnknownParameter { .. } => (StatusCode::BAD_REQUEST, "unknown_parameter"),
        QueryError::UnknownMarket { .. } => (StatusCode::NOT_FOUND, "unknown_market"),
        QueryError::UnknownAccount { .. } => (StatusCode::NOT_FOUND, "unknown_account"),
        QueryError::UnknownPath { .. } => (StatusCode::NOT_FOUND, "unknown_path"),
    }
}
