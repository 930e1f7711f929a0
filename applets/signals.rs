//! Names of signals as util-linux reads them.

use std::ffi::OsStr;

/// Names and numbers where the kernel's are the same on all architectures that this builds for.
const NAMES: &[(&str, i32)] = &[
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("IOT", libc::SIGIOT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("POLL", libc::SIGPOLL),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

/// The number of a signal's name, in any case, with or without `SIG`; `RTMIN+n` and `RTMAX-n` too. Numbers are no names.
pub(crate) fn number(name: &OsStr) -> Option<i32> {
    let name = name.to_str()?.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some(real_time) = name.strip_prefix("RT") {
        let (from, digits, sign) = match (real_time.strip_prefix("MIN+"), real_time.strip_prefix("MAX-")) {
            (Some(digits), _) => (libc::SIGRTMIN(), digits, 1),
            (_, Some(digits)) => (libc::SIGRTMAX(), digits, -1),
            _ => (libc::SIGRTMIN(), real_time, 1),
        };
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number = from.checked_add(sign * digits.parse::<i32>().ok()?)?;
        return (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&number).then_some(number);
    }
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// The name of a signal, with `SIG`; its number where it has none.
pub(crate) fn name(number: i32) -> String {
    match NAMES.iter().find(|(_, known)| *known == number) {
        Some((name, _)) => format!("SIG{name}"),
        None => number.to_string(),
    }
}

/// The names of all signals that have one.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_in_any_case_with_or_without_the_prefix() {
        let number = |name: &str| number(name.as_ref());
        assert_eq!(number("TERM"), Some(15));
        assert_eq!(number("sigterm"), Some(15));
        assert_eq!(number("SigIOT"), Some(6));
        assert_eq!(number("RTMIN+0"), Some(34));
        assert_eq!(number("rtmax-1"), Some(63));
        assert_eq!(number("RT3"), Some(37));
        for wrong in ["9", "", "SIG", "SIGSIGTERM", "RT", "RTMIN", "RTMAX-40", "RTMIN+31", "RT+1", "TERMX"] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
    }
}
