//! Device rules, by what a process in the cgroup may open.

use super::*;

/// What a process in the cgroup may do with `/dev/null` and `/dev/zero`.
fn uses_devices(scratch: &mut Scratch, script: &str) -> String {
    let command = format!("read go; {script}");
    let mut shell = Command::new("sh")
        .args(["-c", &command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    scratch.0.join(Some(Pid::from_child(&shell))).unwrap();
    use std::io::Write;
    shell.stdin.take().unwrap().write_all(b"\n").unwrap();
    let output = shell.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn rule(allow: bool, kind: DeviceKind, numbers: Option<(u32, u32)>, access: &str) -> Rule {
    let (major, minor) = numbers.unzip();
    Rule { allow, kind, major, minor, access: Access::parse(access).unwrap() }
}

const TRY: &str = "for device in null zero; do
    (: </dev/$device) 2>&- && echo read $device
    (: >/dev/$device) 2>&- && echo write $device
    (: <>/dev/$device) 2>&- && echo both $device
    done; :";

#[test]
fn devices_are_allowed_and_denied_as_the_rules_say_and_can_be_changed() {
    let mut scratch = Scratch::new("devices");
    let null_only = vec![
        rule(false, DeviceKind::All, None, "rwm"),
        rule(true, DeviceKind::Char, Some((1, 3)), "rw"),
        rule(true, DeviceKind::Char, Some((1, 5)), "r"),
    ];
    let set = |scratch: &mut Scratch, rules: Vec<Rule>| {
        scratch.0.apply(&Resources { devices: Some(rules), ..Resources::default() }).unwrap();
    };
    set(&mut scratch, null_only);
    assert_eq!(uses_devices(&mut scratch, TRY), "read null\nwrite null\nboth null\nread zero\n");
    set(&mut scratch, vec![rule(true, DeviceKind::Char, Some((1, 5)), "rwm")]);
    assert_eq!(uses_devices(&mut scratch, TRY), "read zero\nwrite zero\nboth zero\n");
    let no_writing = vec![rule(true, DeviceKind::All, None, "rwm"), rule(false, DeviceKind::Char, Some((1, 5)), "w")];
    set(&mut scratch, no_writing);
    assert_eq!(uses_devices(&mut scratch, TRY), "read null\nwrite null\nboth null\nread zero\n");
}

/// The BPF way, wherever there is a unified hierarchy: the verifier of this kernel takes the programs, they decide, and
/// a new one replaces the old one.
#[test]
fn device_programs_load_and_replace_each_other_in_the_unified_hierarchy() {
    let scratch = Scratch::new("bpf");
    let Some(dir) = scratch.0.unified_dir() else { return skip("no unified hierarchy") };
    let mut unified = Scratch(Cgroup::open(&[(String::new(), dir.to_owned())].into()).unwrap());
    assert!(unified.0.unified);
    let set = |unified: &mut Scratch, rules: &[Rule]| {
        let resources = Resources { devices: Some(rules.to_vec()), ..Resources::default() };
        unified.0.apply(&resources).unwrap();
        let dir = unified.0.fd_for_clone().unwrap().unwrap();
        assert_eq!(crate::sys::bpf::device_programs(dir).unwrap().len(), 1);
    };
    let zero = rule(true, DeviceKind::Char, Some((1, 5)), "r");
    set(&mut unified, &[zero]);
    assert_eq!(uses_devices(&mut unified, TRY), "read zero\n");
    let null = rule(true, DeviceKind::Char, Some((1, 3)), "rw");
    set(&mut unified, &[zero, null]);
    assert_eq!(uses_devices(&mut unified, TRY), "read null\nwrite null\nboth null\nread zero\n");
    let all = rule(true, DeviceKind::All, None, "rwm");
    set(&mut unified, &[all, rule(false, DeviceKind::Char, Some((1, 3)), "w")]);
    assert_eq!(uses_devices(&mut unified, TRY), "read null\nread zero\nwrite zero\nboth zero\n");
    // A long list, with every form of exception.
    let many: Vec<Rule> = (0..300)
        .map(|n| Rule {
            allow: true,
            kind: if n % 2 == 0 { DeviceKind::Block } else { DeviceKind::Char },
            major: (n % 3 != 0).then_some(n),
            minor: (n % 5 != 0).then_some(n * 7),
            access: Access::parse(["r", "w", "m", "rw", "rwm"][n as usize % 5]).unwrap(),
        })
        .collect();
    set(&mut unified, &many);
}
