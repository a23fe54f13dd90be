//! The calls that are a question to the core and its answer as JSON.

use std::sync::Arc;

use hyper::header::{HOST, SET_COOKIE};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::app::{App, Asked};
use super::body::Input;
use super::error::HttpError;
use super::frame_query;
use super::jobs_query;
use super::join;
use super::respond::{self, Body};
use super::route::Route;
use crate::api::{JobsAction, LoginRequest, Role, ScanRequest, SessionView};
use crate::proto::{WorkerReport, WorkerSettings};

/// The API's description, as it is in the repository.
pub(super) const OPENAPI: &str = include_str!("../../../assets/openapi.json");

/// Answers one.
pub(super) async fn answer(
    app: &Arc<App>,
    route: Route,
    asked: Asked,
    input: Input,
) -> Result<Response<Body>, HttpError> {
    let core = &app.core;
    let by_token = asked.by_token();
    match route {
        Route::Health => Ok(respond::empty(StatusCode::OK)),
        Route::Ready => ready(app).await,
        Route::Metrics => Ok(app.metrics.render(&core.metrics().await)),
        Route::OpenApi => Ok(respond::typed(StatusCode::OK, "application/json", OPENAPI)),
        Route::Login => log_in(app, &asked, input.json(by_token).await?).await,
        Route::Logout => log_out(app, asked, input).await,
        Route::Session => ok(&SessionView {
            role: asked.caller.role,
            auth: app.auth.is_on(),
        }),
        Route::Status => ok(&core.status().await),
        Route::Jobs => ok(&core.jobs(jobs_query::parse(asked.query())?).await?),
        Route::Job(id) => ok(&core.job(id).await?),
        Route::Plan(id) => ok(&core.plan(id).await?),
        Route::Frame(id) => {
            let (side, at_ms) = frame_query::parse(asked.query())?;
            frame_query::answer(&*core.frame(id, side, at_ms).await?)
        }
        Route::Act => {
            let action: JobsAction = input.long_json(by_token).await?;
            ok(&core.act(action).await?)
        }
        Route::Workers => ok(&core.workers().await),
        Route::SetWorker(id) => {
            let settings: WorkerSettings = input.json(by_token).await?;
            ok(&core.set_worker(&id, settings).await?)
        }
        Route::Scan => {
            let request: ScanRequest = input.json_or_default(by_token).await?;
            core.request_scan(request).await?;
            Ok(respond::empty(StatusCode::ACCEPTED))
        }
        Route::Pause | Route::Resume => {
            input.whole().await?;
            core.set_paused(route == Route::Pause).await?;
            Ok(respond::empty(StatusCode::NO_CONTENT))
        }
        Route::Config => ok(&core.config_view()),
        Route::Join => ok(&join::view(
            app.address,
            app.tls,
            app.auth.worker_token(),
            input
                .headers()
                .get(HOST)
                .and_then(|host| host.to_str().ok()),
        )),
        Route::Saved => ok(&core.saved().await?),
        Route::Throughput => ok(&core.throughput()),
        Route::Sync => {
            let report: WorkerReport = input.long_json(by_token).await?;
            ok(&core.sync(report).await?)
        }
        // Those that `App::route` answers itself.
        other => Err(HttpError::NoRoute {
            path: format!("{other:?}"),
        }),
    }
}

fn ok<T: Serialize>(value: &T) -> Result<Response<Body>, HttpError> {
    Ok(respond::json(StatusCode::OK, value))
}

async fn ready(app: &App) -> Result<Response<Body>, HttpError> {
    if app.core.is_ready().await && !app.shutdown.is_cancelled() {
        return Ok(respond::empty(StatusCode::OK));
    }
    Err(HttpError::Later {
        kind: "not_ready",
        what: "the job store does not answer, or the master is ending".to_owned(),
        retry_after_s: 5,
    })
}

/// On a thread that may wait for the disk: sessions are kept there.
async fn log_in(
    app: &Arc<App>,
    asked: &Asked,
    request: LoginRequest,
) -> Result<Response<Body>, HttpError> {
    let from = asked.connection.address();
    let on_disk = Arc::clone(app);
    let logged_in = tokio::task::spawn_blocking(move || on_disk.auth.log_in(&request.token, from));
    let (role, cookie): (Role, _) = logged_in.await.map_err(ended)??;
    let mut response = respond::json(
        StatusCode::OK,
        &SessionView {
            role: Some(role),
            auth: app.auth.is_on(),
        },
    );
    if let Some(cookie) = cookie {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(response)
}

async fn log_out(app: &Arc<App>, asked: Asked, input: Input) -> Result<Response<Body>, HttpError> {
    input.whole().await?;
    let on_disk = Arc::clone(app);
    let logged_out = tokio::task::spawn_blocking(move || on_disk.auth.log_out(&asked.caller));
    let mut response = respond::empty(StatusCode::NO_CONTENT);
    if let Some(cookie) = logged_out.await.map_err(ended)? {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// A thread that ended early: it panicked, or the runtime ends.
pub(super) fn ended(error: tokio::task::JoinError) -> HttpError {
    HttpError::Internal {
        what: "the work was given up".to_owned(),
        source: error.into(),
    }
}
