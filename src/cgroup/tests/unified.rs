//! What v2 has of its own.

use super::*;

/// A cgroup of v2, or `None` where this machine has none or not the controllers.
fn unified_scratch(name: &str, controllers: &[&str]) -> Option<Scratch> {
    let layout = Layout::detect().unwrap();
    let available = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    let has = |name: &&str| available.split_ascii_whitespace().any(|word| word == *name);
    if !layout.is_unified() || !controllers.iter().all(has) {
        skip(&format!("no v2 with {controllers:?}"));
        return None;
    }
    Some(Scratch::new(name))
}

#[test]
fn every_controller_of_v2_is_passed_down_to_the_cgroup() {
    let Some(_top) = unified_scratch("down", &[]) else { return };
    let layout = Layout::detect().unwrap();
    let place = Location::new(Some(&path("down").join("a/b")), "");
    let cgroup = Cgroup::create(&layout, &place, &Resources::default(), false).unwrap();
    let all = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap();
    assert_eq!(content(&cgroup, Controller::Unified, "cgroup.controllers").unwrap(), all.trim());
}

#[test]
fn limits_of_v2_arrive() {
    let Some(mut scratch) = unified_scratch("limits2", &["memory", "cpu", "pids", "io"]) else { return };
    let resources = Resources {
        memory: Memory { limit: Some(64 << 20), swap: Some(96 << 20), reservation: Some(4096), ..Memory::default() },
        cpu: Cpu { shares: Some(512), quota: Some(20_000), burst: Some(5000), ..Cpu::default() },
        pids: Some(7),
        unified: [("memory.high".to_owned(), "33554432".to_owned())].into(),
        ..Resources::default()
    };
    scratch.0.apply(&resources).unwrap();
    let of = |name| content(&scratch.0, Controller::Unified, name).unwrap_or_default();
    assert_eq!([of("memory.max"), of("memory.high"), of("memory.low")], ["67108864", "33554432", "4096"]);
    assert!(["33554432", ""].contains(&of("memory.swap.max").as_str()));
    assert_eq!([of("cpu.weight"), of("cpu.max"), of("cpu.max.burst")], ["59", "20000 100000", "5000"]);
    assert_eq!(of("pids.max"), "7");
    let idle = Resources { cpu: Cpu { idle: Some(1), ..Cpu::default() }, ..Resources::default() };
    scratch.0.apply(&idle).unwrap();
    let weight = Resources { cpu: Cpu { shares: Some(512), ..Cpu::default() }, ..Resources::default() };
    let error = scratch.0.apply(&weight).unwrap_err().to_string();
    assert!(error.contains("cpu.weight (the cgroup is idle"), "{error}");
    let mut refused = |file: &str| {
        let resources = Resources { unified: [(file.to_owned(), "1".to_owned())].into(), ..Resources::default() };
        scratch.0.apply(&resources).unwrap_err().to_string()
    };
    let error = refused("nosuch.max");
    assert!(error.contains("nosuch.max (controller \"nosuch\" is not available in this cgroup)"), "{error}");
    let error = refused("memory.nosuch");
    assert!(error.ends_with("memory.nosuch: No such file or directory"), "{error}");
}

#[test]
fn a_limit_of_memory_in_use_is_refused_when_that_is_asked_for() {
    let Some(mut scratch) = unified_scratch("check", &["memory"]) else { return };
    let _process = scratch.spawn("sh", &["-c", "sleep .1; x=$(head -c 1000000 /dev/zero | tr '\\0' x); sleep 1000"]);
    let deadline = Instant::now() + Duration::from_secs(10);
    while content(&scratch.0, Controller::Memory, "memory.current").unwrap().parse::<u64>().unwrap() < 8192
        && Instant::now() < deadline
    {
        std::thread::sleep(Duration::from_millis(10));
    }
    let memory = Memory { limit: Some(4096), check_before_update: true, ..Memory::default() };
    let error = scratch.0.apply(&Resources { memory, ..Resources::default() }).unwrap_err().to_string();
    assert!(error.starts_with("rejecting memory limit 4096 <= usage "), "{error}");
}

#[test]
fn a_cgroup_below_one_with_processes_gets_no_controllers_and_says_so() {
    let Some(mut above) = unified_scratch("above", &["memory"]) else { return };
    let _process = above.sleep();
    let layout = Layout::detect().unwrap();
    let place = Location::new(Some(&path("above").join("below")), "");
    let memory = Memory { limit: Some(1 << 20), ..Memory::default() };
    let resources = Resources { memory, ..Resources::default() };
    let mut below = Cgroup::create(&layout, &place, &resources, false).unwrap();
    let error = below.apply(&resources).unwrap_err().to_string();
    assert!(error.contains("controller \"memory\" is not available in this cgroup: enable "), "{error}");
    assert!(error.contains("it holds processes itself"), "{error}");
    below.remove().unwrap();
    // A limit of tasks is possible all the same, in thread mode.
    let resources = Resources { pids: Some(5), ..Resources::default() };
    let mut below = Cgroup::create(&layout, &place, &resources, false).unwrap();
    below.apply(&resources).unwrap();
    let process = Process::spawn("sleep", &["1000"]);
    below.join(Some(process.pid())).unwrap();
    assert_eq!(content(&below, Controller::Pids, "pids.current").unwrap(), "1");
    assert!(!below.processes(true).unwrap().is_empty());
    below.kill(Signal::KILL).unwrap();
    drop(process);
    below.remove().unwrap();
}

#[test]
fn a_cgroup_with_controllers_for_its_children_takes_no_process() {
    let Some(mut outer) = unified_scratch("internal", &["memory"]) else { return };
    let layout = Layout::detect().unwrap();
    let place = Location::new(Some(&path("internal").join("init")), "");
    let mut inner = Cgroup::create(&layout, &place, &Resources::default(), false).unwrap();
    let init = Process::spawn("sleep", &["1000"]);
    inner.join(Some(init.pid())).unwrap();
    let another = Process::spawn("sleep", &["1000"]);
    let error = outer.0.join(Some(another.pid())).unwrap_err().to_string();
    assert!(error.contains(&format!("adding pid {} to cgroups: ", another.0.id())), "{error}");
    assert!(error.ends_with(": Device or resource busy"), "{error}");
    // Where init is there is room.
    let found = outer.0.of_process(init.pid()).unwrap();
    assert_eq!(found.paths(), inner.paths());
    assert_eq!(outer.0.left_by(init.pid()).unwrap(), None);
    let left = outer.0.left_by(another.pid()).unwrap().unwrap();
    assert_eq!(Some(left.from.as_path()), outer.0.path(Controller::Unified));
    assert!(!left.to.starts_with(&left.from), "{left:?}");
}

#[test]
fn below_a_threaded_cgroup_only_threaded_limits_are_possible() {
    let Some(scratch) = unified_scratch("threaded", &["memory", "pids"]) else { return };
    let layout = Layout::detect().unwrap();
    let dir = scratch.0.path(Controller::Unified).unwrap();
    std::fs::create_dir(dir.join("worker")).unwrap();
    std::fs::write(dir.join("worker/cgroup.type"), "threaded").unwrap();
    let place = Location::new(Some(&path("threaded").join("container")), "");
    let memory = Memory { limit: Some(1 << 20), ..Memory::default() };
    let limited = Resources { memory, ..Resources::default() };
    let error = Cgroup::create(&layout, &place, &limited, false).unwrap_err().to_string();
    assert!(
        error.contains("with domain controllers (memory, io, cpu, hugetlb) -- it is in domain threaded mode"),
        "{error}"
    );
    assert!(!dir.join("container").exists());
    let cgroup = Cgroup::create(&layout, &place, &Resources::default(), false).unwrap();
    assert_eq!(content(&cgroup, Controller::Unified, "cgroup.type").unwrap(), "threaded");
}

#[test]
fn limits_of_huge_pages_arrive() {
    let Some(mut scratch) = unified_scratch("hugetlb", &["hugetlb"]) else { return };
    let huge_pages = vec![HugePages { page_size: "2MB".into(), limit: 4 << 20 }];
    scratch.0.apply(&Resources { huge_pages, ..Resources::default() }).unwrap();
    let of = |name| content(&scratch.0, Controller::Unified, name).unwrap();
    assert_eq!([of("hugetlb.2MB.max"), of("hugetlb.2MB.rsvd.max")], ["4194304", "4194304"]);
    assert!(scratch.0.stats().unwrap().hugetlb.contains_key("2MB"));
}

#[test]
fn a_delegated_cgroup_belongs_to_its_user() {
    use std::os::unix::fs::MetadataExt;
    let Some(scratch) = unified_scratch("delegate", &[]) else { return };
    scratch.0.delegate(rustix::fs::Uid::from_raw(1234)).unwrap();
    let dir = scratch.0.path(Controller::Unified).unwrap();
    let owner = |path: &Path| std::fs::metadata(path).unwrap().uid();
    assert_eq!([owner(dir), owner(&dir.join("cgroup.procs")), owner(&dir.join("cgroup.freeze"))], [1234, 1234, 0]);
}
