//! What a master tells, in words and tables for people; `--json` prints the API's own
//! objects instead.

mod job;
mod status;
mod worker;

pub(crate) use self::job::{job_detail, job_list, progress};
pub(crate) use self::status::status;
pub(crate) use self::worker::worker_list;

use std::collections::BTreeMap;

use av1net::api::RootView;
use av1net::units::{RelPath, RootId};

/// Names films by what tells them apart: by their path below the media directory where
/// there is one, by their whole path where there are several.
pub(crate) struct Names(BTreeMap<RootId, String>);

impl Names {
    pub(crate) fn new(roots: &[RootView]) -> Self {
        if roots.len() < 2 {
            return Self(BTreeMap::new());
        }
        let known = roots
            .iter()
            .filter_map(|root| Some((root.id.clone()?, root.path.clone())));
        Self(known.collect())
    }

    pub(crate) fn of(&self, root: &RootId, path: &RelPath) -> String {
        match self.0.get(root) {
            Some(root) => format!("{}/{path}", root.trim_end_matches('/')),
            None => path.to_string(),
        }
    }
}
