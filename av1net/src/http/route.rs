//! What a URL means: one table of the API's paths, methods and who may call them, and
//! the way from a request's line to a [`Route`].

use hyper::Method;
use percent_encoding::percent_decode_str;

use super::error::HttpError;
use crate::units::{Epoch, JobId, WorkerId};

/// Who may call something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody, by whatever name they know this machine: who watches over it.
    Probe,
    /// Everybody.
    All,
    /// Who may look.
    Read,
    /// Who may change.
    Admin,
    /// Workers.
    Worker,
}

/// A call of the API, with what its path holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Health,              // GET /healthz
    Ready,               // GET /readyz
    Metrics,             // GET /metrics
    OpenApi,             // GET /api/v1/openapi.json
    Login,               // POST /api/v1/login
    Logout,              // POST /api/v1/logout
    Session,             // GET /api/v1/session
    Status,              // GET /api/v1/status
    Jobs,                // GET /api/v1/jobs
    Job(JobId),          // GET /api/v1/jobs/{id}
    Plan(JobId),         // GET /api/v1/jobs/{id}/plan
    Frame(JobId),        // GET /api/v1/jobs/{id}/frame
    Act,                 // POST /api/v1/jobs/actions
    Workers,             // GET /api/v1/workers
    SetWorker(WorkerId), // POST /api/v1/workers/{id}/settings
    Scan,                // POST /api/v1/scan
    Pause,               // POST /api/v1/pause
    Resume,              // POST /api/v1/resume
    Config,              // GET /api/v1/config
    Join,                // GET /api/v1/join
    Saved,               // GET /api/v1/saved
    Throughput,          // GET /api/v1/throughput
    Live,                // GET /api/v1/live, WebSocket
    Sync,                // POST /api/v1/worker/sync
    WorkerSocket,        // GET /api/v1/worker/ws, WebSocket
    Source(Film),        // GET /api/v1/films/{job}/{epoch}/source
    SourceHash(Film),    // GET /api/v1/films/{job}/{epoch}/source-hash
    PutResult(Film),     // PUT /api/v1/films/{job}/{epoch}/result
    ResultState(Film),   // GET /api/v1/films/{job}/{epoch}/result
    Finish(Film),        // POST /api/v1/films/{job}/{epoch}/finish
    Asset(String),       // GET / and whatever else the page is made of
}

/// A film on its way over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Film {
    /// The job.
    pub(super) job: JobId,
    /// The epoch of its grant.
    pub(super) epoch: Epoch,
}

/// A row of the table.
pub(super) struct Row {
    pub(super) method: Method,
    /// The path, as matchit and OpenAPI write it.
    pub(super) path: &'static str,
    pub(super) access: Access,
    /// Whether it becomes a WebSocket.
    pub(super) socket: bool,
    make: fn(&Params<'_>) -> Result<Route, HttpError>,
}

type Params<'a> = matchit::Params<'a, 'a>;

macro_rules! rows {
    ($($access:ident $method:ident $path:literal $make:expr;)+) => {
        vec![$(Row {
            method: Method::$method,
            path: $path,
            access: Access::$access,
            socket: matches!($path, "/api/v1/live" | "/api/v1/worker/ws"),
            make: $make,
        }),+]
    };
}

/// Every call but the page's files.
pub(super) fn table() -> Vec<Row> {
    rows! {
        Probe GET "/healthz" |_| Ok(Route::Health);
        Probe GET "/readyz" |_| Ok(Route::Ready);
        Read GET "/metrics" |_| Ok(Route::Metrics);
        All GET "/api/v1/openapi.json" |_| Ok(Route::OpenApi);
        All POST "/api/v1/login" |_| Ok(Route::Login);
        All POST "/api/v1/logout" |_| Ok(Route::Logout);
        All GET "/api/v1/session" |_| Ok(Route::Session);
        Read GET "/api/v1/status" |_| Ok(Route::Status);
        Read GET "/api/v1/jobs" |_| Ok(Route::Jobs);
        Read GET "/api/v1/jobs/{id}" |p| Ok(Route::Job(job(p, "id")?));
        Read GET "/api/v1/jobs/{id}/plan" |p| Ok(Route::Plan(job(p, "id")?));
        Read GET "/api/v1/jobs/{id}/frame" |p| Ok(Route::Frame(job(p, "id")?));
        Admin POST "/api/v1/jobs/actions" |_| Ok(Route::Act);
        Read GET "/api/v1/workers" |_| Ok(Route::Workers);
        Admin POST "/api/v1/workers/{id}/settings" |p| Ok(Route::SetWorker(worker(p)?));
        Admin POST "/api/v1/scan" |_| Ok(Route::Scan);
        Admin POST "/api/v1/pause" |_| Ok(Route::Pause);
        Admin POST "/api/v1/resume" |_| Ok(Route::Resume);
        Admin GET "/api/v1/config" |_| Ok(Route::Config);
        Admin GET "/api/v1/join" |_| Ok(Route::Join);
        Read GET "/api/v1/saved" |_| Ok(Route::Saved);
        Read GET "/api/v1/throughput" |_| Ok(Route::Throughput);
        Read GET "/api/v1/live" |_| Ok(Route::Live);
        Worker POST "/api/v1/worker/sync" |_| Ok(Route::Sync);
        Worker GET "/api/v1/worker/ws" |_| Ok(Route::WorkerSocket);
        Worker GET "/api/v1/films/{job}/{epoch}/source" |p| Ok(Route::Source(film(p)?));
        Worker GET "/api/v1/films/{job}/{epoch}/source-hash" |p| Ok(Route::SourceHash(film(p)?));
        Worker PUT "/api/v1/films/{job}/{epoch}/result" |p| Ok(Route::PutResult(film(p)?));
        Worker GET "/api/v1/films/{job}/{epoch}/result" |p| Ok(Route::ResultState(film(p)?));
        Worker POST "/api/v1/films/{job}/{epoch}/finish" |p| Ok(Route::Finish(film(p)?));
    }
}

/// A part of the path, decoded.
fn part(params: &Params<'_>, name: &str) -> Option<String> {
    let decoded = percent_decode_str(params.get(name)?).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

fn number<T: std::str::FromStr>(
    params: &Params<'_>,
    name: &str,
    what: &str,
) -> Result<T, HttpError> {
    let text = part(params, name).unwrap_or_default();
    // Only digits: `str::parse` takes a sign as well.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = text.parse().ok().filter(|_| digits);
    parsed.ok_or_else(|| HttpError::NotFound(format!("{what} `{text}`: it has a number")))
}

fn job(params: &Params<'_>, name: &str) -> Result<JobId, HttpError> {
    number(params, name, "job").map(JobId)
}

fn film(params: &Params<'_>) -> Result<Film, HttpError> {
    Ok(Film {
        job: job(params, "job")?,
        epoch: Epoch(number(params, "epoch", "epoch")?),
    })
}

fn worker(params: &Params<'_>) -> Result<WorkerId, HttpError> {
    let id = part(params, "id");
    id.map(WorkerId)
        .ok_or_else(|| HttpError::NotFound("such worker: its name is not UTF-8".to_owned()))
}

/// The table, ready to be asked.
pub(super) struct Router {
    rows: Vec<Row>,
    paths: matchit::Router<Vec<usize>>,
}

/// What a request's line means.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) route: Route,
    pub(super) access: Access,
    pub(super) socket: bool,
    /// Names the call in metrics: a path of the table, or `page`.
    pub(super) label: &'static str,
}

impl Router {
    pub(super) fn new() -> Result<Self, matchit::InsertError> {
        let rows = table();
        let mut paths: matchit::Router<Vec<usize>> = matchit::Router::new();
        for (index, row) in rows.iter().enumerate() {
            match paths.at_mut(row.path) {
                // A path of the table matches itself alone, unless a parameter takes it.
                Ok(known) if rows[known.value[0]].path == row.path => known.value.push(index),
                _ => paths.insert(row.path, vec![index])?,
            }
        }
        Ok(Self { rows, paths })
    }

    /// What the request asks for.
    pub(super) fn find(&self, method: &Method, path: &str) -> Result<Found, HttpError> {
        let Ok(matched) = self.paths.at(path) else {
            return asset(method, path);
        };
        // Whoever serves a GET serves its head: hyper leaves the body out.
        let wanted = match *method {
            Method::HEAD => &Method::GET,
            _ => method,
        };
        let rows = || matched.value.iter().map(|index| &self.rows[*index]);
        let row = rows()
            .find(|row| row.method == wanted && !(row.socket && *method == Method::HEAD))
            .ok_or_else(|| not_allowed(method, path, rows()))?;
        Ok(Found {
            route: (row.make)(&matched.params)?,
            access: row.access,
            socket: row.socket,
            label: row.path,
        })
    }
}

fn not_allowed<'a>(method: &Method, path: &str, rows: impl Iterator<Item = &'a Row>) -> HttpError {
    let mut allow = Vec::new();
    for row in rows {
        allow.push(row.method.as_str());
        if row.method == Method::GET && !row.socket {
            allow.push("HEAD");
        }
    }
    HttpError::Method {
        method: method.clone(),
        path: path.to_owned(),
        allow: allow.join(", "),
    }
}

/// A file of the page; whether there is one is not known here.
fn asset(method: &Method, path: &str) -> Result<Found, HttpError> {
    let none = || HttpError::NoRoute {
        path: path.to_owned(),
    };
    let file = percent_decode_str(path.strip_prefix('/').ok_or_else(none)?)
        .decode_utf8()
        .map_err(|_| none())?;
    let file = match &*file {
        "" => "index.html",
        file if file == "api" || file.starts_with("api/") => return Err(none()),
        file => file,
    };
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(HttpError::Method {
            method: method.clone(),
            path: path.to_owned(),
            allow: "GET, HEAD".to_owned(),
        });
    }
    Ok(Found {
        route: Route::Asset(file.to_owned()),
        access: Access::All,
        socket: false,
        label: "page",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(method: &Method, path: &str) -> Result<Found, HttpError> {
        let router = Router::new().expect("the table has no conflicts");
        router.find(method, path)
    }

    #[test]
    fn paths_mean_what_the_table_says() {
        let film = Film {
            job: JobId(7),
            epoch: Epoch(3),
        };
        for (method, path, route) in [
            (Method::GET, "/", Route::Asset("index.html".to_owned())),
            (
                Method::GET,
                "/app/main.js",
                Route::Asset("app/main.js".to_owned()),
            ),
            (Method::GET, "/a%20b.js", Route::Asset("a b.js".to_owned())),
            (Method::GET, "/healthz", Route::Health),
            (Method::HEAD, "/healthz", Route::Health),
            (Method::GET, "/api/v1/jobs", Route::Jobs),
            (Method::GET, "/api/v1/jobs/7", Route::Job(JobId(7))),
            (Method::GET, "/api/v1/jobs/7/plan", Route::Plan(JobId(7))),
            (Method::POST, "/api/v1/jobs/actions", Route::Act),
            (
                Method::POST,
                "/api/v1/workers/a%2Fb/settings",
                Route::SetWorker(WorkerId("a/b".to_owned())),
            ),
            (Method::GET, "/api/v1/worker/ws", Route::WorkerSocket),
            (
                Method::PUT,
                "/api/v1/films/7/3/result",
                Route::PutResult(film),
            ),
            (
                Method::GET,
                "/api/v1/films/7/3/result",
                Route::ResultState(film),
            ),
            (
                Method::GET,
                "/api/v1/films/7/3/source-hash",
                Route::SourceHash(film),
            ),
        ] {
            assert_eq!(find(&method, path).expect(path).route, route, "{path}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        for path in [
            "/api",
            "/api/v1",
            "/api/v1/",
            "/api/v1/jobs/",
            "/api/v2/jobs",
            "/api/v1/jobs/abc",
            "/api/v1/jobs/-7",
            "/api/v1/jobs/+7",
            "/api/v1/jobs/99999999999999999999",
            "/api/v1/films/7/x/source",
            "/api/v1/films/7/3/secret",
            "/%ff",
            "*",
        ] {
            let error = find(&Method::GET, path).expect_err(path);
            assert_eq!(error.status().as_u16(), 404, "{path}: {error}");
        }
    }

    #[test]
    fn another_method_is_told_which_ones_there_are() {
        for (method, path, allowed) in [
            (Method::DELETE, "/api/v1/jobs/7", "GET, HEAD"),
            (Method::POST, "/", "GET, HEAD"),
            (Method::OPTIONS, "/api/v1/pause", "POST"),
            (Method::POST, "/api/v1/films/7/3/result", "PUT, GET, HEAD"),
            // A head has no WebSocket.
            (Method::HEAD, "/api/v1/live", "GET"),
            // `actions` is no job.
            (Method::GET, "/api/v1/jobs/actions", "POST"),
        ] {
            match find(&method, path) {
                Err(HttpError::Method { allow, .. }) => assert_eq!(allow, allowed, "{path}"),
                other => panic!("{path}: {other:?}"),
            }
        }
    }
}
