//! A bundle: a folder with a configuration in it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::container::spec::config::Config;
use crate::container::spec::properties::namespaces;
use crate::error::{Attempt, Error, Result};
use crate::namespace::{Kind, Kinds};
use crate::sys;

/// A bundle: its folder and its configuration.
#[derive(Debug)]
pub struct Bundle {
    /// Absolute.
    pub path: PathBuf,
    /// Its configuration.
    pub config: Config,
}

impl Bundle {
    /// Reads the configuration of the bundle in `path`.
    ///
    /// # Errors
    /// When the folder or its config.json is not there, is not JSON, or does not fit the runtime-spec; each says where.
    pub fn load(path: &Path) -> Result<Bundle> {
        let path = fs::canonicalize(path).attempt(|| format!("open bundle {}", path.display()))?;
        let what = || format!("open bundle {}", path.display());
        if !fs::metadata(&path).attempt(what)?.is_dir() {
            return Err(Error::os(rustix::io::Errno::NOTDIR, what()));
        }
        let file = path.join("config.json");
        let text = read_regular(&file).attempt(|| format!("read {}", file.display()))?;
        Ok(Bundle { path, config: Config::parse(file, text)? })
    }

    /// The folder that becomes the container's root, absolute, as the configuration has it.
    ///
    /// # Errors
    /// When it is not given, not there, or not a folder.
    pub fn root(&self) -> Result<PathBuf> {
        let root = self
            .config
            .spec
            .root()
            .as_ref()
            .ok_or_else(|| Error::invalid(format!("{}: root is not given", self.config.file().display())))?;
        if root.path().as_os_str().is_empty() {
            return Err(Error::invalid(format!("{}: root.path is empty", self.config.file().display())));
        }
        let path = self.path.join(root.path());
        let what = || format!("{}: root.path {}", self.config.file().display(), path.display());
        let stat = rustix::fs::stat(&path).attempt(what)?;
        if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::Directory {
            return Err(Error::os(rustix::io::Errno::NOTDIR, what()));
        }
        if path == Path::new("/") && self.kinds().contains(Kind::Mount) {
            return Err(Error::invalid("config.json: root.path / is the host's own root"));
        }
        Ok(path)
    }

    /// The kinds of namespace that the configuration lists.
    pub fn kinds(&self) -> Kinds {
        namespaces(&self.config.spec).map(|(kind, _)| kind).collect()
    }
}

/// The content of a regular file. One of holes can be larger than all memory.
fn read_regular(path: &Path) -> Result<Vec<u8>> {
    const MOST: usize = 64 << 20;
    let failed = |errno| Error::os(errno, "");
    let (file, size) =
        sys::fd::open_regular(path).map_err(failed)?.ok_or_else(|| Error::invalid("not a regular file"))?;
    if size > MOST {
        return Err(failed(rustix::io::Errno::FBIG));
    }
    sys::fd::read_whole(&file, size + 1, true).map_err(failed)
}
