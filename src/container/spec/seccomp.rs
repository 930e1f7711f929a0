//! `linux.seccomp` of the configuration as a [`Profile`], checked as runc and the runtime-spec have it; and what
//! `features` says about seccomp.

use oci_spec::runtime::{
    Arch as SpecArch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSeccompOperator,
    LinuxSyscall, Spec,
};

use crate::launch::link::{Link, Message};
use crate::seccomp::{Action, Arch, Comparison, Condition, Flags, Listener, Profile, Rule, Syscall};
use crate::sys::seccomp as sys;
use crate::{Error, Result};

/// `SCMP_ACT_*` that a configuration can use, in order.
pub const ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

/// `SCMP_CMP_*` that a configuration can use, in order.
pub const OPERATORS: [&str; 7] =
    ["SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"];

/// Flags that a configuration can use, in runc's order. TSYNC changes nothing: the process that loads a filter has one
/// thread.
pub const FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

/// `SCMP_ARCH_*` that a configuration can use, in order.
pub fn architectures() -> Vec<&'static str> {
    let mut names: Vec<_> = Arch::ALL.iter().map(|arch| arch.name()).collect();
    names.sort_unstable();
    names
}

/// Those of [`FLAGS`] that the running kernel knows; none without seccomp.
pub fn supported_flags() -> Vec<&'static str> {
    let needed = |flag: &str| match flag {
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => sys::FLAG_SPEC_ALLOW,
        "SECCOMP_FILTER_FLAG_LOG" => sys::FLAG_LOG,
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => sys::FLAG_NEW_LISTENER | sys::FLAG_WAIT_KILLABLE_RECV,
        _ => 0,
    };
    FLAGS.into_iter().filter(|flag| sys::has_flags(needed(flag))).collect()
}

/// The profile that a container's configuration asks for; `None` without one.
///
/// # Errors
/// As [`profile`].
pub fn profile_of(spec: &Spec) -> Result<Option<Profile>> {
    let Some(seccomp) = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref()) else { return Ok(None) };
    let strict = crate::container::spec::properties::annotation(spec, "run.oci.seccomp_fail_unknown_syscall").is_some();
    if let Some(name) = unknown_syscalls(seccomp).next().filter(|_| strict) {
        return Err(Error::invalid(format!("linux.seccomp.syscalls: unknown syscall {name:?}")));
    }
    profile(seccomp).map(Some)
}

/// The parent's part: compiles `profile` while the child is busy, and sends it the filter.
///
/// # Errors
/// As [`crate::seccomp::compile`] and [`Link::send`].
pub fn send_filter(profile: &Profile, link: &Link) -> Result<()> {
    link.send(&Message::Filter(crate::seccomp::compile(profile)?))
}

/// The profile in a text: a `linux.seccomp` alone, or a configuration that has one.
///
/// # Errors
/// When it is none, with line and column, and as [`profile`].
pub fn from_text(text: &[u8]) -> Result<Profile> {
    let place = crate::container::spec::outline::find_profile(text).unwrap_or(0..text.len());
    // Lines and columns are those of the whole.
    let before = text[..place.start].iter().map(|&byte| if byte == b'\n' { byte } else { b' ' });
    let alone: Vec<u8> = before.chain(text[place].iter().copied()).collect();
    let seccomp: LinuxSeccomp = crate::container::spec::strict::from_slice(&alone).map_err(|error| {
        let what = if error.is_data() { "a seccomp profile" } else { "JSON" };
        Error::invalid(format!("not {what}: {error}"))
    })?;
    profile(&seccomp)
}

/// The profile that a configuration asks for. Names of system calls that no architecture has are skipped with a line in
/// the debug log, as runc does: they are newer than this program, and the default action is right for them.
///
/// # Errors
/// [`Kind::Invalid`](crate::error::Kind) names what the runtime-spec or runc forbid;
/// [`Kind::Unsupported`](crate::error::Kind) a flag that the running kernel lacks.
pub fn profile(seccomp: &LinuxSeccomp) -> Result<Profile> {
    let default_action = action(seccomp.default_action(), seccomp.default_errno_ret())
        .map_err(|error| error.context("linux.seccomp.defaultErrnoRet"))?;
    if default_action == Action::Notify {
        return Err(Error::invalid("linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be used as default action"));
    }
    let specified = seccomp.syscalls().as_deref().unwrap_or_default();
    let rules = specified.iter().enumerate().map(|(at, syscall)| {
        rule(syscall).map_err(|error| error.context(format_args!("linux.seccomp.syscalls[{at}]")))
    });
    let profile = Profile {
        default_action,
        architectures: seccomp.architectures().iter().flatten().map(|&named| arch(named)).collect(),
        flags: flags(seccomp.flags().as_deref())?,
        rules: rules.collect::<Result<_>>()?,
        listener: listener(seccomp)?,
    };
    if profile.notifies() && profile.listener.is_none() {
        return Err(Error::invalid("linux.seccomp.listenerPath is not set, but SCMP_ACT_NOTIFY needs a listener"));
    }
    Ok(profile)
}

/// The names of system calls in a configuration that no architecture has, for who wants them to be an error.
pub fn unknown_syscalls(seccomp: &LinuxSeccomp) -> impl Iterator<Item = &str> {
    let rules = seccomp.syscalls().iter().flatten();
    rules.flat_map(LinuxSyscall::names).map(String::as_str).filter(|name| Syscall::from_name(name).is_none())
}

fn rule(specified: &LinuxSyscall) -> Result<Rule> {
    let action = action(specified.action(), specified.errno_ret()).map_err(|error| error.context("errnoRet"))?;
    let mut syscalls = Vec::with_capacity(specified.names().len());
    for name in specified.names() {
        match Syscall::from_name(name) {
            // runc's child writes the listener's number to its parent, and would wait for itself. What runc refuses,
            // no profile in use has.
            Some(_) if name == "write" && action == Action::Notify => {
                return Err(Error::invalid("SCMP_ACT_NOTIFY cannot be used for the write syscall"));
            }
            Some(syscall) => syscalls.push(syscall),
            None if name.is_empty() => return Err(Error::invalid("names: empty string is not a valid syscall")),
            None => log::debug!("unknown seccomp syscall {name:?} ignored"),
        }
    }
    let conditions = specified.args().iter().flatten().map(condition).collect::<Result<_>>()?;
    Ok(Rule { syscalls, action, conditions })
}

/// An action with its errno or message: EPERM where there is none.
fn action(specified: LinuxSeccompAction, errno: Option<u32>) -> Result<Action> {
    let plain = match specified {
        LinuxSeccompAction::ScmpActErrno | LinuxSeccompAction::ScmpActTrace => {
            let errno = errno.unwrap_or(libc::EPERM as u32);
            let errno = u16::try_from(errno).map_err(|_| Error::invalid(format!("{errno} is above 65535")))?;
            return Ok(match specified {
                LinuxSeccompAction::ScmpActErrno => Action::Errno(errno),
                _ => Action::Trace(errno),
            });
        }
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => Action::KillThread,
        LinuxSeccompAction::ScmpActKillProcess => Action::KillProcess,
        LinuxSeccompAction::ScmpActTrap => Action::Trap,
        LinuxSeccompAction::ScmpActNotify => Action::Notify,
        LinuxSeccompAction::ScmpActLog => Action::Log,
        LinuxSeccompAction::ScmpActAllow => Action::Allow,
    };
    match errno {
        None => Ok(plain),
        // "When the action doesn't support an errno, the runtime MUST print and error and fail": config-linux.md.
        Some(errno) => Err(Error::invalid(format!("{specified} takes no errno, but {errno} is given"))),
    }
}

fn condition(specified: &LinuxSeccompArg) -> Result<Condition> {
    let argument = match u8::try_from(specified.index()) {
        Ok(argument) if argument < 6 => argument,
        _ => {
            return Err(Error::invalid(format!(
                "args: index {}, system calls have arguments 0 to 5",
                specified.index()
            )));
        }
    };
    let value = specified.value();
    let comparison = match specified.op() {
        LinuxSeccompOperator::ScmpCmpNe => Comparison::NotEqual(value),
        LinuxSeccompOperator::ScmpCmpLt => Comparison::Less(value),
        LinuxSeccompOperator::ScmpCmpLe => Comparison::LessOrEqual(value),
        LinuxSeccompOperator::ScmpCmpEq => Comparison::Equal(value),
        LinuxSeccompOperator::ScmpCmpGe => Comparison::GreaterOrEqual(value),
        LinuxSeccompOperator::ScmpCmpGt => Comparison::Greater(value),
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            Comparison::MaskedEqual { mask: value, value: specified.value_two().unwrap_or(0) }
        }
    };
    Ok(Condition { argument, comparison })
}

/// Absent flags are not the empty list: then speculative store bypass stays on, as runc and the kernel's own default since
/// Linux 5.16 have it.
fn flags(specified: Option<&[LinuxSeccompFilterFlag]>) -> Result<Flags> {
    let Some(specified) = specified else {
        return Ok(Flags { spec_allow: true, ..Flags::default() });
    };
    let mut flags = Flags::default();
    for flag in specified {
        match flag {
            LinuxSeccompFilterFlag::SeccompFilterFlagLog => flags.log = true,
            LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => flags.spec_allow = true,
            LinuxSeccompFilterFlag::SeccompFilterFlagTsync => {}
            LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => flags.wait_killable_recv = true,
        }
    }
    // The others are older than the oldest kernel that this program runs on.
    if flags.wait_killable_recv && !sys::has_flags(sys::FLAG_NEW_LISTENER | sys::FLAG_WAIT_KILLABLE_RECV) {
        return Err(Error::unsupported(
            "linux.seccomp.flags: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs Linux 5.19 or newer",
        ));
    }
    Ok(flags)
}

fn listener(seccomp: &LinuxSeccomp) -> Result<Option<Listener>> {
    let path = seccomp.listener_path().as_ref().filter(|path| !path.as_os_str().is_empty());
    let metadata = seccomp.listener_metadata().as_ref().filter(|metadata| !metadata.is_empty());
    match (path, metadata) {
        (Some(path), metadata) => Ok(Some(Listener { path: path.clone(), metadata: metadata.cloned() })),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Error::invalid("linux.seccomp.listenerMetadata is set, but listenerPath is not")),
    }
}

fn arch(named: SpecArch) -> Arch {
    match named {
        SpecArch::ScmpArchNative => Arch::NATIVE,
        SpecArch::ScmpArchX86 => Arch::X86,
        SpecArch::ScmpArchX86_64 => Arch::X86_64,
        SpecArch::ScmpArchX32 => Arch::X32,
        SpecArch::ScmpArchArm => Arch::Arm,
        SpecArch::ScmpArchAarch64 => Arch::Aarch64,
        SpecArch::ScmpArchMips => Arch::Mips,
        SpecArch::ScmpArchMips64 => Arch::Mips64,
        SpecArch::ScmpArchMips64n32 => Arch::Mips64n32,
        SpecArch::ScmpArchMipsel => Arch::Mipsel,
        SpecArch::ScmpArchMipsel64 => Arch::Mipsel64,
        SpecArch::ScmpArchMipsel64n32 => Arch::Mipsel64n32,
        SpecArch::ScmpArchPpc => Arch::Ppc,
        SpecArch::ScmpArchPpc64 => Arch::Ppc64,
        SpecArch::ScmpArchPpc64le => Arch::Ppc64le,
        SpecArch::ScmpArchS390 => Arch::S390,
        SpecArch::ScmpArchS390x => Arch::S390x,
        SpecArch::ScmpArchParisc => Arch::Parisc,
        SpecArch::ScmpArchParisc64 => Arch::Parisc64,
        SpecArch::ScmpArchRiscv64 => Arch::Riscv64,
        SpecArch::ScmpArchLoongarch64 => Arch::Loongarch64,
        SpecArch::ScmpArchM68k => Arch::M68k,
        SpecArch::ScmpArchSh => Arch::Sh,
        SpecArch::ScmpArchSheb => Arch::Sheb,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn mapped(seccomp: Value) -> Result<Profile> {
        profile(&serde_json::from_value(seccomp).unwrap())
    }

    fn refusal(seccomp: Value) -> String {
        mapped(seccomp).unwrap_err().to_string()
    }

    #[test]
    fn maps_every_action_with_its_errno() {
        let action = |action: &str, errno: Option<u32>| {
            let mut rule = json!({"names": ["read"], "action": action});
            if let Some(errno) = errno {
                rule["errnoRet"] = json!(errno);
            }
            let seccomp = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule], "listenerPath": "/agent"});
            mapped(seccomp).unwrap().rules[0].action
        };
        for (name, expected) in [
            ("SCMP_ACT_KILL", Action::KillThread),
            ("SCMP_ACT_KILL_THREAD", Action::KillThread),
            ("SCMP_ACT_KILL_PROCESS", Action::KillProcess),
            ("SCMP_ACT_TRAP", Action::Trap),
            ("SCMP_ACT_ERRNO", Action::Errno(1)),
            ("SCMP_ACT_TRACE", Action::Trace(1)),
            ("SCMP_ACT_ALLOW", Action::Allow),
            ("SCMP_ACT_LOG", Action::Log),
            ("SCMP_ACT_NOTIFY", Action::Notify),
        ] {
            assert!(ACTIONS.contains(&name));
            assert_eq!(action(name, None), expected, "{name}");
        }
        assert_eq!(action("SCMP_ACT_ERRNO", Some(38)), Action::Errno(38));
        assert_eq!(action("SCMP_ACT_TRACE", Some(5)), Action::Trace(5));
    }

    #[test]
    fn maps_every_operator() {
        for (operator, expected) in [
            ("SCMP_CMP_NE", Comparison::NotEqual(7)),
            ("SCMP_CMP_LT", Comparison::Less(7)),
            ("SCMP_CMP_LE", Comparison::LessOrEqual(7)),
            ("SCMP_CMP_EQ", Comparison::Equal(7)),
            ("SCMP_CMP_GE", Comparison::GreaterOrEqual(7)),
            ("SCMP_CMP_GT", Comparison::Greater(7)),
            ("SCMP_CMP_MASKED_EQ", Comparison::MaskedEqual { mask: 7, value: 3 }),
        ] {
            assert!(OPERATORS.contains(&operator));
            let argument = json!({"index": 5, "value": 7, "valueTwo": 3, "op": operator});
            let rule = json!({"names": ["read"], "action": "SCMP_ACT_LOG", "args": [argument]});
            let profile = mapped(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})).unwrap();
            assert_eq!(profile.rules[0].conditions, [Condition { argument: 5, comparison: expected }]);
        }
    }

    #[test]
    fn every_architecture_of_the_features_can_be_named() {
        let names = architectures();
        assert!(names.is_sorted());
        let profile = mapped(json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": names})).unwrap();
        let back: Vec<_> = profile.architectures.iter().map(|arch| arch.name()).collect();
        assert_eq!(back, names);
    }

    #[test]
    fn absent_flags_are_not_no_flags() {
        let flags = |flags: Value| {
            let mut seccomp = json!({"defaultAction": "SCMP_ACT_ALLOW"});
            if !flags.is_null() {
                seccomp["flags"] = flags;
            }
            mapped(seccomp).unwrap().flags
        };
        assert_eq!(flags(Value::Null), Flags { spec_allow: true, ..Flags::default() });
        assert_eq!(flags(json!([])), Flags::default());
        assert_eq!(flags(json!(["SECCOMP_FILTER_FLAG_TSYNC"])), Flags::default());
        let all = flags(json!(supported_flags()));
        assert!(all.log && all.spec_allow);
    }

    #[test]
    fn names_of_no_architecture_are_passed_over_and_can_be_asked_for() {
        let rule = json!({"names": ["read", "not_yet_a_call"], "action": "SCMP_ACT_ALLOW"});
        let seccomp = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]});
        let specified: LinuxSeccomp = serde_json::from_value(seccomp).unwrap();
        assert_eq!(profile(&specified).unwrap().rules[0].syscalls, [Syscall::from_name("read").unwrap()]);
        assert_eq!(unknown_syscalls(&specified).collect::<Vec<_>>(), ["not_yet_a_call"]);
    }

    #[test]
    fn says_where_a_profile_is_wrong() {
        let rule = |rule: Value| refusal(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}));
        assert_eq!(
            rule(json!({"names": ["read"], "action": "SCMP_ACT_KILL", "errnoRet": 1})),
            "linux.seccomp.syscalls[0]: errnoRet: SCMP_ACT_KILL takes no errno, but 1 is given"
        );
        assert_eq!(
            rule(json!({"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 65536})),
            "linux.seccomp.syscalls[0]: errnoRet: 65536 is above 65535"
        );
        let argument = json!([{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]);
        assert_eq!(
            rule(json!({"names": ["read"], "action": "SCMP_ACT_LOG", "args": argument})),
            "linux.seccomp.syscalls[0]: args: index 6, system calls have arguments 0 to 5"
        );
        assert_eq!(
            rule(json!({"names": ["read", ""], "action": "SCMP_ACT_LOG"})),
            "linux.seccomp.syscalls[0]: names: empty string is not a valid syscall"
        );
        assert_eq!(
            rule(json!({"names": ["write"], "action": "SCMP_ACT_NOTIFY"})),
            "linux.seccomp.syscalls[0]: SCMP_ACT_NOTIFY cannot be used for the write syscall"
        );
        assert_eq!(
            rule(json!({"names": ["acct"], "action": "SCMP_ACT_NOTIFY"})),
            "linux.seccomp.listenerPath is not set, but SCMP_ACT_NOTIFY needs a listener"
        );
        assert_eq!(
            refusal(json!({"defaultAction": "SCMP_ACT_NOTIFY"})),
            "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be used as default action"
        );
        assert_eq!(
            refusal(json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"})),
            "linux.seccomp.listenerMetadata is set, but listenerPath is not"
        );
    }
}
