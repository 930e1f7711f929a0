//! The options of the cgroup v2 tree, which are the whole machine's: nsdelegate, memory_recursiveprot and the like.

use std::path::PathBuf;

use rustix::fs::CWD;
use rustix::mount::{FsPickFlags, fsconfig_reconfigure, fsconfig_set_flag, fspick};

use crate::error::{Attempt, Result};
use crate::sys::mountinfo::{self, Line};

/// The options of the tree at one time, and where it is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeOptions {
    mount: PathBuf,
    words: Vec<String>,
}

impl TreeOptions {
    /// Those of now; `None` where no tree is mounted.
    pub fn now() -> Option<TreeOptions> {
        mountinfo::lines(&mountinfo::read("self").ok()?).find_map(TreeOptions::of)
    }

    /// Those of a mount, when it is the whole tree.
    fn of(mount: Line<'_>) -> Option<TreeOptions> {
        if mount.kind != b"cgroup2" || mount.root != b"/" {
            return None;
        }
        let options = std::str::from_utf8(mount.super_options).ok()?;
        let words = options.split(',').filter(|word| !matches!(*word, "rw" | "ro"));
        Some(TreeOptions { mount: mount.point(), words: words.map(str::to_owned).collect() })
    }

    /// Puts them back if somebody has taken them away by mounting the tree anew in the first cgroup namespace. CRIU does.
    ///
    /// # Errors
    /// As fspick(2) and fsconfig(2), Linux 5.2.
    pub fn put_back(&self) -> Result<()> {
        if TreeOptions::now().is_none_or(|now| now == *self) {
            return Ok(());
        }
        let put = || {
            let tree = fspick(CWD, &self.mount, FsPickFlags::FSPICK_CLOEXEC)?;
            for word in &self.words {
                fsconfig_set_flag(&tree, word.as_str())?;
            }
            fsconfig_reconfigure(&tree)
        };
        put().attempt(|| format!("put the options {} of {} back", self.words.join(","), self.mount.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_them() {
        let line =
            "30 24 0:26 / /sys/fs/cgroup\\040x rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot";
        let of = |line: &str| TreeOptions::of(Line::parse(line.as_bytes()).unwrap());
        let options = of(line).unwrap();
        assert_eq!(options.mount, PathBuf::from("/sys/fs/cgroup x"));
        assert_eq!(options.words, ["nsdelegate", "memory_recursiveprot"]);
        assert_eq!(of(&line.replace("0:26 / ", "0:26 /a ")), None);
        assert_eq!(of(&line.replace("- cgroup2", "- cgroup")), None);
    }
}
