//! The tree of user namespaces: maps, who made each, and what it owns. And the difference between two targets.

use std::fs;

use nskit::inspect::{Scope, discover, proc};
use nskit::namespace::Kind;

use super::facts;
use super::grid::{Cell, Grid};
use super::paint::{Paint, Style};
use super::strays::keepers;
use super::width;
use super::world::{Target, World};

/// The whole tree.
pub(crate) fn view(world: &mut World, paint: Paint) -> String {
    let users: Vec<usize> = (0..world.snapshot.namespaces.len())
        .filter(|&index| world.snapshot.namespaces[index].kind == Kind::User)
        .collect();
    let is_root = |&index: &usize| world.snapshot.find(world.snapshot.namespaces[index].parent).is_none();
    let roots: Vec<usize> = users.iter().copied().filter(is_root).collect();
    let mut out = String::new();
    for root in roots {
        branch(world, root, "", "", paint, &mut out);
    }
    // Owned by one further out than the caller may know of, or of a process that may not be looked at.
    let is_ownerless = |index: &usize| {
        let namespace = &world.snapshot.namespaces[*index];
        namespace.kind != Kind::User && world.snapshot.find(namespace.owner).is_none()
    };
    let ownerless: Vec<usize> = (0..world.snapshot.namespaces.len()).filter(is_ownerless).collect();
    if !ownerless.is_empty() {
        out.push_str("owned by a user namespace that is not to be seen\n");
        let (line, last) = if width::is_utf8() { ("├─ ", "└─ ") } else { ("|- ", "`- ") };
        for (number, &index) in ownerless.iter().enumerate() {
            let art = if number + 1 == ownerless.len() { last } else { line };
            out.push_str(&(paint.fit(&format!("{art}{}", describe(world, index, paint))) + "\n"));
        }
    }
    world.tell_gaps(paint);
    out
}

fn branch(world: &mut World, index: usize, own: &str, below: &str, paint: Paint, out: &mut String) {
    let namespace = world.snapshot.namespaces[index].clone();
    let line = format!("{own}{}", describe_user(world, index, paint));
    out.push_str(&(paint.fit(&line) + "\n"));
    let owned: Vec<usize> = (0..world.snapshot.namespaces.len())
        .filter(|&other| {
            let other = &world.snapshot.namespaces[other];
            other.owner == namespace.inode && other.kind != Kind::User
        })
        .collect();
    let children: Vec<usize> = (0..world.snapshot.namespaces.len())
        .filter(|&other| {
            let other = &world.snapshot.namespaces[other];
            other.kind == Kind::User && other.parent == namespace.inode
        })
        .collect();
    let (line, last) = if width::is_utf8() { ("├─ ", "└─ ") } else { ("|- ", "`- ") };
    let bar = if width::is_utf8() { "│  " } else { "|  " };
    for (number, &other) in owned.iter().enumerate() {
        let is_last = number + 1 == owned.len() && children.is_empty();
        let art = if is_last { last } else { line };
        out.push_str(&(paint.fit(&format!("{below}{art}{}", describe(world, other, paint))) + "\n"));
    }
    for (number, &child) in children.iter().enumerate() {
        let is_last = number + 1 == children.len();
        let own = format!("{below}{}", if is_last { last } else { line });
        let next = format!("{below}{}", if is_last { "   " } else { bar });
        branch(world, child, &own, &next, paint, out);
    }
}

fn describe_user(world: &mut World, index: usize, paint: Paint) -> String {
    let namespace = world.snapshot.namespaces[index].clone();
    let mut text = describe(world, index, paint);
    if let Some(uid) = namespace.owner_uid.filter(|_| namespace.parent != 0) {
        text.push_str(&format!(", created by {}", world.users.name(uid)));
    }
    if let Some(process) = world.snapshot.leader(&namespace) {
        for (file, what) in [("uid_map", "uids"), ("gid_map", "gids")] {
            let map = fs::read_to_string(format!("/proc/{}/{file}", process.pid)).unwrap_or_default();
            text.push_str(&format!(", {what} {}", describe_map(&map)));
        }
    }
    text
}

/// An id map in one line: `0→100000 (65536)`, inner id first.
fn describe_map(map: &str) -> String {
    let lines: Vec<String> = map
        .lines()
        .filter_map(|line| {
            let numbers: Vec<u64> = line.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect();
            match numbers.as_slice() {
                [0, 0, 4_294_967_295] => Some("all".to_owned()),
                [inner, outer, 1] => Some(format!("{inner}->{outer}")),
                [inner, outer, count] => Some(format!("{inner}->{outer} ({count})")),
                _ => None,
            }
        })
        .collect();
    if lines.is_empty() { "unmapped".to_owned() } else { lines.join(" ") }
}

fn describe(world: &World, index: usize, paint: Paint) -> String {
    let namespace = &world.snapshot.namespaces[index];
    let host = world.is_host(index);
    let mut text = paint.paint(if host { Style::Host } else { Style::Own }, &namespace.to_string());
    text.push_str(world.host_mark(index));
    let containers = if host { Vec::new() } else { world.containers_in(index) };
    if !containers.is_empty() {
        let mut names: Vec<String> = containers.iter().take(4).map(|container| container.title()).collect();
        if containers.len() > names.len() {
            names.push(format!("{} more", containers.len() - names.len()));
        }
        text.push_str(&format!(" {}", paint.paint(Style::Name, &names.join(", "))));
    }
    match namespace.processes {
        0 => {
            let keepers = keepers(world, index);
            let by = keepers.first().cloned().unwrap_or_else(|| "nothing that can be seen".into());
            text.push_str(&format!(", no process, kept by {by}"));
        }
        1 => text.push_str(", 1 process"),
        count => text.push_str(&format!(", {count} processes")),
    }
    if let Some(process) = world.snapshot.leader(namespace).filter(|_| !host && containers.is_empty()) {
        let command = facts::command(process.pid);
        text.push_str(&format!(": {} {}", process.pid, width::printable(&command)));
    }
    text
}

/// The namespaces of two targets side by side.
pub(crate) fn diff(a: &Target, b: &Target, paint: Paint) -> anyhow::Result<String> {
    let mut grid = Grid::new(&["KIND", "A", "B", "SAME"]);
    let (left, right) = (namespaces(a.pid()?)?, namespaces(b.pid()?)?);
    for kind in Kind::ALL {
        let (left, right) = (left[kind as usize], right[kind as usize]);
        let show =
            |inode: Option<u64>| Cell::text(inode.map(|inode| format!("[{inode}]")).unwrap_or_else(|| "?".into()));
        let same = match (left, right) {
            (Some(left), Some(right)) if left == right => Cell::text("yes").styled(Style::Shared),
            (Some(_), Some(_)) => Cell::text("no").styled(Style::Own),
            _ => Cell::text("not to be read").styled(Style::Faint),
        };
        grid.add(vec![Cell::text(kind.oci_name()), show(left), show(right), same]);
    }
    let titles = paint.fit(&format!("A: {}", a.title())) + "\n" + &paint.fit(&format!("B: {}", b.title()));
    Ok(titles + "\n" + &grid.print(paint, ""))
}

/// Inode numbers of the process's namespaces, by kind.
pub(crate) fn namespaces(pid: i32) -> anyhow::Result<[Option<u64>; 8]> {
    let snapshot = discover(&Scope::process(pid))?;
    let Some(process) = snapshot.processes.first() else { return Err(proc::absent(pid).into()) };
    Ok(Kind::ALL.map(|kind| process.namespace(kind).map(|index| snapshot.namespaces[index].inode)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_told_inner_id_first() {
        assert_eq!(
            describe_map("         0       1000          1\n         1     100000      65536\n"),
            "0->1000 1->100000 (65536)"
        );
        assert_eq!(describe_map("         0          0 4294967295\n"), "all");
        assert_eq!(describe_map(""), "unmapped");
    }
}
