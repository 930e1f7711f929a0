//! One target: the namespaces of a process or container, or one namespace with everything that keeps it.

use nskit::inspect::discover::absent;
use nskit::inspect::{Scope, discover};
use nskit::namespace::Kind;

use super::facts::{self, Users};
use super::grid::{Cell, Grid};
use super::overview::keepers;
use super::paint::{Paint, Style};
use super::world::{Named, Target, World};

/// How many processes of a namespace are listed.
const MEMBERS: usize = 20;

/// What is known of the target.
pub(crate) fn view(target: &Target, paint: Paint) -> anyhow::Result<String> {
    match target {
        Target::Process(pid) | Target::Container(_, pid) => process(target, *pid, paint),
        Target::Namespace(named) => namespace(*named, paint),
    }
}

/// Costs the same however many processes there are: nothing but this process and the host's first are looked at.
fn process(target: &Target, pid: i32, paint: Paint) -> anyhow::Result<String> {
    let snapshot = discover(&Scope { relations: true, ..Scope::process(pid) })?;
    let process = snapshot.processes.first().ok_or_else(|| absent(pid))?;
    let (host, with) = host()?;
    let uid = facts::uid(pid).map(|uid| Users::default().name(uid)).unwrap_or_default();
    let mut out = format!("{} of {uid}: {}\n", paint.paint(Style::Name, &target.title()), facts::command(pid));
    if let Target::Container(container, _) = target {
        for (what, value) in [
            ("id", Some(container.id.clone())),
            ("image", container.image.clone()),
            ("pod", container.pod.as_ref().map(|pod| format!("{}/{}", pod.namespace, pod.name))),
            ("bundle", container.bundle.as_ref().map(|bundle| bundle.display().to_string())),
        ] {
            if let Some(value) = value {
                out.push_str(&format!("  {what:<7} {value}\n"));
            }
        }
    }
    let mut grid = Grid::new(&["KIND", "NAMESPACE", "SHARED", "OWNER", "PARENT"]);
    for kind in Kind::ALL {
        let Some(index) = process.namespace(kind) else { continue };
        let namespace = &snapshot.namespaces[index];
        let shared = match host[kind as usize] {
            Some(host) if host == namespace.inode => Cell::text(with).styled(Style::Host),
            Some(_) => Cell::text("no").styled(Style::Own),
            None => Cell::text("unknown").styled(Style::Faint),
        };
        let related = |inode: u64, of: &str| if inode == 0 { String::new() } else { format!("{of}:[{inode}]") };
        grid.add(vec![
            Cell::text(kind.oci_name()),
            Cell::text(namespace.to_string()),
            shared,
            Cell::text(related(namespace.owner, "user")),
            Cell::text(related(namespace.parent, kind.proc_name())),
        ]);
    }
    if process.is_opaque() {
        let why = snapshot.gaps.first().map_or("", |gap| gap.reason.as_str());
        out.push_str(&format!("  its namespaces may not be read: {why}; `ns-inspect explain {pid}` tells more\n"));
        return Ok(out);
    }
    out.push_str(&grid.print(paint, "  "));
    for gap in &snapshot.gaps {
        out.push_str(&format!("  {gap}\n"));
    }
    out.push_str(&format!("  enter with: {}\n", enter(pid)?));
    Ok(out)
}

/// Inode numbers of the host's namespaces, by kind, or of the caller's where those may not be read; and what to call
/// sharing them.
fn host() -> anyhow::Result<([Option<u64>; 8], &'static str)> {
    for (pid, with) in [(1, "with the host"), (2, "with the host"), (std::process::id() as i32, "with the caller")] {
        let snapshot = discover(&Scope::process(pid))?;
        if let Some(process) = snapshot.processes.first().filter(|process| !process.is_opaque()) {
            let inode = |kind| process.namespace(kind).map(|index| snapshot.namespaces[index].inode);
            return Ok((Kind::ALL.map(inode), with));
        }
    }
    Ok(([None; 8], ""))
}

/// The nsenter command that enters all of the process's namespaces that are not the caller's, ready to paste.
pub(crate) fn enter(pid: i32) -> anyhow::Result<String> {
    let target = discover(&Scope::process(pid))?;
    let process = target.processes.first().ok_or_else(|| absent(pid))?;
    let own = discover(&Scope::process(std::process::id() as i32))?;
    let own = own
        .processes
        .first()
        .map(|process| Kind::ALL.map(|kind| process.namespace(kind).map(|index| own.namespaces[index].inode)));
    let mut line = format!("nsenter --target {pid}");
    for kind in Kind::ALL {
        let inode = process.namespace(kind).map(|index| target.namespaces[index].inode);
        if inode.is_some() && inode != own.and_then(|own| own[kind as usize]) {
            // nsenter's names are the kernel's spelled out.
            line.push_str(&format!(" --{}", if kind == Kind::Net { "net" } else { kind.oci_name() }));
        }
    }
    if process.is_opaque() {
        line.push_str(" --all");
    }
    Ok(line)
}

fn namespace(named: Named, paint: Paint) -> anyhow::Result<String> {
    let mut world = World::look()?;
    let index = named.find(&world.snapshot)?;
    let namespace = world.snapshot.namespaces[index].clone();
    let mut out = paint.paint(Style::Name, &namespace.to_string());
    if world.is_host(index) {
        out.push_str(&format!(" {}", paint.paint(Style::Host, "(the host's)")));
    }
    out.push('\n');
    let mut line = |what: &str, value: String| out.push_str(&format!("  {what:<11} {value}\n"));
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
    if let Some(pid) = members.first() {
        line(
            "enter with",
            format!("nsenter --{}=/proc/{pid}/ns/{} ", long(namespace.kind), namespace.kind.proc_name()),
        );
    } else if let Some(path) = world.snapshot.path(&namespace) {
        line("enter with", format!("nsenter --{}={}", long(namespace.kind), path.display()));
    }
    out.push_str(&world.gaps());
    Ok(out)
}

fn long(kind: Kind) -> &'static str {
    if kind == Kind::Net { "net" } else { kind.oci_name() }
}
