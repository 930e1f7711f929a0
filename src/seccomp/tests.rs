//! Programs at their limits. That they decide right in general is proven beside libseccomp: tests/seccomp_oracle.

use super::emulate::{SystemCall, run};
use super::*;

const TOO_NEW: u32 = Action::Errno(libc::ENOSYS as u16).value();
const REFUSED: u32 = Action::Errno(libc::EPERM as u16).value();
const ALLOWED: u32 = Action::Allow.value();
const KILLED: u32 = Action::KillThread.value();

fn native(number: u32, arguments: [u64; 6]) -> SystemCall {
    SystemCall { number, token: Arch::X86_64.token(), arguments, big_endian: false }
}

fn allow(names: &[&str], conditions: Vec<Condition>) -> Rule {
    let syscalls = names.iter().map(|name| Syscall::from_name(name).unwrap()).collect();
    Rule { syscalls, action: Action::Allow, conditions }
}

fn equal(argument: u8, value: u64) -> Condition {
    Condition { argument, comparison: Comparison::Equal(value) }
}

fn x86_64(profile: &Profile) -> Program {
    compile_for(profile, Arch::X86_64).unwrap()
}

/// A profile whose every call of x86_64 has `conditions` comparisons of its own.
fn crowded(conditions: u8) -> Profile {
    let calls = Syscall::all().filter_map(|syscall| Some((syscall, syscall.number(Arch::X86_64)?)));
    let rules = calls.map(|(syscall, number)| {
        let conditions = (0..conditions).map(|at| equal(at, (7 << 32) + u64::from(number) + u64::from(at))).collect();
        Rule { syscalls: vec![syscall], action: Action::Allow, conditions }
    });
    Profile { rules: rules.collect(), ..Profile::new(Action::Errno(1)) }
}

#[test]
fn jumps_reach_their_targets_in_programs_of_thousands_of_instructions() {
    for conditions in 1..=2 {
        let profile = crowded(conditions);
        let program = x86_64(&profile);
        let length = program.instructions().len();
        assert!((1000..=4096).contains(&length), "{length} instructions");
        for number in profile.rules.iter().filter_map(|rule| rule.syscalls[0].number(Arch::X86_64)) {
            let mut arguments = [0, 1, 2, 3, 4, 5].map(|at| (7 << 32) + u64::from(number) + at);
            let decide = |arguments| run(program.instructions(), &native(number, arguments)).0;
            assert_eq!(decide(arguments), ALLOWED, "{number}");
            arguments[usize::from(conditions) - 1] ^= 1 << 32;
            assert_eq!(decide(arguments), REFUSED, "{number}, high half");
            arguments[usize::from(conditions) - 1] ^= 1 << 32 | 1;
            assert_eq!(decide(arguments), REFUSED, "{number}, low half");
        }
        assert_eq!(run(program.instructions(), &native(9999, [0; 6])).0, TOO_NEW);
    }
}

#[test]
fn one_call_may_be_compared_with_a_thousand_values() {
    let rules = (0..1000).map(|value| allow(&["personality"], vec![equal(0, 3 * value)])).collect();
    let program = x86_64(&Profile { rules, ..Profile::new(Action::Errno(1)) });
    let number = Syscall::from_name("personality").unwrap().number(Arch::X86_64).unwrap();
    for value in 0..3010 {
        let expected = if value % 3 == 0 && value < 3000 { ALLOWED } else { REFUSED };
        let decide = |value| run(program.instructions(), &native(number, [value; 6])).0;
        assert_eq!(decide(value), expected, "{value}");
        assert_eq!(decide(value | 1 << 32), REFUSED, "{value} and a high half");
    }
    // One load of each half for all of them, and one test a value.
    assert!(program.instructions().len() < 1030, "{} instructions", program.instructions().len());
}

#[test]
fn more_than_the_kernel_takes_is_refused_with_both_numbers() {
    let error = compile_for(&crowded(6), Arch::X86_64).unwrap_err().to_string();
    assert!(
        error.starts_with("seccomp profile needs a filter of ") && error.ends_with("the kernel takes 4096"),
        "{error}"
    );
}

#[test]
fn a_profile_without_rules_is_its_default_action_and_other_architectures_are_killed() {
    let program = x86_64(&Profile::new(Action::Errno(1)));
    let decide = |token, number| run(program.instructions(), &SystemCall { number, token, ..SystemCall::default() }).0;
    assert_eq!(decide(Arch::X86_64.token(), 0), REFUSED);
    assert_eq!(decide(Arch::X86.token(), 0), KILLED);
    // x32 hides in x86_64's token; a tracer skips a call by making its number -1.
    assert_eq!(decide(Arch::X86_64.token(), 0x4000_0000), KILLED);
    assert_eq!(decide(Arch::X86_64.token(), u32::MAX), REFUSED);
}

#[test]
fn calls_newer_than_all_that_the_profile_names_are_not_there() {
    let rules = vec![
        allow(&["read", "openat2"], vec![]),
        // As good as absent, but it names the newest call.
        Rule { action: Action::Errno(1), ..allow(&["faccessat2"], vec![]) },
    ];
    let profile = Profile { rules, ..Profile::new(Action::Errno(1)) };
    let decide = |profile: &Profile, number| run(x86_64(profile).instructions(), &native(number, [0; 6])).0;
    assert_eq!(decide(&profile, 0), ALLOWED);
    assert_eq!(decide(&profile, 437), ALLOWED);
    assert_eq!(decide(&profile, 438), REFUSED, "pidfd_getfd is older than faccessat2, and not named");
    assert_eq!(decide(&profile, 439), REFUSED);
    assert_eq!(decide(&profile, 440), TOO_NEW);
    let permissive = Profile { default_action: Action::Log, ..profile };
    assert_eq!(decide(&permissive, 440), Action::Log.value());
}

#[test]
fn a_call_that_is_made_through_socketcall_is_decided_there_too() {
    let rules = vec![allow(&["socket"], vec![]), allow(&["shmat"], vec![])];
    let program = compile_for(&Profile { rules, ..Profile::new(Action::Errno(1)) }, Arch::X86).unwrap();
    let decide = |number, first| {
        let call =
            SystemCall { number, token: Arch::X86.token(), arguments: [first, 0, 0, 0, 0, 0], big_endian: false };
        run(program.instructions(), &call).0
    };
    assert_eq!(decide(359, 0), ALLOWED, "socket itself");
    assert_eq!(decide(102, 1), ALLOWED, "socketcall(SYS_SOCKET)");
    assert_eq!(decide(102, 2), REFUSED, "socketcall(SYS_BIND)");
    assert_eq!(decide(117, 21), ALLOWED, "ipc(SHMAT)");
    assert_eq!(decide(117, 22), REFUSED, "ipc(SHMDT)");
    assert_eq!(decide(360, 0), REFUSED, "socketpair, older than shmat");
    assert_eq!(decide(400, 0), TOO_NEW);
}

#[test]
fn conditions_on_one_argument_suffice_each_on_several_they_must_all_hold() {
    let personality =
        |conditions| Profile { rules: vec![allow(&["personality"], conditions)], ..Profile::new(Action::Errno(1)) };
    let decide = |profile: &Profile, arguments| run(x86_64(profile).instructions(), &native(135, arguments)).0;
    let either = personality(vec![equal(0, 4), equal(0, 8), equal(1, 9)]);
    assert_eq!(decide(&either, [8, 0, 0, 0, 0, 0]), ALLOWED);
    assert_eq!(decide(&either, [0, 9, 0, 0, 0, 0]), ALLOWED);
    assert_eq!(decide(&either, [0; 6]), REFUSED);
    let both = personality(vec![equal(0, 4), equal(1, 9)]);
    assert_eq!(decide(&both, [4, 9, 0, 0, 0, 0]), ALLOWED);
    assert_eq!(decide(&both, [4, 0, 0, 0, 0, 0]), REFUSED);
    assert_eq!(decide(&both, [0, 9, 0, 0, 0, 0]), REFUSED);
}

#[test]
fn a_long_list_is_decided_in_few_steps() {
    let names = Syscall::all().filter(|syscall| syscall.name().len() % 7 != 0);
    let rules = vec![Rule { syscalls: names.collect(), action: Action::Allow, conditions: vec![] }];
    let architectures = vec![Arch::X86, Arch::X32];
    let program = x86_64(&Profile { rules, architectures, ..Profile::new(Action::Errno(1)) });
    let most = (0..500).map(|number| run(program.instructions(), &native(number, [0; 6])).1).max();
    assert!(most <= Some(14), "{most:?} steps in {} instructions", program.instructions().len());
}

#[test]
fn what_no_filter_can_do_is_refused() {
    let error = compile(&Profile::new(Action::Notify)).unwrap_err();
    assert_eq!(error.to_string(), "seccomp: SCMP_ACT_NOTIFY cannot be used as default action");
    let rules = vec![allow(&["read"], vec![equal(6, 0)])];
    let error = compile(&Profile { rules, ..Profile::new(Action::Allow) }).unwrap_err();
    assert_eq!(error.to_string(), "seccomp: condition on argument 6, system calls have arguments 0 to 5");
}

/// In a thread of its own, with which the filter goes away.
fn under_filter<T: Send>(profile: &Profile, work: impl FnOnce(Option<std::os::fd::OwnedFd>) -> T + Send) -> T {
    let program = compile(profile).unwrap();
    std::thread::scope(|scope| {
        let filtered = scope.spawn(|| {
            rustix::thread::set_no_new_privs(true).unwrap();
            work(program.load().unwrap())
        });
        filtered.join().unwrap()
    })
}

#[test]
fn the_kernel_decides_as_the_filter_says() {
    use nix::sys::personality;
    const GET: u64 = 0xFFFF_FFFF;
    let refuse =
        |value| Rule { action: Action::Errno(libc::ENETDOWN as u16), ..allow(&["personality"], vec![equal(0, value)]) };
    let with = |rule| Profile { rules: vec![rule], ..Profile::new(Action::Allow) };
    assert_eq!(under_filter(&with(refuse(GET)), |_| personality::get()), Err(nix::errno::Errno::ENETDOWN));
    assert!(under_filter(&with(refuse(GET - 1)), |_| personality::get()).is_ok());
}

#[test]
fn the_kernel_takes_the_largest_programs_and_every_flag() {
    // Its thread has to end, and what it needs for that has no argument that the rules ask for: so they log.
    let mut profile = crowded(2);
    profile.default_action = Action::Allow;
    profile.rules.iter_mut().for_each(|rule| rule.action = Action::Log);
    profile.architectures = vec![Arch::X86, Arch::X32, Arch::Aarch64];
    profile.rules.truncate(100);
    profile.flags = Flags { log: true, spec_allow: true, wait_killable_recv: true };
    assert!(compile(&profile).unwrap().instructions().len() > 1000);
    assert!(under_filter(&profile, |listener| listener.is_none()));
}

#[test]
fn a_rule_that_notifies_gives_a_listener_that_no_program_inherits() {
    let rules = vec![Rule { action: Action::Notify, ..allow(&["acct"], vec![]) }];
    let profile = Profile { rules, ..Profile::new(Action::Allow) };
    assert!(compile(&profile).unwrap().has_listener());
    let flags = under_filter(&profile, |listener| rustix::io::fcntl_getfd(listener.unwrap()).unwrap());
    assert_eq!(flags, rustix::io::FdFlags::CLOEXEC);
}
