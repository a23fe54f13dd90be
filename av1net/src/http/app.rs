//! What a request goes through: its route, its rate, its caller's right, its handler.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::auth::{Auth, By, Caller};
use super::body::Input;
use super::bucket::{Buckets, retry_after_s};
use super::error::HttpError;
use super::films::Films;
use super::guard::AtWork;
use super::metrics::HttpMetrics;
use super::respond::{self, Body};
use super::route::{Access, Found, Route, Router};
use super::server::{Connection, Limits};
use super::ui::Ui;
use super::{HttpConfig, ServeError, api, films, socket};
use crate::api::Role;
use crate::master::Core;

/// Callers whose rates are counted apart.
const CALLERS: usize = 16_384;

/// Everything that handlers need.
pub(super) struct App {
    pub(super) core: Core,
    pub(super) auth: Auth,
    pub(super) films: Films,
    pub(super) limits: Limits,
    pub(super) metrics: HttpMetrics,
    pub(super) ui: Ui,
    /// How the master is reached from elsewhere, for whoever wants to join.
    pub(super) address: std::net::SocketAddr,
    pub(super) tls: bool,
    /// Connections and WebSockets.
    pub(super) tasks: TaskTracker,
    pub(super) shutdown: CancellationToken,
    pub(super) live_places: Arc<Semaphore>,
    callers: Buckets<(Option<Role>, IpAddr)>,
    router: Router,
}

/// A request on its way through its handler.
pub(super) struct Asked {
    pub(super) head: Parts,
    pub(super) caller: Caller,
    pub(super) connection: Arc<Connection>,
    pub(super) at_work: AtWork,
}

impl Asked {
    /// Whether the caller showed a token.
    pub(super) fn by_token(&self) -> bool {
        self.caller.by == By::Token
    }

    /// The query, empty where there is none.
    pub(super) fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }
}

impl App {
    pub(super) fn new(
        core: Core,
        config: HttpConfig,
        address: std::net::SocketAddr,
        tls: bool,
        shutdown: CancellationToken,
    ) -> Result<Self, ServeError> {
        let limits = config.limits;
        let auth = Auth::new(
            config.tokens,
            config.state_directory.as_deref(),
            &config.allowed_hosts,
            tls,
        );
        Ok(Self {
            core,
            auth,
            films: Films::default(),
            limits,
            metrics: HttpMetrics::new(),
            ui: Ui::new(),
            address,
            tls,
            tasks: TaskTracker::new(),
            shutdown,
            live_places: Arc::new(Semaphore::new(limits.live_viewers)),
            callers: Buckets::new(limits.caller_rate, CALLERS),
            router: Router::new().map_err(|error| ServeError::Routes(error.to_string()))?,
        })
    }

    /// Answers a request, whatever happens.
    pub(super) async fn serve(
        self: Arc<Self>,
        connection: Arc<Connection>,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let started = Instant::now();
        let at_work = connection.activity.begin();
        let method = request.method().clone();
        let found = self.router.find(&method, request.uri().path());
        let label = found.as_ref().map_or("none", |found| found.label);
        let answered = self
            .serve_inner(found, request, connection, at_work.clone())
            .await;
        let mut response = answered.unwrap_or_else(|error| {
            let status = error.status();
            if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
                tracing::warn!(%method, route = label, status = status.as_u16(), %error, "a request failed");
            }
            error.into_response()
        });
        respond::finish(&mut response);
        self.metrics
            .answered(&method, label, response.status(), started.elapsed());
        response.map(|body| respond::until_sent(body, at_work))
    }

    async fn serve_inner(
        self: &Arc<Self>,
        found: Result<Found, HttpError>,
        request: Request<Incoming>,
        connection: Arc<Connection>,
        at_work: AtWork,
    ) -> Result<Response<Body>, HttpError> {
        let too_many = |wait: Duration| HttpError::TooMany {
            retry_after_s: retry_after_s(wait),
        };
        connection
            .take(self.limits.connection_rate)
            .map_err(too_many)?;
        let (mut head, body) = request.into_parts();
        let caller = self.auth.caller(&head.headers);
        let access = found.as_ref().map_or(Access::All, |found| found.access);
        // Whoever watches over the master may do so while others overload it.
        if access != Access::Probe {
            self.callers
                .take(&(caller.role, connection.address()), Instant::now())
                .map_err(too_many)?;
        }
        let socket = matches!(&found, Ok(found) if found.socket);
        // Before what is not there is told from what is: who may not look learns neither.
        self.auth.check(&head, access, socket, &caller)?;
        let found = found?;
        let input = Input::new(std::mem::take(&mut head.headers), body);
        let asked = Asked {
            head,
            caller,
            connection,
            at_work,
        };
        // On the heap: what the largest handler needs is not kept for each connection.
        Box::pin(self.route(found.route, asked, input)).await
    }

    async fn route(
        self: &Arc<Self>,
        route: Route,
        asked: Asked,
        input: Input,
    ) -> Result<Response<Body>, HttpError> {
        match route {
            Route::Asset(path) => self.ui.file(&path, input.headers()),
            Route::Live => socket::live(self, asked, input),
            Route::WorkerSocket => socket::worker(self, asked, input),
            Route::Source(film) => films::source(self, film, input.headers()).await,
            Route::SourceHash(film) => films::source_hash(self, film).await,
            Route::ResultState(film) => films::state(self, film).await,
            Route::PutResult(film) => films::put(self, film, &asked, input).await,
            Route::Finish(film) => {
                let whole = input.json(asked.by_token()).await?;
                films::finish(self, film, whole).await
            }
            other => api::answer(self, other, asked, input).await,
        }
    }
}
