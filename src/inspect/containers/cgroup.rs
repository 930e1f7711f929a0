//! Which engine and container a cgroup path names.

use super::container::{Container, Engine};
use crate::inspect::proc;

/// Prefixes of the last component of a path, with what comes before the id, and the engine that writes them: with the
/// systemd driver `PREFIX-ID.scope`, with cgroupfs `PREFIX-ID`.
const PREFIXES: [(&str, Engine); 7] = [
    ("docker-", Engine::Docker),
    ("cri-containerd-", Engine::Containerd),
    ("nerdctl-", Engine::Containerd),
    ("libpod-", Engine::Podman),
    ("crio-", Engine::Crio),
    ("machine-", Engine::Machine),
    ("nskit-", Engine::Nskit),
];

/// The content of the process's `/proc/PID/cgroup`.
pub(super) fn of(pid: i32) -> Option<Vec<u8>> {
    proc::read(&format!("/proc/{pid}/cgroup")).ok()
}

/// Whether any hierarchy has the process in another cgroup than the root: one in the root shares it with the host.
pub(super) fn is_below_root(cgroups: &[u8]) -> bool {
    paths(cgroups).any(|path| path != "/")
}

/// The container that the content of `/proc/PID/cgroup` names, as far as paths tell.
pub(super) fn identify(cgroups: &[u8]) -> Option<Container> {
    let containers = paths(cgroups).filter_map(from_path);
    // Systemd has services in a hierarchy of its own; anything else says more.
    containers.min_by_key(|container| container.engine == Engine::Systemd)
}

/// The ids in the content of `/proc/keys`, proc_keys(5): session keyrings that OCI runtimes make are called `_ses.ID`.
pub(super) fn sessions(keys: &[u8]) -> Vec<String> {
    let lines = keys.split(|&byte| byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let id = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(7);
        let is_keyring = words.next() == Some("keyring");
        let id = words.next()?.strip_suffix(':')?.strip_prefix("_ses.")?;
        (is_keyring && !id.is_empty()).then(|| id.to_owned())
    };
    lines.filter_map(id).collect()
}

/// The container whose id is one of `sessions`, and names a cgroup of the content of `/proc/PID/cgroup`: the innermost; and
/// the path of that cgroup, which tells it from another of the same id below another runtime's root.
pub(super) fn identify_session<'a>(cgroups: &'a [u8], sessions: &[String]) -> Option<(Container, &'a str)> {
    let above = |path: &'a str| std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(above, _)| above));
    let name = |path: &'a str| path.rsplit('/').next().unwrap_or(path);
    let mut places = paths(cgroups).flat_map(above);
    let place = places.find(|place| sessions.iter().any(|session| session == name(place)))?;
    Some((Container::new(Engine::Runtime, name(place)), place))
}

/// The cgroup paths that are a container's own, of the content of its first process's `/proc/PID/cgroup`: those that
/// whoever started it is not in.
pub(super) fn own_paths<'a>(cgroups: &'a [u8], starter: Option<&[u8]>) -> Vec<&'a str> {
    let theirs: Vec<&str> = starter.map(|starter| paths(starter).collect()).unwrap_or_default();
    paths(cgroups).filter(|path| *path != "/" && !theirs.contains(path)).collect()
}

/// Whether one of the recorded paths, which begin where the hierarchy is mounted, ends as one of these does.
pub(super) fn is_recorded(cgroups: &[u8], recorded: &[String]) -> bool {
    paths(cgroups).any(|path| is_recorded_at(path, recorded))
}

/// The same of one path.
pub(super) fn is_recorded_at(path: &str, recorded: &[String]) -> bool {
    path != "/" && recorded.iter().any(|known| known.ends_with(path))
}

/// What `find` finds by the innermost of these cgroups, or by one that they are in.
pub(super) fn innermost<T>(cgroups: &[u8], find: impl FnMut(&str) -> Option<T>) -> Option<T> {
    let above = |path| std::iter::successors(Some(path), |path: &&str| path.rsplit_once('/').map(|(above, _)| above));
    paths(cgroups).flat_map(above).filter(|path| !path.is_empty() && *path != "/").find_map(find)
}

/// The paths, without controllers, of the lines `4:memory:/docker/ID`.
fn paths(cgroups: &[u8]) -> impl Iterator<Item = &str> {
    let lines = cgroups.split(|&byte| byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    lines.filter_map(|line| line.splitn(3, ':').nth(2)).map(|path| path.strip_suffix(" (deleted)").unwrap_or(path))
}

fn from_path(path: &str) -> Option<Container> {
    let components: Vec<&str> = path.split('/').filter(|component| !component.is_empty()).collect();
    // conmon of a container in a pod is in the pod's cgroup, whose name is an id as a container's is.
    if components.last() == Some(&"conmon") {
        return None;
    }
    // The innermost that says something: containers can make cgroups of their own, and engines can run in containers.
    for (place, component) in components.iter().enumerate().rev() {
        let above = place.checked_sub(1).map_or("", |above| components[above]);
        if let Some(found) = from_component(component, above) {
            return Some(found);
        }
    }
    components.iter().rev().find(|component| component.ends_with(".service")).map(|unit| {
        let mut container = Container::new(Engine::Systemd, *unit);
        container.name = Some((*unit).to_owned());
        container
    })
}

fn from_component(component: &str, above: &str) -> Option<Container> {
    if let Some(name) = component.strip_prefix("lxc.payload.") {
        return Some(named(Engine::Lxc, name));
    }
    if above == "lxc" || above == "lxc.payload" {
        return Some(named(Engine::Lxc, component));
    }
    // containerd's cgroupfs form of a systemd path: SLICE:cri-containerd:ID
    let (scope, component) = match component.rsplit(':').collect::<Vec<_>>().as_slice() {
        [id, prefix, _slice] => (format!("{prefix}-"), *id),
        _ => (String::new(), component),
    };
    let stem = component.strip_suffix(".scope").unwrap_or(component);
    for (prefix, engine) in PREFIXES {
        let id = if scope == prefix { Some(stem) } else { stem.strip_prefix(prefix) };
        match id {
            // conmon and podman's pods have such names too, and are no containers.
            // cgroupfs paths of ours are chosen by the caller; only systemd's scopes have the prefix.
            Some(_) if engine == Engine::Nskit && !component.ends_with(".scope") => return None,
            Some(id) if id.starts_with("conmon-") || id.starts_with("pod_") => return None,
            Some(id) if engine == Engine::Machine && component.ends_with(".scope") => {
                return Some(named(engine, &unescape(id)));
            }
            Some(id) if engine != Engine::Machine && !id.is_empty() => return Some(Container::new(engine, id)),
            _ => {}
        }
    }
    let is_id = stem.len() == 64 && stem.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id {
        let engine = match above {
            "docker" => Engine::Docker,
            above if above.starts_with("pod") || above.contains("kubepods") => Engine::Containerd,
            "libpod_parent" | "libpod" => Engine::Podman,
            _ => Engine::Runtime,
        };
        return Some(Container::new(engine, stem));
    }
    None
}

fn named(engine: Engine, name: &str) -> Container {
    let mut container = Container::new(engine, name);
    container.name = Some(name.to_owned());
    container
}

/// Undoes systemd's escapes: `\x2d` for a dash.
fn unescape(name: &str) -> String {
    let mut parts = name.split("\\x");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                text.push(char::from(byte));
                text.push_str(&part[2..]);
            }
            None => {
                text.push_str("\\x");
                text.push_str(part);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn found(path: &str) -> Option<(Engine, String)> {
        let path = path.replace("ID", ID);
        identify(format!("0::{path}\n").as_bytes()).map(|container| (container.engine, container.id))
    }

    #[test]
    fn each_engine_is_known_by_its_paths_of_both_cgroup_drivers() {
        for (path, engine) in [
            ("/docker/ID", Engine::Docker),
            ("/system.slice/docker-ID.scope", Engine::Docker),
            ("/kubepods/besteffort/pod11-22/ID", Engine::Containerd),
            ("/kubepods.slice/kubepods-pod1.slice/cri-containerd-ID.scope", Engine::Containerd),
            ("/kubepods-besteffort-pod1.slice:cri-containerd:ID", Engine::Containerd),
            ("/system.slice/nerdctl-ID.scope", Engine::Containerd),
            ("/machine.slice/libpod-ID.scope/container", Engine::Podman),
            ("/libpod_parent/libpod-ID", Engine::Podman),
            ("/kubepods.slice/kubepods-pod1.slice/crio-ID.scope", Engine::Crio),
            ("/somewhere/ID", Engine::Runtime),
        ] {
            assert_eq!(found(path), Some((engine, ID.into())), "{path}");
        }
    }

    #[test]
    fn names_come_from_paths_where_the_path_has_them() {
        assert_eq!(found("/lxc.payload.web/init.scope"), Some((Engine::Lxc, "web".into())));
        assert_eq!(found("/lxc/web"), Some((Engine::Lxc, "web".into())));
        assert_eq!(found("/machine.slice/machine-my\\x2dbox.scope"), Some((Engine::Machine, "my-box".into())));
        assert_eq!(found("/system.slice/ssh.service"), Some((Engine::Systemd, "ssh.service".into())));
    }

    #[test]
    fn what_is_no_container_is_not_taken_for_one() {
        for path in
            ["/", "/user.slice/user-0.slice/session-1.scope", "/machine.slice/libpod-conmon-ID.scope", "/pod/ID/conmon"]
        {
            assert_eq!(found(path), None, "{path}");
        }
    }

    #[test]
    fn a_container_in_a_container_is_the_inner_one() {
        let (engine, id) = found(&format!("/docker/{}/docker/ID", "f".repeat(64))).unwrap();
        assert_eq!((engine, id.as_str()), (Engine::Docker, ID));
    }

    #[test]
    fn a_cgroup_that_is_called_as_a_session_keyring_is_a_container() {
        let keys = b"0a1b2c3d I--Q---     2 perm 3f030000     0     0 keyring   _ses.web: empty\n\
            0a1b2c3e I--Q---     1 perm 1f3f0000     0 65534 keyring   _uid_ses.0: 1\n\
            0a1b2c3f I--Q---     1 perm 1f3f0000     0 65534 user      _ses.key: 4\n";
        let sessions = sessions(keys);
        assert_eq!(sessions, ["web"]);
        let found = |path: &str| {
            let text = format!("4:memory:{path}\n0::/\n");
            identify_session(text.as_bytes(), &sessions).map(|(container, place)| (container.id, place.to_owned()))
        };
        assert_eq!(found("/some/web/inner"), Some(("web".into(), "/some/web".into())));
        assert_eq!(found("/some/webs"), None);
    }

    #[test]
    fn a_controller_that_says_more_wins_over_systemds_own_hierarchy() {
        let text = format!("3:pids:/docker/{ID}\n1:name=systemd:/system.slice/docker.service\n");
        assert_eq!(identify(text.as_bytes()).unwrap().engine, Engine::Docker);
    }
}
