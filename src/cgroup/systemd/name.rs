//! What a container's unit is called, and where systemd puts its cgroup. Pure.

use std::path::PathBuf;

use crate::error::{Error, Result};

/// The longest name of a unit that systemd takes.
const LONGEST: usize = 255;

/// A unit's name and the slice that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// `PREFIX-NAME.scope`, or a slice.
    pub unit: String,
    /// The slice.
    pub slice: String,
}

impl Name {
    /// What `linux.cgroupsPath` says: `SLICE:PREFIX:NAME`, or `SLICE:NAME` for the scope `NAME.scope`. Without one, or where it leaves something out, the slice is
    /// `default_slice`, the prefix `runc`, the name the container's `id`. A NAME that ends in `.slice` is the unit itself.
    ///
    /// # Errors
    /// It is of another form, or a name that no unit can have.
    pub fn parse(cgroups_path: Option<&str>, id: &str, default_slice: &str) -> Result<Name> {
        let (slice, prefix, name) = match cgroups_path.filter(|path| !path.is_empty()) {
            None => ("", "runc", id),
            Some(path) => match path.split(':').collect::<Vec<_>>()[..] {
                [slice, prefix, name] => (slice, prefix, name),
                // As crun has it.
                [slice, name] => (slice, "", name),
                _ => {
                    return Err(Error::invalid(format!(
                        "linux.cgroupsPath {path:?} is not SLICE:PREFIX:NAME or SLICE:NAME, as the systemd cgroup driver \
                         has it"
                    )));
                }
            },
        };
        let name = if name.is_empty() { id } else { name };
        let slice = match slice {
            "" => default_slice,
            "-" => "-.slice",
            slice => slice,
        };
        let unit = match prefix {
            _ if name.ends_with(".slice") => name.to_owned(),
            "" if cgroups_path.is_some_and(|path| path.matches(':').count() == 1) => {
                format!("{}.scope", name.strip_suffix(".scope").unwrap_or(name))
            }
            prefix => format!("{prefix}-{name}.scope"),
        };
        expand(slice)?;
        let name = Name { unit, slice: slice.to_owned() };
        if name.is_slice() {
            expand(&name.unit)?;
        } else if name.unit.len() > LONGEST || !name.unit.bytes().all(is_allowed) {
            return Err(Error::invalid(format!("{:?} (of linux.cgroupsPath) cannot be the name of a unit", name.unit)));
        }
        Ok(name)
    }

    /// Whether the unit is a slice, not a scope.
    pub fn is_slice(&self) -> bool {
        self.unit.ends_with(".slice")
    }

    /// The unit's cgroup below that of the service manager.
    pub fn cgroup(&self) -> PathBuf {
        // A slice's name is its place. What it says was checked when it was made.
        let above = expand(if self.is_slice() { &self.unit } else { &self.slice }).unwrap_or_default();
        if self.is_slice() { above } else { above.join(escape(self.unit.clone())) }
    }
}

/// The letters that names of units may have, but for the slash in none.
fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte)
}

/// The cgroup of a slice: `a-b.slice` is in `a.slice`. That of `-.slice`, the root of all, is empty.
fn expand(slice: &str) -> Result<PathBuf> {
    let invalid = || Error::invalid(format!("{slice:?} (of linux.cgroupsPath) cannot be the name of a slice"));
    let name = slice.strip_suffix(".slice").filter(|_| slice.len() <= LONGEST).ok_or_else(invalid)?;
    let mut path = PathBuf::new();
    if name == "-" {
        return Ok(path);
    }
    let mut so_far = String::new();
    for part in name.split('-') {
        if part.is_empty() || !part.bytes().all(is_allowed) {
            return Err(invalid());
        }
        if !so_far.is_empty() {
            so_far.push('-');
        }
        so_far.push_str(part);
        path.push(escape(format!("{so_far}.slice")));
    }
    Ok(path)
}

/// What comes before the dot of files that the kernel has in a cgroup, and what systemd takes for a controller too: its
/// `cg_escape()`.
const FILES: [&str; 14] = [
    "cgroup",
    "cpu",
    "cpuacct",
    "cpuset",
    "io",
    "blkio",
    "memory",
    "devices",
    "pids",
    "bpf-firewall",
    "bpf-devices",
    "bpf-foreign",
    "bpf-socket-bind",
    "bpf-restrict-network-interfaces",
];

/// What the cgroup of a unit is called: as the unit, with `_` before what could be mistaken for a file.
fn escape(unit: String) -> String {
    let is_file = unit.split_once('.').is_some_and(|(first, _)| FILES.contains(&first));
    if is_file || unit.starts_with(['_', '.']) { format!("_{unit}") } else { unit }
}

/// The path of a unit's object: letters and digits as they are, anything else as `_` and two digits.
pub fn object_path(unit: &str) -> String {
    let mut path = "/org/freedesktop/systemd1/unit/".to_owned();
    for (at, byte) in unit.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (byte.is_ascii_digit() && at > 0) {
            path.push(byte.into());
        } else {
            path.push_str(&format!("_{byte:02x}"));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(path: &str) -> Result<(String, String, String)> {
        let name = Name::parse(Some(path), "id", "system.slice")?;
        let cgroup = name.cgroup().to_str().unwrap().to_owned();
        Ok((name.slice, name.unit, cgroup))
    }

    fn three(slice: &str, unit: &str, cgroup: &str) -> (String, String, String) {
        (slice.to_owned(), unit.to_owned(), cgroup.to_owned())
    }

    #[test]
    fn three_parts_name_a_scope_in_a_slice() {
        assert_eq!(
            parsed("user-1000.slice:docker:1234").unwrap(),
            three("user-1000.slice", "docker-1234.scope", "user.slice/user-1000.slice/docker-1234.scope")
        );
        assert_eq!(parsed("-.slice:x:y").unwrap(), three("-.slice", "x-y.scope", "x-y.scope"));
        assert_eq!(parsed("-:x:y").unwrap(), parsed("-.slice:x:y").unwrap());
    }

    #[test]
    fn two_parts_name_a_scope_without_a_prefix() {
        for path in ["a.slice:web", "a.slice:web.scope"] {
            assert_eq!(parsed(path).unwrap(), three("a.slice", "web.scope", "a.slice/web.scope"));
        }
        assert_eq!(parsed(":web").unwrap().2, "system.slice/web.scope");
        assert_eq!(parsed("a.slice:").unwrap().1, "id.scope");
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let runc = three("system.slice", "runc-id.scope", "system.slice/runc-id.scope");
        assert_eq!(parsed("").unwrap(), runc);
        assert_eq!(parsed(":runc:").unwrap(), runc);
        let name = Name::parse(None, "id", "user.slice").unwrap();
        assert_eq!((name.slice.as_str(), name.unit.as_str()), ("user.slice", "runc-id.scope"));
    }

    #[test]
    fn a_cgroup_is_not_called_as_a_file_of_the_kernel() {
        assert_eq!(parsed("_a.slice:b:c").unwrap().2, "__a.slice/b-c.scope");
        assert_eq!(parsed("cpu-x.slice:_b:c").unwrap().2, "_cpu.slice/cpu-x.slice/__b-c.scope");
        assert_eq!(parsed("a.slice:cgroup.b:c").unwrap().2, "a.slice/_cgroup.b-c.scope");
        assert_eq!(parsed("a.slice:.b:c").unwrap().2, "a.slice/_.b-c.scope");
        assert_eq!(parsed("a.slice:x:memory.slice").unwrap().2, "_memory.slice");
        assert_eq!(parsed("cpus.slice:cpu:c").unwrap().2, "cpus.slice/cpu-c.scope");
    }

    #[test]
    fn a_name_may_be_a_slice() {
        let name = Name::parse(Some("kubepods.slice:x:kubepods-pod1.slice"), "id", "system.slice").unwrap();
        assert!(name.is_slice());
        assert_eq!(name.cgroup().to_str(), Some("kubepods.slice/kubepods-pod1.slice"));
    }

    #[test]
    fn anything_else_is_refused_by_its_name() {
        for path in ["/docker/1", "a.slice:b:c:d", "system.slice"] {
            let error = parsed(path).unwrap_err().to_string();
            assert!(error.contains(path) && error.contains("SLICE:PREFIX:NAME"), "{error}");
        }
        for path in ["a:b", "a:b:c", "a/b.slice:b:c", "a--b.slice:b:c", "-a.slice:b:c", ".slice:b:c", "a b.slice:b:c"] {
            let error = parsed(path).unwrap_err().to_string();
            assert!(error.contains("name of a slice"), "{path}: {error}");
        }
        for path in ["a.slice:b:c/d", "a.slice:b c:d", "a.slice:é:d"] {
            let error = parsed(path).unwrap_err().to_string();
            assert!(error.contains("name of a unit"), "{path}: {error}");
        }
        assert!(parsed(&format!("a.slice:b:{}", "x".repeat(250))).is_err());
    }

    #[test]
    fn an_object_path_has_only_letters_and_digits() {
        assert_eq!(object_path("runc-a1.scope"), "/org/freedesktop/systemd1/unit/runc_2da1_2escope");
        assert_eq!(object_path("1"), "/org/freedesktop/systemd1/unit/_31");
    }
}
