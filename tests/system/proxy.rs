//! The network between a worker and its master, as bad as it gets: connections that are
//! cut, answers that take their time, a cable that is pulled, reports that arrive twice.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How the network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Weather {
    Calm,
    /// Every piece is late.
    Slow,
    /// Nothing arrives, and nobody is told; what was sent arrives when it is over.
    Partitioned,
}

/// A proxy before a master; it ends with its value.
pub(crate) struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    master: SocketAddr,
    weather: AtomicU8,
    twice: AtomicBool,
    ended: AtomicBool,
    repeated: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
}

/// How late a piece is where everything is.
const DELAY: Duration = Duration::from_millis(120);
/// Between two looks at the weather.
const LOOK: Duration = Duration::from_millis(10);

impl Proxy {
    pub(crate) fn new(master: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            master,
            weather: AtomicU8::new(Weather::Calm as u8),
            twice: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            repeated: AtomicUsize::new(0),
            open: Mutex::new(Vec::new()),
        });
        let accepting = Arc::clone(&state);
        thread::spawn(move || accepting.accept(&listener));
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.state.weather.store(weather as u8, Ordering::Relaxed);
    }

    /// Cuts every connection that there is.
    pub(crate) fn cut(&self) {
        for socket in self.state.open().drain(..) {
            // It may be over.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// From now on every request for reports arrives twice, the second time when the first
    /// was answered. WebSockets are refused, since nothing in them can be repeated.
    pub(crate) fn repeat_reports(&self) {
        self.state.twice.store(true, Ordering::Relaxed);
    }

    /// How many reports were repeated.
    pub(crate) fn repeated(&self) -> usize {
        self.state.repeated.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        self.set(Weather::Calm);
        self.cut();
        // Wakes the one that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn open(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            let state = Arc::clone(self);
            // A connection that fails is what this is for.
            thread::spawn(move || client.map(|client| state.connect(&client)));
        }
    }

    fn connect(self: &Arc<Self>, client: &TcpStream) -> io::Result<()> {
        self.wait_for_calm();
        let master = TcpStream::connect(self.master)?;
        self.open()
            .extend([client.try_clone()?, master.try_clone()?]);
        let (from, to) = (master.try_clone()?, client.try_clone()?);
        let back = Arc::clone(self);
        let answers = thread::spawn(move || back.copy(from, to));
        let sent = if self.twice.load(Ordering::Relaxed) {
            self.copy_requests(client.try_clone()?, master)
        } else {
            self.copy(client.try_clone()?, master)
        };
        let _ = answers.join();
        sent
    }

    fn weather(&self) -> Weather {
        match self.weather.load(Ordering::Relaxed) {
            0 => Weather::Calm,
            1 => Weather::Slow,
            _ => Weather::Partitioned,
        }
    }

    fn wait_for_calm(&self) {
        while self.weather() == Weather::Partitioned {
            thread::sleep(LOOK);
        }
    }

    fn pass(&self, piece: &[u8], to: &mut TcpStream) -> io::Result<()> {
        if self.weather() == Weather::Slow {
            thread::sleep(DELAY);
        }
        self.wait_for_calm();
        to.write_all(piece)
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
        let mut piece = vec![0; 16 * 1024];
        loop {
            let length = from.read(&mut piece).unwrap_or(0);
            if length == 0 {
                self.wait_for_calm();
                return to.shutdown(Shutdown::Write);
            }
            self.pass(&piece[..length], &mut to)?;
        }
    }

    /// Passes requests on one by one, and those that report once more on their own.
    fn copy_requests(&self, mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
        while let Some(request) = read_request(&mut from)? {
            if request.starts_with(b"GET /api/v1/worker/ws") {
                from.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")?;
                continue;
            }
            if request.starts_with(b"POST /api/v1/worker/sync") {
                let mut again = TcpStream::connect(self.master)?;
                again.set_read_timeout(Some(Duration::from_secs(5)))?;
                again.write_all(&request)?;
                // The first answer is read, and nobody hears of it.
                if again.read(&mut [0; 1024])? > 0 {
                    self.repeated.fetch_add(1, Ordering::Relaxed);
                }
            }
            self.pass(&request, &mut to)?;
        }
        to.shutdown(Shutdown::Write)
    }
}

/// A whole HTTP/1.1 request with its body; `None` where there is no more. Requests with
/// chunks have nothing to do with reports, and fail.
fn read_request(from: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        if from.read(&mut byte)? == 0 {
            return Ok(None);
        }
        request.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&request).to_ascii_lowercase();
    let length = head.lines().find_map(|line| {
        let length = line.strip_prefix("content-length:")?;
        length.trim().parse::<usize>().ok()
    });
    let at = request.len();
    request.resize(at + length.unwrap_or(0), 0);
    from.read_exact(&mut request[at..])?;
    Ok(Some(request))
}
