//! Names in a bundle's annotations.

use serde_json::Value;

use super::container::{Container, Engine, Pod};

/// Reads names out of a bundle's annotations: Kubernetes through containerd or cri-o, nerdctl, podman.
pub(super) fn read(container: &mut Container, config: &Value) {
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
    let kind = first(&["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"]);
    container.is_sandbox |= kind.as_deref() == Some("sandbox");
    // The kubelet's name for what holds a pod's namespaces, which cri-o writes down as a container's.
    if container.is_sandbox && container.name.as_deref() == Some("POD") {
        container.name = None;
    }
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
}
