//! LXC and Incus: no image by name, but what a container was made from is in its configuration.

use std::fs;
use std::path::Path;

use super::container::Container;

/// Where LXC has a folder a container, with its `config`.
const LXC: &str = "/var/lib/lxc";

/// Where Incus and LXD have one, with their `backup.yaml`.
const INCUS: [&str; 3] =
    ["/var/lib/incus/containers", "/var/lib/lxd/containers", "/var/snap/lxd/common/lxd/containers"];

/// Reads what the container was made from.
pub(super) fn complete(container: &mut Container) {
    if container.image.is_some() {
        return;
    }
    let read = |folder: &str, file: &str| fs::read_to_string(Path::new(folder).join(&container.id).join(file)).ok();
    let lxc = read(LXC, "config").and_then(|text| from_config(&text));
    container.image = lxc.or_else(|| INCUS.iter().find_map(|folder| from_backup(&read(folder, "backup.yaml")?)));
}

/// What lxc-create was told, which it notes above what it writes: the distribution and the release, or the template.
fn from_config(text: &str) -> Option<String> {
    let noted = |what: &str| text.lines().find_map(|line| line.strip_prefix("# ")?.strip_prefix(what));
    let words: Vec<&str> = noted("Parameters passed to the template:").unwrap_or_default().split(' ').collect();
    let after = |names: [&str; 2]| {
        let place = words.iter().position(|word| names.contains(word))?;
        words.get(place + 1).copied()
    };
    let template =
        noted("Template used to create this container: ").and_then(|path| Path::new(path.trim()).file_name());
    let template = template.and_then(|name| name.to_str()?.strip_prefix("lxc-")).filter(|name| *name != "download");
    let parts = [after(["-d", "--dist"]).or(template), after(["-r", "--release"]), after(["-a", "--arch"])];
    parts[0]?;
    Some(parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
}

/// The description of the image, a member of the container's `config`.
fn from_backup(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix("image.description:"))?;
    let description = line.trim().trim_matches(['"', '\'']);
    (!description.is_empty()).then(|| description.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lxc_notes_what_a_container_was_made_from() {
        let made = |template: &str, parameters: &str| {
            from_config(&format!(
                "# Template used to create this container: /usr/share/lxc/templates/lxc-{template}\n\
                 # Parameters passed to the template:{parameters}\n\
                 # For additional config options, please look at lxc.container.conf(5)\n\nlxc.uts.name = web\n"
            ))
        };
        assert_eq!(made("download", " -d debian -r bookworm -a amd64").as_deref(), Some("debian bookworm amd64"));
        assert_eq!(made("download", " --dist ubuntu --release noble").as_deref(), Some("ubuntu noble"));
        assert_eq!(made("debian", " -r bullseye").as_deref(), Some("debian bullseye"));
        assert_eq!(made("ubuntu", "").as_deref(), Some("ubuntu"));
        assert_eq!(made("download", ""), None);
    }

    #[test]
    fn incus_has_the_images_description() {
        let text =
            "container:\n  config:\n    image.architecture: amd64\n    image.description: Debian bookworm amd64\n";
        assert_eq!(from_backup(text).as_deref(), Some("Debian bookworm amd64"));
        assert_eq!(from_backup("container:\n  name: web\n"), None);
    }
}
