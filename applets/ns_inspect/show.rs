//! One target: the namespaces of a process or container, or one namespace with everything that keeps it.

use std::path::Path;

use anyhow::Context;
use nskit::inspect::containers::{self, Container, Engine, Hierarchies, Inventory};
use nskit::inspect::explain::{Caller, Explanation, Outcome, explain};
use nskit::inspect::{Host, Scope, discover, pids, proc};
use nskit::namespace::Kind;

use super::facts::{self, Users};
use super::grid::{Cell, Grid};
use super::overview::{self, human_age, size};
use super::paint::{Paint, Style};
use super::strays::keepers;
use super::target::Together;
use super::tree;
use super::width;
use super::world::{Named, Target, World, tell};

/// How many processes of a namespace are listed.
const MEMBERS: usize = 20;

/// How many that share a namespace are named.
const SHARERS: usize = 3;

/// What is known of the target.
pub(crate) fn view(target: &Target, paint: Paint) -> anyhow::Result<String> {
    match target {
        Target::Process(pid) | Target::Container(_, pid) => process(target, *pid, paint),
        Target::Namespace(named) => namespace(*named, paint),
        Target::Group(group) => together(group, paint),
    }
}

/// Costs the same however many processes there are: nothing but this one, the first, and those of containers that engines
/// tell of on disk are looked at.
fn process(target: &Target, pid: i32, paint: Paint) -> anyhow::Result<String> {
    let snapshot = discover(&Scope { relations: true, ..Scope::process(pid) })?;
    let process = snapshot.processes.first().ok_or_else(|| proc::absent(pid))?;
    if process.is_opaque() {
        let why = snapshot.gaps.first().map_or("", |gap| gap.reason.as_str());
        anyhow::bail!(
            "the namespaces of {} may not be read: {why}; `ns-inspect explain {pid}` tells more",
            target.title()
        );
    }
    let container = match target {
        Target::Container(container, _) => Some((**container).clone()),
        _ => containers::of_process(pid),
    };
    let mut out = heading(target, pid, container.as_ref(), paint);
    if let (Target::Container(container, _), Some(_)) = (target, &container) {
        let usage = Hierarchies::find().usage(container);
        let age = usage.started.and_then(proc::age).map(|age| format!(", up {}", human_age(age))).unwrap_or_default();
        for (what, value) in [
            ("state", Some(format!("{}{age}", usage.state))),
            ("id", Some(container.id.clone())),
            ("image", container.image.clone()),
            (
                "pod",
                container
                    .pod
                    .as_ref()
                    .map(|pod| format!("{}/{}", pod.namespace, pod.name).trim_start_matches('/').to_owned()),
            ),
            ("memory", usage.memory.map(size)),
            ("bundle", container.bundle.as_ref().map(|bundle| bundle.display().to_string())),
        ] {
            if let Some(value) = value {
                out.push_str(&(paint.fit(&format!("  {what:<7} {}", width::printable(&value))) + "\n"));
            }
        }
    }
    let mut grid = Grid::new(&["KIND", "NAMESPACE", "SHARED", "OWNER", "PARENT"]);
    let host = Host::find();
    let is_host = |&kind: &Kind| process.namespace(kind).map(|index| host.has(kind, snapshot.namespaces[index].inode));
    let is_all_hosts = Kind::ALL.iter().filter_map(is_host).all(|is_host| is_host == Some(true));
    let sharers = Sharers::look(target, pid, host, is_all_hosts)?;
    for kind in Kind::ALL {
        let Some(index) = process.namespace(kind) else { continue };
        let namespace = &snapshot.namespaces[index];
        let related = |inode: u64, of: &str| if inode == 0 { String::new() } else { format!("{of}:[{inode}]") };
        grid.add(vec![
            Cell::text(kind.oci_name()),
            Cell::text(namespace.to_string()),
            sharers.of(kind, namespace.inode),
            Cell::text(related(namespace.owner, "user")),
            Cell::text(related(namespace.parent, kind.proc_name())),
        ]);
    }
    out.push_str(&grid.print(paint, "  "));
    let gaps = snapshot.gaps.iter().chain(&sharers.inventory.gaps);
    tell(gaps, paint);
    out.push_str(&Way::of_process(pid)?.line(paint));
    Ok(out)
}

/// The first line about a process: which it is, in which container, of whom, and what it runs.
pub(crate) fn heading(target: &Target, pid: i32, container: Option<&Container>, paint: Paint) -> String {
    let title = match (target, container) {
        (Target::Process(_), Some(container)) => {
            let inner = pids::levels(pid).ok().and_then(|levels| levels.last().map(|level| level.pid)).unwrap_or(pid);
            let kind = if container.engine == Engine::Systemd { "unit" } else { "container" };
            let image = container.image.as_ref().map(|image| format!(" (image {image})")).unwrap_or_default();
            format!("process {pid}, pid {inner} in {} {kind} {}{image}", container.engine, container.title())
        }
        _ => target.title(),
    };
    let is_contained = container.is_some_and(|container| container.engine != Engine::Systemd);
    let who = facts::who(pid, is_contained, &mut Users::default());
    let who = who.map(|who| format!(", user {who}")).unwrap_or_default();
    let rest = format!("{who}: {}", facts::command(pid));
    let title = paint.paint(Style::Name, &width::printable(&title));
    paint.fit(&format!("{title}{}", width::printable(&rest))) + "\n"
}

/// The containers of a pod or of a Kubernetes namespace, and how a pod's namespaces are entered.
fn together(group: &Together, paint: Paint) -> anyhow::Result<String> {
    let world = World::look()?;
    world.tell_gaps(paint);
    let rows = overview::of(&world, &group.members);
    let mut out = paint.fit(&paint.paint(Style::Name, &width::printable(&group.title))) + "\n";
    out.push_str(&overview::table(&world, &rows, &overview::USUAL).print(paint, "  "));
    if let Ok(pid) = Target::Group(group.clone()).pid() {
        out.push_str(&Way::of_process(pid)?.line(paint));
    }
    Ok(out)
}

/// With whom a process may share its namespaces: the host, containers, and process 1 where that is not the host's.
struct Sharers {
    host: Host,
    inventory: Inventory,
    /// Containers by their place in the inventory, with the inode numbers of the namespaces of their first processes.
    containers: Vec<(usize, [Option<u64>; 8])>,
    first: Option<[Option<u64>; 8]>,
}

impl Sharers {
    /// With whom process `pid` may. Containers are not looked for where all that it has is the host's.
    fn look(target: &Target, pid: i32, host: Host, is_all_hosts: bool) -> anyhow::Result<Sharers> {
        if is_all_hosts {
            return Ok(Sharers { host, inventory: Inventory::default(), containers: Vec::new(), first: None });
        }
        let mut inventory = Inventory::on_disk();
        // One that is not on disk was found among all processes, and so may others be.
        if let Target::Container(container, _) = target
            && inventory.containers.iter().all(|other| other.pid != container.pid)
        {
            inventory = Inventory::gather(proc::pids()?);
        }
        let of = |(place, container): (usize, &Container)| {
            let other = container.pid.filter(|&other| other != pid && container.engine != Engine::Systemd)?;
            Some((place, tree::namespaces(other).ok()?))
        };
        let containers = inventory.containers.iter().enumerate().filter_map(of).collect();
        let first = (pid != 1).then(|| tree::namespaces(1).ok()).flatten();
        Ok(Sharers { host, inventory, containers, first })
    }

    fn of(&self, kind: Kind, inode: u64) -> Cell {
        let is_host = self.host.has(kind, inode);
        if is_host == Some(true) {
            return Cell::text("with the host").styled(Style::Host);
        }
        let shares = |namespaces: &[Option<u64>; 8]| namespaces[kind as usize] == Some(inode);
        let mut with: Vec<&Container> = self
            .containers
            .iter()
            .filter(|(_, namespaces)| shares(namespaces))
            .map(|(place, _)| &self.inventory.containers[*place])
            .collect();
        // As in the overview: whose it is comes first.
        with.sort_by_key(|container| (!container.is_sandbox, container.pid));
        let mut names: Vec<String> = with.iter().take(SHARERS).map(|container| container.title()).collect();
        if with.len() > SHARERS {
            names.push(format!("{} more", with.len() - SHARERS));
        }
        if names.is_empty() && self.first.as_ref().is_some_and(shares) {
            names.push("process 1".into());
        }
        match (names.is_empty(), is_host) {
            (false, _) => Cell::text(format!("with {}", names.join(", "))).styled(Style::Shared),
            (true, None) => Cell::text("?").styled(Style::Faint),
            (true, _) => Cell::text("no").styled(Style::Own),
        }
    }
}

/// How a target is entered.
pub(crate) enum Way {
    /// By this command, ready to paste; it leaves out the kinds that may not be entered.
    Command(String, Vec<Kind>),
    /// There is none, for this reason: a sentence.
    None(String),
}

impl Way {
    /// Into all namespaces of a process that are not the caller's and that the caller may enter.
    pub(crate) fn of_process(pid: i32) -> anyhow::Result<Way> {
        let explanation = match explained(pid)? {
            Ok(explanation) => explanation,
            Err(why) => return Ok(why),
        };
        let may = |outcome: &Outcome| matches!(outcome, Outcome::Allowed | Outcome::AfterUser);
        let kinds = |wanted: &dyn Fn(&Outcome) -> bool| -> Vec<Kind> {
            let verdicts = explanation.verdicts.iter().filter(|verdict| wanted(&verdict.outcome));
            verdicts.map(|verdict| verdict.kind).collect()
        };
        let entered = kinds(&may);
        let refused = kinds(&|outcome| matches!(outcome, Outcome::Refused(_) | Outcome::Hidden(_)));
        if explanation.is_zombie {
            return Ok(Way::None(format!(
                "process {pid} has ended and waits for its parent: there is nothing to enter"
            )));
        }
        Ok(match (entered.is_empty(), refused.is_empty()) {
            (true, true) => {
                Way::None(format!("process {pid} is in the caller's own namespaces: there is nothing to enter"))
            }
            (true, false) => Way::None(format!(
                "the namespaces of process {pid} may not be entered: `ns-inspect explain {pid}` tells why"
            )),
            (false, _) => Way::Command(command(pid, &entered, &explanation), refused),
        })
    }

    /// Into one namespace, which process `pid` is in.
    fn of_member(kind: Kind, pid: i32) -> anyhow::Result<Way> {
        let explanation = match explained(pid)? {
            Ok(explanation) => explanation,
            Err(why) => return Ok(why),
        };
        let outcome = &explanation.verdicts[kind as usize].outcome;
        Ok(match outcome {
            Outcome::Same => Way::None("the caller is in it: there is nothing to enter".into()),
            Outcome::AfterUser => Way::Command(command(pid, &[kind, Kind::User], &explanation), Vec::new()),
            Outcome::Allowed => {
                let keep = if kind == Kind::User && explanation.keeps_ids { KEEP } else { "" };
                let line = format!("nsenter --{}=/proc/{pid}/ns/{}{keep}", long(kind), kind.proc_name());
                Way::Command(line, Vec::new())
            }
            _ => Way::None(format!("it may not be entered: `ns-inspect explain {pid}` tells why")),
        })
    }

    /// A line of a view. A command is not broken, since it is there to be pasted.
    fn line(&self, paint: Paint) -> String {
        match self {
            Way::Command(line, refused) => {
                let rest = left_out(refused).map(|rest| paint.wrap(&rest, "  ")).unwrap_or_default();
                format!("  enter with: {line}\n{rest}")
            }
            Way::None(why) => paint.wrap(why, "  "),
        }
    }

    /// Into one namespace, through a path that leads to it.
    fn of_path(kind: Kind, path: &Path) -> Way {
        let path = path.display().to_string();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,".contains(c);
        let path = if path.chars().all(is_plain) { path } else { format!("'{}'", path.replace('\'', "'\\''")) };
        // Without a process nothing tells whether user 0 is mapped.
        let keep = if kind == Kind::User { KEEP } else { "" };
        Way::Command(format!("nsenter --{}={path}{keep}", long(kind)), Vec::new())
    }
}

/// What the caller may enter of the process, or that this cannot be told.
fn explained(pid: i32) -> anyhow::Result<Result<Explanation, Way>> {
    match pids::own() {
        Ok(own) => Ok(Ok(explain(&Caller::read(own)?, pid)?)),
        Err(why) => Ok(Err(Way::None(format!("{why}: what it may enter cannot be told")))),
    }
}

/// A sentence about the kinds that may not be entered.
fn left_out(refused: &[Kind]) -> Option<String> {
    let names: Vec<&str> = refused.iter().map(|&kind| long(kind)).collect();
    (!names.is_empty()).then(|| format!("may not be entered: {}; `ns-inspect explain` tells why", names.join(", ")))
}

const KEEP: &str = " --preserve-credentials";

/// The nsenter command that enters these namespaces of the process.
fn command(pid: i32, kinds: &[Kind], explanation: &Explanation) -> String {
    let mut line = String::from("nsenter");
    if !explanation.one_by_one {
        line.push_str(&format!(" --target {pid}"));
    }
    for &kind in Kind::ALL.iter().filter(|kind| kinds.contains(kind)) {
        line.push_str(&format!(" --{}", long(kind)));
        if explanation.one_by_one {
            line.push_str(&format!("=/proc/{pid}/ns/{}", kind.proc_name()));
        }
    }
    if kinds.contains(&Kind::User) && explanation.keeps_ids {
        line.push_str(KEEP);
    }
    line
}

/// The nsenter command that enters the target, ready to paste: all of a process's namespaces that are not the caller's, or the
/// one namespace that was named.
pub(crate) fn enter(target: &Target) -> anyhow::Result<String> {
    if let Target::Container(container, _) = target {
        containers::may_be_entered(container)?;
    }
    let way = match target {
        Target::Namespace(named) => {
            let world = World::look()?;
            of_namespace(&world, named.find(&world.snapshot)?)
                .with_context(|| format!("nothing leads to {named} that nsenter could open"))?
        }
        _ => Way::of_process(target.pid()?)?,
    };
    match way {
        Way::Command(line, refused) => {
            left_out(&refused).iter().for_each(|rest| eprintln!("ns-inspect: {rest}"));
            Ok(line)
        }
        Way::None(why) => anyhow::bail!(why),
    }
}

fn namespace(named: Named, paint: Paint) -> anyhow::Result<String> {
    let mut world = World::look()?;
    let index = named.find(&world.snapshot)?;
    let namespace = world.snapshot.namespaces[index].clone();
    let mut out = paint.paint(Style::Name, &namespace.to_string());
    match world.of_host(index) {
        Some(true) => out.push_str(&format!(" {}", paint.paint(Style::Host, "(the host's)"))),
        Some(false) => {}
        None => out.push_str(&format!(" {}", paint.paint(Style::Faint, "(the host's?)"))),
    }
    out.push('\n');
    let mut line = |what: &str, value: String| {
        out.push_str(&(paint.fit(&format!("  {what:<11} {}", width::printable(&value))) + "\n"));
    };
    if namespace.parent != 0 {
        line("parent", format!("{}:[{}]", namespace.kind.proc_name(), namespace.parent));
    }
    if namespace.owner != 0 {
        line("owned by", format!("user:[{}]", namespace.owner));
    }
    if let Some(uid) = namespace.owner_uid {
        line("created by", world.users.name(uid));
    }
    let containers = world.containers_in(index);
    if !containers.is_empty() {
        let names: Vec<String> =
            containers.iter().map(|container| format!("{} ({})", container.title(), container.engine)).collect();
        line("containers", names.join(", "));
    }
    line("processes", namespace.processes.to_string());
    let members: Vec<i32> = world.snapshot.members(index).take(MEMBERS).map(|process| process.pid).collect();
    for pid in &members {
        line("", format!("{pid} {}", facts::command(*pid)));
    }
    if namespace.processes as usize > members.len() {
        line("", format!("and {} more", namespace.processes as usize - members.len()));
    }
    let keepers = keepers(&world, index);
    for (number, keeper) in keepers.iter().enumerate() {
        line(if number == 0 { "kept by" } else { "" }, keeper.clone());
    }
    if namespace.processes == 0 && keepers.is_empty() {
        line("kept by", "nothing that can be seen: a descriptor in flight, a key or a file's credentials".into());
    }
    if let Some(way) = of_namespace(&world, index) {
        out.push_str(&way.line(paint));
    }
    world.tell_gaps(paint);
    Ok(out)
}

/// How the namespace at `index` is entered: by a process in it, or by a path that leads there.
fn of_namespace(world: &World, index: usize) -> Option<Way> {
    let namespace = &world.snapshot.namespaces[index];
    // The first may have ended meanwhile.
    let mut members = world.snapshot.members(index).take(MEMBERS);
    let of_member = members.find_map(|process| Way::of_member(namespace.kind, process.pid).ok());
    of_member.or_else(|| world.snapshot.path(namespace).map(|path| Way::of_path(namespace.kind, &path)))
}

/// What nsenter's option is called: the kinds' names spelled out, but for one.
fn long(kind: Kind) -> &'static str {
    if kind == Kind::Net { "net" } else { kind.oci_name() }
}
