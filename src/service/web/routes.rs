//! What is answered where.

use super::traces;
use crate::service::telemetry::{Format, Published, Readiness, render};
use crate::service::trace::Ladders;
use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use std::sync::Arc;

/// What is read.
#[derive(Clone)]
pub(super) struct Site {
    published: Arc<Published>,
    /// `None`: no ladders are kept.
    pub ladders: Option<Ladders>,
}

/// All paths.
pub(super) fn routes(published: Arc<Published>, ladders: Option<Ladders>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/api/v1/calls/{id}/trace", get(traces::of_call))
        .route("/api/v1/traces", get(traces::newest))
        .fallback(async || Problem::of(StatusCode::NOT_FOUND))
        .method_not_allowed_fallback(async || Problem::of(StatusCode::METHOD_NOT_ALLOWED))
        .with_state(Site { published, ladders })
}

async fn metrics(State(site): State<Site>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::accepted(accept);
    let text = render(site.published.current(), format);
    ([(CONTENT_TYPE, format.content_type())], text).into_response()
}

/// 200 while the process lives.
async fn healthz() -> Response {
    ([(CACHE_CONTROL, "no-store")], "ok\n").into_response()
}

/// 200 while new calls are taken, else 503 with the reason.
async fn readyz(State(site): State<Site>) -> Response {
    let readiness = site.published.current().readiness;
    let answer = match readiness {
        Readiness::Ready => "ready\n".into_response(),
        not_ready => {
            Problem::with(StatusCode::SERVICE_UNAVAILABLE, not_ready.reason()).into_response()
        }
    };
    ([(CACHE_CONTROL, "no-store")], answer).into_response()
}

/// Problem details (RFC 9457 §3). The type is `about:blank`: the status says it all (§4.2.1).
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
}

impl Problem {
    /// The status alone.
    pub fn of(status: StatusCode) -> Problem {
        Problem {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: None,
        }
    }

    /// The status, and what it means here.
    pub fn with(status: StatusCode, detail: &'static str) -> Problem {
        Problem {
            detail: Some(detail),
            ..Problem::of(status)
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let json = [(CONTENT_TYPE, "application/problem+json")];
        let body = serde_json::to_string(&self).expect("four plain fields");
        (status, json, body).into_response()
    }
}
