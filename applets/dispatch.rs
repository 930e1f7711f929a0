//! Which applet a command line means.
//!
//! The first of these that names one decides:
//!
//! 1. The file that was executed, by the path that the kernel was given (`AT_EXECFN`, getauxval(3)), and every link that it leads
//!    through: a link `unshare`, `nskit-unshare`, `rootless-unshare` or `unshare.real` unshares, and so does `sandbox`, a link to
//!    it. `argv[0]` is the caller's to choose: wrappers call a program what they like (`exec -a`), and login shells put a dash
//!    in front.
//! 2. `argv[0]`, where the file says nothing: it is called `nskit`, or was executed by a descriptor, without a path.
//! 3. The first argument: `nskit unshare`.
//! 4. The options and verbs of an OCI runtime: engines resolve the link `nskit-runtime` to `nskit`, and copy a runtime to any
//!    name.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{APPLETS, Applet};

/// What a command line means.
#[derive(Clone, Copy)]
pub(crate) enum Choice {
    /// An applet by what the program is called: all arguments are its own.
    Called(&'static Applet),
    /// An applet by the first argument, which is the name that it was called by.
    Named(&'static Applet),
    /// Neither: a word of nskit's own, or a mistake.
    Own,
}

/// The applet that is meant by `args`, with `argv[0]`, of the program that was executed as `file`, if by a path.
pub(crate) fn choose(file: Option<&Path>, args: &[OsString]) -> Choice {
    if let Some(applet) = file.and_then(of_file) {
        return Choice::Called(applet);
    }
    if let Some(applet) = args.first().and_then(|called| find(program_name(called))) {
        return Choice::Called(applet);
    }
    match args.get(1) {
        Some(name) if find(name).is_some() => Choice::Named(find(name).expect("it was found")),
        Some(_) => APPLETS.iter().find(|applet| (applet.recognises)(args)).map_or(Choice::Own, Choice::Called),
        None => Choice::Own,
    }
}

/// The applet that a file is called by, or one of the links that it leads through.
fn of_file(file: &Path) -> Option<&'static Applet> {
    /// As many links as the kernel follows.
    const MOST: usize = 40;
    let mut path = file.to_owned();
    for _ in 0..MOST {
        let name = path.file_name()?;
        if name == "nskit" {
            return None;
        }
        if let Some(applet) = of_name(name) {
            return Some(applet);
        }
        // Relative to the folder that the link is in.
        path = path.parent().map(PathBuf::from)?.join(std::fs::read_link(&path).ok()?);
    }
    None
}

/// The applet with this name, or else the one whose name is a word of it, such as `unshare` of `unshare.real`.
fn of_name(name: &OsStr) -> Option<&'static Applet> {
    if let Some(applet) = find(program_name(name)) {
        return Some(applet);
    }
    let mut found =
        APPLETS.iter().filter(|applet| names(applet).any(|known| has_word(name.as_bytes(), known.as_bytes())));
    let applet = found.next()?;
    // One that names several says nothing.
    found.next().is_none().then_some(applet)
}

/// Whether `word` is in `name`, with neither a letter nor a digit at either side.
fn has_word(name: &[u8], word: &[u8]) -> bool {
    let is_edge = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
    name.windows(word.len()).enumerate().any(|(at, window)| {
        window == word && is_edge(at.checked_sub(1).map(|before| &name[before])) && is_edge(name.get(at + word.len()))
    })
}

/// The last component of a path, without the prefix that links may have.
pub(crate) fn program_name(called: &OsStr) -> &OsStr {
    let name = Path::new(called).file_name().unwrap_or(called).as_bytes();
    OsStr::from_bytes(name.strip_prefix(b"nskit-").unwrap_or(name))
}

/// The applet with this name or alias.
pub(crate) fn find(name: &OsStr) -> Option<&'static Applet> {
    APPLETS.iter().find(|applet| names(applet).any(|known| name == known))
}

fn names(applet: &Applet) -> impl Iterator<Item = &'static str> {
    [applet.name, applet.link()].into_iter().chain(applet.aliases.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The applet's name, with `=` in front where the first argument names it.
    fn chosen(file: &str, args: &[&str]) -> String {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        match choose(Some(Path::new(file)).filter(|_| !file.is_empty()), &args) {
            Choice::Called(applet) => applet.name.to_owned(),
            Choice::Named(applet) => format!("={}", applet.name),
            Choice::Own => String::new(),
        }
    }

    #[test]
    fn the_executed_file_decides_whatever_the_caller_calls_it() {
        for file in
            ["/bin/unshare", "unshare", "/x/nskit-unshare", "/x/rootless-unshare", "/x/unshare.real", "unshare-2.43"]
        {
            for args in [&["unshare", "-r"][..], &["firefox"], &["-unshare"], &["lsns"], &["install", "nsenter"], &[]] {
                assert_eq!(chosen(file, args), "unshare", "{file} {args:?}");
            }
        }
        for file in ["/x/runc", "/x/docker-runc", "/x/nskit-runtime-0.2", "/usr/bin/nskit-runtime"] {
            assert_eq!(chosen(file, &["unshare", "unshare"]), "runtime", "{file}");
        }
    }

    #[test]
    fn a_name_that_has_several_applets_in_it_or_a_part_of_one_says_nothing() {
        for file in ["/x/unshare-nsenter", "/x/unshared", "/x/xunshare", "/x/sandbox", "/x/nskit", ""] {
            assert_eq!(chosen(file, &["nskit", "nsenter", "-a"]), "=nsenter", "{file}");
            assert_eq!(chosen(file, &["/y/lsns", "nsenter"]), "lsns", "{file}");
            assert_eq!(chosen(file, &["nskit", "install"]), "", "{file}");
            assert_eq!(chosen(file, &["nskit"]), "", "{file}");
        }
    }

    #[test]
    fn options_and_verbs_of_a_runtime_make_it_the_runtime() {
        for args in [
            &["crun", "run", "id"][..],
            &["nskit", "--root", "/x", "--log-format=json", "create", "id"],
            &["x", "-root", "/x", "list"],
            &["x", "--systemd-cgroup", "state", "id"],
            &["x", "--bogus", "exec", "id"],
            &["x", "--root", "/x"],
        ] {
            assert_eq!(chosen("/x/any", args), "runtime", "{args:?}");
        }
        for args in [
            &["x", "--help"][..],
            &["x", "--version"],
            &["x", "-h"],
            &["x", "--root"],
            &["x", "make"],
            &["x", "-r", "id"],
        ] {
            assert_ne!(chosen("/x/any", args), "unshare", "{args:?}");
        }
        for args in [&["x", "--help"][..], &["x", "--version"], &["x", "frobnicate"], &["x", "-r", "id"]] {
            assert_eq!(chosen("/x/any", args), "", "{args:?}");
        }
    }

    #[test]
    fn links_are_followed_to_one_that_names_an_applet() {
        let folder = std::env::temp_dir().join(format!("nskit-test-dispatch-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink("unshare", folder.join("sandbox")).unwrap();
        std::os::unix::fs::symlink("loop", folder.join("loop")).unwrap();
        let chosen = |name: &str| chosen(folder.join(name).to_str().unwrap(), &["x", "nsenter"]);
        let (link, circle) = (chosen("sandbox"), chosen("loop"));
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!((link.as_str(), circle.as_str()), ("unshare", "=nsenter"));
    }
}
