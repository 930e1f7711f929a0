//! Why ids cannot be mapped, and why a user or group cannot be changed to.

use std::fs;
use std::path::Path;

use nskit::error::Errno;
use nskit::namespace::idmap::{Ids, Range};
use rustix::fs::Mode;

use super::{CAP_SETFCAP, CAP_SETGID, CAP_SETUID, has_capability, is_mapped, lacking, number, proc, program};

/// Why a map is refused that the caller writes from outside.
pub(crate) fn map(errno: Errno, ids: Ids, map: &[Range]) -> Option<String> {
    match errno {
        Errno::INVAL => overlap(map),
        Errno::PERM => {
            let needs_setfcap = ids == Ids::Users && !has_capability(CAP_SETFCAP);
            let root = map.iter().position(|range| needs_setfcap && range.outside == 0);
            // The first range that is refused.
            unmapped(ids, &map[..root.unwrap_or(map.len())]).or_else(|| root.map(|_| NEEDS_SETFCAP.to_owned())).or_else(
                || {
                    let capability = if ids == Ids::Users { CAP_SETUID } else { CAP_SETGID };
                    lacking(errno, capability, "mapping more ids than your own")
                },
            )
        }
        _ => None,
    }
}

/// Files with capabilities say which user 0 they are for, so that who maps it could make some (Linux 5.12).
const NEEDS_SETFCAP: &str = "mapping user 0 of the namespace that you are in needs CAP_SETFCAP there";

fn overlap(map: &[Range]) -> Option<String> {
    let crosses = |a: u32, b: u32, x: &Range, y: &Range| {
        u64::from(a) < u64::from(b) + u64::from(y.count) && u64::from(b) < u64::from(a) + u64::from(x.count)
    };
    for (index, x) in map.iter().enumerate() {
        if u64::from(x.inside) + u64::from(x.count) > u64::from(u32::MAX)
            || u64::from(x.outside) + u64::from(x.count) > u64::from(u32::MAX)
        {
            return Some(format!("the range {}:{}:{} ends beyond the last id", x.inside, x.outside, x.count));
        }
        for y in &map[index + 1..] {
            for (side, a, b) in [("inside", x.inside, y.inside), ("outside", x.outside, y.outside)] {
                if crosses(a, b, x, y) {
                    return Some(format!("two ranges have id {} in common {side}", a.max(b)));
                }
            }
        }
    }
    (map.len() > 340).then(|| "the kernel takes at most 340 ranges".to_owned())
}

/// Why newuidmap or newgidmap refuses a map, where that is seen: the program's words name no cause.
pub(crate) fn map_by_tool(ids: Ids, map: &[Range]) -> Option<String> {
    overlap(map).or_else(|| powerless(ids)).or_else(|| unmapped(ids, map)).or_else(|| not_granted(ids, map))
}

/// Why the program does not get the privilege that its file has.
fn powerless(ids: Ids) -> Option<String> {
    use rustix::fs::StatVfsMountFlags;
    let tool = ids.tool();
    if rustix::thread::no_new_privs().unwrap_or(false) {
        return Some(format!("no_new_privs is set, under which {tool} does not get the privilege that its file has"));
    }
    let file = program::in_path(tool.as_ref(), std::env::var_os("PATH"))?;
    let stat = rustix::fs::stat(&file).ok()?;
    let has_capabilities =
        || rustix::fs::getxattr(&file, "security.capability", &mut [0u8; 64][..]).is_ok_and(|length| length > 0);
    let shown = file.display();
    if stat.st_mode & Mode::SUID.as_raw_mode() == 0 && !has_capabilities() {
        return Some(format!("{shown} has neither the set-user-ID bit nor capabilities: chmod u+s {shown}"));
    }
    rustix::fs::statvfs(&file).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::NOSUID)).then(|| {
        format!("{shown} is on a mount with the option nosuid, where it does not get the privilege that it has")
    })
}

/// An id outside that the caller's own user namespace does not have.
fn unmapped(ids: Ids, map: &[Range]) -> Option<String> {
    let proc = proc()?;
    let ends = |range: &Range| [range.outside, range.outside.saturating_add(range.count.saturating_sub(1))];
    map.iter()
        .flat_map(ends)
        .find(|id| !is_mapped(proc, ids, *id))
        .map(|id| format!("id {id} is not mapped in the user namespace that you are in: see /proc/self/{}", ids.file()))
}

/// A range that neither the files grant nor is the caller's own id.
fn not_granted(ids: Ids, map: &[Range]) -> Option<String> {
    // Where another service is asked, the file is not all.
    let services = fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default();
    let asks_others = |line: &str| line.strip_prefix("subid:").is_some_and(|services| services.trim() != "files");
    if services.lines().any(|line| asks_others(line.trim())) {
        return None;
    }
    let file = if ids == Ids::Users { "/etc/subuid" } else { "/etc/subgid" };
    let uid = rustix::process::geteuid().as_raw();
    let own = if ids == Ids::Users { uid } else { rustix::process::getegid().as_raw() };
    let name =
        crate::accounts::user(uid).map_or_else(|| uid.to_string(), |user| user.name.to_string_lossy().into_owned());
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines = text.lines().filter(|line| {
        let owner = line.split(':').next().unwrap_or_default();
        owner == name || owner == uid.to_string()
    });
    let lines: Vec<&str> = lines.collect();
    let grants = |line: &&str, range: &Range| {
        let fields: Vec<u64> = line.split(':').skip(1).filter_map(|field| field.trim().parse().ok()).collect();
        let (first, count) = (u64::from(range.outside), u64::from(range.count));
        matches!(fields[..], [start, many] if start <= first && first + count <= start + many)
    };
    let is_own = |range: &Range| range.outside == own && range.count == 1;
    let range = map.iter().find(|range| !is_own(range) && !lines.iter().any(|line| grants(line, range)))?;
    let wanted = format!("{}:{}", range.outside, range.count);
    Some(match lines[..] {
        [] => format!("{file} grants {name} no ids"),
        _ => format!("{file} grants {}, which has not all of {wanted}", lines.join(", ")),
    })
}

/// Why one of the caller's own ids cannot be mapped from inside.
pub(crate) fn map_own(errno: Errno, ids: Ids, map: Range) -> Option<String> {
    if errno == Errno::INVAL && map.inside == u32::MAX {
        return Some("4294967295 means no id".into());
    }
    // Of what user_namespaces(7) demands for a map of one's own id, all but this was seen to.
    if errno == Errno::PERM && ids == Ids::Users && map.outside == 0 {
        return Some(NEEDS_SETFCAP.into());
    }
    let restricts = number(Path::new("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")) == Some(1);
    (errno == Errno::PERM && restricts)
        .then(|| "AppArmor restricts user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns is 1".into())
}

/// Why setgroups(2) is refused; `instead` is what helps where a namespace refuses it to everybody.
pub(crate) fn groups(errno: Errno, instead: &str) -> Option<String> {
    if errno != Errno::PERM {
        return None;
    }
    let of_self = |file: &str| fs::read_to_string(proc()?.join("self").join(file)).ok();
    let is_denied = of_self("setgroups").is_some_and(|word| word.trim() == "deny");
    let has_none = || of_self("gid_map").is_some_and(|map| map.trim().is_empty());
    if is_denied {
        Some(format!(
            "setgroups is denied in this user namespace, as it must be where the group map was written without privilege; \
             {instead}"
        ))
    } else if has_none() {
        Some(format!(
            "no group is mapped in this user namespace, and only where some are can groups be changed; {instead}"
        ))
    } else {
        lacking(errno, CAP_SETGID, "dropping groups")
    }
}

/// Why a change of user or group is refused.
pub(crate) fn identity(errno: Errno, ids: Ids, id: u32) -> Option<String> {
    let (what, capability) = if ids == Ids::Users { ("user", CAP_SETUID) } else { ("group", CAP_SETGID) };
    match errno {
        Errno::INVAL if id == u32::MAX || proc().is_some_and(|proc| !is_mapped(proc, ids, id)) => {
            Some(format!("{what} {id} is not mapped in this user namespace: see /proc/self/{}", ids.file()))
        }
        _ => lacking(errno, capability, &format!("changing the {what}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_id_that_two_ranges_share() {
        let range = |inside, outside, count| Range { inside, outside, count };
        assert_eq!(overlap(&[range(0, 0, 5), range(5, 5, 5)]), None);
        assert_eq!(overlap(&[range(0, 0, 5), range(3, 100, 5)]).unwrap(), "two ranges have id 3 in common inside");
        assert_eq!(overlap(&[range(0, 9, 5), range(5, 0, 10)]).unwrap(), "two ranges have id 9 in common outside");
        assert!(overlap(&[range(u32::MAX, 0, 2)]).unwrap().contains("beyond the last id"));
    }
}
