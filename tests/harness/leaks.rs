//! What a container left on the machine: cgroups, mounts, processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;

/// Everything on the machine that has `name` in it: cgroups, mounts of this mount namespace, living processes.
pub(crate) fn left_behind(name: &str) -> Vec<String> {
    let mut found: Vec<_> = cgroups(name).iter().map(|dir| format!("cgroup {}", dir.display())).collect();
    found.extend(mounts(name).iter().map(|target| format!("mount {target}")));
    found.extend(processes(name).iter().map(|(pid, what)| format!("process {pid}: {what}")));
    found
}

/// Takes away by force what [`left_behind`] finds. For tests that failed.
pub(crate) fn clean_up(name: &str) {
    for (pid, _) in processes(name) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
    for target in mounts(name).iter().rev() {
        let _ = nix::mount::umount2(target.as_str(), nix::mount::MntFlags::MNT_DETACH);
    }
    for _ in 0..20 {
        let dirs = cgroups(name);
        if dirs.is_empty() {
            break;
        }
        for dir in dirs.iter().rev() {
            // Frozen processes do not die on v1.
            let _ = fs::write(dir.join("freezer.state"), "THAWED");
            let _ = fs::write(dir.join("cgroup.freeze"), "0");
            for pid in fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default().lines() {
                let pid = nix::unistd::Pid::from_raw(pid.parse().expect("a process id"));
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            }
            let _ = fs::remove_dir(dir);
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Cgroups with `name` in their path, parents first.
fn cgroups(name: &str) -> Vec<PathBuf> {
    fn walk(dir: &Path, name: &str, depth: usize, found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(dir) else { return };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let path = entry.path();
                if path.to_string_lossy().contains(name) {
                    found.push(path.clone());
                }
                if depth > 0 {
                    walk(&path, name, depth - 1, found);
                }
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), name, 8, &mut found);
    found
}

/// Mount points below a folder that has `name` in it, or of a source that has.
fn mounts(name: &str) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("read mountinfo");
    table
        .lines()
        .filter(|line| line.contains(name))
        .filter_map(|line| line.split(' ').nth(4))
        .map(str::to_owned)
        .collect()
}

/// Living processes with a command line that has `name` in it. What a cgroup holds shows by the cgroup.
fn processes(name: &str) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("read /proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let read = |file: &str| {
            let content = fs::read(entry.path().join(file)).unwrap_or_default();
            String::from_utf8_lossy(&content).replace('\0', " ")
        };
        if pid != process::id().cast_signed() && read("cmdline").contains(name) {
            let status = read("stat");
            let state = status.rsplit(") ").next().unwrap_or_default();
            if !state.starts_with(['Z', 'X']) {
                found.push((pid, format!("{}{}", read("comm"), read("cmdline"))));
            }
        }
    }
    found
}
