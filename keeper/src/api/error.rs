//! Errors of the API as JSON: a stable code, and a sentence that names the value and what is allowed.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
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

/// Gives an error that was found before a handler was called – another method than GET, a path that is no text – the body that all
/// errors of the API have.
pub(super) fn in_json(response: Response) -> Response {
    let status = response.status();
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    let (code, message) = match status {
        _ if is_json => return response,
        StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", "the API is read-only: GET is the only method"),
        StatusCode::BAD_REQUEST => ("invalid_path", "the path is not valid UTF-8 once its escapes are decoded"),
        _ => return response,
    };
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = Body { error: Content { code, message: message.to_owned() } };
    Response::from_parts(parts, serde_json::to_string(&body).unwrap_or_default().into())
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
