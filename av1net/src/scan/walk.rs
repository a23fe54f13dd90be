//! Through a tree in the byte order of whole paths. A few threads look into the folders
//! that come next, so that neither a disk nor a network is waited for one question at a
//! time; what is held in memory is bounded by them, not by the tree.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Stop;
use super::folder::{Entry, Film, Folder, FolderId, look};
use super::names::Names;

/// Folders of one level that are looked into ahead. With four threads a network's answer
/// is then rarely waited for; more would only be more memory.
const AHEAD: usize = 16;

/// How soon a cancelled walk ends while a file system does not answer.
const CANCEL_POLL: Duration = Duration::from_millis(100);

/// Whom a walk tells what it meets, in the byte order of the paths; a folder comes before
/// what is in it.
pub(super) trait Visitor {
    /// A film; `excluded` is the path of the `.noav1` in its folder, or in one above.
    fn film(&mut self, path: &[u8], film: &Film, excluded: Option<&[u8]>) -> Result<(), Stop>;

    /// A folder below one of that identity; the answer is whether to go into it.
    fn folder(
        &mut self,
        path: &[u8],
        folder: &Folder,
        above: Option<&FolderId>,
    ) -> Result<bool, Stop>;

    /// Not all that lies in the folder of this path could be seen.
    fn unknown(&mut self, path: &[u8], why: &io::Error) -> Result<(), Stop>;
}

/// Walks through the folder `start` of the media directory, the empty path being all of
/// it. `excluded` is the `.noav1` of a folder above.
pub(super) fn walk(
    pool: &Pool,
    start: &[u8],
    excluded: Option<Vec<u8>>,
    cancel: &CancellationToken,
    visitor: &mut impl Visitor,
) -> Result<(), Stop> {
    let mut walk = Walk {
        pool,
        cancel,
        path: start.to_vec(),
        levels: Vec::new(),
    };
    let first = pool.ask(start);
    walk.enter(&first, None, excluded.map(Arc::from), visitor)?;
    while walk.step(visitor)? {}
    Ok(())
}

struct Walk<'a> {
    pool: &'a Pool,
    cancel: &'a CancellationToken,
    path: Vec<u8>,
    levels: Vec<Level>,
}

/// A folder that the walk is in.
struct Level {
    id: FolderId,
    /// How much of the path is its own, with the slash.
    length: usize,
    entries: Vec<Entry>,
    /// The entry that comes next.
    at: usize,
    /// The folders before this entry have been asked for.
    asked: usize,
    /// Answers to come, in order.
    ahead: VecDeque<Answer>,
    excluded: Option<Arc<[u8]>>,
}

impl Walk<'_> {
    /// Whether there is more.
    fn step(&mut self, visitor: &mut impl Visitor) -> Result<bool, Stop> {
        let Some(level) = self.levels.last_mut() else {
            return Ok(false);
        };
        if self.cancel.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        self.path.truncate(level.length);
        let Some(entry) = level.entries.get(level.at) else {
            self.levels.pop();
            return Ok(true);
        };
        level.at += 1;
        match entry {
            Entry::Film(film) => {
                self.path.extend_from_slice(&film.name);
                visitor.film(&self.path, film, level.excluded.as_deref())?;
            }
            Entry::Folder(name) => {
                self.path.extend_from_slice(name);
                let (above, excluded) = (level.id, level.excluded.clone());
                // It was asked for when the level was entered, or since.
                let answer = level
                    .ahead
                    .pop_front()
                    .unwrap_or_else(|| self.pool.ask(&self.path));
                level.asked = level.asked.max(level.at);
                level.ask_ahead(self.pool, &self.path[..level.length]);
                self.enter(&answer, Some(above), excluded, visitor)?;
            }
        }
        Ok(true)
    }

    fn enter(
        &mut self,
        answer: &Answer,
        above: Option<FolderId>,
        excluded: Option<Arc<[u8]>>,
        visitor: &mut impl Visitor,
    ) -> Result<(), Stop> {
        let folder = match answer.wait(self.cancel)? {
            Ok(folder) => folder,
            Err(error) => return visitor.unknown(&self.path, &error),
        };
        if let Some(error) = &folder.trouble {
            visitor.unknown(&self.path, error)?;
        }
        if !visitor.folder(&self.path, &folder, above.as_ref())? {
            return Ok(());
        }
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        let own = || [&self.path[..], super::names::SIDECAR].concat().into();
        let mut level = Level {
            id: folder.id,
            length: self.path.len(),
            entries: folder.entries,
            at: 0,
            asked: 0,
            ahead: VecDeque::new(),
            excluded: excluded.or_else(|| folder.is_excluded.then(own)),
        };
        level.ask_ahead(self.pool, &self.path);
        self.levels.push(level);
        Ok(())
    }
}

impl Level {
    fn ask_ahead(&mut self, pool: &Pool, path: &[u8]) {
        while self.ahead.len() < AHEAD {
            let Some(entry) = self.entries.get(self.asked) else {
                return;
            };
            self.asked += 1;
            if let Entry::Folder(name) = entry {
                self.ahead.push_back(pool.ask(&[path, name].concat()));
            }
        }
    }
}

/// Threads that look into folders. One that a dead network mount holds fast is left
/// behind: it ends when the mount answers.
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    names: Names,
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Default)]
struct Queue {
    requests: VecDeque<Request>,
    closed: bool,
}

struct Request {
    path: PathBuf,
    reply: SyncSender<io::Result<Folder>>,
}

impl Pool {
    /// For folders of the media directory at `root`.
    pub(super) fn start(root: &Path, names: &Names, threads: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            root: root.to_owned(),
            names: names.clone(),
            queue: Mutex::default(),
            wake: Condvar::new(),
        });
        let pool = Self { shared };
        for _ in 0..threads.max(1) {
            let shared = Arc::clone(&pool.shared);
            let thread = std::thread::Builder::new().name("scan".to_owned());
            thread.spawn(move || shared.serve())?;
        }
        Ok(pool)
    }

    fn ask(&self, path: &[u8]) -> Answer {
        let (reply, answer) = sync_channel(1);
        // Joining nothing would add a slash.
        let path = if path.is_empty() {
            self.shared.root.clone()
        } else {
            self.shared.root.join(OsStr::from_bytes(path))
        };
        self.shared
            .lock()
            .requests
            .push_back(Request { path, reply });
        self.shared.wake.notify_one();
        Answer(answer)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.closed = true;
        queue.requests.clear();
        drop(queue);
        self.shared.wake.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing is done under the lock that could leave it half done.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self) {
        while let Some(request) = self.next() {
            let folder = look(&request.path, &self.root, &self.names);
            // Nobody waits any more where the walk was stopped.
            let _ = request.reply.send(folder);
        }
    }

    fn next(&self) -> Option<Request> {
        let mut queue = self.lock();
        loop {
            if queue.closed {
                return None;
            }
            if let Some(request) = queue.requests.pop_front() {
                return Some(request);
            }
            queue = self
                .wake
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A folder's, to come.
struct Answer(Receiver<io::Result<Folder>>);

impl Answer {
    fn wait(&self, cancel: &CancellationToken) -> Result<io::Result<Folder>, Stop> {
        loop {
            if cancel.is_cancelled() {
                return Err(Stop::Cancelled);
            }
            match self.0.recv_timeout(CANCEL_POLL) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let error = io::Error::other("the thread that looked into it ended");
                    return Ok(Err(error));
                }
            }
        }
    }
}
