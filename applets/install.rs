//! `nskit install`: links to this binary, one an applet, as busybox has them.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{CommandFactory, Parser};

use super::{APPLETS, find, program_name};

/// Install links to this binary, one for each applet and alias
#[derive(Parser)]
#[command(name = "nskit install", disable_version_flag = true)]
struct Options {
    /// Where the links go
    #[arg(long, value_name = "DIR", default_value = "/usr/local/bin")]
    dir: PathBuf,
    /// Make hard links instead of symbolic ones
    #[arg(long)]
    hard_links: bool,
    /// Replace what is there even when it is another program
    #[arg(short, long)]
    force: bool,
    /// Which applets or aliases; all of them by default, but never the alias runc
    #[arg(value_name = "APPLET")]
    applets: Vec<String>,
}

/// The command line, for completions.
pub(crate) fn command() -> clap::Command {
    Options::command()
}

/// Every name that can be installed.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    APPLETS.iter().flat_map(|applet| std::iter::once(applet.link()).chain(applet.aliases.iter().copied()))
}

/// What the link is called by which an applet or alias is installed.
fn link_name(name: &str) -> &str {
    APPLETS.iter().find(|applet| applet.name == name).map_or(name, |applet| applet.link())
}

/// Runs it on the arguments behind `install`.
pub(crate) fn run(args: &[OsString]) -> ExitCode {
    let options =
        match Options::try_parse_from(std::iter::once(OsString::from("nskit install")).chain(args.iter().cloned())) {
            Ok(options) => options,
            Err(error) => {
                let _ = error.print();
                return ExitCode::from(error.exit_code() as u8);
            }
        };
    match install(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nskit install: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn install(options: &Options) -> anyhow::Result<()> {
    let binary = std::env::current_exe().context("find this binary")?;
    // By the names that a link starts them by, too: nskit-runtime.
    if let Some(unknown) = options.applets.iter().find(|name| find(program_name(name.as_ref())).is_none()) {
        bail!("no applet is called '{unknown}'; 'nskit --list' names all");
    }
    if !options.dir.is_dir() {
        bail!("{} is no folder", options.dir.display());
    }
    let names: Vec<&str> = if options.applets.is_empty() {
        // Who asks for everything does not expect another runtime to be replaced.
        names().filter(|name| *name != "runc").collect()
    } else {
        options.applets.iter().map(String::as_str).collect()
    };
    let links: Vec<PathBuf> = names.into_iter().map(|name| options.dir.join(link_name(name))).collect();
    // All of them before the first is made.
    if !options.force {
        let foreign = links.iter().filter(|link| is_foreign(link, &binary)).map(|link| link.display().to_string());
        let foreign: Vec<String> = foreign.collect();
        if !foreign.is_empty() {
            bail!("{} would be replaced, which is not nskit's; --force replaces it", foreign.join(", "));
        }
    }
    for link in links {
        link_one(&binary, &link, options.hard_links)
            .with_context(|| format!("link {} to {}", link.display(), binary.display()))?;
    }
    Ok(())
}

/// Whether something is there that no `nskit install` made: neither a link to a file called nskit, nor this binary.
fn is_foreign(link: &Path, binary: &Path) -> bool {
    let Ok(there) = link.symlink_metadata() else { return false };
    if let Ok(target) = link.read_link() {
        return target.file_name() != Some(OsStr::new("nskit")) && link.canonicalize().ok().as_deref() != Some(binary);
    }
    let is_same = || {
        binary.metadata().is_ok_and(|ours| ours.len() == there.len())
            && matches!((std::fs::read(link), std::fs::read(binary)), (Ok(one), Ok(other)) if one == other)
    };
    !there.is_file() || !is_same()
}

/// Replaces a link that is there, in one step, so that there is no moment without the program.
fn link_one(binary: &Path, link: &Path, hard: bool) -> anyhow::Result<()> {
    if link.canonicalize().is_ok_and(|there| there == binary) && link.symlink_metadata()?.is_symlink() != hard {
        return Ok(());
    }
    let temporary = link.with_extension(format!("nskit-{}", std::process::id()));
    if hard {
        std::fs::hard_link(binary, &temporary)?
    } else {
        symlink(binary, &temporary)?
    }
    let renamed = std::fs::rename(&temporary, link);
    // It is there still when that failed, or did nothing, as between two links to one file.
    let _ = std::fs::remove_file(&temporary);
    Ok(renamed?)
}
