//! Podman and cri-o: conmon's arguments, and `containers.json` of containers/storage, which both share.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::container::{Container, Engine, Pod};
use super::folders::{Folders, text};

/// Where containers/storage is unless it is told otherwise.
const STORAGE: &str = "/var/lib/containers/storage";

/// Kinds of layers, each with a list of its own.
const DRIVERS: [&str; 4] = ["overlay", "vfs", "btrfs", "zfs"];

/// Where a user's is, below the home.
const OF_USERS: &str = ".local/share/containers/storage";

/// All containers in the default storage, in the caller's own, and in those of users that are there.
pub(super) fn list(look: &mut Folders) -> Vec<Container> {
    let mut homes: Vec<PathBuf> = std::env::var_os("HOME").into_iter().map(PathBuf::from).collect();
    let own = homes.first().cloned();
    homes.extend(homes_of_users(look).into_iter().filter(|home| own.as_ref() != Some(home)));
    let storages = std::iter::once(PathBuf::from(STORAGE)).chain(homes.iter().map(|home| home.join(OF_USERS)));
    let storages: Vec<PathBuf> = storages.filter(|storage| storage.exists()).collect();
    storages.iter().flat_map(|storage| stored(look, storage)).collect()
}

/// The homes of users who have a folder at run time: others have no processes of their own.
fn homes_of_users(look: &mut Folders) -> Vec<PathBuf> {
    let uids: Vec<String> = look
        .below(Path::new("/run/user"))
        .iter()
        .filter_map(|folder| Some(folder.file_name()?.to_string_lossy().into_owned()))
        .collect();
    if uids.is_empty() {
        return Vec::new();
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let home = |line: &str| {
        let mut fields = line.split(':').skip(2);
        let uid = fields.next()?;
        let is_there = uids.iter().any(|other| other == uid);
        fields.nth(2).filter(|home| is_there && home.starts_with('/')).map(PathBuf::from)
    };
    passwd.lines().filter_map(home).collect()
}

fn stored(look: &mut Folders, storage: &Path) -> Vec<Container> {
    let file = |driver: &&str| look.json(storage, &format!("{driver}-containers/containers.json"));
    let lists = DRIVERS.iter().filter_map(file);
    let entries = lists.flat_map(|list| list.as_array().cloned().unwrap_or_default());
    entries.filter_map(|entry| read_entry(&entry)).collect()
}

fn read_entry(entry: &Value) -> Option<Container> {
    let mut container = Container::new(Engine::Podman, text(&entry["id"])?);
    container.name = text(&entry["names"][0]);
    let metadata: Value =
        entry["metadata"].as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    container.image = text(&metadata["image-name"]);
    if let Some(name) = text(&metadata["pod-name"]) {
        // Only cri-o's have one. Its names are k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT.
        container.engine = Engine::Crio;
        let parts: Vec<&str> = name.split('_').collect();
        if let ["k8s", pod, namespace, ..] = parts.as_slice() {
            container.pod = Some(Pod { name: (*pod).into(), namespace: (*namespace).into() });
        }
        container.name = None;
        read_name(&mut container, &text(&metadata["name"]).unwrap_or_default());
    } else {
        container.name = container.name.or(text(&metadata["name"]));
    }
    Some(container)
}

/// Reads the kubelet's name for a container, which cri-o calls it by: k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT. Returns
/// whether it is one.
fn read_name(container: &mut Container, name: &str) -> bool {
    let ["k8s", name, pod, namespace, _, _] = name.split('_').collect::<Vec<_>>()[..] else { return false };
    // What holds the pod's namespaces.
    container.is_sandbox |= name == "POD";
    if name != "POD" {
        container.name.get_or_insert_with(|| name.to_owned());
    }
    container.pod.get_or_insert_with(|| Pod { name: pod.to_owned(), namespace: namespace.to_owned() });
    true
}

/// The container that this conmon is for.
pub(super) fn identify(conmon: i32) -> Option<Container> {
    let args = arguments(conmon);
    let place = args.iter().position(|arg| arg == "-c" || arg == "--cid")?;
    Some(Container::new(Engine::Podman, args.get(place + 1)?.as_str()))
}

fn arguments(pid: i32) -> Vec<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|&byte| byte == 0).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect()
}

/// Reads conmon's arguments: it is started with the container's id, name, bundle and, for the clean-up, storage.
pub(super) fn follow_conmon(container: &mut Container, pid: i32) {
    read_arguments(container, &arguments(pid));
}

fn read_arguments(container: &mut Container, args: &[String]) {
    let after = |names: [&str; 2]| {
        let place = args.iter().position(|arg| names.contains(&arg.as_str()))?;
        args.get(place + 1).cloned()
    };
    if after(["-c", "--cid"]).is_some_and(|id| id != container.id) && container.engine != Engine::Runtime {
        return;
    }
    if container.engine.is_bare() {
        container.engine = Engine::Podman;
    }
    let name = after(["-n", "--name"]);
    if !name.as_deref().is_some_and(|name| read_name(container, name)) {
        container.name = container.name.take().or(name);
    }
    container.bundle = container.bundle.take().or(after(["-b", "--bundle"]).map(PathBuf::from));
    // podman container cleanup gets podman's own options, each behind an --exit-command-arg.
    let cleanup: Vec<&String> =
        args.windows(2).filter(|pair| pair[0] == "--exit-command-arg").map(|pair| &pair[1]).collect();
    let storage = cleanup.windows(2).find(|pair| pair[0] == "--root").map(|pair| PathBuf::from(pair[1]));
    if let Some(found) = storage
        .and_then(|root| stored(&mut Folders::default(), &root).into_iter().find(|stored| stored.id == container.id))
    {
        container.complete(found);
    }
}

/// Looks in the default storage, and where cri-o and podman have bundles.
pub(super) fn complete(container: &mut Container) {
    if container.name.is_none()
        && let Some(found) = list(&mut Folders::default()).into_iter().find(|stored| stored.id == container.id)
    {
        container.complete(found);
    }
    if container.bundle.is_none() {
        let bundles = DRIVERS.map(|driver| {
            Path::new("/run/containers/storage").join(format!("{driver}-containers/{}/userdata", container.id))
        });
        container.bundle = bundles.into_iter().find(|bundle| bundle.join("config.json").exists());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_tells_names_and_images() {
        let entry = serde_json::json!({
            "id": "abc", "names": ["web"], "metadata": "{\"image-name\":\"docker.io/library/nginx:1\",\"name\":\"web\"}"
        });
        let container = read_entry(&entry).unwrap();
        assert_eq!((container.engine, container.name.as_deref()), (Engine::Podman, Some("web")));
        assert_eq!(container.image.as_deref(), Some("docker.io/library/nginx:1"));
    }

    #[test]
    fn cri_o_keeps_pods_in_the_same_storage() {
        let entry = serde_json::json!({
            "id": "abc", "names": ["k8s_nginx_web-1_prod_uid_0"],
            "metadata": "{\"pod-name\":\"k8s_web-1_prod_uid_0\",\"name\":\"k8s_nginx_web-1_prod_uid_0\"}"
        });
        let container = read_entry(&entry).unwrap();
        assert_eq!(container.engine, Engine::Crio);
        assert_eq!(container.title(), "web-1/nginx");
    }

    #[test]
    fn cri_os_conmon_knows_pod_and_container() {
        let args = ["conmon", "-c", "abc", "-n", "k8s_nginx_web-1_prod_uid_0"].map(str::to_owned);
        let mut container = Container::new(Engine::Crio, "abc");
        read_arguments(&mut container, &args);
        assert_eq!(container.title(), "web-1/nginx");
        let mut sandbox = Container::new(Engine::Crio, "abc");
        assert!(read_name(&mut sandbox, "k8s_POD_web-1_prod_uid_0"));
        assert_eq!((sandbox.title().as_str(), sandbox.is_sandbox), ("web-1/(sandbox)", true));
    }

    #[test]
    fn conmon_knows_name_and_bundle() {
        let line = "conmon --api-version 1 -c abc -u abc -r /usr/bin/crun -b /run/b/abc/userdata -n web";
        let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let mut container = Container::new(Engine::Podman, "abc");
        read_arguments(&mut container, &args);
        assert_eq!(container.name.as_deref(), Some("web"));
        assert_eq!(container.bundle.as_deref(), Some(Path::new("/run/b/abc/userdata")));
    }
}
