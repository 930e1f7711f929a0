//! `checkpoint` and `restore`.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use nskit::container::criu::{CgroupMode, Settings};
use nskit::container::verbs::checkpoint::{Options, checkpoint as checkpoint_container};
use nskit::container::verbs::create;
use nskit::container::verbs::restore::{RestoreOptions, restore as restore_container};
use nskit::container::verbs::run::RunOptions;

use super::Globals;

#[derive(Args, Debug)]
struct Common {
    /// Folder of the images
    #[arg(long, value_name = "DIR", default_value = "checkpoint")]
    image_path: PathBuf,
    /// Folder of the log [default: that of the images]
    #[arg(long, value_name = "DIR")]
    work_path: Option<PathBuf>,
    /// TCP connections may be open
    #[arg(long)]
    tcp_established: bool,
    /// Unix sockets may be connected to the outside
    #[arg(long)]
    ext_unix_sk: bool,
    /// The terminal may be one of the outside
    #[arg(long)]
    shell_job: bool,
    /// Save locks of files too
    #[arg(long)]
    file_locks: bool,
    /// Drop pages from earlier images that later ones have
    #[arg(long)]
    auto_dedup: bool,
    /// Fetch memory when it is needed
    #[arg(long)]
    lazy_pages: bool,
    /// How cgroups are brought back [default: soft]
    #[arg(long, value_name = "MODE", value_parser = ["soft", "full", "strict", "ignore"])]
    manage_cgroups_mode: Option<String>,
    /// Namespaces to bring back with nothing in them; a network always is
    #[arg(long, value_name = "KIND", value_parser = ["network"])]
    empty_ns: Vec<String>,
    /// Name of the container
    #[arg(value_name = "ID", allow_hyphen_values = false)]
    id: String,
}

#[derive(Args, Debug)]
struct Checkpoint {
    #[command(flatten)]
    common: Common,
    /// Images of a dump before, seen from the folder of these
    #[arg(long, value_name = "DIR")]
    parent_path: Option<PathBuf>,
    /// Save memory only, and let the container go on
    #[arg(long)]
    pre_dump: bool,
    /// Let the container go on
    #[arg(long)]
    leave_running: bool,
    /// Drop what is under way in TCP connections
    #[arg(long)]
    tcp_skip_in_flight: bool,
    /// Files without a name may be given one
    #[arg(long)]
    link_remap: bool,
    /// File descriptor that gets a zero byte when memory can be fetched
    #[arg(long, value_name = "FD", allow_negative_numbers = true)]
    status_fd: Option<i32>,
    /// Who takes the memory
    #[arg(long, value_name = "ADDRESS:PORT")]
    page_server: Option<String>,
}

#[derive(Args, Debug)]
struct Restore {
    #[command(flatten)]
    common: Common,
    /// Folder of the bundle
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// Unix socket that gets the outer end of the terminal
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// File that gets the pid of the container's first process
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Return when the container's processes go on
    #[arg(short, long)]
    detach: bool,
    /// Do not adopt the container's orphaned processes
    #[arg(long)]
    no_subreaper: bool,
    /// Accepted as for run; criu has its own way
    #[arg(long)]
    no_pivot: bool,
    /// Security label of the programs, TYPE:NAME
    #[arg(long, value_name = "LABEL")]
    lsm_profile: Option<String>,
    /// Security label of the mounts
    #[arg(long, value_name = "LABEL")]
    lsm_mount_context: Option<String>,
}

/// A path that is given, and is one.
fn given(path: &Option<PathBuf>) -> Option<PathBuf> {
    path.clone().filter(|path| !path.as_os_str().is_empty())
}

impl Common {
    fn settings(&self) -> Settings {
        let image_path = given(&Some(self.image_path.clone())).unwrap_or_else(|| PathBuf::from("checkpoint"));
        Settings {
            image_path,
            work_path: given(&self.work_path),
            tcp_established: self.tcp_established,
            ext_unix_sk: self.ext_unix_sk,
            shell_job: self.shell_job,
            file_locks: self.file_locks,
            auto_dedup: self.auto_dedup,
            lazy_pages: self.lazy_pages,
            cgroups: match self.manage_cgroups_mode.as_deref() {
                Some("soft") => CgroupMode::Soft,
                Some("full") => CgroupMode::Full,
                Some("strict") => CgroupMode::Strict,
                Some("ignore") => CgroupMode::Ignore,
                _ => CgroupMode::Default,
            },
        }
    }
}

pub(super) fn checkpoint_command(command: Command) -> Command {
    Checkpoint::augment_args(command).about("Save a container's processes to files, and end it")
}

pub(super) fn checkpoint(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<u8> {
    let args = Checkpoint::from_arg_matches(matches)?;
    let page_server = args.page_server.as_deref().filter(|text| !text.is_empty()).map(server).transpose()?;
    let status_fd = match args.status_fd.filter(|fd| *fd >= 0) {
        Some(fd) => Some(nskit::sys::fd::take(fd).with_context(|| format!("--status-fd {fd}: it is not open"))?),
        None => None,
    };
    let options = Options {
        settings: args.common.settings(),
        parent_path: given(&args.parent_path),
        pre_dump: args.pre_dump,
        leave_running: args.leave_running,
        tcp_skip_in_flight: args.tcp_skip_in_flight,
        link_remap: args.link_remap,
        page_server,
        status_fd,
    };
    checkpoint_container(&globals.runtime()?, &args.common.id, options)?;
    Ok(0)
}

/// ADDRESS:PORT, the address in brackets where it has colons itself.
fn server(text: &str) -> anyhow::Result<(String, u16)> {
    let (address, port) = text.rsplit_once(':').unwrap_or_default();
    let address = address.strip_prefix('[').and_then(|address| address.strip_suffix(']')).unwrap_or(address);
    match port.parse() {
        Ok(port) if !address.is_empty() => Ok((address.to_owned(), port)),
        _ => bail!("--page-server {text:?}: ADDRESS:PORT is wanted"),
    }
}

pub(super) fn restore_command(command: Command) -> Command {
    Restore::augment_args(command).about("Bring a container back from the files of checkpoint")
}

pub(super) fn restore(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<u8> {
    let args = Restore::from_arg_matches(matches)?;
    let options = create::Options {
        bundle: given(&Some(args.bundle.clone())).unwrap_or_else(|| PathBuf::from(".")),
        console_socket: given(&args.console_socket),
        pid_file: given(&args.pid_file),
        no_pivot: args.no_pivot,
        ..create::Options::default()
    };
    let how = RunOptions { detach: args.detach, keep: false, no_subreaper: args.no_subreaper };
    let restored = RestoreOptions {
        settings: args.common.settings(),
        lsm_profile: args.lsm_profile.filter(|label| !label.is_empty()),
        lsm_mount_context: args.lsm_mount_context.filter(|label| !label.is_empty()),
    };
    Ok(restore_container(&globals.runtime()?, &args.common.id, &options, &how, &restored)?)
}

#[cfg(test)]
mod tests {
    use super::server;

    #[test]
    fn a_page_server_is_an_address_and_a_port() {
        assert_eq!(server("10.0.0.1:27").unwrap(), ("10.0.0.1".to_owned(), 27));
        assert_eq!(server("[::1]:27").unwrap(), ("::1".to_owned(), 27));
        for bad in ["10.0.0.1", ":27", "10.0.0.1:", "10.0.0.1:99999", ""] {
            assert!(server(bad).is_err(), "{bad}");
        }
    }
}
