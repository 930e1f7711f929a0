//! Options of ours that unshare and nsenter share: less for the program than it would get. Capabilities, limits on
//! resources, `no_new_privs`, a seccomp filter.

use std::ffi::OsStr;
use std::str::FromStr;

use caps::Capability;
use nskit::error::{Attempt, Errno};
use nskit::launch::program::limit_bounding_set;
use nskit::seccomp::Program;
use nskit::{Error, Result};
use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::getopt::{Argument, Opt};
use super::hints::{self, Failure, Hint};

/// What an option asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Id {
    DropCapabilities,
    NoNewPrivileges,
    Limit,
    Seccomp,
}

/// The options, of a program whose own ids hold these.
pub(crate) const fn options<T: Copy>(drop: T, privileges: T, limit: T, seccomp: T) -> [Opt<T>; 4] {
    [
        Opt::own(drop, "", "cap-drop", Argument::Required("CAPABILITY,..."), "Run without these capabilities, or all"),
        Opt::own(
            privileges,
            "",
            "no-new-privs",
            Argument::No,
            "Run without a way to gain privilege by executing files",
        ),
        Opt::own(limit, "", "rlimit", Argument::Required("LIMIT=SOFT[:HARD]"), "Run with this limit on a resource"),
        Opt::own(
            seccomp,
            "",
            "seccomp",
            Argument::Required("FILE"),
            "Run with the seccomp profile of FILE, as engines have it",
        ),
    ]
}

/// What the program is to do without.
#[derive(Debug, Default)]
pub(crate) struct Confinement {
    dropped: u64,
    no_new_privileges: bool,
    limits: Vec<(&'static str, Resource, Rlimit)>,
    /// With the file that it is from.
    filter: Option<(String, Program)>,
}

impl Confinement {
    /// Takes an option.
    ///
    /// # Errors
    /// What is wrong with its argument.
    pub(crate) fn take(&mut self, id: Id, given: &OsStr) -> Result<()> {
        let text = given.to_string_lossy();
        match id {
            Id::DropCapabilities => {
                for name in text.split(',') {
                    self.dropped |= capability(name)?;
                }
            }
            Id::NoNewPrivileges => self.no_new_privileges = true,
            Id::Limit => {
                let limit = limit(&text)?;
                // The last counts, and an earlier one that is lower must not stand in its way.
                self.limits.retain(|(name, ..)| *name != limit.0);
                self.limits.push(limit);
            }
            Id::Seccomp => self.filter = Some((text.into_owned(), filter(given)?)),
        }
        Ok(())
    }

    /// Applies what needs privilege that the change to user `uid`, which follows, takes away.
    ///
    /// # Errors
    /// As setrlimit(2), prctl(2), seccomp(2).
    pub(crate) fn before_user(&self, uid: Option<u32>) -> Result<(), Failure> {
        for (name, resource, limit) in &self.limits {
            rustix::process::setrlimit(*resource, *limit)
                .attempt(|| format!("set rlimit {name} failed"))
                .hint(|errno| hints::resource(errno, name))?;
        }
        if self.dropped != 0 {
            limit_bounding_set(!self.dropped).hint(hints::bounding_set)?;
        }
        if self.filters_early(uid) { self.filter() } else { Ok(()) }
    }

    /// Applies the rest, when the user is `uid`, if that was changed.
    ///
    /// # Errors
    /// As prctl(2), capset(2), seccomp(2).
    pub(crate) fn after_user(&self, uid: Option<u32>) -> Result<(), Failure> {
        if self.no_new_privileges {
            rustix::thread::set_no_new_privs(true).attempt(|| "prctl(PR_SET_NO_NEW_PRIVS) failed")?;
        }
        if self.dropped != 0 {
            let sets = rustix::thread::capabilities(None).attempt(|| "capget failed")?;
            let without = |set: CapabilitySet| CapabilitySet::from_bits_retain(set.bits() & !self.dropped);
            let sets = CapabilitySets {
                effective: without(sets.effective),
                permitted: without(sets.permitted),
                inheritable: without(sets.inheritable),
            };
            rustix::thread::set_capabilities(None, sets).attempt(|| "capset failed")?;
        }
        if self.filters_early(uid) { Ok(()) } else { self.filter() }
    }

    /// The capabilities that the program is to lack.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What may have refused the change to user `uid` where no other cause is seen: a filter.
    pub(crate) fn suspect(&self, errno: Errno, uid: Option<u32>) -> Option<String> {
        match &self.filter {
            _ if errno != Errno::PERM => None,
            Some((file, _)) if self.filters_early(uid) => {
                Some(format!("the seccomp profile {file} is in force by now, and may refuse this"))
            }
            _ => hints::seccomp(),
        }
    }

    /// Whether the privilege to filter ends before the rest is done. Else the filter comes last, for it may forbid the
    /// rest; container runtimes do the same.
    fn filters_early(&self, uid: Option<u32>) -> bool {
        let ends = uid.is_some_and(|uid| uid != 0) || self.dropped & Capability::CAP_SYS_ADMIN.bitmask() != 0;
        ends && !self.no_new_privileges
    }

    fn filter(&self) -> Result<(), Failure> {
        let Some((_, filter)) = &self.filter else { return Ok(()) };
        let listener = filter.load().hint(hints::filter)?;
        debug_assert!(listener.is_none(), "profiles that notify are refused");
        Ok(())
    }
}

/// What `--cap-drop` can be told, for completions.
pub(crate) fn capabilities() -> Vec<String> {
    let mut names: Vec<String> = caps::all()
        .iter()
        .map(|capability| capability.to_string().trim_start_matches("CAP_").to_ascii_lowercase())
        .collect();
    names.sort_unstable();
    names.push("all".to_owned());
    names
}

/// What `--rlimit` limits.
pub(crate) fn limits() -> impl Iterator<Item = &'static str> {
    RESOURCES.iter().map(|(name, _)| *name)
}

/// The bit of a capability, in any case, with or without `CAP_`; every bit for `all`.
fn capability(name: &str) -> Result<u64> {
    let upper = name.to_ascii_uppercase();
    if upper == "ALL" {
        return Ok(u64::MAX);
    }
    let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    Capability::from_str(&full)
        .map(|capability| capability.bitmask())
        .map_err(|_| Error::invalid(format!("unknown capability: '{name}'")))
}

const RESOURCES: &[(&str, Resource)] = &[
    ("as", Resource::As),
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

/// `nofile=1024:4096`; one value is both limits.
fn limit(text: &str) -> Result<(&'static str, Resource, Rlimit)> {
    let wrong = || Error::invalid(format!("failed to parse rlimit: '{text}'"));
    let (name, values) = text.split_once('=').ok_or_else(wrong)?;
    let lower = name.to_ascii_lowercase();
    let plain = lower.strip_prefix("rlimit_").unwrap_or(&lower);
    let (name, resource) = RESOURCES.iter().find(|(known, _)| *known == plain).ok_or_else(|| {
        let names: Vec<&str> = RESOURCES.iter().map(|(name, _)| *name).collect();
        Error::invalid(format!("unknown rlimit: '{name}', which is none of {}", names.join(", ")))
    })?;
    // As prlimit(1) takes them.
    let value = |text: &str| match text {
        "unlimited" | "infinity" | "-1" => Ok(None),
        number => number.parse().map(Some).map_err(|_| wrong()),
    };
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let limit = Rlimit { current: value(soft)?, maximum: value(hard)? };
    if limit.current.unwrap_or(u64::MAX) > limit.maximum.unwrap_or(u64::MAX) {
        return Err(Error::invalid(format!("rlimit '{text}' has a soft limit above the hard one")));
    }
    Ok((name, *resource, limit))
}

/// A filter from a file: the `linux.seccomp` of a runtime configuration, alone or in its place.
fn filter(file: &OsStr) -> Result<Program> {
    let shown = file.to_string_lossy();
    let text = std::fs::read(file).map_err(|error| Error::io(&error, format!("cannot open {shown}")))?;
    let profile = nskit::container::spec::seccomp::from_text(&text).map_err(|error| error.context(&shown))?;
    if profile.notifies() {
        return Err(Error::invalid(format!("{shown} has rules that notify, and nobody here would answer")));
    }
    nskit::seccomp::compile(&profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_capabilities_in_any_spelling() {
        assert_eq!(capability("CAP_NET_ADMIN").unwrap(), 1 << 12);
        assert_eq!(capability("net_admin").unwrap(), 1 << 12);
        assert_eq!(capability("all").unwrap(), u64::MAX);
        assert_eq!(capability("bogus").unwrap_err().to_string(), "unknown capability: 'bogus'");
    }

    #[test]
    fn reads_limits_with_one_value_or_two() {
        let read = |text: &str| limit(text).map(|(_, _, limit)| (limit.current, limit.maximum)).ok();
        assert_eq!(read("nofile=5"), Some((Some(5), Some(5))));
        assert_eq!(read("RLIMIT_NOFILE=5:6"), Some((Some(5), Some(6))));
        assert_eq!(read("core=0:unlimited"), Some((Some(0), None)));
        assert_eq!(read("core=-1"), Some((None, None)));
        for wrong in ["nofile", "nofile=", "bogus=1", "nofile=x", "nofile=1:x", "nofile=2:1", "nofile=-1:1"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
