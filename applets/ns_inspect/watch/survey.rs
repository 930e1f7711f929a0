//! One look after the other, each at what changed since the one before.
//!
//! | read | when |
//! |---|---|
//! | the list of processes, and of each container its memory and whether it is paused | at every look |
//! | the namespaces of all processes, the cgroups of new ones | when a process began or ended |
//! | everything | at first, and then so seldom that it takes a fortieth of the time |

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nskit::inspect::discover::Mounts;
use nskit::inspect::{Scope, proc};

use super::super::filter::Filter;
use super::super::grid::Grid;
use super::super::overview;
use super::super::paint::Paint;
use super::super::rows::{self, Wanted};
use super::super::world::World;
use super::super::{facts, width};
use super::events::{Seen, Sight};

/// What changes when processes begin and end.
const PROCESSES: Scope = Scope {
    threads: false,
    for_children: false,
    descriptors: false,
    mounts: Mounts::None,
    netnsids: false,
    relations: false,
    lists: false,
    ..Scope::EVERYTHING
};

/// The least time between two looks at everything, and how many times as long as one takes it is at least.
const SELDOM: Duration = Duration::from_secs(30);
const TIMES: u32 = 40;

/// How long a process may take until it is in its cgroups and namespaces.
const YOUTH: Duration = Duration::from_secs(2);

/// What is known, and when it was read.
pub(super) struct Survey {
    /// Whether namespaces of no container are of interest.
    all: bool,
    world: Option<World>,
    processes: BTreeMap<i32, u64>,
    /// Processes that began a moment ago, and when they were seen first: they may not be where they will be.
    young: BTreeMap<i32, Instant>,
    /// When everything was read, and how long that took.
    whole: Option<(Instant, Duration)>,
    others: usize,
    /// The file that tells whether a container is paused, by its first process.
    freezers: BTreeMap<Identity, Option<PathBuf>>,
    runs: Runs,
}

/// What tells a process from all others while the machine runs: its pid, and the inode number of its folder in `/proc`.
type Identity = (i32, u64);

/// Containers from their start to their end, by a number each, whichever of their processes comes first at the moment.
#[derive(Default)]
struct Runs {
    by_process: HashMap<Identity, u64>,
    last: u64,
}

impl Runs {
    /// The number of each container: that of any of its processes that was there before, or a new one.
    fn next(&mut self, world: &World, processes: &BTreeMap<i32, u64>) -> Vec<u64> {
        let mut members = vec![Vec::new(); world.inventory.containers.len()];
        for (&pid, &born) in processes {
            if let Some(index) = world.inventory.index_of(pid) {
                members[index].push((pid, born));
            }
        }
        let before = std::mem::take(&mut self.by_process);
        let number = |members: Vec<Identity>| {
            let known = members.iter().filter_map(|member| before.get(member)).min();
            let number = known.copied().unwrap_or_else(|| {
                self.last += 1;
                self.last
            });
            self.by_process.extend(members.into_iter().map(|member| (member, number)));
            number
        };
        members.into_iter().map(number).collect()
    }
}

impl Survey {
    pub(super) fn new(all: bool) -> Survey {
        Survey {
            all,
            world: None,
            processes: BTreeMap::new(),
            young: BTreeMap::new(),
            whole: None,
            others: 0,
            freezers: BTreeMap::new(),
            runs: Runs::default(),
        }
    }

    /// Has the next look read everything.
    pub(super) fn forget(&mut self) {
        self.whole = None;
    }

    /// What was found at the last look, of which there was one.
    pub(super) fn world(&self) -> &World {
        self.world.as_ref().expect("looked before")
    }

    /// Looks.
    pub(super) fn look(&mut self) -> anyhow::Result<()> {
        let now = proc::identities()?;
        let is_due = self.whole.is_none_or(|(at, cost)| at.elapsed() >= SELDOM.max(cost * TIMES));
        let ended: Vec<i32> = differing(&self.processes, &now).collect();
        let begun: Vec<i32> = differing(&now, &self.processes).collect();
        let young: Vec<i32> = self.young.keys().copied().filter(|pid| now.contains_key(pid)).collect();
        match &mut self.world {
            Some(world) if !is_due => {
                if !(ended.is_empty() && begun.is_empty() && young.is_empty()) || self.all {
                    let scope = if self.all { &Scope::EVERYTHING } else { &PROCESSES };
                    world.update(scope, &ended, &begun, &young)?;
                }
            }
            _ => {
                let start = Instant::now();
                let world = World::look()?;
                self.others = overview::count_others(&world);
                self.world = Some(world);
                self.whole = Some((start, start.elapsed()));
            }
        }
        self.freezers.retain(|(pid, born), _| now.get(pid) == Some(born) && !young.contains(pid) && !is_due);
        self.young.retain(|pid, seen| now.contains_key(pid) && seen.elapsed() < YOUTH);
        // At first, all have been there.
        if !self.processes.is_empty() {
            self.young.extend(begun.iter().map(|&pid| (pid, Instant::now())));
        }
        self.processes = now;
        Ok(())
    }

    /// What there is, of containers for which the filter holds.
    pub(super) fn sight(&mut self, filter: Option<&Filter>) -> anyhow::Result<Sight> {
        let Some(world) = &self.world else { return Ok(Sight::default()) };
        let passing = filter.map(|filter| overview::passing(world, filter)).transpose()?;
        let mut sight = Sight::default();
        let runs = self.runs.next(world, &self.processes);
        for (container, run) in world.inventory.containers.iter().zip(runs) {
            let Some(pid) = container.pid.filter(|_| rows::is_wanted(world, container, Wanted::default())) else {
                continue;
            };
            if passing.as_ref().is_some_and(|passing| !passing.contains(&pid)) {
                continue;
            }
            let identity = (pid, self.processes.get(&pid).copied().unwrap_or_default());
            let freezer = self.freezers.entry(identity).or_insert_with(|| freezer(pid));
            let is_paused = freezer.as_deref().is_some_and(is_frozen);
            sight.containers.insert(run, Seen { container: container.clone(), is_paused });
        }
        if self.all && filter.is_none() {
            sight.others = others(world);
        }
        Ok(sight)
    }

    /// A line a container.
    pub(super) fn grid(&self) -> Grid {
        overview::rows(self.world())
    }

    /// How many namespaces are of no container.
    pub(super) fn others(&self) -> usize {
        self.others
    }

    /// A line for each of these, and what keeps it.
    pub(super) fn others_text(&self, paint: Paint) -> anyhow::Result<String> {
        Ok(overview::others_text(&mut World::look()?, paint))
    }
}

/// The keys of `some` that `others` has not, or with another value.
fn differing<'a>(some: &'a BTreeMap<i32, u64>, others: &'a BTreeMap<i32, u64>) -> impl Iterator<Item = i32> + 'a {
    some.iter().filter(|(pid, born)| others.get(pid) != Some(born)).map(|(pid, _)| *pid)
}

/// Namespaces that are neither the host's nor a container's, and what each is called.
fn others(world: &World) -> BTreeMap<(u64, u64), String> {
    let is_other = |&index: &usize| !world.is_host(index) && world.containers_in(index).is_empty();
    let name = |index: usize| {
        let namespace = &world.snapshot.namespaces[index];
        let whose = match world.snapshot.leader(namespace) {
            Some(process) => format!("of process {} {}", process.pid, facts::command(process.pid)),
            None => match overview::keepers(world, index).first() {
                Some(keeper) => format!("kept by {keeper}"),
                None => String::new(),
            },
        };
        // The inode number alone is used again as soon as it is free.
        let name = width::printable(format!("{namespace} {whose}").trim_end());
        ((namespace.inode, namespace.id.unwrap_or_default()), name)
    };
    (0..world.snapshot.namespaces.len()).filter(is_other).map(name).collect()
}

/// The file that tells whether the process's cgroup is frozen; none where it is in the root, which cannot be.
fn freezer(pid: i32) -> Option<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    freezer_of(&text, Path::new("/sys/fs/cgroup/unified/cgroup.procs").exists())
}

fn freezer_of(text: &str, is_hybrid: bool) -> Option<PathBuf> {
    let lines = || text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let place = |path: &str| {
        path.strip_prefix('/').filter(|path| !path.is_empty() && !path.starts_with("..")).map(PathBuf::from)
    };
    // v1's where there is one: it is the one that engines use.
    if let Some((_, path)) = lines().find(|(controllers, _)| controllers.split(',').any(|name| name == "freezer")) {
        return Some(Path::new("/sys/fs/cgroup/freezer").join(place(path)?).join("freezer.state"));
    }
    let (_, path) = lines().find(|(controllers, _)| controllers.is_empty())?;
    let root = if is_hybrid { "/sys/fs/cgroup/unified" } else { "/sys/fs/cgroup" };
    Some(Path::new(root).join(place(path)?).join("cgroup.events"))
}

fn is_frozen(file: &Path) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.trim() == "FROZEN" || text.lines().any(|line| line == "frozen 1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_freezer_is_v1s_where_there_is_one() {
        let v1 = "9:pids:/docker/a\n3:freezer:/docker/a\n0::/docker/a\n";
        assert_eq!(freezer_of(v1, true), Some("/sys/fs/cgroup/freezer/docker/a/freezer.state".into()));
        assert_eq!(freezer_of("0::/x.scope\n", false), Some("/sys/fs/cgroup/x.scope/cgroup.events".into()));
        assert_eq!(freezer_of("0::/\n", false), None);
        assert_eq!(freezer_of("0::/../x\n", false), None);
    }

    #[test]
    fn a_process_that_has_the_number_of_another_began_when_that_ended() {
        let (before, now) = (BTreeMap::from([(1, 10), (2, 20)]), BTreeMap::from([(2, 21), (3, 30)]));
        assert_eq!(differing(&before, &now).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(differing(&now, &before).collect::<Vec<_>>(), [2, 3]);
    }
}
