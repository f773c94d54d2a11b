//! The SIP ladders: of one call, and the list of them. They are read where their own thread keeps them; the control thread is not
//! asked.

use super::routes::{Problem, Site};
use crate::hotline::record::WallClock;
use crate::service::clock;
use crate::service::trace::Lookup;
use crate::service::trace::view::{TraceSummary, TraceView};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HeaderName};

/// Ladders in the list.
const LISTED_MAX: usize = 50;

type Answer<T> = Result<([(HeaderName, &'static str); 1], Json<T>), Problem>;

/// The ladder of the call with this id, or the only one whose id begins like this, or of this SIP Call-ID. 404: none; 409: more than one.
pub(super) async fn of_call(State(site): State<Site>, Path(id): Path<String>) -> Answer<TraceView> {
    let ladders = site.ladders.ok_or(off())?;
    match ladders.find(&id) {
        Lookup::One(ladder) => Ok(fresh(ladders.view(&ladder, wall()))),
        Lookup::Unknown => Err(Problem::with(
            StatusCode::NOT_FOUND,
            "no SIP messages are kept of a call with this id: of the newest calls only, as trace.calls says",
        )),
        Lookup::Ambiguous => Err(Problem::with(
            StatusCode::CONFLICT,
            "more than one call's id begins like this: give more of it",
        )),
    }
}

/// The newest ladders, a line each.
pub(super) async fn newest(State(site): State<Site>) -> Answer<Vec<TraceSummary>> {
    let ladders = site.ladders.ok_or(off())?;
    Ok(fresh(ladders.list(LISTED_MAX, wall())))
}

fn fresh<T>(answer: T) -> ([(HeaderName, &'static str); 1], Json<T>) {
    ([(CACHE_CONTROL, "no-store")], Json(answer))
}

fn off() -> Problem {
    Problem::with(
        StatusCode::NOT_FOUND,
        "no SIP messages are kept: trace.calls is 0",
    )
}

fn wall() -> WallClock {
    WallClock::new(clock::now(), jiff::Timestamp::now())
}
