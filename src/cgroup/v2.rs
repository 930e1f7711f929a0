//! Making a cgroup in the unified hierarchy: passing controllers down to it.

use std::path::Path;

use rustix::io::Errno;

use super::{Created, Made, Resources, file};
use crate::error::{Attempt, Error, Kind, Result, strerror};

/// Makes the directory `path` below `mount`, with all controllers that can be passed down to it.
pub(super) fn create(mount: &Path, path: &Path, resources: &Resources, made: &mut Made) -> Result<Created> {
    let before = made.0.len();
    let fresh = made.mkdir(mount, path)?;
    settle_type(path, &made.0[before..], resources.need_a_domain())?;
    Ok(Created { fresh, not_enabled: enable_controllers(mount, path)? })
}

/// A cgroup below a threaded one is invalid until it is made threaded too, and then cannot have domain controllers
/// (cgroups(7), "Thread mode").
fn settle_type(path: &Path, made: &[std::path::PathBuf], need_a_domain: bool) -> Result<()> {
    // The root of the hierarchy has no such file, and neither has Linux before 4.14.
    let Ok(kind) = file::read(path, "cgroup.type") else { return Ok(()) };
    let kind = kind.trim();
    if kind == "domain" {
        return Ok(());
    }
    if need_a_domain {
        let message = match kind {
            "domain invalid" => format!(
                "cannot enter cgroupv2 {} with domain controllers (memory, io, cpu, hugetlb) -- it is in an invalid state, \
                 since a cgroup above it is threaded",
                path.display()
            ),
            kind => format!("cannot enter cgroupv2 {} with domain controllers -- it is in {kind} mode", path.display()),
        };
        return Err(Error::new(Kind::Unsupported, message));
    }
    if kind == "domain invalid" {
        let new = made.iter().map(std::path::PathBuf::as_path);
        for dir in if made.is_empty() { vec![path] } else { new.collect() } {
            file::write(dir, "cgroup.type", "threaded").attempt(|| file::writing(dir, "cgroup.type", "threaded"))?;
        }
    }
    Ok(())
}

/// Sees to it that every controller of the root reaches `path`. Tells why one does not, which matters only when a limit
/// of it is set.
fn enable_controllers(mount: &Path, path: &Path) -> Result<Option<Error>> {
    const AVAILABLE: &str = "cgroup.controllers";
    let read = |dir: &Path, name: &str| file::read(dir, name).attempt(|| file::reading(dir, name));
    let all = read(mount, AVAILABLE)?;
    let reached = read(path, AVAILABLE)?;
    if missing(&all, &reached).next().is_none() {
        return Ok(None);
    }
    let mut failure = None;
    let mut ancestors: Vec<&Path> = path.ancestors().skip(1).take_while(|dir| dir.starts_with(mount)).collect();
    ancestors.reverse();
    for dir in ancestors {
        let available = read(dir, AVAILABLE)?;
        let enabled = read(dir, "cgroup.subtree_control")?;
        let mut wanted: Vec<String> = missing(&available, &enabled).map(|name| format!("+{name}")).collect();
        if wanted.is_empty() {
            continue;
        }
        // All or nothing is what one write does; then see which one it was.
        if file::write(dir, "cgroup.subtree_control", &wanted.join(" ")).is_ok() {
            continue;
        }
        wanted.retain(|name| match file::write(dir, "cgroup.subtree_control", name) {
            Ok(()) => false,
            Err(errno) => {
                failure.get_or_insert_with(|| cannot_enable(dir, name, errno));
                true
            }
        });
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
    let message = format!("{name} in cgroup.subtree_control of {}: {}{why}", dir.display(), strerror(errno));
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
        let error = cannot_enable(Path::new("/sys/fs/cgroup/a"), "+memory", Errno::BUSY);
        assert_eq!(
            error.to_string(),
            "+memory in cgroup.subtree_control of /sys/fs/cgroup/a: Device or resource busy: it holds processes itself, \
             and such a v2 cgroup cannot have children with controllers"
        );
    }
}
