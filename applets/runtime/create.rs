//! `create` and `run`.

use std::path::PathBuf;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use nskit::container::verbs::create::{Options, create as create_container};
use nskit::container::verbs::run::{RunOptions, run as run_container};

use super::Globals;

#[derive(Args, Debug)]
struct Common {
    /// Folder of the bundle
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// Unix socket that gets the outer end of the terminal
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// Unix socket that gets a pidfd of the container's first process
    #[arg(long, value_name = "SOCKET")]
    pidfd_socket: Option<PathBuf>,
    /// File that gets the pid of the container's first process
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Move the root over the old one instead of pivot_root (for a root on the initial ramfs)
    #[arg(long)]
    no_pivot: bool,
    /// Keep the caller's session keyring
    #[arg(long)]
    no_new_keyring: bool,
    /// File descriptors beyond standard error that the container's process inherits
    #[arg(long, value_name = "N", default_value_t = 0)]
    preserve_fds: u32,
    /// Name of the container
    #[arg(value_name = "ID", allow_hyphen_values = false)]
    id: String,
}

#[derive(Args, Debug)]
struct Run {
    #[command(flatten)]
    common: Common,
    /// Return when the container's process is started
    #[arg(short, long)]
    detach: bool,
    /// Do not delete the container at its end
    #[arg(long)]
    keep: bool,
    /// Do not adopt the container's orphaned processes
    #[arg(long)]
    no_subreaper: bool,
}

impl Common {
    fn options(&self) -> Options {
        let path = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
        Options {
            bundle: if self.bundle.as_os_str().is_empty() { PathBuf::from(".") } else { self.bundle.clone() },
            console_socket: path(&self.console_socket),
            pidfd_socket: path(&self.pidfd_socket),
            pid_file: path(&self.pid_file),
            no_pivot: self.no_pivot,
            no_new_keyring: self.no_new_keyring,
            preserve_fds: self.preserve_fds,
        }
    }
}

pub(super) fn create_command(command: Command) -> Command {
    Common::augment_args(command).about("Create a container that waits to be started")
}

pub(super) fn create(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<u8> {
    let args = Common::from_arg_matches(matches)?;
    create_container(&globals.runtime()?, &args.id, &args.options())?;
    Ok(0)
}

pub(super) fn run_command(command: Command) -> Command {
    Run::augment_args(command).about("Create a container, start it, and delete it at its end")
}

pub(super) fn run(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<u8> {
    let args = Run::from_arg_matches(matches)?;
    let how = RunOptions { detach: args.detach, keep: args.keep, no_subreaper: args.no_subreaper };
    Ok(run_container(&globals.runtime()?, &args.common.id, &args.common.options(), &how)?)
}
