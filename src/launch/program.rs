//! The last part of a child's life as ours: ids, capabilities and everything else that a program is started with, and
//! execve(2).

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::error::{Attempt, Error, Kind, Result, go_text};
use crate::sys;
use crate::sys::fd::Kept;

/// Five sets of capabilities as bit masks, bit n for capability n; capabilities(7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// What no program started from here on can gain beyond.
    pub bounding: u64,
    /// What is in force.
    pub effective: u64,
    /// What files may pass on over execve(2).
    pub inheritable: u64,
    /// What may be made effective.
    pub permitted: u64,
    /// What is kept over execve(2) without files' say.
    pub ambient: u64,
}

/// Who the program runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups; `None` keeps those of the caller (setgroups(2) may be forbidden in a user namespace).
    pub groups: Option<Vec<u32>>,
}

/// Environment and arguments of a program, as execve(2) takes them.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// `argv`; the first is what is looked up.
    pub args: Vec<CString>,
    /// `NAME=value`.
    pub env: Vec<CString>,
}

/// `text` as a C string.
///
/// # Errors
/// When it has a NUL byte.
pub fn c_string(text: impl Into<Vec<u8>>, what: &str) -> Result<CString> {
    CString::new(text).map_err(|error| {
        Error::invalid(format!("{what} {:?} has a NUL byte", String::from_utf8_lossy(&error.clone().into_vec())))
    })
}

impl Program {
    /// The value of a variable of the program's environment.
    pub fn variable(&self, name: &str) -> Option<&[u8]> {
        self.env.iter().rev().find_map(|entry| entry.to_bytes().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    }

    /// Finds the file to execute, as a shell would with the program's own `PATH`.
    ///
    /// # Errors
    /// Of kind [`Kind::Program`], in the words that engines look for: `exec: "x": executable file not found in $PATH`,
    /// `exec: "/x": stat /x: no such file or directory`, `exec: "/x": is a directory`, `exec: "/x": permission denied`.
    ///
    /// A file that could not be looked at, for a cause that is none of these, is not passed over in silence: where no other
    /// folder has the program, the cause is told (`exec: "x": stat /bin/x: input/output error`).
    pub fn find(&self) -> Result<CString> {
        self.find_by(executable)
    }

    fn find_by(&self, executable: impl Fn(&CStr) -> Result<(), Errno>) -> Result<CString> {
        let name = self.args.first().ok_or_else(|| Error::invalid("the program to run is not given: args is empty"))?;
        let failed = |why: &str| Error::new(Kind::Program, format!("exec: \"{}\": {why}", name.to_string_lossy()));
        if name.to_bytes().contains(&b'/') {
            return match executable(name) {
                Ok(()) => Ok(name.clone()),
                Err(Errno::ISDIR) => Err(failed("is a directory")),
                Err(Errno::ACCESS) => Err(failed("permission denied")),
                Err(errno) => Err(failed(&not_looked_at(name, errno))),
            };
        }
        let path = self.variable("PATH").unwrap_or(b"");
        let mut unclear = None;
        for folder in path.split(|byte| *byte == b':') {
            let folder = if folder.is_empty() { b"." } else { folder };
            let candidate = [folder, b"/", name.to_bytes()].concat();
            let Ok(candidate) = CString::new(candidate) else { continue };
            match executable(&candidate) {
                Ok(()) => return Ok(candidate),
                Err(errno) if is_elsewhere(errno) => {}
                Err(errno) => unclear = unclear.or(Some((candidate, errno))),
            }
        }
        Err(match unclear {
            Some((candidate, errno)) => failed(&not_looked_at(&candidate, errno)),
            None => failed("executable file not found in $PATH"),
        })
    }

    /// Executes `file` with these arguments and this environment: returns only when that fails.
    ///
    /// # Errors
    /// As execve(2), of kind [`Kind::Program`].
    pub fn execute(&self, file: &CStr) -> Result<Infallible> {
        let Err(errno) = nix::unistd::execve(file, &self.args, &self.env);
        let errno = Errno::from_raw_os_error(errno as i32);
        // The file was found: what its first line or its ELF header names was not.
        let why = if errno == Errno::NOENT { " (its interpreter is not there)" } else { "" };
        Err(Error::new(Kind::Program, format!("exec {}: {}{why}", file.to_string_lossy(), go_text(errno))))
    }
}

/// Whether an errno says that a folder does not have the program: another may.
fn is_elsewhere(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::NOENT | Errno::NOTDIR | Errno::ISDIR | Errno::ACCESS | Errno::PERM | Errno::LOOP | Errno::NAMETOOLONG
    )
}

/// Why it is not known whether a file can be executed.
fn not_looked_at(file: &CStr, errno: Errno) -> String {
    format!("stat {}: {}", file.to_string_lossy(), go_text(errno))
}

fn executable(file: &CStr) -> Result<(), Errno> {
    let stat = rustix::fs::stat(file)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    match rustix::fs::accessat(CWD, file, Access::EXEC_OK, AtFlags::EACCESS) {
        // A filter that is older than faccessat2(2) (Linux 5.8). Real and effective ids are the same.
        Err(Errno::PERM | Errno::NOSYS) => rustix::fs::accessat(CWD, file, Access::EXEC_OK, AtFlags::empty()),
        answered => answered,
    }
}

/// Drops from the bounding set every capability that is not in `keep`.
///
/// # Errors
/// `EPERM` without `CAP_SETPCAP`.
pub fn limit_bounding_set(keep: u64) -> Result<()> {
    for number in (0..64).filter(|number| keep & (1 << number) == 0) {
        match rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            Ok(()) => {}
            // Beyond the last one that this kernel knows.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(Error::os(errno, format!("drop capability {number} from the bounding set"))),
        }
    }
    Ok(())
}

/// Whether this process has the privilege for setgroups(2).
fn may_set_groups() -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SETGID))
}

/// Changes to the given user and groups, keeping permitted capabilities for [`set_capabilities`] to choose from.
///
/// # Errors
/// `EPERM` without privilege, `EINVAL` for ids that the user namespace does not map.
pub fn set_credentials(who: &Credentials) -> Result<()> {
    // Capabilities are lost only by who stops being root.
    let stays_root = who.uid == 0;
    if !stays_root {
        rustix::thread::set_keep_capabilities(true).attempt(|| "keep capabilities over the change of user")?;
    }
    if let Some(groups) = &who.groups {
        let groups: Vec<Gid> = groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        match rustix::thread::set_thread_groups(&groups) {
            Err(Errno::PERM) if may_set_groups() => {
                // The user namespace denies it to everybody in it, /proc/PID/setgroups; the caller's stay, as nobody's.
                if !groups.is_empty() {
                    return Err(Error::os(Errno::PERM, "cannot set any additional groups in a rootless container"));
                }
            }
            set => set.attempt(|| format!("set the supplementary groups {}", first_of(&groups)))?,
        }
    }
    let (uid, gid) = (Uid::from_raw(who.uid), Gid::from_raw(who.gid));
    let failed = |errno: Errno, what: &str, id: u32| {
        let why = if errno == Errno::INVAL { ", which the user namespace does not map" } else { "" };
        Error::os(errno, format!("change to {what} {id}{why}"))
    };
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(|errno| failed(errno, "group", who.gid))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(|errno| failed(errno, "user", who.uid))?;
    if stays_root {
        return Ok(());
    }
    rustix::thread::set_keep_capabilities(false).attempt(|| "stop keeping capabilities")
}

/// Groups as a message names them: the first of many, for there may be 65,536.
fn first_of(groups: &[Gid]) -> String {
    const SHOWN: usize = 16;
    let list: Vec<String> = groups.iter().take(SHOWN).map(|gid| gid.as_raw().to_string()).collect();
    let more = if groups.len() > SHOWN { format!(",... ({} in all)", groups.len()) } else { String::new() };
    format!("{}{more}", list.join(","))
}

/// Sets all sets but the bounding set.
///
/// # Errors
/// `EPERM` for what is not permitted already.
pub fn set_capabilities(to: &Capabilities) -> Result<()> {
    let set = CapabilitySet::from_bits_retain;
    let sets =
        CapabilitySets { effective: set(to.effective), permitted: set(to.permitted), inheritable: set(to.inheritable) };
    rustix::thread::set_capabilities(None, sets).map_err(|errno| {
        let own = rustix::thread::capabilities(None).map_or(0, |own| own.permitted.bits());
        let lacking: Vec<String> = caps::all()
            .into_iter()
            .filter(|capability| to.permitted & !own & capability.bitmask() != 0)
            .map(|capability| capability.to_string())
            .collect();
        let why =
            if lacking.is_empty() { String::new() } else { format!(" ({} not permitted here)", lacking.join(", ")) };
        Error::os(errno, format!("set capabilities{why}"))
    })?;
    // What is ambient was inheritable: capset(2) has taken from the one what it took from the other.
    if to.inheritable != 0 {
        rustix::thread::clear_ambient_capability_set().attempt(|| "clear ambient capabilities")?;
    }
    for number in (0..64).filter(|number| to.ambient & (1 << number) != 0) {
        rustix::thread::configure_capability_in_ambient_set(set(1 << number), true)
            .attempt(|| format!("raise ambient capability {number}"))?;
    }
    Ok(())
}

/// Changes the working directory and makes sure that it is below this process's root: a descriptor that leaked from
/// outside (CVE-2024-21626) would lead elsewhere.
///
/// # Errors
/// As chdir(2), and when the directory cannot be reached from the root.
pub fn enter_directory(cwd: &Path) -> Result<()> {
    let what = || format!("chdir to cwd (\"{}\") set in config.json", cwd.display());
    rustix::process::chdir(cwd).attempt(what)?;
    verify_directory().attempt(what)
}

/// The check of [`enter_directory`] alone.
///
/// # Errors
/// When the working directory cannot be reached from the root.
pub fn verify_directory() -> Result<()> {
    match rustix::process::getcwd(Vec::with_capacity(256)) {
        Ok(path) if path.to_bytes().starts_with(b"/") => Ok(()),
        Ok(_) | Err(Errno::NOENT) => Err(Error::invalid(
            "current working directory is outside of container mount namespace root -- possible container breakout \
             detected",
        )),
        Err(errno) => Err(Error::os(errno, "look up the working directory")),
    }
}

/// Makes the standard streams fit for the program: gives them to its user, so that it can reopen them; and with
/// `reopen_null`, those that are the host's /dev/null become the container's. What cannot be given is left.
///
/// # Errors
/// As fstat(2), fchown(2) and dup2(2).
pub fn settle_streams(uid: u32, reopen_null: bool) -> Result<()> {
    let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    let mut null = None;
    for (number, stream) in streams.into_iter().enumerate() {
        let what = || format!("look at file descriptor {number}");
        let stat = match rustix::fs::fstat(stream) {
            Err(Errno::BADF) => continue,
            other => other.attempt(what)?,
        };
        let is_character_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
        if is_character_device && stat.st_rdev == rustix::fs::makedev(1, 3) {
            if reopen_null {
                let null = match &null {
                    Some(null) => null,
                    // A container without one keeps the host's.
                    None => match rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
                        Ok(own) => null.insert(Kept::from(own)),
                        Err(_) => return Ok(()),
                    },
                };
                match number {
                    0 => rustix::stdio::dup2_stdin(*null),
                    1 => rustix::stdio::dup2_stdout(*null),
                    _ => rustix::stdio::dup2_stderr(*null),
                }
                .attempt(|| "reopen /dev/null")?;
            }
        } else if stat.st_uid != uid {
            // A read-only file system, a user namespace without the owner: the program can live with it.
            match rustix::fs::fchown(stream, Some(Uid::from_raw(uid)), None) {
                Ok(()) | Err(Errno::INVAL | Errno::PERM | Errno::ROFS | Errno::ACCESS) => {}
                Err(errno) => return Err(Error::os(errno, format!("give file descriptor {number} to user {uid}"))),
            }
        }
    }
    Ok(())
}

/// The last things before execve(2): nothing of ours stays open, signals are as a program expects them, and the parent's
/// death no longer ends this process.
///
/// # Errors
/// As prctl(2) and close_range(2).
pub fn leave_nothing(preserve_fds: u32) -> Result<()> {
    rustix::process::set_parent_process_death_signal(None).attempt(|| "outlive the parent")?;
    sys::signal::default_sigpipe();
    close_on_exec(preserve_fds);
    Ok(())
}

/// Has programs inherit the standard streams and `preserve_fds` descriptors behind them, and nothing else.
pub fn close_on_exec(preserve_fds: u32) {
    sys::fd::cloexec_from(3 + preserve_fds as i32);
}

/// Sets the file mode creation mask.
pub fn set_umask(mask: u32) {
    rustix::process::umask(Mode::from_raw_mode(mask));
}

/// The content of `/etc/passwd` as seen from here. It is the container's: one without end could take all memory.
/// Empty where the container has none, or none that this process may read.
fn passwd() -> std::io::Result<Vec<u8>> {
    const MOST: u64 = 4 << 20;
    let file = match sys::fd::open_regular(Path::new("/etc/passwd")) {
        Ok(Some((file, _))) => file,
        Ok(None) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS | Errno::NXIO) => {
            return Ok(Vec::new());
        }
        Err(errno) => return Err(errno.into()),
    };
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(std::fs::File::from(file), MOST), &mut text)?;
    Ok(text)
}

/// The home folder of `uid` by `/etc/passwd` as seen from here; "/" when it does not tell.
///
/// # Errors
/// When `/etc/passwd` is there, and cannot be read: another home than the user's is no answer.
pub fn home_of(uid: u32) -> Result<CString> {
    let passwd = passwd().attempt(|| format!("read the home of user {uid} in /etc/passwd of the container"))?;
    let uid = uid.to_string();
    let home = passwd
        .split(|byte| *byte == b'\n')
        .find_map(|line| {
            let mut fields = line.split(|byte| *byte == b':');
            (fields.nth(2)? == uid.as_bytes()).then_some(())?;
            let home = fields.nth(2)?;
            (!home.is_empty()).then(|| std::ffi::OsStr::from_bytes(home).as_bytes().to_vec())
        })
        .and_then(|home| CString::new(home).ok());
    Ok(home.unwrap_or_else(|| c"/".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(args: &[&str], path: &str) -> Program {
        Program {
            args: args.iter().map(|arg| CString::new(*arg).unwrap()).collect(),
            env: vec![CString::new(format!("PATH={path}")).unwrap()],
        }
    }

    #[test]
    fn says_in_the_engines_words_why_a_program_cannot_be_run() {
        let why = |arg| program(&[arg], "/usr/bin:/bin").find().unwrap_err().to_string();
        assert_eq!(why("no-such-thing"), "exec: \"no-such-thing\": executable file not found in $PATH");
        assert_eq!(why("/no/such"), "exec: \"/no/such\": stat /no/such: no such file or directory");
        assert_eq!(why("/etc"), "exec: \"/etc\": is a directory");
        assert_eq!(why("/etc/passwd"), "exec: \"/etc/passwd\": permission denied");
        assert_eq!(why("/etc/passwd/x"), "exec: \"/etc/passwd/x\": stat /etc/passwd/x: not a directory");
    }

    #[test]
    fn a_file_that_cannot_be_looked_at_is_not_said_to_be_missing() {
        let fails = |errno| move |file: &CStr| if file == c"/b/x" { Err(errno) } else { Err(Errno::NOENT) };
        let why = |errno| program(&["x"], "/a:/b:/c").find_by(fails(errno)).unwrap_err().to_string();
        assert_eq!(why(Errno::IO), "exec: \"x\": stat /b/x: input/output error");
        assert_eq!(why(Errno::MFILE), "exec: \"x\": stat /b/x: too many open files");
        assert_eq!(why(Errno::ACCESS), "exec: \"x\": executable file not found in $PATH");
        let last = |file: &CStr| if file == c"/c/x" { Ok(()) } else { Err(Errno::IO) };
        assert_eq!(program(&["x"], "/a:/b:/c").find_by(last).unwrap().as_c_str(), c"/c/x");
    }

    #[test]
    fn finds_a_program_in_the_path_of_its_own_environment() {
        assert!(program(&["sh"], "/nowhere:/bin").find().unwrap().to_bytes().ends_with(b"/bin/sh"));
        assert!(program(&["sh"], "/nowhere").find().is_err());
    }
}
