//! `spec`.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use nskit::cgroup::Layout;
use nskit::container::spec::example;

use super::Globals;

#[derive(Args, Debug)]
struct Spec {
    /// Folder of the bundle
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// For a caller without privilege
    #[arg(long)]
    rootless: bool,
    /// A bundle that needs no image: an empty root, with the host's programs, libraries and settings bound read-only
    #[arg(long)]
    host: bool,
    /// What the container runs instead of a shell with a terminal
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

pub(super) fn command(command: Command) -> Command {
    Spec::augment_args(command).about("Write a configuration to begin with")
}

pub(super) fn run(_: &Globals, matches: &ArgMatches) -> anyhow::Result<u8> {
    let args = Spec::from_arg_matches(matches)?;
    let file = args.bundle.join("config.json");
    if file.exists() {
        bail!("{} exists: remove it first", file.display());
    }
    let mut spec = example::default(Layout::detect().is_ok_and(|layout| layout.is_unified()));
    if args.rootless {
        example::make_rootless(&mut spec, rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    }
    if !args.command.is_empty() {
        spec["process"]["args"] = args.command.clone().into();
        spec["process"]["terminal"] = false.into();
    }
    let links = if args.host { example::make_host(&mut spec, Path::new("/")) } else { Vec::new() };
    if args.host {
        prepare_root(&args.bundle.join("rootfs"), &links, &spec)?;
    }
    let text = serde_json::to_string_pretty(&spec)? + "\n";
    std::fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    Ok(0)
}

/// The empty root of `--host`, with a place for every mount: it is read-only when the container runs.
fn prepare_root(root: &Path, links: &[(String, PathBuf)], spec: &serde_json::Value) -> anyhow::Result<()> {
    std::fs::create_dir_all(root).with_context(|| format!("create {}", root.display()))?;
    for mount in spec["mounts"].as_array().into_iter().flatten() {
        let destination = mount["destination"].as_str().unwrap_or_default();
        // What is below another mount finds its place there.
        if destination.matches('/').count() == 1 {
            let folder = root.join(destination.trim_start_matches('/'));
            std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        }
    }
    for (name, target) in links {
        let link = root.join(name);
        if link.symlink_metadata().is_err() {
            symlink(target, &link).with_context(|| format!("link {}", link.display()))?;
        }
    }
    Ok(())
}
