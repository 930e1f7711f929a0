//! What a configuration tells of its container: names in annotations, the program, and what of the host it mounts.

use std::path::Path;

use serde_json::Value;

use super::container::{Container, Engine, Exposure, Pod};
use super::folders::text;

/// Sockets by which engines take orders, on the host.
const SOCKETS: [&str; 6] = [
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/podman/podman.sock",
    "/run/buildkit/buildkitd.sock",
];

/// Reads what `config` tells.
pub(super) fn read(container: &mut Container, config: &Value) {
    annotations(container, config);
    let words = config["process"]["args"].as_array().into_iter().flatten();
    container.command = words.filter_map(Value::as_str).map(str::to_owned).collect();
    container.hostname = text(&config["hostname"]);
    container.exposures = Some(exposures(config));
}

/// Mounts of the host's root and of engines' sockets.
fn exposures(config: &Value) -> Vec<Exposure> {
    let mut found = Vec::new();
    for mount in config["mounts"].as_array().into_iter().flatten() {
        let (Some(source), Some(at)) = (mount["source"].as_str(), mount["destination"].as_str()) else { continue };
        // A file system by its name, a block device, or a name without a folder.
        if !source.starts_with('/') {
            continue;
        }
        let at = at.to_owned();
        if source == "/" {
            let options = mount["options"].as_array().into_iter().flatten();
            let writable = !options.into_iter().any(|option| option == "ro" || option == "rro");
            found.push(Exposure::HostRoot { at, writable });
        } else if let Some(socket) = engine_socket(source) {
            found.push(Exposure::EngineSocket { socket, at });
        }
    }
    found
}

/// The engine's socket that somebody reaches to whom `source` of the host is given: itself, or what is in that folder.
pub(super) fn engine_socket(source: &str) -> Option<String> {
    let below = source.strip_prefix("/var/run").map_or_else(|| source.to_owned(), |rest| format!("/run{rest}"));
    let is_reached = |socket: &&&str| {
        let socket = Path::new(socket);
        socket == Path::new(&below) || (socket.starts_with(&below) && socket.exists())
    };
    if let Some(known) = SOCKETS.iter().find(is_reached) {
        return Some((*known).to_owned());
    }
    let name = source.rsplit('/').next()?;
    SOCKETS.iter().any(|socket| socket.ends_with(&format!("/{name}"))).then(|| source.to_owned())
}

/// Reads names out of annotations: Kubernetes through containerd or cri-o, nerdctl, podman.
fn annotations(container: &mut Container, config: &Value) {
    let annotation = |name: &str| config["annotations"][name].as_str().filter(|value| !value.is_empty());
    let first = |names: &[&str]| names.iter().find_map(|name| annotation(name)).map(str::to_owned);
    let set = |field: &mut Option<String>, names: &[&str]| {
        if field.is_none() {
            *field = first(names);
        }
    };
    set(&mut container.image, &["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName", "nerdctl/image"]);
    let name = ["io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name"];
    set(&mut container.name, &name);
    let pod = first(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]);
    if let (Some(pod), None) = (pod, &container.pod) {
        let namespace = first(&["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]);
        container.pod = Some(Pod { name: pod, namespace: namespace.unwrap_or_else(|| "default".into()) });
    }
    container.sandbox = first(&["io.kubernetes.cri.sandbox-id", "io.kubernetes.cri-o.SandboxID"]);
    let kind = first(&["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"]);
    container.is_sandbox |= kind.as_deref() == Some("sandbox");
    // The kubelet's name for what holds a pod's namespaces, which cri-o writes down as a container's.
    if container.is_sandbox && container.name.as_deref() == Some("POD") {
        container.name = None;
    }
    // Podman calls the one that holds a pod's namespaces by the pod's id.
    let is_podmans = annotation("io.container.manager") == Some("libpod");
    container.is_sandbox |= is_podmans && container.name.as_deref().is_some_and(|name| name.ends_with("-infra"));
    if annotation("io.container.manager") == Some("cri-o") {
        container.engine = Engine::Crio;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_annotations_name_pod_and_container() {
        let config = serde_json::json!({"annotations": {
            "io.kubernetes.cri.container-name": "nginx",
            "io.kubernetes.cri.sandbox-name": "web-1",
            "io.kubernetes.cri.sandbox-namespace": "prod",
            "io.kubernetes.cri.container-type": "container",
            "io.kubernetes.cri.image-name": "docker.io/library/nginx:1"
        }});
        let mut container = Container::new(Engine::Containerd, "cc");
        read(&mut container, &config);
        assert_eq!(container.title(), "web-1/nginx");
        assert_eq!(container.pod.unwrap().namespace, "prod");
        assert_eq!(container.image.as_deref(), Some("docker.io/library/nginx:1"));
        assert!(!container.is_sandbox);
    }

    #[test]
    fn the_hosts_root_and_engines_sockets_are_ways_out() {
        let config = serde_json::json!({
            "process": {"args": ["sleep", "60"]}, "hostname": "h",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/host", "type": "bind", "source": "/", "options": ["rbind", "ro"]},
                {"destination": "/sock", "type": "bind", "source": "/var/run/docker.sock", "options": ["rbind"]},
                {"destination": "/mine", "type": "bind", "source": "/home/x/podman.sock", "options": ["rbind"]},
                {"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["rbind"]}
            ]
        });
        let mut container = Container::new(Engine::Runtime, "a");
        read(&mut container, &config);
        assert_eq!(container.command, ["sleep", "60"]);
        let socket = |socket: &str, at: &str| Exposure::EngineSocket { socket: socket.into(), at: at.into() };
        let expected = [
            Exposure::HostRoot { at: "/host".into(), writable: false },
            socket("/run/docker.sock", "/sock"),
            socket("/home/x/podman.sock", "/mine"),
        ];
        assert_eq!(container.exposures.unwrap(), expected);
    }
}
