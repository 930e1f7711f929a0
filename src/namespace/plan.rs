//! The order in which namespaces are created and joined. Pure: kinds in, steps out.
//!
//! Three processes can take part, the second only when it must:
//!
//! ```text
//! caller ── clone3 ──> carrier: joins ── clone3(CLONE_PARENT) ──> child: joins and creates the rest
//!        └─ clone3 ─────────────────────────────────────────────> child: joins and creates the rest
//! ```
//!
//! - A pid or time namespace can only be given to children, and a user namespace cannot be left again: whoever joins
//!   one must not be the caller, and must not be the child either, which would be a process too late. Hence the carrier.
//! - A joined user namespace comes first where it grants the privilege to join the others, and last where entering it
//!   drops the privilege that the others need.
//! - A new user namespace comes before whatever else is new, so that it owns it.
//! - A cgroup namespace takes its root from the creator's cgroup: it is created when the child has been moved, last.
//! - A joined cgroup namespace is the child's to join too: where v2 is mounted with nsdelegate, as systemd does, a process
//!   whose own cgroup is not below the root of its cgroup namespace can have no child born into another (ENOENT). Only when
//!   a user namespace would take the privilege away does the process between join it; the child is moved to its cgroup.
//! - A time namespace's offsets can be set only until a process is in it, so it is created by who then forks; under
//!   a new user namespace by the child itself, whose execve(2) moves it in.

use super::{Kind, Kinds};

/// One step of entering namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Join `kinds` of the target with this index; several at once only when it is a pidfd.
    Join {
        /// Which of the targets.
        target: usize,
        /// What to join of it.
        kinds: Kinds,
    },
    /// Create new ones for this process (pid and time: for its children).
    Unshare(Kinds),
}

/// Who does what, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Steps of a process between the caller and the child, if one is needed.
    pub carrier: Option<Vec<Step>>,
    /// What clone3(2) creates together with the child.
    pub clone: Kinds,
    /// Steps of the child, before anything else.
    pub child: Vec<Step>,
    /// What the child creates when its id maps are written and it has been moved to its cgroup.
    pub late: Kinds,
    /// What is written to `/proc/self/timens_offsets` by whoever creates a time namespace; empty for none.
    pub time_offsets: String,
}

impl Plan {
    /// Whether the child can be born in its cgroup: whoever clones it is still in the caller's cgroup namespace.
    pub fn is_cloned_in_own_cgroup_namespace(&self) -> bool {
        let joins_another = |step: &Step| matches!(step, Step::Join { kinds, .. } if kinds.contains(Kind::Cgroup));
        !self.carrier.iter().flatten().any(joins_another)
    }
}

/// Plans a child that gets `new` namespaces and joins `joins`, the kinds that are wanted of each target by index.
/// `privileged`: the caller has `CAP_SYS_ADMIN` in its user namespace.
pub fn plan(new: Kinds, joins: &[Kinds], privileged: bool) -> Plan {
    let joined = joins.iter().fold(Kinds::NONE, |all, kinds| all | *kinds);
    let needs_process_between = Kinds::only(Kind::User) | Kind::Pid | Kind::Time;
    let new_user = new.contains(Kind::User);
    let late_time = new.contains(Kind::Time) && new_user;
    let early_time = new.contains(Kind::Time) && !new_user;

    let with_child = Kinds::only(Kind::User) | Kind::Pid;
    let late = Kinds::only(Kind::Cgroup) | Kind::Time;
    let mut plan = Plan {
        clone: new & with_child,
        late: (new & Kinds::only(Kind::Cgroup)) | if late_time { Kinds::only(Kind::Time) } else { Kinds::NONE },
        ..Plan::default()
    };
    let rest = new - with_child - late;
    if joined.intersects(needs_process_between) || early_time || (new_user && !joins.is_empty()) {
        let drops_privilege = new_user || joined.contains(Kind::User);
        let by_child = if drops_privilege { Kinds::NONE } else { Kinds::only(Kind::Cgroup) };
        let part =
            |of: &dyn Fn(Kinds) -> Kinds| in_place(&joins.iter().copied().map(of).collect::<Vec<_>>(), privileged);
        let mut steps = part(&|kinds| kinds - by_child);
        plan.child = part(&|kinds| kinds & by_child);
        if early_time {
            steps.push(Step::Unshare(Kinds::only(Kind::Time)));
        }
        plan.carrier = Some(steps);
    } else {
        plan.child = in_place(joins, privileged);
    }
    if !rest.is_empty() {
        plan.child.push(Step::Unshare(rest));
    }
    plan
}

/// The order in which one process joins `joins` itself.
pub fn in_place(joins: &[Kinds], privileged: bool) -> Vec<Step> {
    // What comes with the user namespace from one target is one setns(2): the kernel orders it.
    let (with_user, without_user): (Vec<_>, Vec<_>) = joins
        .iter()
        .enumerate()
        .filter(|(_, kinds)| !kinds.is_empty())
        .map(|(target, kinds)| Step::Join { target, kinds: *kinds })
        .partition(|step| matches!(step, Step::Join { kinds, .. } if kinds.contains(Kind::User)));
    // A mount namespace changes what paths mean; targets are open by then, so its place among the rest is free.
    if privileged { [without_user, with_user].concat() } else { [with_user, without_user].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(kinds: &[Kind]) -> Kinds {
        kinds.iter().copied().collect()
    }

    const USER: Step = Step::Join { target: 0, kinds: Kinds::only(Kind::User) };
    const NET: Step = Step::Join { target: 1, kinds: Kinds::only(Kind::Net) };
    const JOINS: [Kinds; 2] = [Kinds::only(Kind::User), Kinds::only(Kind::Net)];

    #[test]
    fn joins_the_user_namespace_first_to_gain_privilege_and_last_to_drop_it() {
        assert_eq!(in_place(&JOINS, false), [USER, NET]);
        assert_eq!(in_place(&JOINS, true), [NET, USER]);
    }

    #[test]
    fn a_default_container_needs_one_clone_and_no_process_between() {
        let plan = plan(kinds(&[Kind::Pid, Kind::Net, Kind::Ipc, Kind::Uts, Kind::Mount]), &[], true);
        assert_eq!(plan.carrier, None);
        assert!(plan.clone.contains(Kind::Pid));
        assert_eq!(plan.late, Kinds::NONE);
    }

    #[test]
    fn a_process_between_joins_what_only_children_get() {
        for kind in [Kind::User, Kind::Pid, Kind::Time] {
            assert!(plan(Kinds::NONE, &[Kinds::only(kind)], true).carrier.is_some(), "{kind}");
        }
        for kind in [Kind::Net, Kind::Ipc, Kind::Uts, Kind::Mount, Kind::Cgroup] {
            assert_eq!(plan(Kinds::NONE, &[Kinds::only(kind)], true).carrier, None, "{kind}");
        }
    }

    #[test]
    fn namespaces_owned_outside_are_joined_before_a_new_user_namespace_is_made() {
        let plan = plan(kinds(&[Kind::User, Kind::Mount]), &[Kinds::only(Kind::Net)], true);
        assert_eq!(plan.carrier, Some(vec![Step::Join { target: 0, kinds: Kinds::only(Kind::Net) }]));
        assert!(plan.clone.contains(Kind::User));
    }

    #[test]
    fn the_cgroup_namespace_is_created_last() {
        let plan = plan(kinds(&[Kind::Pid, Kind::Cgroup]), &[], true);
        assert_eq!(plan.late, Kinds::only(Kind::Cgroup));
        assert!(!plan.clone.contains(Kind::Cgroup));
    }

    #[test]
    fn a_cgroup_namespace_is_joined_by_who_is_born_into_the_cgroup_unless_it_has_no_privilege_for_that() {
        let all = kinds(&[Kind::Pid, Kind::Mount, Kind::Cgroup]);
        let exec = plan(Kinds::NONE, &[all], true);
        assert_eq!(exec.carrier, Some(vec![Step::Join { target: 0, kinds: kinds(&[Kind::Pid, Kind::Mount]) }]));
        assert_eq!(exec.child, [Step::Join { target: 0, kinds: Kinds::only(Kind::Cgroup) }]);
        assert!(exec.is_cloned_in_own_cgroup_namespace());
        for (new, joined) in [(Kinds::NONE, all | Kinds::only(Kind::User)), (Kinds::only(Kind::User), all)] {
            let with_user = plan(new, &[joined], true);
            assert_eq!(with_user.carrier, Some(vec![Step::Join { target: 0, kinds: joined }]));
            assert!(with_user.child.is_empty() && !with_user.is_cloned_in_own_cgroup_namespace());
        }
    }

    #[test]
    fn a_time_namespace_is_made_by_who_forks_or_under_a_new_user_namespace_by_the_child() {
        let outer = plan(Kinds::only(Kind::Time), &[], true);
        assert_eq!(outer.carrier, Some(vec![Step::Unshare(Kinds::only(Kind::Time))]));
        let inner = plan(kinds(&[Kind::Time, Kind::User]), &[], false);
        assert_eq!((inner.carrier, inner.late), (None, Kinds::only(Kind::Time)));
    }
}
