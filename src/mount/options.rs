//! Mount options in words, as fstab(5), mount(8) and the OCI runtime-spec have them, and what they mean. Pure.

use rustix::mount::MountPropagationFlags;

use crate::error::{Error, Result};
use crate::sys::mount as attr;
use crate::sys::mount::MountAttr;

/// How mount events travel between a mount and its peers; mount_namespaces(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// Both ways.
    Shared,
    /// Only from the peers to here.
    Slave,
    /// Not at all.
    Private,
    /// Not at all, and it cannot be bound elsewhere.
    Unbindable,
}

impl Propagation {
    /// The one with this name, in its recursive form (`rprivate`) or not; the flag says which.
    pub fn from_name(name: &str) -> Option<(Propagation, bool)> {
        let (recursive, bare) = match name.strip_prefix('r') {
            Some(rest) => (true, rest),
            None => (false, name),
        };
        let propagation = match bare {
            "shared" => Propagation::Shared,
            "slave" => Propagation::Slave,
            "private" => Propagation::Private,
            "unbindable" => Propagation::Unbindable,
            _ => return None,
        };
        Some((propagation, recursive))
    }

    /// The flag of mount(2) and mount_setattr(2).
    pub fn flag(self) -> MountPropagationFlags {
        match self {
            Propagation::Shared => MountPropagationFlags::SHARED,
            Propagation::Slave => MountPropagationFlags::DOWNSTREAM,
            Propagation::Private => MountPropagationFlags::PRIVATE,
            Propagation::Unbindable => MountPropagationFlags::UNBINDABLE,
        }
    }
}

/// What a list of options asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Attributes of the one mount.
    pub attributes: MountAttr,
    /// Some word names an attribute of the one mount, though maybe only to leave access times as they are.
    pub names_attributes: bool,
    /// Attributes of it and all mounts below it (`rro` and kin).
    pub recursive: MountAttr,
    /// Propagation to set after mounting, in this order; true is recursive.
    pub propagation: Vec<(Propagation, bool)>,
    /// It binds an existing tree; true takes the mounts below along.
    pub bind: Option<bool>,
    /// It changes a mount that is already there.
    pub remount: bool,
    /// Options of the file system: those that no mount attribute stands for, as `key` or `key=value`.
    pub filesystem: Vec<String>,
    /// What the new tmpfs hides is copied into it.
    pub tmpcopyup: bool,
    /// The mount's ids are mapped (`idmap`, `ridmap`); true takes the mounts below along.
    pub idmap: Option<bool>,
    /// How, where the option says that itself: what comes after `idmap=` (crun).
    pub idmap_ids: Option<String>,
    /// A source that is a symbolic link is itself bound (crun).
    pub source_nofollow: bool,
    /// A target that is a symbolic link is replaced rather than followed (crun).
    pub target_nofollow: bool,
    /// A source that is a symbolic link is made again at the target (crun).
    pub copy_symlink: bool,
}

impl Options {
    /// Reads options in the order in which they are given: the last of two that contradict each other holds.
    ///
    /// # Errors
    /// For `idmap` and `ridmap` together; unknown words are left to the file system, as mount(8) does.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Options> {
        let mut options = Options::default();
        for word in words {
            options.add(word.as_ref())?;
        }
        Ok(options)
    }

    fn add(&mut self, word: &str) -> Result<()> {
        if let Some((propagation, recursive)) = Propagation::from_name(word) {
            self.propagation.push((propagation, recursive));
            return Ok(());
        }
        if let Some(change) = attribute(word) {
            change.apply(&mut self.attributes);
            self.names_attributes = true;
            return Ok(());
        }
        if let Some(change) = word.strip_prefix('r').and_then(recursive_attribute) {
            change.apply(&mut self.recursive);
            return Ok(());
        }
        let (word, ids) = match word.split_once('=') {
            Some((name @ ("idmap" | "ridmap"), ids)) => (name, Some(ids)),
            _ => (word, None),
        };
        match word {
            "bind" => self.bind = Some(self.bind.unwrap_or(false)),
            "rbind" => self.bind = Some(true),
            "remount" => self.remount = true,
            "tmpcopyup" => self.tmpcopyup = true,
            "idmap" | "ridmap" => {
                if self.idmap.is_some() {
                    return Err(Error::invalid("only one of the mount options idmap and ridmap may be given, once"));
                }
                self.idmap = Some(word == "ridmap");
                self.idmap_ids = ids.map(str::to_owned);
            }
            "src-nofollow" => self.source_nofollow = true,
            "dest-nofollow" => self.target_nofollow = true,
            "copy-symlink" => self.copy_symlink = true,
            // For mount(8) and init systems, no business of the kernel's.
            "" | "defaults" | "auto" | "noauto" | "user" | "nouser" | "users" | "group" | "owner" | "_netdev"
            | "nofail" => {}
            "loud" => self.filesystem.retain(|word| word != "silent"),
            other => {
                let positive = match other {
                    "async" => Some("sync"),
                    "nodirsync" => Some("dirsync"),
                    "nolazytime" => Some("lazytime"),
                    "nomand" => Some("mand"),
                    "noiversion" => Some("iversion"),
                    _ => None,
                };
                match positive {
                    Some(positive) => self.filesystem.retain(|word| word != positive),
                    None => self.filesystem.push(other.to_owned()),
                }
            }
        }
        Ok(())
    }

    /// Whether mount(2) has a flag for this option of the file system, of whatever type that is.
    pub fn is_of_superblock(word: &str) -> bool {
        matches!(word, "sync" | "dirsync" | "lazytime" | "mand" | "iversion" | "silent")
    }

    /// Whether it asks for a read-only mount.
    pub fn read_only(&self) -> bool {
        (self.attributes.set | self.recursive.set) & attr::RDONLY != 0
    }
}

enum Change {
    /// These attributes, and no longer those.
    Attributes { set: u64, clear: u64 },
    /// An earlier word that asked for this way of updating access times no longer holds.
    Withdraw(u64),
    /// Nor does one that asked for this attribute.
    WithdrawBit(u64),
}

impl Change {
    fn apply(&self, to: &mut MountAttr) {
        match *self {
            Change::Attributes { set, clear } => {
                to.clear = (to.clear & !set) | clear;
                to.set = (to.set & !clear) | set;
            }
            Change::Withdraw(way) if to.set & attr::ATIME == way => {
                to.clear &= !attr::ATIME;
                to.set &= !attr::ATIME;
            }
            Change::Withdraw(_) => {}
            Change::WithdrawBit(bit) => to.set &= !bit,
        }
    }
}

fn attribute(word: &str) -> Option<Change> {
    let set = |set| Some(Change::Attributes { set, clear: 0 });
    let clear = |clear| Some(Change::Attributes { set: 0, clear });
    // The kernel wants the whole field of access times cleared whenever a bit of it is set.
    let atime = |set| Some(Change::Attributes { set, clear: attr::ATIME & !set });
    match word {
        "ro" => set(attr::RDONLY),
        "rw" => clear(attr::RDONLY),
        "nosuid" => set(attr::NOSUID),
        "suid" => clear(attr::NOSUID),
        "nodev" => set(attr::NODEV),
        "dev" => clear(attr::NODEV),
        "noexec" => set(attr::NOEXEC),
        "exec" => clear(attr::NOEXEC),
        "noatime" => atime(attr::NOATIME),
        "strictatime" => atime(attr::STRICTATIME),
        "relatime" => atime(attr::RELATIME),
        // As for mount(2), they take back a word and clear nothing of the source.
        "atime" => Some(Change::Withdraw(attr::NOATIME)),
        "nostrictatime" => Some(Change::Withdraw(attr::STRICTATIME)),
        "norelatime" => Some(Change::Withdraw(attr::RELATIME)),
        "nodiratime" => set(attr::NODIRATIME),
        "diratime" => Some(Change::WithdrawBit(attr::NODIRATIME)),
        "nosymfollow" => set(attr::NOSYMFOLLOW),
        "symfollow" => clear(attr::NOSYMFOLLOW),
        _ => None,
    }
}

/// As [`attribute`], for a tree: there, mount_setattr(2) does clear what it is told to.
fn recursive_attribute(word: &str) -> Option<Change> {
    match word {
        "atime" | "nostrictatime" | "norelatime" => attribute("relatime"),
        "diratime" => Some(Change::Attributes { set: 0, clear: attr::NODIRATIME }),
        other => attribute(other),
    }
}

/// `attr` as the kernel wants it: whoever sets an access-time bit clears the whole field.
pub fn for_kernel(attr: MountAttr) -> MountAttr {
    let touches_atime = (attr.set | attr.clear) & attr::ATIME != 0;
    MountAttr { clear: if touches_atime { attr.clear | attr::ATIME } else { attr.clear }, ..attr }
}

/// Every option that [`Options::parse`] knows by itself, for `features`.
pub fn known() -> Vec<String> {
    let attributes = [
        "ro",
        "rw",
        "nosuid",
        "suid",
        "nodev",
        "dev",
        "noexec",
        "exec",
        "noatime",
        "atime",
        "strictatime",
        "nostrictatime",
        "relatime",
        "norelatime",
        "nodiratime",
        "diratime",
        "nosymfollow",
        "symfollow",
    ];
    let others = [
        "async",
        "bind",
        "copy-symlink",
        "defaults",
        "dest-nofollow",
        "dirsync",
        "idmap",
        "iversion",
        "lazytime",
        "loud",
        "mand",
        "noiversion",
        "nolazytime",
        "nomand",
        "private",
        "rbind",
        "remount",
        "ridmap",
        "rprivate",
        "rshared",
        "rslave",
        "runbindable",
        "shared",
        "silent",
        "slave",
        "src-nofollow",
        "sync",
        "tmpcopyup",
        "unbindable",
    ];
    let mut all: Vec<String> = others.iter().map(|word| (*word).to_owned()).collect();
    all.extend(attributes.iter().flat_map(|word| [(*word).to_owned(), format!("r{word}")]));
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_contradicting_options_holds() {
        let options = Options::parse(&["ro", "rw", "suid", "nosuid"]).unwrap();
        assert_eq!((options.attributes.set, options.attributes.clear), (attr::NOSUID, attr::RDONLY));
        assert!(!options.read_only());
    }

    #[test]
    fn recursive_words_touch_the_mounts_below() {
        let options = Options::parse(&["rbind", "rro", "rslave", "private"]).unwrap();
        assert_eq!(options.bind, Some(true));
        assert_eq!(options.recursive.set, attr::RDONLY);
        assert_eq!(options.propagation, [(Propagation::Slave, true), (Propagation::Private, false)]);
    }

    #[test]
    fn an_access_time_option_clears_its_whole_field_for_the_kernel() {
        let options = Options::parse(&["noatime"]).unwrap();
        let kernel = for_kernel(options.attributes);
        assert_eq!((kernel.set, kernel.clear), (attr::NOATIME, attr::ATIME));
        assert_eq!(for_kernel(MountAttr::default()).clear, 0);
    }

    #[test]
    fn a_negated_access_time_option_takes_back_its_opposite_and_asks_for_nothing() {
        let options = Options::parse(&["atime"]).unwrap();
        assert!(options.names_attributes && options.attributes == MountAttr::default());
        assert_eq!(Options::parse(&["noatime", "atime"]).unwrap().attributes, MountAttr::default());
        let kept = Options::parse(&["noatime", "norelatime"]).unwrap().attributes;
        assert_eq!(kept.set, attr::NOATIME);
        let whole = Options::parse(&["ratime"]).unwrap();
        assert!(!whole.names_attributes && for_kernel(whole.recursive).clear == attr::ATIME);
    }

    #[test]
    fn what_no_attribute_stands_for_is_the_file_systems() {
        let options = Options::parse(&["mode=755", "sync", "async", "size=65536k", "newinstance"]).unwrap();
        assert_eq!(options.filesystem, ["mode=755", "size=65536k", "newinstance"]);
        assert!(Options::parse(&["idmap", "ridmap"]).is_err());
    }

    #[test]
    fn every_known_option_is_known() {
        for word in known() {
            assert!(Options::parse(&[word.as_str()]).unwrap().filesystem.iter().all(|left| *left == word));
        }
    }
}
