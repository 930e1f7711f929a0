//! A cgroup below a container's, for one process of it: `exec --cgroup [CONTROLLER[,…]:]PATH`.

use std::path::Path;

use super::{Cgroup, Controller, layout};
use crate::error::{Error, Result};

/// Where below a container's cgroup a process goes: a path for every hierarchy, or one for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubCgroup {
    /// `None` is every hierarchy.
    paths: Vec<(Option<Controller>, String)>,
}

impl SubCgroup {
    /// Reads the arguments of `--cgroup`: a single `PATH`, or any number of `CONTROLLER[,CONTROLLER…]:PATH`.
    ///
    /// # Errors
    /// An unknown or empty controller, one that is named twice, several arguments and one of them without controller.
    pub fn parse<S: AsRef<str>>(arguments: &[S]) -> Result<SubCgroup> {
        let mut paths: Vec<(Option<Controller>, String)> = Vec::new();
        for argument in arguments.iter().map(AsRef::as_ref) {
            let Some((controllers, path)) = argument.split_once(':') else {
                if arguments.len() > 1 {
                    return Err(Error::invalid(format!(
                        "invalid --cgroup argument: {argument} (missing <controller>: prefix)"
                    )));
                }
                paths.push((None, argument.to_owned()));
                continue;
            };
            for name in controllers.split(',') {
                if name.is_empty() {
                    return Err(Error::invalid(format!(
                        "invalid --cgroup argument: {argument} (empty <controller> prefix)"
                    )));
                }
                let controller = Controller::from_name(name).ok_or_else(|| {
                    Error::invalid(format!("invalid --cgroup argument: {argument} (unknown controller {name})"))
                })?;
                if paths.iter().any(|(other, _)| *other == Some(controller)) {
                    return Err(Error::invalid(format!(
                        "invalid --cgroup argument(s): controller {name} specified multiple times"
                    )));
                }
                paths.push((Some(controller), path.to_owned()));
            }
        }
        Ok(SubCgroup { paths })
    }

    /// Whether no place was asked for.
    pub fn is_empty(&self) -> bool {
        self.paths.iter().all(|(_, path)| path.is_empty())
    }
}

impl Cgroup {
    /// The cgroup `sub` below this one, which must be there already.
    ///
    /// # Errors
    /// A path that leads out of the container's cgroup, or a controller that it does not have.
    pub fn sub(&self, sub: &SubCgroup) -> Result<Cgroup> {
        let mut cgroup = Cgroup {
            unified: self.unified,
            dirs: self.dirs.clone(),
            denied: Vec::new(),
            not_enabled: None,
            rootless: self.rootless,
            lenient: self.lenient,
            fd: std::cell::OnceCell::new(),
        };
        for (controller, path) in &sub.paths {
            // Slashes at the start mean nothing; `..` may lead anywhere but out.
            if climbs_out(Path::new(path)) {
                return Err(Error::invalid(format!("bad sub cgroup path: {path}")));
            }
            let below = layout::clean(&Path::new("/").join(path));
            let below = below.strip_prefix("/").unwrap_or(&below);
            let mut found = false;
            for (dir, base) in cgroup.dirs.iter_mut().zip(&self.dirs) {
                if controller.is_none_or(|controller| dir.controllers.contains(&controller)) {
                    found = true;
                    if !below.as_os_str().is_empty() {
                        // Controllers that are mounted together share one directory: the last path counts.
                        dir.path = base.path.join(below);
                    }
                }
            }
            if let Some(controller) = controller.filter(|_| !found) {
                return Err(Error::invalid(format!(
                    "unknown controller {controller}: the container has no cgroup of it"
                )));
            }
        }
        Ok(cgroup)
    }
}

/// Whether a path has more `..` than names before them.
fn climbs_out(path: &Path) -> bool {
    let mut depth = 0;
    path.components().any(|component| {
        match component {
            std::path::Component::Normal(_) => depth += 1,
            std::path::Component::ParentDir => depth -= 1,
            _ => {}
        }
        depth < 0
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn container() -> Cgroup {
        let dir = |controller: &str, path: &str| (controller.to_owned(), PathBuf::from(path));
        let paths = [dir("cpu", "/c/cpu,cpuacct/x"), dir("cpuacct", "/c/cpu,cpuacct/x"), dir("memory", "/c/memory/x")];
        Cgroup::open(&paths.into()).unwrap()
    }

    fn paths(arguments: &[&str]) -> Result<Vec<(String, String)>> {
        let sub = container().sub(&SubCgroup::parse(arguments)?)?;
        Ok(sub.paths().into_iter().map(|(name, path)| (name, path.to_str().unwrap().to_owned())).collect())
    }

    #[test]
    fn one_path_is_for_every_hierarchy() {
        let expected = [("cpu", "/c/cpu,cpuacct/x/a"), ("cpuacct", "/c/cpu,cpuacct/x/a"), ("memory", "/c/memory/x/a")];
        assert_eq!(paths(&["a"]).unwrap(), expected.map(|(name, path)| (name.to_owned(), path.to_owned())));
        assert_eq!(paths(&["/a/b/.."]).unwrap(), paths(&["a"]).unwrap());
    }

    #[test]
    fn each_controller_may_have_its_own() {
        let found = paths(&["memory:m"]).unwrap();
        assert_eq!(found[2], ("memory".to_owned(), "/c/memory/x/m".to_owned()));
        assert_eq!(found[0], ("cpu".to_owned(), "/c/cpu,cpuacct/x".to_owned()));
        let found = paths(&["cpu,cpuacct:c"]).unwrap();
        assert_eq!(found[1], ("cpuacct".to_owned(), "/c/cpu,cpuacct/x/c".to_owned()));
    }

    #[test]
    fn wrong_arguments_are_refused() {
        let refused = |arguments: &[&str]| paths(arguments).unwrap_err().to_string();
        assert_eq!(refused(&["../y"]), "bad sub cgroup path: ../y");
        assert_eq!(refused(&["memory:a/../../y"]), "bad sub cgroup path: a/../../y");
        assert_eq!(refused(&["a", "memory:b"]), "invalid --cgroup argument: a (missing <controller>: prefix)");
        assert_eq!(refused(&[":a"]), "invalid --cgroup argument: :a (empty <controller> prefix)");
        assert_eq!(
            refused(&["memory:a", "memory:b"]),
            "invalid --cgroup argument(s): controller memory specified multiple times"
        );
        assert_eq!(refused(&["pids:a"]), "unknown controller pids: the container has no cgroup of it");
    }
}
