//! Which devices the processes of a cgroup may use: rules, what they add up to, and how the kernel is told.
//!
//! A list of rules has the meaning that writing them one after the other to a v1 devices cgroup would have (see the
//! kernel's `Documentation/admin-guide/cgroup-v1/devices.rst`), and so on v2, where it becomes a BPF program.

pub(super) mod ebpf;
pub(super) mod v1;

use std::collections::BTreeMap;
use std::fmt;

use crate::error::{Error, Result};

/// The sort of device a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceKind {
    /// `a`: every device; a rule with it makes its decision the default and forgets all rules before it.
    All,
    /// `b`: block devices.
    Block,
    /// `c`: character devices.
    Char,
}

impl DeviceKind {
    /// The letter used in rules.
    pub const fn letter(self) -> char {
        match self {
            DeviceKind::All => 'a',
            DeviceKind::Block => 'b',
            DeviceKind::Char => 'c',
        }
    }
}

/// What may be done with a device: any of read, write and mknod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Access(u8);

impl Access {
    /// No access.
    pub const NONE: Access = Access(0);
    /// `m`: make a node for the device. The values are the kernel's `BPF_DEVCG_ACC_*`.
    pub const MKNOD: Access = Access(1);
    /// `r`: open for reading.
    pub const READ: Access = Access(2);
    /// `w`: open for writing.
    pub const WRITE: Access = Access(4);
    /// `rwm`.
    pub const ALL: Access = Access(7);

    /// Reads letters out of `rwm`; `None` when there is another one, or none at all.
    pub fn parse(letters: &str) -> Option<Access> {
        let access = letters.bytes().fold(Access::NONE, |access, letter| {
            access.union(match letter {
                b'r' => Access::READ,
                b'w' => Access::WRITE,
                b'm' => Access::MKNOD,
                _ => Access::NONE,
            })
        });
        (!access.is_empty()).then_some(access)
    }

    /// Whether nothing may be done.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    const fn union(self, other: Access) -> Access {
        Access(self.0 | other.0)
    }

    const fn without(self, other: Access) -> Access {
        Access(self.0 & !other.0)
    }

    const fn intersects(self, other: Access) -> bool {
        self.0 & other.0 != 0
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, letter) in [(Access::READ, "r"), (Access::WRITE, "w"), (Access::MKNOD, "m")] {
            if self.intersects(bit) {
                f.write_str(letter)?;
            }
        }
        Ok(())
    }
}

/// One rule: `allow c 1:3 rwm`. Later rules win over earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whether the access is allowed or denied.
    pub allow: bool,
    /// The sort of device; with [`DeviceKind::All`] the rest of the rule means nothing.
    pub kind: DeviceKind,
    /// The major number; `None` is any (`*`).
    pub major: Option<u32>,
    /// The minor number; `None` is any (`*`).
    pub minor: Option<u32>,
    /// The accesses that the rule is about.
    pub access: Access,
}

impl fmt::Display for Rule {
    /// As the kernel's `devices.allow` and `devices.deny` take it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Number(Option<u32>);
        impl fmt::Display for Number {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    None => f.write_str("*"),
                    Some(number) => write!(f, "{number}"),
                }
            }
        }
        write!(f, "{} {}:{} {}", self.kind.letter(), Number(self.major), Number(self.minor), self.access)
    }
}

/// The devices that an exception is about. Sorts wildcards first, then by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Devices {
    major: Option<u32>,
    minor: Option<u32>,
    kind: DeviceKind,
}

/// What a list of rules adds up to: a default, and exceptions from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    default_allow: bool,
    exceptions: BTreeMap<Devices, Access>,
}

impl Policy {
    /// What `rules` add up to, one after the other, beginning with everything denied.
    ///
    /// # Errors
    /// A rule that takes something away from a wider rule (deny `c 1:3` after allow `c 1:*`): a v1 cgroup would
    /// silently ignore it, which leaves a device open that somebody meant to close.
    pub fn from_rules(rules: &[Rule]) -> Result<Policy> {
        let mut policy = Policy::default();
        for rule in rules {
            policy.add(rule)?;
        }
        Ok(policy)
    }

    /// What the `devices.list` of a v1 cgroup says. Of a cgroup that allows by default it does not say the exceptions.
    fn from_list(list: &str) -> Result<Policy> {
        let mut policy = Policy::default();
        for line in list.lines() {
            let rule =
                parse_line(line).ok_or_else(|| Error::invalid(format!("unknown line {line:?} in devices.list")))?;
            policy.add(&rule)?;
        }
        Ok(policy)
    }

    fn add(&mut self, rule: &Rule) -> Result<()> {
        if rule.kind == DeviceKind::All {
            *self = Policy { default_allow: rule.allow, exceptions: BTreeMap::new() };
            return Ok(());
        }
        let devices = Devices { major: rule.major, minor: rule.minor, kind: rule.kind };
        if rule.allow != self.default_allow {
            let access = self.exceptions.entry(devices).or_default();
            *access = access.union(rule.access);
            return Ok(());
        }
        // The rule takes exceptions back. That works for the very same devices only.
        let wider = [
            Devices { major: None, ..devices },
            Devices { minor: None, ..devices },
            Devices { major: None, minor: None, ..devices },
        ];
        for wide in wider.iter().filter(|wide| **wide != devices) {
            if self.exceptions.get(wide).is_some_and(|access| access.intersects(rule.access)) {
                let verb = |allow| if allow { "allow" } else { "deny" };
                let Devices { major, minor, kind } = *wide;
                let wide = Rule { allow: !rule.allow, kind, major, minor, access: self.exceptions[wide] };
                return Err(Error::invalid(format!(
                    "device rule \"{} {rule}\" cannot take anything away from the wider \"{} {wide}\" before it",
                    verb(rule.allow),
                    verb(wide.allow),
                )));
            }
        }
        if let Some(access) = self.exceptions.get_mut(&devices) {
            *access = access.without(rule.access);
            if access.is_empty() {
                self.exceptions.remove(&devices);
            }
        }
        Ok(())
    }

    /// Whether every device may be used.
    pub fn allows_everything(&self) -> bool {
        self.default_allow && self.exceptions.is_empty()
    }

    /// The rules that allow something; none of a policy that allows all but some.
    pub fn allowed(&self) -> impl Iterator<Item = Rule> {
        let exceptions = self.exceptions.iter().filter(|_| !self.default_allow);
        exceptions.map(|(&Devices { kind, major, minor }, &access)| Rule { allow: true, kind, major, minor, access })
    }

    /// The rules that turn a cgroup with policy `self` into one with `target`, disturbing what stays allowed as little
    /// as can be.
    fn transition(&self, target: &Policy) -> Vec<Rule> {
        let mut rules = Vec::with_capacity(target.exceptions.len() + 1);
        let none = BTreeMap::new();
        // Of a cgroup that allows by default nobody can read what it denies: begin anew.
        let old = if self.default_allow || self.default_allow != target.default_allow {
            rules.push(Rule {
                allow: target.default_allow,
                kind: DeviceKind::All,
                major: None,
                minor: None,
                access: Access::ALL,
            });
            &none
        } else {
            &self.exceptions
        };
        let mut change = |from: &BTreeMap<Devices, Access>, to: &BTreeMap<Devices, Access>, allow| {
            for (devices, access) in from {
                let access = access.without(to.get(devices).copied().unwrap_or_default());
                if !access.is_empty() {
                    let Devices { major, minor, kind } = *devices;
                    rules.push(Rule { allow, kind, major, minor, access });
                }
            }
        };
        change(old, &target.exceptions, target.default_allow);
        change(&target.exceptions, old, !target.default_allow);
        rules
    }
}

fn parse_line(line: &str) -> Option<Rule> {
    fn number(text: &str) -> Option<Option<u32>> {
        if text == "*" { Some(None) } else { text.parse().ok().map(Some) }
    }
    let mut fields = line.split(' ');
    let kind = match fields.next()? {
        "a" => DeviceKind::All,
        "b" => DeviceKind::Block,
        "c" => DeviceKind::Char,
        _ => return None,
    };
    let (major, minor) = fields.next()?.split_once(':')?;
    let access = Access::parse(fields.next()?)?;
    Some(Rule { allow: true, kind, major: number(major)?, minor: number(minor)?, access })
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(text: &str) -> Rule {
        let (verb, rest) = text.split_once(' ').unwrap();
        Rule { allow: verb == "allow", ..parse_line(rest).unwrap() }
    }

    fn policy(rules: &[&str]) -> Result<Policy> {
        Policy::from_rules(&rules.iter().map(|text| rule(text)).collect::<Vec<_>>())
    }

    fn shown(rules: &[Rule]) -> Vec<String> {
        rules.iter().map(|rule| format!("{} {rule}", if rule.allow { "allow" } else { "deny" })).collect()
    }

    impl Policy {
        /// The kernel's v1 decision (`devcgroup_check_permission`), written down as plainly as can be.
        pub(in crate::cgroup) fn allows(&self, kind: DeviceKind, major: u32, minor: u32, access: Access) -> bool {
            let mut matching = self.exceptions.iter().filter(|(devices, _)| {
                devices.kind == kind
                    && devices.major.is_none_or(|number| number == major)
                    && devices.minor.is_none_or(|number| number == minor)
            });
            if self.default_allow {
                !matching.any(|(_, denied)| denied.intersects(access))
            } else {
                matching.any(|(_, allowed)| access.without(*allowed).is_empty())
            }
        }
    }

    fn kinds() -> impl Strategy<Value = DeviceKind> {
        prop_oneof![Just(DeviceKind::Block), Just(DeviceKind::Char)]
    }

    fn numbers() -> impl Strategy<Value = Option<u32>> {
        prop_oneof![2 => Just(None), 8 => (0u32..4).prop_map(Some), 1 => Just(Some(u32::MAX))]
    }

    prop_compose! {
        fn rules_of_one_device()(
            allow in any::<bool>(),
            kind in prop_oneof![1 => Just(DeviceKind::All), 8 => kinds()],
            major in numbers(),
            minor in numbers(),
            access in 1u8..8,
        ) -> Rule {
            Rule { allow, kind, major, minor, access: Access(access) }
        }
    }

    /// Any list of rules.
    pub(in crate::cgroup) fn any_rules() -> impl Strategy<Value = Vec<Rule>> {
        prop::collection::vec(rules_of_one_device(), 0..12)
    }

    /// A request: kind, major, minor, access.
    pub(in crate::cgroup) fn any_request() -> impl Strategy<Value = (DeviceKind, u32, u32, Access)> {
        let number = || prop_oneof![8 => 0u32..5, 1 => Just(u32::MAX)];
        (kinds(), number(), number(), (1u8..8).prop_map(Access))
    }

    proptest! {
        /// The emulated cgroup agrees with what one would expect of an ordered list, wherever it accepts the list.
        #[test]
        fn the_last_rule_that_names_exactly_this_access_wins(rules in any_rules(), request in any_request()) {
            let Ok(policy) = Policy::from_rules(&rules) else { return Ok(()) };
            let (kind, major, minor, _) = request;
            for bit in [Access::READ, Access::WRITE, Access::MKNOD] {
                let expected = rules.iter().rev().find(|rule| {
                    rule.kind == DeviceKind::All
                        || (rule.kind == kind
                            && rule.access.intersects(bit)
                            && rule.major.is_none_or(|number| number == major)
                            && rule.minor.is_none_or(|number| number == minor))
                });
                let last_says = expected.is_some_and(|rule| rule.allow);
                // Taking back a wide rule leaves a narrow exception that was made before it in place: the kernel's rule.
                if policy.allows(kind, major, minor, bit) != last_says {
                    let narrow = policy.exceptions.iter().any(|(devices, access)| {
                        devices.kind == kind && access.intersects(bit)
                    });
                    prop_assert!(narrow, "no exception explains the decision on {kind:?} {major}:{minor} {bit}");
                }
            }
        }

        #[test]
        fn a_transition_leads_to_the_target(from in any_rules(), to in any_rules()) {
            let (Ok(from), Ok(to)) = (Policy::from_rules(&from), Policy::from_rules(&to)) else { return Ok(()) };
            let mut reached = from.clone();
            let mut refused = false;
            for rule in from.transition(&to) {
                refused |= reached.add(&rule).is_err();
            }
            prop_assert!(refused || reached == to);
        }
    }

    #[test]
    fn a_list_begins_with_everything_denied() {
        let policy = policy(&["allow c 1:3 rwm", "allow b 8:* r"]).unwrap();
        assert!(policy.allows(DeviceKind::Char, 1, 3, Access::ALL));
        assert!(!policy.allows(DeviceKind::Char, 1, 5, Access::READ));
        assert!(policy.allows(DeviceKind::Block, 8, 17, Access::READ));
        assert!(!policy.allows(DeviceKind::Block, 8, 17, Access::READ.union(Access::WRITE)));
    }

    #[test]
    fn a_rule_for_all_devices_forgets_those_before_it() {
        let allowed = policy(&["deny c 1:3 rwm", "allow a *:* rwm"]).unwrap();
        assert!(allowed.allows_everything());
        let denied = policy(&["allow a *:* rwm", "deny a *:* rwm", "allow c 1:3 r"]).unwrap();
        assert_eq!(shown(&Policy::default().transition(&denied)), ["allow c 1:3 r"]);
    }

    #[test]
    fn refuses_to_punch_a_hole_into_a_wider_rule() {
        let error = policy(&["allow c 10:* rwm", "deny c 10:200 w"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "device rule \"deny c 10:200 w\" cannot take anything away from the wider \"allow c 10:* rwm\" before it"
        );
        policy(&["allow c 10:* r", "deny c 10:200 w"]).unwrap();
    }

    #[test]
    fn a_transition_touches_only_what_changes() {
        let from = policy(&["allow c 1:3 rwm", "allow c 1:5 rwm", "allow b 8:0 r"]).unwrap();
        let to = policy(&["allow c 1:3 rwm", "allow c 1:5 r", "allow b 8:1 r"]).unwrap();
        assert_eq!(shown(&from.transition(&to)), ["deny c 1:5 wm", "deny b 8:0 r", "allow b 8:1 r"]);
        assert_eq!(from.transition(&from), []);
    }

    #[test]
    fn reads_what_devices_list_says() {
        let list = Policy::from_list("c *:* m\nc 1:3 rwm\nb 8:* r\n").unwrap();
        assert_eq!(list, policy(&["allow c *:* m", "allow c 1:3 rwm", "allow b 8:* r"]).unwrap());
        assert!(Policy::from_list("a *:* rwm\n").unwrap().allows_everything());
        assert_eq!(Policy::from_list("x 1:2 r\n").unwrap_err().to_string(), "unknown line \"x 1:2 r\" in devices.list");
    }
}
