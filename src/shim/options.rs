//! What the runtime is asked by the engine's configuration: runc's options under their own type, or under the type that
//! runtimes of other names get, as TOML with the same names.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::message::Any;
use crate::error::{Attempt, Error, Result};
use crate::protobuf::Fields;

/// The options that mean something to this runtime. BinaryName does not: the runtime is in the shim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Options {
    /// The root is moved over the old one instead of pivot_root(2).
    pub no_pivot_root: bool,
    /// The caller's session keyring is kept.
    pub no_new_keyring: bool,
    /// The cgroup that the shim itself moves to.
    pub shim_cgroup: String,
    /// The owner of pipes that are made for a container's streams.
    pub io_uid: u32,
    /// Their group.
    pub io_gid: u32,
    /// The folder of the runtime's state, below which each namespace has its own; empty for [`Options::ROOT`].
    pub root: String,
    /// systemd makes the cgroups.
    pub systemd_cgroup: bool,
    /// The folder of images that a restore takes when the request names none.
    pub criu_image_path: String,
    /// The folder of CRIU's log.
    pub criu_work_path: String,
}

/// Types that have the options as a message of their own.
const RUNC: [&str; 2] = ["containerd.runc.v1.Options", "containerd.linux.runc.CreateOptions"];
/// The type that has them as TOML.
const GENERIC: [&str; 2] = ["runtimeoptions.v1.Options", "cri.runtimeoptions.v1.Options"];

impl Options {
    /// Where the runtime keeps its state when nobody says.
    pub(super) const ROOT: &'static str = "/run/containerd/nskit";

    /// Reads the options of a request, or those that `start` gets; the defaults where there are none.
    ///
    /// # Errors
    /// For a type that is unknown, and for TOML that does not fit.
    pub(super) fn read(any: &Any) -> Result<Options> {
        match any.name() {
            "" => Ok(Options::default()),
            name if RUNC.contains(&name) => Options::of_message(&any.value),
            name if GENERIC.contains(&name) => Options::of_generic(&any.value),
            name => Err(Error::invalid(format!("the runtime's options are of the unknown type {name:?}"))),
        }
    }

    fn of_message(bytes: &[u8]) -> Result<Options> {
        let fields = Fields::of(bytes).ok_or_else(|| Error::invalid("the runtime's options are no message"))?;
        Ok(Options {
            no_pivot_root: fields.flag(1),
            no_new_keyring: fields.flag(2),
            shim_cgroup: fields.text(3),
            io_uid: fields.number(4) as u32,
            io_gid: fields.number(5) as u32,
            root: fields.text(7),
            systemd_cgroup: fields.flag(9),
            criu_image_path: fields.text(10),
            criu_work_path: fields.text(11),
        })
    }

    fn of_generic(bytes: &[u8]) -> Result<Options> {
        let fields = Fields::of(bytes).ok_or_else(|| Error::invalid("the runtime's options are no message"))?;
        let (file, body) = (fields.text(2), fields.text(3));
        if !body.is_empty() {
            return Options::of_toml(&body).attempt(|| "read the runtime's options");
        }
        if file.is_empty() {
            return Ok(Options::default());
        }
        let body = std::fs::read_to_string(&file).attempt(|| format!("read the runtime's options in {file}"))?;
        Options::of_toml(&body).attempt(|| format!("read the runtime's options in {file}"))
    }

    fn of_toml(text: &str) -> Result<Options> {
        basic_toml::from_str(text).map_err(|error| Error::invalid(error.to_string()))
    }

    /// The folder of the containers' folders of a namespace.
    pub(super) fn state_folder(&self, namespace: &str) -> std::path::PathBuf {
        let root = if self.root.is_empty() { Self::ROOT } else { &self.root };
        std::path::Path::new(root).join(namespace)
    }
}

/// The name of the options in the bundle.
const OPTIONS: &str = "options.json";

/// Keeps the options of a container for `delete`.
pub(super) fn keep_options(bundle: &Path, options: &Options) -> Result<()> {
    let path = bundle.join(OPTIONS);
    let text = serde_json::to_vec(options).map_err(|error| Error::invalid(format!("write {OPTIONS}: {error}")))?;
    std::fs::write(&path, text).attempt(|| format!("write {}", path.display()))
}

/// The options of a container in `bundle`, as they were kept; the default where there are none.
pub(super) fn kept_options(bundle: &Path) -> Options {
    let text = std::fs::read(bundle.join(OPTIONS)).ok();
    text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::Message;

    #[test]
    fn runc_s_own_type_and_toml_mean_the_same() {
        let mut message = Message::default();
        message.flag(1, true).text(6, "/usr/bin/runc").text(7, "/run/x").flag(9, true).number(4, 5);
        let of_runc = Any { url: "containerd.runc.v1.Options".into(), value: message.into_bytes() };
        let body =
            "BinaryName = \"/usr/bin/runc\"\nRoot = \"/run/x\"\nSystemdCgroup = true\nNoPivotRoot = true\nIoUid = 5\n";
        let mut message = Message::default();
        message.text(1, "io.containerd.nskit.v2.options").text(3, body);
        let generic = Any { url: "types.googleapis.com/runtimeoptions.v1.Options".into(), value: message.into_bytes() };
        let options = Options::read(&of_runc).unwrap();
        assert_eq!(options, Options::read(&generic).unwrap());
        assert!(options.no_pivot_root && options.systemd_cgroup);
        assert_eq!(options.state_folder("k8s.io").to_str(), Some("/run/x/k8s.io"));
    }

    #[test]
    fn without_options_there_are_defaults_and_unknown_ones_are_refused() {
        assert_eq!(Options::read(&Any::default()).unwrap(), Options::default());
        assert_eq!(Options::default().state_folder("moby").to_str(), Some("/run/containerd/nskit/moby"));
        let unknown = Any { url: "example.com/Options".into(), value: Vec::new() };
        assert!(Options::read(&unknown).unwrap_err().to_string().ends_with("unknown type \"Options\""));
        let mut message = Message::default();
        message.text(3, "SystemdCgroup = \"maybe\"");
        let wrong = Any { url: "runtimeoptions.v1.Options".into(), value: message.into_bytes() };
        assert!(Options::read(&wrong).unwrap_err().to_string().starts_with("read the runtime's options: "));
    }
}
