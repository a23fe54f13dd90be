//! A file system in user space that keeps its files in another folder and has the
//! quirks of network file systems. One folder, regular files only.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, FileTimes, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs,
    ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use rustix::fs::{CWD, RenameFlags as Flags, renameat_with};

/// What is wrong with the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quirk {
    /// A rename happens and reports EIO (NFS after a lost reply).
    RenameLies,
    /// A rename over a file removes the file and fails.
    RenameRemovesFirst,
    /// A full disk is noticed when files are synced.
    FullAtSync,
    /// A full disk is noticed when the folder is synced.
    FullAtFolderSync,
    /// After a rename the names are stale for one question.
    StaleAfterRename,
    /// No hard links, and a rename that knows no flags (SMB, old user space ones).
    Plain,
    /// No owners and no extended attributes (exFAT, SMB).
    NoAttributes,
}

/// The file system, mounted; unmounted when dropped.
pub(crate) struct Quirky {
    _session: BackgroundSession,
}

impl Quirky {
    /// Mounts it on `folder`; `None`, with a word about it, where that cannot be.
    pub(crate) fn mount(quirk: Quirk, behind: &Path, folder: &Path) -> Option<Self> {
        let served = Served {
            quirk,
            behind: behind.to_owned(),
            names: Mutex::default(),
            open: Mutex::default(),
            last_handle: AtomicU64::new(0),
            stale: AtomicBool::new(false),
        };
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("av1-tests".to_owned())];
        match fuser::spawn_mount(served, folder, &config) {
            Ok(session) => Some(Self { _session: session }),
            Err(error) => {
                eprintln!(
                    "skipped: a file system in user space takes root and /dev/fuse ({error})"
                );
                None
            }
        }
    }
}

struct Served {
    quirk: Quirk,
    behind: PathBuf,
    names: Mutex<HashMap<u64, OsString>>,
    open: Mutex<HashMap<u64, File>>,
    last_handle: AtomicU64,
    stale: AtomicBool,
}

/// Nothing is cached: each question comes here.
const TTL: Duration = Duration::ZERO;

impl Served {
    fn path(&self, ino: INodeNo) -> io::Result<PathBuf> {
        if ino == INodeNo::ROOT {
            return Ok(self.behind.clone());
        }
        let names = self.names.lock().expect("not poisoned");
        let name = names.get(&ino.0).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.behind.join(name))
    }

    fn attr(&self, path: &Path) -> io::Result<FileAttr> {
        let meta = fs::symlink_metadata(path)?;
        if let Some(name) = path.file_name().filter(|_| path != self.behind) {
            let mut names = self.names.lock().expect("not poisoned");
            names.insert(meta.ino(), name.to_owned());
        }
        let ino = if path == self.behind {
            INodeNo::ROOT
        } else {
            INodeNo(meta.ino())
        };
        Ok(attr(&meta, ino))
    }

    fn entry(&self, name: &OsStr) -> io::Result<FileAttr> {
        if self.stale.swap(false, Ordering::Relaxed) {
            return Err(rustix::io::Errno::STALE.into());
        }
        self.attr(&self.behind.join(name))
    }

    fn keep_open(&self, file: File) -> FileHandle {
        let handle = self.last_handle.fetch_add(1, Ordering::Relaxed) + 1;
        self.open.lock().expect("not poisoned").insert(handle, file);
        FileHandle(handle)
    }

    fn with<T>(
        &self,
        handle: FileHandle,
        ask: impl FnOnce(&File) -> io::Result<T>,
    ) -> io::Result<T> {
        let open = self.open.lock().expect("not poisoned");
        ask(open.get(&handle.0).ok_or(io::ErrorKind::NotFound)?)
    }

    fn moved(&self, from: &OsStr, to: &OsStr, flags: RenameFlags) -> io::Result<()> {
        let (old, new) = (self.behind.join(from), self.behind.join(to));
        match self.quirk {
            Quirk::Plain | Quirk::RenameRemovesFirst if !flags.is_empty() => {
                return Err(rustix::io::Errno::INVAL.into());
            }
            Quirk::RenameRemovesFirst if new.exists() => {
                fs::remove_file(&new)?;
                return Err(rustix::io::Errno::IO.into());
            }
            _ => {}
        }
        let flags = Flags::from_bits_retain(flags.bits());
        renameat_with(CWD, &old, CWD, &new, flags)?;
        for path in [&old, &new] {
            let _ = self.attr(path);
        }
        match self.quirk {
            Quirk::RenameLies => Err(rustix::io::Errno::IO.into()),
            Quirk::StaleAfterRename => {
                self.stale.store(true, Ordering::Relaxed);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn change(&self, path: &Path, change: &Change) -> io::Result<FileAttr> {
        if change.owner.0.is_some() || change.owner.1.is_some() {
            if self.quirk == Quirk::NoAttributes {
                return Err(rustix::io::Errno::PERM.into());
            }
            std::os::unix::fs::chown(path, change.owner.0, change.owner.1)?;
        }
        if let Some(mode) = change.mode {
            fs::set_permissions(path, Permissions::from_mode(mode & 0o7777))?;
        }
        let file = || OpenOptions::new().write(true).open(path);
        if let Some(size) = change.size {
            file()?.set_len(size)?;
        }
        let mut times = FileTimes::new();
        if let Some(at) = change.accessed {
            times = times.set_accessed(at);
        }
        if let Some(at) = change.modified {
            times = times.set_modified(at);
        }
        if change.accessed.is_some() || change.modified.is_some() {
            File::open(path)?.set_times(times)?;
        }
        self.attr(path)
    }
}

/// What `setattr` is asked for.
struct Change {
    mode: Option<u32>,
    owner: (Option<u32>, Option<u32>),
    size: Option<u64>,
    accessed: Option<SystemTime>,
    modified: Option<SystemTime>,
}

fn attr(meta: &Metadata, ino: INodeNo) -> FileAttr {
    let time = |seconds: i64, nanos: i64| {
        SystemTime::UNIX_EPOCH
            + Duration::new(
                u64::try_from(seconds).unwrap_or(0),
                u32::try_from(nanos).unwrap_or(0),
            )
    };
    FileAttr {
        ino,
        size: meta.size(),
        blocks: meta.blocks(),
        atime: time(meta.atime(), meta.atime_nsec()),
        mtime: time(meta.mtime(), meta.mtime_nsec()),
        ctime: time(meta.ctime(), meta.ctime_nsec()),
        crtime: SystemTime::UNIX_EPOCH,
        kind: FileType::from_std(meta.file_type()).expect("a kind of file"),
        perm: (meta.mode() & 0o7777) as u16,
        nlink: meta.nlink() as u32,
        uid: meta.uid(),
        gid: meta.gid(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

fn errno(error: io::Error) -> Errno {
    Errno::from(error)
}

fn moment(time: TimeOrNow) -> SystemTime {
    match time {
        TimeOrNow::SpecificTime(time) => time,
        TimeOrNow::Now => now(),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the file system is asked to set the time"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

impl Filesystem for Served {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.entry(name) {
            Ok(attr) => reply.entry(&TTL, &attr, Generation(0)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        let found = match fh {
            Some(handle) => self.with(handle, |file| Ok(attr(&file.metadata()?, ino))),
            None => self.path(ino).and_then(|path| self.attr(&path)),
        };
        match found {
            Ok(attr) => reply.attr(&TTL, &attr),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let change = Change {
            mode,
            owner: (uid, gid),
            size,
            accessed: atime.map(moment),
            modified: mtime.map(moment),
        };
        match self.path(ino).and_then(|path| self.change(&path, &change)) {
            Ok(attr) => reply.attr(&TTL, &attr),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn unlink(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(reply, fs::remove_file(self.behind.join(name)));
    }

    fn rename(
        &self,
        _: &Request,
        _: INodeNo,
        name: &OsStr,
        _: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        answer(reply, self.moved(name, newname, flags));
    }

    fn link(&self, _: &Request, ino: INodeNo, _: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        if self.quirk == Quirk::Plain {
            return reply.error(Errno::EPERM);
        }
        let new = self.behind.join(newname);
        let linked = self.path(ino).and_then(|old| fs::hard_link(old, &new));
        match linked.and_then(|()| self.attr(&new)) {
            Ok(attr) => reply.entry(&TTL, &attr, Generation(0)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let write = flags.0 & (libc::O_WRONLY | libc::O_RDWR) != 0;
        let file = self
            .path(ino)
            .and_then(|path| OpenOptions::new().read(true).write(write).open(path));
        match file {
            Ok(file) => reply.opened(self.keep_open(file), FopenFlags::empty()),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn create(
        &self,
        _: &Request,
        _: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let path = self.behind.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(mode);
        let made = options
            .open(&path)
            .and_then(|file| Ok((file, self.attr(&path)?)));
        match made {
            Ok((file, attr)) => {
                let handle = self.keep_open(file);
                reply.created(&TTL, &attr, Generation(0), handle, FopenFlags::empty());
            }
            Err(error) => reply.error(errno(error)),
        }
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = self.with(fh, |file| {
            let mut bytes = vec![0; size as usize];
            let mut filled = 0;
            while filled < bytes.len() {
                match file.read_at(&mut bytes[filled..], offset + filled as u64)? {
                    0 => break,
                    n => filled += n,
                }
            }
            bytes.truncate(filled);
            Ok(bytes)
        });
        match read {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.with(fh, |file| file.write_all_at(data, offset)) {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.open.lock().expect("not poisoned").remove(&fh.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, fh: FileHandle, _: bool, reply: ReplyEmpty) {
        if self.quirk == Quirk::FullAtSync {
            return reply.error(Errno::ENOSPC);
        }
        answer(reply, self.with(fh, File::sync_all));
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        if self.quirk == Quirk::FullAtFolderSync {
            return reply.error(Errno::ENOSPC);
        }
        reply.ok();
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let mut names: Vec<_> = [".", ".."].map(OsString::from).into();
        let entries = fs::read_dir(&self.behind).expect("a folder");
        let mut files: Vec<_> = entries.filter_map(|e| Some(e.ok()?.file_name())).collect();
        files.sort();
        names.extend(files);
        for (at, name) in names.iter().enumerate().skip(offset as usize) {
            let kind = if at < 2 {
                FileType::Directory
            } else {
                FileType::RegularFile
            };
            if reply.add(ino, at as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let blocks = 1 << 30;
        reply.statfs(blocks, blocks, blocks, 1000, 1000, 4096, 255, 4096);
    }

    fn setxattr(
        &self,
        _: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        _: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        if self.quirk == Quirk::NoAttributes {
            return reply.error(Errno::EOPNOTSUPP);
        }
        answer(
            reply,
            self.path(ino)
                .and_then(|path| xattr::set(path, name, value)),
        );
    }

    fn getxattr(&self, _: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let value = self.path(ino).and_then(|path| xattr::get(path, name));
        match value {
            Ok(Some(value)) if size == 0 => reply.size(value.len() as u32),
            Ok(Some(value)) => reply.data(&value),
            Ok(None) => reply.error(Errno::ENODATA),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn listxattr(&self, _: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let names = self.path(ino).and_then(xattr::list).map(|names| {
            let mut bytes = Vec::new();
            for name in names {
                bytes.extend_from_slice(name.as_encoded_bytes());
                bytes.push(0);
            }
            bytes
        });
        match names {
            Ok(bytes) if size == 0 => reply.size(bytes.len() as u32),
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(errno(error)),
        }
    }
}

fn answer(reply: ReplyEmpty, done: io::Result<()>) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno(error)),
    }
}
