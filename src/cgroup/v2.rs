//! Making a cgroup in the unified hierarchy: passing controllers down to it.

use std::path::Path;

use rustix::io::Errno;

use super::{Created, Made, Resources, file};
use crate::error::{Attempt, Error, Kind, Result, strerror};

const AVAILABLE: &str = "cgroup.controllers";
const ENABLED: &str = "cgroup.subtree_control";

/// Makes the directory `path` below `mount`, with all controllers that can be passed down to it.
pub(super) fn create(mount: &Path, path: &Path, resources: &Resources, made: &mut Made) -> Result<Created> {
    let fresh = made.mkdir(mount, path)?;
    let all = read(mount, AVAILABLE)?;
    let as_wanted = missing(&all, &read(path, AVAILABLE)?).next().is_none() && kind(path) == "domain";
    let not_enabled = if as_wanted { None } else { pass_down(mount, path, resources.need_a_domain())? };
    Ok(Created { fresh, not_enabled })
}

fn read(dir: &Path, name: &str) -> Result<String> {
    file::read(dir, name).attempt(|| file::reading(dir, name))
}

/// `domain`, `threaded` and the like. The root of the hierarchy has no such file, and is a domain.
fn kind(dir: &Path) -> String {
    file::read(dir, "cgroup.type").map_or_else(|_| "domain".to_owned(), |kind| kind.trim().to_owned())
}

/// Goes down to `path` and sees to it that every controller of the root reaches it. Tells why one does not, which
/// matters only when a limit of it is set.
fn pass_down(mount: &Path, path: &Path, need_a_domain: bool) -> Result<Option<Error>> {
    let mut dirs: Vec<&Path> = path.ancestors().take_while(|dir| dir.starts_with(mount)).collect();
    dirs.reverse();
    let mut failure = None;
    for dir in dirs {
        settle_type(dir, need_a_domain, failure.as_ref())?;
        if dir != path {
            let failed = enable(dir, need_a_domain)?;
            failure = failure.or(failed);
        }
    }
    Ok(failure)
}

/// A cgroup below a threaded one is invalid until it is made threaded too, and then cannot have domain controllers
/// (cgroups(7), "Thread mode").
fn settle_type(dir: &Path, need_a_domain: bool, failure: Option<&Error>) -> Result<()> {
    let kind = kind(dir);
    if kind == "domain" {
        return Ok(());
    }
    if need_a_domain {
        let state = match kind.as_str() {
            "domain invalid" => "it is in an invalid state: a cgroup above it is threaded",
            kind => &format!("it is in {kind} mode"),
        };
        let why = failure.map_or(String::new(), |error| format!(" ({})", error.as_go_prints_it()));
        let message = format!(
            "cannot enter cgroupv2 {} with domain controllers (memory, io, cpu, hugetlb) -- {state}{why}",
            dir.display()
        );
        return Err(Error::new(Kind::Unsupported, message));
    }
    if kind == "domain invalid" {
        file::write(dir, "cgroup.type", "threaded").attempt(|| file::writing(dir, "cgroup.type", "threaded"))?;
    }
    Ok(())
}

/// Enables for the children of `dir` what it has; tells what could not be.
fn enable(dir: &Path, need_a_domain: bool) -> Result<Option<Error>> {
    const THREADED: [&str; 4] = ["cpu", "cpuset", "perf_event", "pids"];
    let available = read(dir, AVAILABLE)?;
    let enabled = read(dir, ENABLED)?;
    let mut wanted: Vec<&str> = missing(&available, &enabled).collect();
    let plus = |names: &[&str]| names.iter().map(|name| format!("+{name}")).collect::<Vec<_>>().join(" ");
    // One write is all or nothing.
    if wanted.is_empty() || file::write(dir, ENABLED, &plus(&wanted)).is_ok() {
        return Ok(None);
    }
    wanted.sort_by_key(|name| THREADED.contains(name));
    let mut failure = None;
    for name in wanted {
        // In a cgroup with processes threaded controllers can be enabled, which makes a threaded domain of it; that
        // must not happen in vain.
        if failure.is_some() && need_a_domain && THREADED.contains(&name) {
            break;
        }
        if let Err(errno) = file::write(dir, ENABLED, &plus(&[name])) {
            failure.get_or_insert_with(|| cannot_enable(dir, name, errno));
        }
    }
    Ok(failure)
}

/// The words of `all` that are not in `some`.
fn missing<'a>(all: &'a str, some: &'a str) -> impl Iterator<Item = &'a str> {
    all.split_ascii_whitespace().filter(|name| !some.split_ascii_whitespace().any(|other| other == *name))
}

fn cannot_enable(dir: &Path, name: &str, errno: Errno) -> Error {
    let why = match errno {
        Errno::BUSY => ": it holds processes itself, and such a v2 cgroup cannot have children with controllers",
        Errno::OPNOTSUPP => ": it is threaded",
        Errno::INVAL => ": the kernel does not allow this controller there",
        _ => "",
    };
    let message = format!("enable {name} for the children of {}: {}{why}", dir.display(), strerror(errno));
    Error::new(Kind::Os, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_missing_controllers_are_enabled() {
        let names: Vec<_> = missing("cpuset cpu io memory\n", "cpu memory\n").collect();
        assert_eq!(names, ["cpuset", "io"]);
        assert_eq!(missing("cpu\n", "cpu io\n").next(), None);
    }

    #[test]
    fn the_reason_names_the_rule_that_was_broken() {
        let error = cannot_enable(Path::new("/sys/fs/cgroup/a"), "memory", Errno::BUSY);
        assert_eq!(
            error.to_string(),
            "enable memory for the children of /sys/fs/cgroup/a: Device or resource busy: it holds processes itself, \
             and such a v2 cgroup cannot have children with controllers"
        );
    }
}
