//! Docker: `DATA/containers/ID/config.v2.json`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::container::{Container, Engine, State};
use super::folders::{Folders, json, text};

/// Where Docker keeps its data unless it is told otherwise.
const DATA: &str = "/var/lib/docker";

/// All containers below the default folder.
pub(super) fn list(look: &mut Folders) -> Vec<Container> {
    let folders = look.below(&Path::new(DATA).join("containers"));
    let containers = folders.iter().filter_map(|folder| {
        let mut container = Container::new(Engine::Docker, folder.file_name()?.to_string_lossy());
        read(&mut container, folder).then_some(container)
    });
    containers.collect()
}

/// Reads the container's own file, wherever this daemon keeps its data: the bundle mounts files from there.
pub(super) fn complete(container: &mut Container) {
    container.engine_namespace = None;
    let config = container.bundle.as_ref().and_then(|bundle| json(&bundle.join("config.json")));
    let folder = config.as_ref().and_then(|config| data_folder(config, &container.id));
    let folder = folder.unwrap_or_else(|| Path::new(DATA).join("containers").join(&container.id));
    read(container, &folder);
}

/// The folder `DATA/containers/ID`: hostname, hosts and resolv.conf are mounted from there, or from that of the
/// container whose network it shares.
fn data_folder(config: &Value, id: &str) -> Option<PathBuf> {
    let mounts = config["mounts"].as_array()?.iter().filter_map(|mount| mount["source"].as_str());
    let mut all = mounts.filter_map(|source| Path::new(source).parent()?.parent());
    all.find(|all| all.ends_with("containers")).map(|all| all.join(id))
}

fn read(container: &mut Container, folder: &Path) -> bool {
    let Some(config) = json(&folder.join("config.v2.json")) else { return false };
    let name = config["Name"].as_str().map(|name| name.trim_start_matches('/')).filter(|name| !name.is_empty());
    container.name = name.map(str::to_owned);
    container.image = text(&config["Config"]["Image"]);
    let pid = config["State"]["Pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).filter(|&pid| pid > 0);
    let is_running = config["State"]["Running"] == Value::Bool(true);
    container.pid = container.pid.or(pid.filter(|_| is_running));
    // The year 1 stands for never.
    let never = text(&config["State"]["StartedAt"]).is_none_or(|date| date.starts_with("0001-"));
    if !is_running {
        container.told = Some(if never { State::Created } else { State::Stopped });
        let path = config["Path"].as_str().into_iter();
        let words = path.chain(config["Args"].as_array().into_iter().flatten().filter_map(Value::as_str));
        container.command = words.map(str::to_owned).collect();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_with_its_data_elsewhere_is_followed_through_the_bundle() {
        let config = serde_json::json!({"mounts": [
            {"destination": "/proc", "source": "proc"},
            {"destination": "/etc/hosts", "source": "/data/d/containers/abc/hosts"}
        ]});
        assert_eq!(data_folder(&config, "abc"), Some(PathBuf::from("/data/d/containers/abc")));
        // One that shares the network of abc.
        assert_eq!(data_folder(&config, "def"), Some(PathBuf::from("/data/d/containers/def")));
        assert_eq!(data_folder(&serde_json::json!({"mounts": [{"source": "proc"}]}), "abc"), None);
    }
}
