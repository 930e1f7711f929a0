//! A container's folder below the runtime's root: what is kept of it, and who may touch it when.

use std::fs;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::container::record::state::State;
use crate::error::{Attempt, Error, Kind, Result};

/// Longest container id: it becomes a file name.
const LONGEST_ID: usize = 255;

/// A container's folder, held by flock(2) against being created and deleted at once. Children inherit it: it is released,
/// not only closed.
#[derive(Debug)]
pub struct Lock(OwnedFd);

impl Lock {
    /// Whether it could be had now. A file system without locks has nothing to offer, and no reason to fail.
    fn take(&self) -> Result<bool> {
        Ok(rustix::fs::flock(&self.0, FlockOperation::NonBlockingLockExclusive) != Err(Errno::WOULDBLOCK))
    }

    /// Whether the folder has not been removed before it could be held.
    fn is_in_place(&self) -> Result<bool> {
        Ok(rustix::fs::fstat(&self.0).attempt(|| "look at the container's folder")?.st_nlink > 0)
    }

    /// Holds it again for who is about to remove what it made itself; false when somebody else has deleted the container
    /// meanwhile: what goes by its id now is another.
    pub fn hold_again(&self) -> bool {
        // Whoever deletes it waits for its process no longer than that.
        let deadline = Instant::now() + Duration::from_secs(11);
        loop {
            match self.take() {
                Ok(true) => return self.is_in_place().unwrap_or(false),
                Ok(false) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
                _ => return false,
            }
        }
    }

    /// Lets others delete the container.
    pub fn release(&self) {
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

/// A container's folder.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    id: String,
}

impl Folder {
    /// Name of the file that holds the state.
    const STATE: &str = "state.json";
    /// Name of the copy of the configuration.
    const CONFIG: &str = "config.json";
    /// Name of the socket on which a created container waits to be started.
    const GATE: &str = "start.sock";

    /// The folder of the container `id` below `root`, whether it exists or not.
    ///
    /// # Errors
    /// For an id that runc would refuse: empty, too long, or with other characters than letters, digits, `_`, `+`, `-`
    /// and `.`.
    pub fn of(root: &Path, id: &str) -> Result<Folder> {
        if id.is_empty() {
            return Err(Error::invalid("container id cannot be empty"));
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
        if !id.bytes().all(allowed) || id == "." || id == ".." || id.len() > LONGEST_ID {
            return Err(Error::invalid(format!(
                "invalid container ID format: {id:?} (letters, digits and _+-. are allowed, at most {LONGEST_ID})"
            )));
        }
        Ok(Folder { path: root.join(id), id: id.to_owned() })
    }

    /// The container's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the socket on which the container waits to be started.
    pub fn gate(&self) -> PathBuf {
        self.path.join(Self::GATE)
    }

    /// The complaint of who was creating the container when somebody else deleted it.
    pub(crate) fn was_deleted(&self) -> Error {
        Error::new(Kind::State, format!("container {:?} was deleted while it was created", self.id))
    }

    /// Makes the folder, and holds it: nobody deletes it before its lock is released or gone. What is left of a container whose
    /// creation or deletion was cut short, which is a folder without a state, is taken over.
    ///
    /// # Errors
    /// Of kind [`Kind::Exists`] when it is there.
    pub fn create(&self) -> Result<Lock> {
        match self.make() {
            Err(error) if error.kind() == Kind::Exists => return self.take_over()?.ok_or(error),
            made => made?,
        }
        let deleted = || self.was_deleted();
        let opened = self.open().inspect_err(|_| {
            // Made under a umask that denies its owner.
            let _ = fs::remove_dir(&self.path);
        });
        let lock = opened?.ok_or_else(deleted)?;
        if !lock.take()? {
            return Err(self.exists());
        }
        if lock.is_in_place()? { Ok(lock) } else { Err(deleted()) }
    }

    /// Holds and empties a folder in which there is no container: neither a state nor, removed before it, a configuration, and
    /// no runtime that is about to write one.
    fn take_over(&self) -> Result<Option<Lock>> {
        let is_there = |name: &str| fs::symlink_metadata(self.path.join(name)).is_ok();
        let Some(lock) = self.open()?.filter(|_| !is_there(Self::STATE) && !is_there(Self::CONFIG)) else {
            return Ok(None);
        };
        let is_held = rustix::fs::flock(&lock.0, FlockOperation::NonBlockingLockExclusive).is_ok();
        // Another creator may have been at it in between.
        if !is_held || !lock.is_in_place()? || is_there(Self::STATE) || is_there(Self::CONFIG) {
            return Ok(None);
        }
        remove_below(lock.0.as_fd()).attempt(|| format!("empty {}", self.path.display()))?;
        Ok(Some(lock))
    }

    fn exists(&self) -> Error {
        Error::new(Kind::Exists, format!("container with given ID already exists: {}", self.id))
    }

    /// Holds the folder for who deletes it; `None` when there is none. Waits for who creates the container until it is on
    /// record what there is to delete.
    ///
    /// # Errors
    /// When that takes longer than `patience`, and as open(2).
    pub fn lock(&self, patience: Duration) -> Result<Option<Lock>> {
        let deadline = Instant::now() + patience;
        loop {
            let Some(lock) = self.open()? else { return Ok(None) };
            while !lock.take()? {
                if Instant::now() > deadline {
                    let seconds = patience.as_secs();
                    let message = format!("container {:?} is still being created after {seconds} s", self.id);
                    return Err(Error::new(Kind::State, message));
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            if lock.is_in_place()? {
                return Ok(Some(lock));
            }
        }
    }

    /// Holds the container against another checkpoint at the same time.
    ///
    /// # Errors
    /// Of kind [`Kind::State`] when there is one.
    pub fn hold_checkpoint(&self) -> Result<Lock> {
        let path = self.path.join("checkpoint.lock");
        let file = rustix::fs::open(&path, OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR);
        let lock = Lock(file.attempt(|| format!("open {}", path.display()))?);
        if lock.take()? {
            return Ok(lock);
        }
        Err(Error::new(Kind::State, format!("container {:?} is being checkpointed already", self.id)))
    }

    fn open(&self) -> Result<Option<Lock>> {
        match rustix::fs::open(&self.path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Err(Errno::NOENT) => Ok(None),
            other => other.attempt(|| format!("open {}", self.path.display())).map(|fd| Some(Lock(fd))),
        }
    }

    fn make(&self) -> Result<()> {
        let root = self.path.parent().unwrap_or(Path::new("/"));
        let create = || fs::DirBuilder::new().mode(0o711).create(&self.path);
        match create() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                fs::DirBuilder::new()
                    .mode(0o711)
                    .recursive(true)
                    .create(root)
                    .attempt(|| format!("create {}", root.display()))?;
                if std::env::var_os("XDG_RUNTIME_DIR").is_some_and(|folder| root.parent() == Some(Path::new(&folder))) {
                    // By it, those who clean that folder up leave it alone; XDG Base Directory Specification.
                    let _ = fs::set_permissions(root, fs::Permissions::from_mode(0o1700));
                }
                create()
            }
            other => other,
        }
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => self.exists(),
            _ => Error::io(&error, format!("create {}", self.path.display())),
        })
    }

    /// Removes the folder and everything in it. The state goes after the configuration, so that wherever this is cut short,
    /// what is left is a container that can be deleted again or a folder that `create` takes over.
    ///
    /// # Errors
    /// As unlink(2) and rmdir(2), but not when it is gone already.
    pub fn remove(&self) -> Result<()> {
        for name in [Self::CONFIG, Self::STATE] {
            let _ = fs::remove_file(self.path.join(name));
        }
        // Usually that was all.
        if fs::remove_dir(&self.path).is_ok() {
            return Ok(());
        }
        let what = || format!("remove {}", self.path.display());
        let Some(lock) = self.open()? else { return Ok(()) };
        remove_below(lock.0.as_fd()).attempt(what)?;
        match rustix::fs::rmdir(&self.path) {
            Err(Errno::NOENT) => Ok(()),
            removed => removed.attempt(what),
        }
    }

    /// Writes state.json, in one step as seen by readers.
    ///
    /// # Errors
    /// As open(2), write(2) and rename(2).
    pub fn save(&self, state: &State) -> Result<()> {
        let text = serde_json::to_vec(state).map_err(|error| Error::invalid(format!("write state.json: {error}")))?;
        replace_file(&self.path.join(Self::STATE), &text, 0o600)
    }

    /// Keeps the configuration of a container that nobody else reads yet: its first process is not on record.
    ///
    /// # Errors
    /// As open(2) and write(2).
    pub(crate) fn keep_config(&self, text: &[u8]) -> Result<()> {
        let path = self.path.join(Self::CONFIG);
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
        let mut file = file.attempt(|| format!("create {}", path.display()))?;
        file.write_all(text).attempt(|| format!("write {}", path.display()))
    }

    /// Keeps the configuration, in one step as seen by readers.
    ///
    /// # Errors
    /// As open(2), write(2) and rename(2).
    pub fn save_config(&self, text: &[u8]) -> Result<()> {
        replace_file(&self.path.join(Self::CONFIG), text, 0o600)
    }

    /// Reads state.json.
    ///
    /// # Errors
    /// Of kind [`Kind::NotFound`] when there is no such container.
    pub fn load(&self) -> Result<State> {
        let path = self.path.join(Self::STATE);
        let text = read_file(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::new(Kind::NotFound, format!("container {:?} does not exist", self.id))
            }
            _ => Error::io(&error, format!("read {}", path.display())),
        })?;
        serde_json::from_slice(&text).map_err(|error| Error::invalid(format!("read {}: {error}", path.display())))
    }

    /// Reads the configuration that the container was created with: its path and its text.
    ///
    /// # Errors
    /// As open(2) and read(2).
    pub fn read_config(&self) -> Result<(PathBuf, Vec<u8>)> {
        let path = self.path.join(Self::CONFIG);
        let text = read_file(&path).attempt(|| format!("read {}", path.display()))?;
        Ok((path, text))
    }
}

/// Removes everything below the folder `dir`, across no mount.
fn remove_below(dir: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut names = Vec::new();
    let mut buffer = Vec::with_capacity(4096);
    // Its own descriptor: the place in a listing goes with the open file.
    let listing = rustix::fs::openat(dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut entries = rustix::fs::RawDir::new(&listing, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let name = entry?.file_name().to_owned();
        if !matches!(name.as_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    for name in names {
        match rustix::fs::unlinkat(dir, &name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                remove_below(rustix::fs::openat(dir, &name, flags, Mode::empty())?.as_fd())?;
                rustix::fs::unlinkat(dir, &name, AtFlags::REMOVEDIR)?;
            }
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Reads a file that is replaced, never written to: a short read is its end, and mostly the first one.
fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    Ok(crate::sys::fd::read_whole(&fs::File::open(path)?, 16 << 10, true)?)
}

/// Writes a file so that readers see either the old content or the new one.
///
/// # Errors
/// As open(2), write(2) and rename(2).
pub fn replace_file(path: &Path, text: &[u8], mode: u32) -> Result<()> {
    static OWN_PID: LazyLock<u32> = LazyLock::new(std::process::id);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", *OWN_PID));
    // Nothing that was there is followed or written to: a pid file may be in a folder that others write to.
    let create = || fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary);
    let written = match create() {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            fs::remove_file(&temporary).and_then(|()| create())
        }
        created => created,
    }
    .and_then(|mut file| file.write_all(text))
    .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.attempt(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_of_a_replacement_is_neither_written_nor_followed() {
        let dir = std::env::temp_dir().join(format!("nskit-test-replace-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let (path, victim) = (dir.join("pid"), dir.join("victim"));
        fs::write(&victim, "untouched").unwrap();
        std::os::unix::fs::symlink(&victim, dir.join(format!(".pid.{}", std::process::id()))).unwrap();
        replace_file(&path, b"7", 0o644).unwrap();
        let contents = [&path, &victim].map(|file| fs::read_to_string(file).unwrap());
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(contents, ["7", "untouched"]);
    }

    #[test]
    fn ids_with_path_characters_are_refused() {
        let root = Path::new("/run/nskit");
        for id in ["", ".", "..", "a/b", "../x", "a b", "a\n", "ü", &"x".repeat(256)] {
            assert!(Folder::of(root, id).is_err(), "{id:?}");
        }
        for id in ["a", "nskit-test.1_+", "...", &"x".repeat(255)] {
            assert!(Folder::of(root, id).is_ok(), "{id:?}");
        }
    }
}
