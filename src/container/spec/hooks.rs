//! The points of a container's life at which hooks run, and the hooks that a configuration lists there; runtime-spec,
//! "POSIX-platform Hooks".

use oci_spec::runtime::{Hook, Spec};

/// The points at which hooks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// In the runtime's namespaces, when the container's are there; deprecated, still used.
    Prestart,
    /// In the runtime's namespaces, when the container's are there.
    CreateRuntime,
    /// In the container's namespaces, before pivot_root(2).
    CreateContainer,
    /// In the container, right before its program.
    StartContainer,
    /// In the runtime's namespaces, after the program was started.
    Poststart,
    /// In the runtime's namespaces, after the container was deleted.
    Poststop,
}

impl Point {
    /// Every point, in the order of a container's life.
    pub const ALL: [Point; 6] = [
        Point::Prestart,
        Point::CreateRuntime,
        Point::CreateContainer,
        Point::StartContainer,
        Point::Poststart,
        Point::Poststop,
    ];

    /// The property of config.json.
    pub const fn name(self) -> &'static str {
        match self {
            Point::Prestart => "prestart",
            Point::CreateRuntime => "createRuntime",
            Point::CreateContainer => "createContainer",
            Point::StartContainer => "startContainer",
            Point::Poststart => "poststart",
            Point::Poststop => "poststop",
        }
    }

    /// The hooks of a configuration that run at this point, in their order.
    pub fn hooks(self, spec: &Spec) -> &[Hook] {
        let Some(hooks) = spec.hooks() else { return &[] };
        #[allow(deprecated)] // by the specification, not by its users
        let list = match self {
            Point::Prestart => hooks.prestart(),
            Point::CreateRuntime => hooks.create_runtime(),
            Point::CreateContainer => hooks.create_container(),
            Point::StartContainer => hooks.start_container(),
            Point::Poststart => hooks.poststart(),
            Point::Poststop => hooks.poststop(),
        };
        list.as_deref().unwrap_or_default()
    }
}
