//! The live feed: a snapshot, or what was missed since a place that is still remembered,
//! and then each delta. A viewer that does not keep up begins anew with a snapshot; it
//! is never waited for, and nothing is kept for it.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Response;
use hyper_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use hyper_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio::sync::broadcast::error::RecvError;

use super::{End, Line, upgrade};
use crate::http::app::{App, Asked};
use crate::http::body::Input;
use crate::http::error::HttpError;
use crate::http::respond::Body;

/// Agrees to the feed.
pub(crate) fn live(
    app: &Arc<App>,
    asked: Asked,
    input: Input,
) -> Result<Response<Body>, HttpError> {
    let resume = place_of(asked.query())?;
    let no_room = |_| HttpError::Later {
        kind: "too_many_viewers",
        what: "too many pages watch the master".to_owned(),
        retry_after_s: 10,
    };
    let place = Arc::clone(&app.live_places)
        .try_acquire_owned()
        .map_err(no_room)?;
    let (response, agreed) = upgrade(app, asked, input, "live")?;
    app.tasks.spawn(async move {
        let _place = place;
        if let Some(mut line) = agreed.open().await {
            let end = follow(&mut line, resume).await;
            line.close(end).await;
        }
    });
    Ok(response)
}

/// Where the viewer was before: `?feed=&after=`.
fn place_of(query: &str) -> Result<Option<(String, u64)>, HttpError> {
    let (mut feed, mut after) = (None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "feed" if !value.is_empty() => feed = Some(value.into_owned()),
            "after" if !value.is_empty() => {
                let number = value.parse().map_err(|_| HttpError::Parameter {
                    name: "after",
                    value: value.clone().into_owned(),
                    allowed: "the number of a message".to_owned(),
                })?;
                after = Some(number);
            }
            "feed" | "after" => {}
            _ => {
                return Err(HttpError::UnknownParameter {
                    name: name.into_owned(),
                    known: "feed, after".to_owned(),
                });
            }
        }
    }
    Ok(feed.zip(after))
}

async fn follow(line: &mut Line, resume: Option<(String, u64)>) -> End {
    let core = line.app.core.clone();
    let mut feed = core.live(resume).await;
    loop {
        for text in std::mem::take(&mut feed.first) {
            if let Err(end) = say(line, text).await {
                return end;
            }
        }
        let next = tokio::select! {
            heard = line.hear() => match heard {
                // The feed is listened to.
                Ok(_) => match line.pace().await {
                    Ok(()) => continue,
                    Err(end) => return end,
                },
                Err(end) => return end,
            },
            next = feed.next.recv() => next,
        };
        match next {
            Ok(text) => {
                if let Err(end) = say(line, text).await {
                    return end;
                }
            }
            Err(RecvError::Lagged(_)) => feed = core.live(None).await,
            Err(RecvError::Closed) => return End::new(CloseCode::Away, "the feed has ended"),
        }
    }
}

/// The text is one for all viewers: none has a copy of its own until it is written.
async fn say(line: &mut Line, text: Arc<str>) -> Result<(), End> {
    let bytes = Bytes::from_owner(SharedText(text));
    match Utf8Bytes::try_from(bytes) {
        Ok(text) => line.send(Message::Text(text)).await,
        // It was text before.
        Err(_) => Err(End::new(CloseCode::Error, "the feed is no text")),
    }
}

struct SharedText(Arc<str>);

impl AsRef<[u8]> for SharedText {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_feed_and_a_number() {
        let place = |query| place_of(query).expect(query);
        assert_eq!(place("feed=18f&after=7"), Some(("18f".to_owned(), 7)));
        for query in ["", "feed=18f", "after=7", "feed=&after="] {
            assert_eq!(place(query), None, "{query}");
        }
        for query in ["feed=1&after=x", "feed=1&after=-1", "since=1"] {
            assert_eq!(place_of(query).expect_err(query).status().as_u16(), 400);
        }
    }
}
