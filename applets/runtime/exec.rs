//! `exec`.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use nskit::container::spec::parse::parse_process;
use nskit::container::verbs::exec::{Options, exec};
use oci_spec::runtime::{Capabilities, Process, Spec};

use super::Globals;

#[derive(Args, Debug)]
struct Exec {
    /// Unix socket that gets the outer end of the terminal
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// Unix socket that gets a pidfd of the process
    #[arg(long, value_name = "SOCKET")]
    pidfd_socket: Option<PathBuf>,
    /// Working directory in the container
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// Add a variable to the environment
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Give it a terminal
    #[arg(short, long)]
    tty: bool,
    /// User id, and group id if it is not the same as the container's
    #[arg(short, long, value_name = "UID[:GID]")]
    user: Option<String>,
    /// Add a supplementary group
    #[arg(short = 'g', long, value_name = "GID")]
    additional_gids: Vec<u32>,
    /// Read the process from a file, in the form of config.json's process
    #[arg(short, long, value_name = "FILE")]
    process: Option<PathBuf>,
    /// Return when the process is started
    #[arg(short, long)]
    detach: bool,
    /// File that gets the pid of the process
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// SELinux context of the process
    #[arg(long, value_name = "LABEL")]
    process_label: Option<String>,
    /// AppArmor profile of the process
    #[arg(long, value_name = "PROFILE")]
    apparmor: Option<String>,
    /// The process cannot gain privileges by what it executes
    #[arg(long)]
    no_new_privs: bool,
    /// Add a capability
    #[arg(short, long, value_name = "CAPABILITY")]
    cap: Vec<String>,
    /// File descriptors beyond standard error that the process inherits
    #[arg(long, value_name = "N", default_value_t = 0)]
    preserve_fds: u32,
    /// Run it in a cgroup below the container's: PATH, or CONTROLLERS:PATH on cgroup v1
    #[arg(long, value_name = "[CONTROLLERS:]PATH")]
    cgroup: Vec<String>,
    /// Start it in a paused container too
    #[arg(long)]
    ignore_paused: bool,
    /// Name of the container
    #[arg(value_name = "ID")]
    id: String,
    /// Program and its arguments
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

pub(super) fn command(command: Command) -> Command {
    Exec::augment_args(command).about("Run another process in a container")
}

pub(super) fn run(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<u8> {
    let args = Exec::from_arg_matches(matches)?;
    let given = match &args.process {
        Some(file) => Some(read(file)?),
        None if args.command.is_empty() => bail!("process args cannot be empty: give a command, or --process FILE"),
        None => None,
    };
    let options = Options {
        console_socket: args.console_socket.clone(),
        pidfd_socket: args.pidfd_socket.clone(),
        pid_file: args.pid_file.clone(),
        detach: args.detach,
        preserve_fds: args.preserve_fds,
        cgroup: args.cgroup.clone(),
        ignore_paused: args.ignore_paused,
    };
    let choose = |spec: &Spec| match given {
        Some(process) => Ok(process),
        None => changed(&args, spec).map_err(|error| nskit::Error::invalid(format!("{error:#}"))),
    };
    Ok(exec(&globals.runtime()?, &args.id, &options, choose)?)
}

fn read(file: &PathBuf) -> anyhow::Result<Process> {
    let name = file.display();
    let text = std::fs::read(file).with_context(|| format!("read {name}"))?;
    parse_process(&text).with_context(|| format!("read {name}"))
}

/// The container's own process, with what the options change.
fn changed(args: &Exec, spec: &Spec) -> anyhow::Result<Process> {
    let mut process =
        spec.process().clone().context("the container has no process to take as a model: use --process")?;
    process.set_args(Some(args.command.clone()));
    process.set_terminal(Some(args.tty));
    if let Some(cwd) = &args.cwd {
        process.set_cwd(cwd.clone());
    }
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(args.env.iter().cloned());
    process.set_env(Some(env));
    // An empty one is what scripts pass that have none to name: the container's own stays.
    if let Some(label) = args.process_label.as_ref().filter(|label| !label.is_empty()) {
        process.set_selinux_label(Some(label.clone()));
    }
    if let Some(profile) = args.apparmor.as_ref().filter(|profile| !profile.is_empty()) {
        process.set_apparmor_profile(Some(profile.clone()));
    }
    if args.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    let mut user = process.user().clone();
    if let Some(text) = &args.user {
        let (uid, gid) = parse_user(text)?;
        user.set_uid(uid);
        if let Some(gid) = gid {
            user.set_gid(gid);
        }
    }
    let mut groups = user.additional_gids().clone().unwrap_or_default();
    groups.extend(&args.additional_gids);
    user.set_additional_gids(Some(groups));
    process.set_user(user);
    if !args.cap.is_empty() {
        let added = capabilities(&args.cap)?;
        let mut sets = process.capabilities().clone().unwrap_or_default();
        let add =
            |set: &Option<Capabilities>| Some(set.iter().flatten().chain(&added).copied().collect::<Capabilities>());
        sets.set_bounding(add(sets.bounding()));
        sets.set_effective(add(sets.effective()));
        sets.set_permitted(add(sets.permitted()));
        // Nothing becomes inheritable here (CVE-2022-29162), and ambient only what is that already.
        let inherited: Capabilities =
            sets.inheritable().iter().flatten().filter(|capability| added.contains(*capability)).copied().collect();
        if !inherited.is_empty() {
            sets.set_ambient(Some(sets.ambient().iter().flatten().chain(&inherited).copied().collect()));
        }
        process.set_capabilities(Some(sets));
    }
    Ok(process)
}

fn parse_user(text: &str) -> anyhow::Result<(u32, Option<u32>)> {
    let (uid, gid) = match text.split_once(':') {
        Some((uid, gid)) => (uid, Some(gid)),
        None => (text, None),
    };
    let number = |what: &str, text: &str| {
        text.parse::<u32>()
            .ok()
            .filter(|id| *id != u32::MAX)
            .with_context(|| format!("--user {text:?}: {what} is not an id"))
    };
    Ok((number("UID", uid)?, gid.map(|gid| number("GID", gid)).transpose()?))
}

fn capabilities(names: &[String]) -> anyhow::Result<Capabilities> {
    names
        .iter()
        .map(|name| {
            let name = name.to_ascii_uppercase();
            let name = if name.starts_with("CAP_") { name } else { format!("CAP_{name}") };
            serde_json::from_str(&format!("{name:?}"))
                .map_err(|_| anyhow::anyhow!("--cap: there is no capability {name} that this version knows"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_two_numbers_and_nothing_else() {
        assert_eq!(parse_user("1").unwrap(), (1, None));
        assert_eq!(parse_user("1:2").unwrap(), (1, Some(2)));
        for text in ["", ":", "1:", ":1", "root", "-1", "4294967295", "4294967296", "1:2:3", " 1", "0x1"] {
            assert!(parse_user(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_empty_profile_or_label_is_the_containers_own() {
        let mut spec = Spec::default();
        let mut process = Process::default();
        process.set_apparmor_profile(Some("tight".into())).set_selinux_label(Some("a:b:c:d".into()));
        spec.set_process(Some(process));
        let exec = |apparmor: &str, label: &str| {
            let words = ["exec", "--apparmor", apparmor, "--process-label", label, "web", "true"];
            let matches = command(Command::new("exec")).try_get_matches_from(words).unwrap();
            let process = changed(&Exec::from_arg_matches(&matches).unwrap(), &spec).unwrap();
            (process.apparmor_profile().clone().unwrap(), process.selinux_label().clone().unwrap())
        };
        assert_eq!(exec("", ""), ("tight".into(), "a:b:c:d".into()));
        assert_eq!(exec("loose", "e:f:g:h"), ("loose".into(), "e:f:g:h".into()));
    }
}
