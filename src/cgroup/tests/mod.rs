//! Against the kernel: every test makes cgroups of its own (`nskit-test-…`), puts processes of its own in, and removes
//! them. They run on v1, hybrid and v2 alike; what one version lacks is said and skipped.

mod devices;
mod unified;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Signal};

use super::*;

/// A cgroup that is gone when the test is over.
struct Scratch(Cgroup);

impl Scratch {
    fn new(name: &str) -> Scratch {
        Scratch::with(name, &Resources::default())
    }

    fn with(name: &str, resources: &Resources) -> Scratch {
        let layout = Layout::detect().unwrap();
        Scratch(Cgroup::create(&layout, &location(name), resources, false).unwrap())
    }

    fn spawn(&mut self, program: &str, arguments: &[&str]) -> Process {
        let process = Process::spawn(program, arguments);
        self.0.join(Some(process.pid())).unwrap();
        process
    }

    fn sleep(&mut self) -> Process {
        self.spawn("sleep", &["1000"])
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.0.kill(Signal::KILL);
        let removed = self.0.remove();
        if !std::thread::panicking() {
            removed.unwrap();
        }
    }
}

struct Process(Child);

impl Process {
    fn spawn(program: &str, arguments: &[&str]) -> Process {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Process(command.spawn().unwrap())
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    /// The signal that it dies of, within five seconds.
    fn dies_of(&mut self) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt;
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.signal();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        None
    }

    /// The letter of its state in `/proc/PID/stat`.
    fn cgroup_file(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/cgroup", self.0.id())).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn location(name: &str) -> Location {
    Location::new(Some(&path(name)), "unused")
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(format!("/nskit-test-{name}-{}", std::process::id()))
}

/// Says why a test checks nothing here.
fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

fn content(cgroup: &Cgroup, controller: Controller, name: &str) -> Option<String> {
    file::read(cgroup.path(controller)?, name).ok().map(|content| content.trim().to_owned())
}

#[test]
fn a_process_joins_every_hierarchy_and_all_are_removed() {
    let layout = Layout::detect().unwrap();
    let mut scratch = Scratch::new("join");
    let mut process = scratch.sleep();
    let own = process.cgroup_file();
    for hierarchy in &layout.hierarchies {
        let names: Vec<_> = hierarchy.controllers.iter().map(|controller| controller.name()).collect();
        let line = format!(":{}:{}\n", names.join(","), path("join").display());
        assert!(own.contains(&line), "{line:?} is not in {own}");
    }
    assert_eq!(scratch.0.processes(true).unwrap(), [process.pid()]);
    scratch.0.kill(Signal::KILL).unwrap();
    assert_eq!(process.dies_of(), Some(9));
    scratch.0.remove().unwrap();
    assert!(!scratch.0.exists());
    assert_eq!(scratch.0.processes(true).unwrap(), []);
    assert_eq!(scratch.0.kill(Signal::KILL).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn saved_paths_lead_back_to_the_same_cgroup() {
    let mut scratch = Scratch::new("saved");
    let process = scratch.sleep();
    let json = serde_json::to_string(&scratch.0.paths()).unwrap();
    let paths: Paths = serde_json::from_str(&json).unwrap();
    let opened = Cgroup::open(&paths).unwrap();
    assert_eq!(opened.processes(false).unwrap(), [process.pid()]);
    assert_eq!(opened.paths(), scratch.0.paths());
    let bad: Paths = [("memory".to_owned(), PathBuf::from("/sys/fs/cgroup/memory/a/../b"))].into();
    assert_eq!(Cgroup::open(&bad).unwrap_err().to_string(), "invalid cgroup path /sys/fs/cgroup/memory/a/../b");
}

#[test]
fn missing_parents_are_made_and_a_new_cpuset_can_be_joined() {
    let layout = Layout::detect().unwrap();
    let deep = path("deep").join("a/b");
    let mut cgroup = Cgroup::create(&layout, &Location::new(Some(&deep), ""), &Resources::default(), false).unwrap();
    let top = Cgroup::open(&layout_paths(&layout, &path("deep"))).unwrap();
    let process = Process::spawn("sleep", &["1000"]);
    let joined = cgroup.join(Some(process.pid()));
    let listed = top.processes(true);
    let flat = top.processes(false);
    cgroup.kill(Signal::KILL).unwrap();
    drop(process);
    top.remove().unwrap();
    joined.unwrap();
    assert_eq!((listed.unwrap().len(), flat.unwrap().len()), (1, 0));
    assert!(!cgroup.exists());
}

fn layout_paths(layout: &Layout, path: &Path) -> Paths {
    let places = layout.place(&Location::new(Some(path), "")).unwrap();
    let named = layout.hierarchies.iter().zip(places).flat_map(|(hierarchy, place)| {
        hierarchy.controllers.iter().map(move |controller| (controller.name().to_owned(), place.clone()))
    });
    named.collect()
}

#[test]
fn a_cgroup_in_use_is_refused() {
    let layout = Layout::detect().unwrap();
    let mut scratch = Scratch::new("inuse");
    let _process = scratch.sleep();
    let error = Cgroup::create(&layout, &location("inuse"), &Resources::default(), false).unwrap_err();
    assert_eq!(error.kind(), Kind::State);
    assert!(error.to_string().contains("container's cgroup is not empty: 1 process(es) found"), "{error}");
}

#[test]
fn the_root_of_a_hierarchy_is_no_container() {
    let layout = Layout::detect().unwrap();
    let root = Location::new(Some(Path::new("/..")), "");
    let error = Cgroup::create(&layout, &root, &Resources::default(), false).unwrap_err();
    assert_eq!(error.to_string(), "the root of a cgroup hierarchy cannot be the cgroup of a container");
}

#[test]
fn limits_arrive_and_are_raised_and_lowered_in_either_order() {
    let mut scratch = Scratch::new("limits");
    if content(&scratch.0, Controller::Memory, "memory.limit_in_bytes").is_none() {
        return skip("no memory controller of v1");
    }
    let both = |scratch: &Scratch| {
        let of = |name| content(&scratch.0, Controller::Memory, name).unwrap();
        (of("memory.limit_in_bytes"), of("memory.memsw.limit_in_bytes"))
    };
    let set = |scratch: &mut Scratch, limit: i64, swap: Option<i64>| {
        let memory = Memory { limit: Some(limit), swap, ..Memory::default() };
        scratch.0.apply(&Resources { memory, pids: Some(20), ..Resources::default() })
    };
    let mib = |n: i64| n << 20;
    for (limit, swap) in [(64, 128), (16, 32), (256, 512), (8, 8)] {
        set(&mut scratch, mib(limit), Some(mib(swap))).unwrap();
        assert_eq!(both(&scratch), (mib(limit).to_string(), mib(swap).to_string()));
    }
    assert_eq!(content(&scratch.0, Controller::Pids, "pids.max").unwrap(), "20");
    let error = set(&mut scratch, mib(16), None).unwrap_err().to_string();
    assert!(error.ends_with("memory.limit_in_bytes (the limit of memory and swap together is 8388608, and cannot be lower: raise it too (--memory-swap)): Invalid argument"), "{error}");
    set(&mut scratch, -1, None).unwrap();
    let unlimited = i64::MAX / 4096 * 4096;
    assert_eq!(both(&scratch), (unlimited.to_string(), unlimited.to_string()));
}

#[test]
fn cpu_limits_are_set_whatever_was_there_before() {
    let mut scratch = Scratch::new("cpu");
    if content(&scratch.0, Controller::Cpu, "cpu.shares").is_none() {
        return skip("no cpu controller of v1");
    }
    for (quota, period, burst) in [(50_000, 100_000, 10_000), (5000, 10_000, 5000), (90_000, 100_000, 90_000)] {
        let cpu =
            Cpu { shares: Some(512), quota: Some(quota), period: Some(period), burst: Some(burst), ..Cpu::default() };
        scratch.0.apply(&Resources { cpu, ..Resources::default() }).unwrap();
        let of = |name| content(&scratch.0, Controller::Cpu, name).unwrap();
        assert_eq!(of("cpu.cfs_quota_us"), quota.to_string());
        assert_eq!(of("cpu.cfs_period_us"), period.to_string());
        assert_eq!(of("cpu.cfs_burst_us"), burst.to_string());
        assert_eq!(of("cpu.shares"), "512");
    }
}

#[test]
fn a_refused_limit_says_why() {
    let mut scratch = Scratch::new("refused");
    let mut refused = |resources: Resources| scratch.0.apply(&resources).unwrap_err().to_string();
    let error = refused(Resources { cpus: Some("0-8000".into()), ..Resources::default() });
    assert!(error.contains("cpuset.cpus"), "{error}");
    let rdma = [("no-such-device".to_owned(), Rdma { handles: Some(1), objects: None })].into();
    let error = refused(Resources { rdma, ..Resources::default() });
    assert!(error.contains("rdma"), "{error}");
}

#[test]
fn a_memory_limit_below_what_is_in_use_is_refused_with_the_numbers() {
    let mut scratch = Scratch::new("usage");
    if content(&scratch.0, Controller::Memory, "memory.limit_in_bytes").is_none() {
        return skip("no memory controller of v1");
    }
    let command = "read x; x=$(head -c 20000000 /dev/zero | tr '\\0' x); echo ready; sleep 1000";
    let mut shell = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map(Process)
        .unwrap();
    scratch.0.join(Some(shell.pid())).unwrap();
    use std::io::{Read, Write};
    shell.0.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    shell.0.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let memory = Memory { limit: Some(1 << 20), ..Memory::default() };
    let swap = Memory { swap: Some(1 << 20), ..memory.clone() };
    for memory in [memory, swap] {
        // With swap to go to, memory can be taken from the shell: then there is nothing to refuse.
        if let Err(error) = scratch.0.apply(&Resources { memory, ..Resources::default() }) {
            let error = error.to_string();
            assert!(error.contains("unable to set memory limit (current usage: "), "{error}");
            assert!(error.ends_with("Device or resource busy"), "{error}");
        }
    }
    assert!(shell.0.try_wait().unwrap().is_none(), "the shell was killed");
}

#[test]
fn frozen_processes_stop_and_go_on() {
    let mut scratch = Scratch::new("freeze");
    let _process = scratch.sleep();
    assert_eq!(scratch.0.freezer_state().unwrap(), FreezerState::Thawed);
    scratch.0.freeze().unwrap();
    assert_eq!(scratch.0.freezer_state().unwrap(), FreezerState::Frozen);
    // TERM is pending now, and the cgroup stays frozen.
    scratch.0.kill(Signal::TERM).unwrap();
    assert_eq!(scratch.0.freezer_state().unwrap(), FreezerState::Frozen);
    scratch.0.thaw().unwrap();
    assert_eq!(scratch.0.freezer_state().unwrap(), FreezerState::Thawed);
    let mut process = _process;
    assert_eq!(process.dies_of(), Some(15));
}

#[test]
fn freezing_succeeds_while_processes_keep_appearing() {
    let mut scratch = Scratch::new("forks");
    let _shell = scratch.spawn("sh", &["-c", "while :; do /bin/true; done"]);
    for _ in 0..5 {
        scratch.0.freeze().unwrap();
        assert_eq!(scratch.0.freezer_state().unwrap(), FreezerState::Frozen);
        scratch.0.thaw().unwrap();
    }
}

#[test]
fn killing_reaches_frozen_processes_in_frozen_child_cgroups() {
    let scratch = Scratch::new("nested");
    let mut process = Process::spawn("sleep", &["1000"]);
    let mut child = Scratch(scratch.0.sub(&SubCgroup::parse(&["child"]).unwrap()).unwrap());
    for dir in &child.0.dirs {
        std::fs::create_dir(&dir.path).unwrap();
        for list in ["cpuset.cpus", "cpuset.mems"].iter().filter(|_| dir.controllers.contains(&Controller::Cpuset)) {
            std::fs::copy(dir.path.parent().unwrap().join(list), dir.path.join(list)).unwrap();
        }
    }
    child.0.join(Some(process.pid())).unwrap();
    child.0.freeze().unwrap();
    scratch.0.freeze().unwrap();
    scratch.0.kill(Signal::KILL).unwrap();
    assert_eq!(process.dies_of(), Some(9));
}

#[test]
fn removing_waits_for_the_dying_and_names_the_living() {
    let mut scratch = Scratch::new("busy");
    let mut process = scratch.sleep();
    let started = Instant::now();
    let error = scratch.0.remove().unwrap_err().to_string();
    assert!(started.elapsed() >= Duration::from_millis(900), "gave up after {:?}", started.elapsed());
    assert!(error.contains(&format!("(it still holds: {} sleep)", process.0.id())), "{error}");
    assert!(error.ends_with("Device or resource busy"), "{error}");

    let killer = std::thread::spawn({
        let pid = process.pid();
        move || {
            std::thread::sleep(Duration::from_millis(100));
            rustix::process::kill_process(pid, Signal::KILL).unwrap();
        }
    });
    let started = Instant::now();
    let removed = scratch.0.remove();
    killer.join().unwrap();
    process.0.wait().unwrap();
    removed.unwrap();
    assert!(started.elapsed() < Duration::from_millis(500), "took {:?}", started.elapsed());
}

#[test]
fn a_process_can_be_put_into_a_child_cgroup() {
    let scratch = Scratch::new("exec");
    let sub = scratch.0.sub(&SubCgroup::parse(&["none"]).unwrap()).unwrap().join(None);
    let error = sub.unwrap_err().to_string();
    assert!(error.contains("cgroup") && error.ends_with("No such file or directory"), "{error}");
}

#[test]
fn running_out_of_memory_is_noticed_and_so_is_the_end() {
    let limit = Memory { limit: Some(8 << 20), swap: Some(8 << 20), ..Memory::default() };
    let resources = Resources { memory: limit, ..Resources::default() };
    let mut scratch = Scratch::with("oom", &resources);
    if content(&scratch.0, Controller::Memory, "memory.stat").is_none() {
        return skip("no memory controller");
    }
    scratch.0.apply(&resources).unwrap();
    let mut hog = scratch.spawn("sh", &["-c", "sleep .2; head -c 100000000 /dev/zero | tail"]);
    let mut watch = scratch.0.watch_oom().unwrap();
    let mut wait_for = |wanted: fn(&OomEvents) -> bool| {
        loop {
            let timeout = Timespec { tv_sec: 10, tv_nsec: 0 };
            let ready = rustix::event::poll(&mut [PollFd::new(&watch, PollFlags::IN)], Some(&timeout)).unwrap();
            assert_eq!(ready, 1, "nothing was reported in ten seconds");
            let events = watch.read().unwrap();
            if wanted(&events) {
                return events;
            }
            assert!(!events.gone, "the cgroup was gone before anything else was reported");
        }
    };
    let gone_already = wait_for(|events| events.oom).gone;
    hog.0.wait().unwrap();
    assert!(scratch.0.oom_kills() > 0);
    scratch.0.kill(Signal::KILL).unwrap();
    scratch.0.remove().unwrap();
    if !gone_already {
        wait_for(|events| events.gone);
    }
}

#[test]
fn statistics_count_what_was_done() {
    let mut scratch = Scratch::new("stats");
    let mut shell =
        scratch.spawn("sh", &["-c", "sleep .1; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 1000"]);
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut stats = scratch.0.stats().unwrap();
    while stats.cpu.usage.total < 10_000_000 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
        stats = scratch.0.stats().unwrap();
    }
    assert!(stats.cpu.usage.total >= 10_000_000, "{:?}", stats.cpu);
    assert!(stats.pids.current >= 1);
    if scratch.0.path(Controller::Memory).is_some_and(|dir| dir.join("memory.stat").exists()) {
        assert!(stats.memory.usage.usage > 0 && stats.memory.usage.limit > stats.memory.usage.usage);
        assert!(!stats.memory.raw.is_empty());
    }
    shell.0.kill().unwrap();
}

/// The layout of a machine where this user may not make cgroups: mkdir in sysfs is not permitted to anybody.
fn forbidden_layout(mode: Mode) -> Layout {
    let controllers = if mode == Mode::Unified { Controller::Unified } else { Controller::Pids };
    Layout::of(mode, vec![(vec![controllers], PathBuf::from("/sys/kernel"))])
}

#[test]
fn an_unprivileged_user_does_without_a_cgroup_until_a_limit_is_set() {
    for mode in [Mode::Legacy, Mode::Unified] {
        let layout = forbidden_layout(mode);
        let nowhere = Location::new(None, "nskit-test-denied");
        let none = Resources::default();
        let mut cgroup = Cgroup::create(&layout, &nowhere, &none, true).unwrap();
        assert!(cgroup.paths().is_empty() && !cgroup.exists());
        cgroup.join(None).unwrap();
        cgroup.apply(&Resources { devices: Some(Vec::new()), ..Resources::default() }).unwrap();
        let error = cgroup.apply(&Resources { pids: Some(5), ..Resources::default() }).unwrap_err().to_string();
        assert!(
            error.starts_with("cannot set pids limit: container could not join or create cgroup (mkdir /sys/"),
            "{error}"
        );
        // Who asks for a place, or is privileged, is told at once.
        let explicit = Cgroup::create(&layout, &location("denied"), &none, true).unwrap_err();
        assert!(
            explicit.to_string().starts_with("unable to apply cgroup configuration: mkdir /sys/kernel/nskit-test"),
            "{explicit}"
        );
        assert!(is_denial(&explicit), "{explicit}");
        assert!(is_denial(&Cgroup::create(&layout, &nowhere, &none, false).unwrap_err()));
    }
}

#[test]
fn a_failed_creation_leaves_nothing_behind() {
    let real = Layout::detect().unwrap();
    if real.is_unified() {
        return skip("it takes several hierarchies");
    }
    let mut hierarchies: Vec<_> =
        real.hierarchies.iter().map(|hierarchy| (hierarchy.controllers.clone(), hierarchy.mount.clone())).collect();
    hierarchies.push((vec![Controller::Rdma], PathBuf::from("/sys/kernel")));
    let layout = Layout::of(Mode::Legacy, hierarchies);
    let place = Location::new(Some(&path("rollback").join("a")), "");
    Cgroup::create(&layout, &place, &Resources::default(), false).unwrap_err();
    for hierarchy in &real.hierarchies {
        assert!(!hierarchy.mount.join(path("rollback").strip_prefix("/").unwrap()).exists());
    }
}
