//! A worker's line: its reports in, the master's replies out, and more of these whenever
//! the master has something to say before the worker speaks again.

use std::sync::Arc;

use hyper::Response;
use hyper_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use hyper_tungstenite::tungstenite::{Message, Utf8Bytes};
use serde::Serialize;
use tokio::sync::watch;

use super::{End, Line, upgrade};
use crate::http::app::{App, Asked};
use crate::http::body::Input;
use crate::http::error::HttpError;
use crate::http::respond::Body;
use crate::proto::WorkerReport;
use crate::units::{SessionId, WorkerId};

/// Agrees to a worker's line.
pub(crate) fn worker(
    app: &Arc<App>,
    asked: Asked,
    input: Input,
) -> Result<Response<Body>, HttpError> {
    let (response, agreed) = upgrade(app, asked, input, "worker")?;
    app.tasks.spawn(async move {
        let Some(line) = agreed.open().await else {
            return;
        };
        let app = Arc::clone(&line.app);
        let mut talk = Talk { line, who: None };
        let end = talk.go_on().await;
        if let Some(who) = &talk.who {
            app.core.worker_gone(&who.worker, &who.session);
        }
        Box::pin(talk.line.close(end)).await;
    });
    Ok(response)
}

/// Who is on the line, as its first report said.
struct Who {
    worker: WorkerId,
    session: SessionId,
    poke: watch::Receiver<u64>,
}

struct Talk {
    line: Line,
    who: Option<Who>,
}

impl Talk {
    async fn go_on(&mut self) -> End {
        loop {
            let heard = match &mut self.who {
                None => Some(self.line.hear().await),
                Some(who) => tokio::select! {
                    biased;
                    heard = self.line.hear() => Some(heard),
                    Ok(()) = who.poke.changed() => None,
                },
            };
            // On the heap while it lasts: a line waits most of the time.
            let told = match heard {
                Some(Err(end)) => return end,
                Some(Ok(text)) => Box::pin(self.answer(text)).await,
                None => Box::pin(self.poked()).await,
            };
            if let Err(end) = told {
                return end;
            }
        }
    }

    /// Answers a report. A refusal is an answer too: the worker knows what to make of it.
    async fn answer(&mut self, text: Utf8Bytes) -> Result<(), End> {
        self.line.pace().await?;
        let report: WorkerReport = match serde_json::from_str(&text) {
            Ok(report) => report,
            Err(error) => {
                self.say(&HttpError::Json(error).body()).await?;
                return Err(End::new(CloseCode::Invalid, "that is no report"));
            }
        };
        drop(text);
        let (worker, session) = (report.worker.clone(), report.session.clone());
        let is_other = |who: &Who| who.worker != worker || who.session != session;
        if self.who.as_ref().is_some_and(is_other) {
            return Err(End::new(CloseCode::Policy, "one worker speaks on one line"));
        }
        let core = self.line.app.core.clone();
        match core.sync(report).await {
            Ok(reply) => {
                if self.who.is_none()
                    && let Some(mut poke) = core.poke(&worker)
                {
                    // Something may have come up between the answer and here.
                    poke.mark_changed();
                    self.who = Some(Who {
                        worker,
                        session,
                        poke,
                    });
                }
                self.say(&reply).await
            }
            Err(refused) => self.say(&refused.body).await,
        }
    }

    async fn poked(&mut self) -> Result<(), End> {
        let Some(who) = &self.who else {
            return Ok(());
        };
        let core = self.line.app.core.clone();
        match core.reply_now(&who.worker).await {
            Some(reply) => self.say(&reply).await,
            None => Ok(()),
        }
    }

    async fn say(&mut self, what: &impl Serialize) -> Result<(), End> {
        let text = serde_json::to_string(what).map_err(|error| {
            tracing::error!(%error, "a reply has no JSON");
            End::new(CloseCode::Error, "the reply has no text")
        })?;
        self.line.send(Message::text(text)).await
    }
}
