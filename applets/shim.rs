//! containerd's shim: what containerd calls the program with, which is Go's notation for options, and where the log goes.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Arg, ArgAction, Command};
use nskit::shim::bootstrap::{self, Begun, Flags};

use crate::logger::{self, Format};

/// The shim in the table of applets.
pub(crate) const APPLET: crate::Applet = crate::Applet {
    name: "shim",
    aliases: &[],
    about: "containerd's shim: one small process a pod, with the runtime inside",
    command,
    run,
    recognises: crate::Applet::by_name_alone,
};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Start,
    Delete,
    Info,
    Version,
    Help,
}

/// Its command line, for help, man pages and completions; what parses it is [`parse`].
fn command() -> Command {
    let text = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    Command::new("shim")
        .bin_name("nskit shim")
        .about("containerd's shim, which containerd starts; io.containerd.nskit.v2 is its runtime_type")
        .disable_version_flag(true)
        .arg(text("namespace", "NAME", "Namespace of the container"))
        .arg(text("id", "ID", "The container"))
        .arg(text("address", "SOCKET", "containerd's address"))
        .arg(text("bundle", "DIR", "The bundle's folder, when it is not the working directory"))
        .arg(text("publish-binary", "FILE", "Of no effect: events go to TTRPC_ADDRESS").hide(true))
        .arg(flag("debug", "Log more than warnings and errors"))
        .arg(flag("info", "Print what the runtime knows, as containerd's protobuf has it"))
        .arg(flag("version", "Print versions").short('v'))
        .arg(
            Arg::new("action")
                .value_name("ACTION")
                .value_parser(["start", "delete"])
                .help("Start the shim of the container's pod, or clean up after a dead one"),
        )
}

/// Parses options as Go programs do: with one dash or two, the value behind a space or `=`, the action last.
fn parse(args: &[OsString]) -> anyhow::Result<(Action, Flags)> {
    let mut flags = Flags::default();
    let mut action = None;
    let mut words = args.iter().map(|arg| arg.to_string_lossy().into_owned());
    while let Some(word) = words.next() {
        let Some(name) = word.strip_prefix('-') else {
            action = Some(match word.as_str() {
                "start" => Action::Start,
                "delete" => Action::Delete,
                other => bail!("there is no action {other:?}: start and delete are"),
            });
            break;
        };
        let name = name.strip_prefix('-').unwrap_or(name);
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (name, None),
        };
        match name {
            "h" | "help" => return Ok((Action::Help, flags)),
            "v" | "version" => return Ok((Action::Version, flags)),
            "info" => return Ok((Action::Info, flags)),
            "debug" => {
                flags.debug = value.is_none_or(|value| matches!(value.as_str(), "1" | "t" | "T" | "true" | "TRUE"));
                continue;
            }
            _ => {}
        }
        let mut value = || value.clone().or_else(|| words.next()).with_context(|| format!("-{name} needs a value"));
        match name {
            "namespace" => flags.namespace = value()?,
            "id" => flags.id = value()?,
            "address" => flags.address = value()?,
            "bundle" => flags.bundle = value()?,
            // Others' ways, which this shim has no use for.
            "publish-binary" | "socket" | "debug-socket" => drop(value()?),
            other => bail!("there is no option -{other}: see -help"),
        }
    }
    let Some(action) = action else { bail!("no action is given: containerd runs this program, with start or delete") };
    for (name, value) in [("namespace", &flags.namespace), ("id", &flags.id)] {
        if value.is_empty() {
            bail!("-{name} is not given");
        }
        // They become names of folders.
        if value.contains('/') || value == ".." {
            bail!("-{name} {value:?} is no name");
        }
    }
    Ok((action, flags))
}

/// Runs it.
fn run(args: Vec<OsString>) -> ExitCode {
    let done = parse(&args[1..]).and_then(|(action, flags)| match action {
        Action::Start => start(&flags),
        Action::Delete => {
            logger::start(None, Format::Text, flags.debug, None)?;
            print(&bootstrap::delete(&flags)?)
        }
        Action::Info => {
            // Options come in; none of them changes what there is.
            std::io::stdin().lock().take(10 << 20).read_to_end(&mut Vec::new()).context("read standard input")?;
            print(&bootstrap::info(env!("CARGO_PKG_VERSION"), option_env!("NSKIT_COMMIT").unwrap_or_default()))
        }
        Action::Version => {
            print(format!("containerd-shim-nskit-v2:\n  Version:  {}\n", env!("CARGO_PKG_VERSION")).as_bytes())
        }
        Action::Help => print(command().render_help().to_string().as_bytes()),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let message = error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ");
            eprintln!("containerd-shim-nskit-v2: {}", logger::in_one_line(&message));
            ExitCode::FAILURE
        }
    }
}

fn start(flags: &Flags) -> anyhow::Result<()> {
    // Containers' processes are forked from this one.
    crate::runtime::protect::own_image(&APPLET)?;
    nskit::sys::start::prepare();
    nskit::sys::signal::set_default(libc::SIGCHLD);
    match bootstrap::start(flags)? {
        Begun::Caller(answer) => print(&answer),
        Begun::Shim(mut config, listener) => {
            config.log = open_log(flags.debug);
            let served = nskit::shim::serve(config, listener);
            if let Err(error) = &served {
                log::error!("the shim of {} ends: {error}", flags.id);
            }
            Ok(served?)
        }
    }
}

/// Logs to the FIFO in the bundle that containerd reads; its descriptor, where there is one.
fn open_log(is_debug: bool) -> Option<i32> {
    // Open for both, so that it neither waits for a reader nor fails when containerd has gone; a full one loses lines.
    let log = File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("log").ok()?;
    // Nothing of the shim keeps the bundle from being removed.
    let _ = std::env::set_current_dir("/");
    let number = log.as_raw_fd();
    logger::start_on(log, is_debug).ok().map(|()| number)
}

fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut output = std::io::stdout();
    output.write_all(bytes).and_then(|()| output.flush()).context("write standard output")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn options_are_go_s() {
        let line = "-namespace default --id=c1 -address /run/c.sock -publish-binary /usr/bin/containerd -debug start";
        let (action, flags) = parse(&words(line)).unwrap();
        assert_eq!(action, Action::Start);
        assert_eq!((flags.namespace.as_str(), flags.id.as_str()), ("default", "c1"));
        assert_eq!((flags.address.as_str(), flags.debug), ("/run/c.sock", true));
        assert_eq!(parse(&words("-v")).unwrap().0, Action::Version);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, why) in [
            ("-namespace x -id y", "no action is given"),
            ("-namespace x start", "-id is not given"),
            ("-namespace x -id a/b start", "is no name"),
            ("-namespace x -id .. start", "is no name"),
            ("-namespace x -id y stop", "there is no action \"stop\""),
            ("-bogus", "there is no option -bogus"),
            ("-id", "-id needs a value"),
        ] {
            let error = parse(&words(line)).unwrap_err().to_string();
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
