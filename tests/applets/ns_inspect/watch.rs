//! `ns-inspect watch`: its screen, driven in tmux, and its log.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::Value;

use super::ns_inspect;
use super::views::started;
use crate::harness::{
    Container, Hierarchy, Running, TempDir, clean_up, eventually, hierarchy, nskit, program, skip, unique_name,
};

/// A terminal of tmux's, which goes away with the value.
struct Tmux {
    socket: String,
}

impl Tmux {
    /// A terminal in which `shell` runs, a script for sh.
    fn new(columns: u16, rows: u16, shell: &str) -> Tmux {
        let tmux = Tmux { socket: unique_name() };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let start = ["-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", &rows, shell];
        tmux.tmux(&start);
        tmux
    }

    #[track_caller]
    fn tmux(&self, words: &[&str]) -> String {
        let line = program("tmux").args(["-L", &self.socket, "-u"]).args(words);
        line.env("LC_ALL", "C.UTF-8").env("TERM", "screen-256color").run().ok().stdout()
    }

    #[track_caller]
    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    #[track_caller]
    fn resize(&self, columns: u16, rows: u16) {
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]);
    }

    /// What is on the screen, a line a row.
    #[track_caller]
    fn screen(&self) -> Vec<String> {
        self.tmux(&["capture-pane", "-p"]).lines().map(str::to_owned).collect()
    }

    /// Waits until the screen is as it has to be, and returns it.
    #[track_caller]
    fn shows(&self, what: &str, is_so: impl Fn(&[String]) -> bool) -> Vec<String> {
        let mut screen = Vec::new();
        let give_up = std::time::Instant::now() + crate::harness::patience(15.0);
        while std::time::Instant::now() < give_up {
            screen = self.screen();
            if is_so(&screen) {
                return screen;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("waited in vain for {what}:\n{}", screen.join("\n"));
    }

    #[track_caller]
    fn mentions(&self, text: &str) -> Vec<String> {
        self.shows(text, |screen| screen.iter().any(|line| line.contains(text)))
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = program("tmux").args(["-L", &self.socket, "kill-server"]).run();
    }
}

macro_rules! needs_tmux {
    () => {
        if !Path::new("/usr/bin/tmux").exists() {
            skip!("tmux is not installed");
        }
    };
}

/// Processes in cgroups as Docker names them: containers of which nothing is on disk.
struct Scene {
    name: String,
    /// The beginning of all ids.
    prefix: String,
    processes: Vec<Running>,
}

impl Scene {
    fn new(count: usize) -> Scene {
        let name = unique_name();
        let prefix = format!("{:06x}", std::process::id());
        let root = match hierarchy() {
            Hierarchy::V1 => Path::new("/sys/fs/cgroup/pids").join(&name),
            Hierarchy::V2 => Path::new("/sys/fs/cgroup").join(&name),
        };
        let start = |number| {
            let folder = root.join("docker").join(format!("{prefix}{number:06}{:052}", 0));
            fs::create_dir_all(&folder).expect("make a cgroup");
            let script = "echo $$ >$0/cgroup.procs && exec $1 unshare --uts --ipc sleep 600";
            program("sh").args(["-c", script]).arg(&folder).arg(nskit()).start()
        };
        let processes: Vec<Running> = (0..count).map(start).collect();
        let comm = |process: &Running| fs::read_to_string(format!("/proc/{}/comm", process.pid()));
        eventually("all run", || processes.iter().all(|process| comm(process).is_ok_and(|name| name == "sleep\n")));
        Scene { name, prefix, processes }
    }

    /// What the container of this number is called.
    fn title(&self, number: usize) -> String {
        format!("{}{number:06}", self.prefix)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.processes.clear();
        clean_up(&self.name);
    }
}

/// The line of the shell that watches, of containers of the scene alone.
fn watching(scene: &Scene, options: &str) -> String {
    format!("{} ns-inspect watch {options} --filter \"CONTAINER =~ '^{}'\"", nskit().display(), scene.prefix)
}

#[test]
fn a_hundred_containers_are_scrolled_sorted_filtered_opened_and_resized_in_24_rows() {
    needs_tmux!();
    let mut scene = Scene::new(100);
    let tmux = Tmux::new(80, 24, &watching(&scene, "--every 500ms"));
    let has = |screen: &[String], number: usize| screen.iter().any(|line| line.starts_with(&scene.title(number)));
    // All that is not seen is told.
    let screen = tmux.mentions(" of 100 containers");
    assert!(has(&screen, 0) && !has(&screen, 99), "{screen:#?}");
    assert!(screen.iter().any(|line| line.contains("1-2")), "{screen:#?}");
    tmux.keys(&["End"]);
    let screen = tmux.shows("the last row", |screen| has(screen, 99));
    assert!(!has(&screen, 0) && screen.iter().any(|line| line.contains("-100 of 100 containers")), "{screen:#?}");
    tmux.keys(&["Home", "NPage"]);
    tmux.shows("the second page", |screen| has(screen, 20) && !has(screen, 0));

    tmux.keys(&["Home", "s"]);
    tmux.mentions("sort: CONTAINER");
    tmux.keys(&["r"]);
    tmux.shows("the order reversed", |screen| screen.get(2).is_some_and(|line| line.starts_with(&scene.title(99))));

    tmux.keys(&["/", "C-u"]);
    tmux.keys(&["-l", "PID >"]);
    tmux.keys(&["Enter"]);
    tmux.mentions("failed to parse \"PID >\"");
    tmux.keys(&["/", "C-u"]);
    tmux.keys(&["-l", "NOPE == 'n\u{fc}x"]);
    tmux.keys(&["BSpace", "'"]);
    tmux.mentions("filter: NOPE == 'n\u{fc}'");
    tmux.keys(&["Enter"]);
    tmux.mentions("unknown column: NOPE");
    tmux.keys(&["/"]);
    tmux.mentions(&format!("filter: CONTAINER =~ '^{}'", scene.prefix));
    tmux.keys(&["Escape"]);
    tmux.mentions("? keys");
    tmux.keys(&["/", "C-u"]);
    tmux.keys(&["-l", &format!("{}X", scene.title(42))]);
    tmux.keys(&["BSpace", "Enter"]);
    let screen =
        tmux.shows("one row", |screen| has(screen, 42) && screen.iter().any(|line| line.starts_with("1 container, ")));
    assert!(!has(&screen, 99) && screen.iter().any(|line| line.contains("hidden by the filter")), "{screen:#?}");

    tmux.keys(&["Enter"]);
    tmux.mentions("enter with: nsenter --target");
    for (key, text) in [("2", "COMMAND"), ("3", "proc"), ("4", "lo "), ("5", "the caller is in it"), ("Tab", "no")] {
        tmux.keys(&[key]);
        tmux.mentions(text);
    }
    tmux.keys(&["2"]);
    tmux.mentions("sleep 600");
    drop(scene.processes.remove(42));
    tmux.mentions("it has ended");
    tmux.keys(&["Escape"]);
    tmux.mentions(&format!("container {} ended (docker", scene.title(42)));
    tmux.keys(&["c", "?"]);
    tmux.mentions("open the container");
    tmux.keys(&["Escape"]);
    for (columns, rows) in [(60, 24), (250, 50), (20, 6), (10, 3), (80, 24)] {
        tmux.resize(columns, rows);
        let screen = tmux.shows("something that fits", |screen| {
            screen.last().is_some_and(|line| line.starts_with("? keys") || line.starts_with("too small"))
                || screen.first().is_some_and(|line| line.starts_with("too small"))
        });
        assert!(screen.iter().all(|line| line.chars().count() <= usize::from(columns)), "{screen:#?}");
    }
    tmux.mentions("ns-inspect watch");
}

/// The processes of the screen: the one that was started, and the one that draws.
#[track_caller]
fn processes_of_screen(dir: &TempDir) -> (i32, i32) {
    let file = dir.join("pid");
    let read = || fs::read_to_string(&file).ok().and_then(|text| text.trim().parse::<i32>().ok());
    eventually("it started", || read().is_some());
    let first = read().expect("a pid");
    let children = || fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap_or_default();
    eventually("it draws", || children().trim().parse::<i32>().is_ok());
    (first, children().trim().parse().expect("a pid"))
}

/// A shell script that notes the terminal's modes, watches, and notes them again with the status.
fn around(dir: &TempDir, line: &str) -> String {
    let dir = dir.path().display();
    format!(
        "echo before-the-screen; stty -a >{dir}/before; sh -c 'echo $$ >{dir}/pid; exec {line}' 2>{dir}/errors; \
         status=$?; echo status $status; \
         [ $status = 137 ] && sleep 1; stty -a >{dir}/after; exec sleep 60"
    )
}

/// Asserts that the screen ended with this status, and the terminal is as it was.
#[track_caller]
fn assert_given_back(tmux: &Tmux, dir: &TempDir, status: i32, why: &str) {
    let screen = tmux.mentions(&format!("status {status}"));
    assert_eq!(screen[0], "before-the-screen", "{why}: {screen:#?}");
    assert!(!screen.iter().any(|line| line.contains("ns-inspect watch")), "{why}: {screen:#?}");
    assert_as_it_was(tmux, dir, why);
}

/// Asserts that the terminal is as it was, but for what was written since.
#[track_caller]
fn assert_as_it_was(tmux: &Tmux, dir: &TempDir, why: &str) {
    eventually("the modes are noted", || fs::read(dir.join("after")).is_ok_and(|text| text.ends_with(b"\n")));
    let modes = |name: &str| fs::read_to_string(dir.join(name)).expect("read the modes");
    assert_eq!(modes("before"), modes("after"), "{why}");
    assert_eq!(tmux.tmux(&["display-message", "-p", "#{cursor_flag} #{alternate_on}"]), "1 0", "{why}");
}

#[test]
fn whatever_ends_the_screen_the_terminal_is_as_it_was() {
    needs_tmux!();
    let line = format!("{} ns-inspect watch --every 1h", nskit().display());
    // SIGPIPE is ignored, as by every program of Rust's.
    let harmless: Vec<Signal> = "CHLD CONT URG WINCH TTIN TTOU PIPE"
        .split(' ')
        .map(|name| format!("SIG{name}").parse().expect("a signal"))
        .collect();
    let stops = [Signal::SIGSTOP, Signal::SIGTSTP];
    let deadly: Vec<Signal> =
        Signal::iterator().filter(|signal| !harmless.contains(signal) && !stops.contains(signal)).collect();
    // Those that are told apart, for the process that draws: faults come to it.
    let for_the_child = [Signal::SIGKILL, Signal::SIGSEGV, Signal::SIGABRT, Signal::SIGTERM];
    let both = deadly.iter().map(|signal| (*signal, true)).chain(for_the_child.map(|signal| (signal, false)));
    for (signal, is_first) in both {
        let dir = TempDir::new();
        let tmux = Tmux::new(80, 24, &around(&dir, &line));
        let (first, drawing) = processes_of_screen(&dir);
        tmux.mentions("ns-inspect watch");
        let target = if is_first { first } else { drawing };
        nix::sys::signal::kill(Pid::from_raw(target), signal).expect("signal it");
        let whom = if is_first { "who was started" } else { "who draws" };
        let why = format!("{signal} to {whom}");
        if signal == Signal::SIGKILL && is_first {
            // The shell goes on at the same time as the process that puts the terminal in order.
            eventually("nothing is left", || !Path::new(&format!("/proc/{drawing}")).exists());
            assert_as_it_was(&tmux, &dir, &why);
            continue;
        }
        assert_given_back(&tmux, &dir, 128 + signal as i32, &why);
        eventually("nothing is left", || !Path::new(&format!("/proc/{drawing}")).exists());
    }
}

#[test]
fn keys_end_the_screen_and_harmless_signals_do_not() {
    needs_tmux!();
    for key in ["q", "C-c", "C-d"] {
        let dir = TempDir::new();
        let tmux = Tmux::new(80, 24, &around(&dir, &format!("{} ns-inspect watch --every 1h", nskit().display())));
        let (first, drawing) = processes_of_screen(&dir);
        tmux.mentions("ns-inspect watch");
        for signal in [Signal::SIGCHLD, Signal::SIGCONT, Signal::SIGURG, Signal::SIGWINCH] {
            for pid in [first, drawing] {
                nix::sys::signal::kill(Pid::from_raw(pid), signal).expect("signal it");
            }
        }
        tmux.keys(&["?"]);
        tmux.mentions("one row up or down");
        tmux.keys(&["Escape"]);
        tmux.mentions("? keys");
        tmux.keys(&[key]);
        assert_given_back(&tmux, &dir, 0, key);
    }
}

#[test]
fn the_screen_is_suspended_and_comes_back() {
    needs_tmux!();
    let tmux = Tmux::new(80, 24, "bash --norc --noprofile -i");
    tmux.keys(&["-l", &format!("PS1='prompt:'; clear; {} ns-inspect watch --every 1h", nskit().display())]);
    tmux.keys(&["Enter"]);
    tmux.mentions("? keys");
    for _ in 0..2 {
        tmux.keys(&["C-z"]);
        let screen = tmux.mentions("Stopped");
        assert!(!screen.iter().any(|line| line.starts_with("? keys")), "{screen:#?}");
        // The shell has its terminal: what is typed is seen, and done.
        tmux.keys(&["-l", "echo a-$((40 + 2))"]);
        tmux.keys(&["Enter"]);
        tmux.mentions("a-42");
        tmux.keys(&["-l", "clear; fg"]);
        tmux.keys(&["Enter"]);
        tmux.shows("the screen again", |screen| screen.last().is_some_and(|line| line.starts_with("? keys")));
    }
    tmux.keys(&["q"]);
    tmux.shows("the prompt", |screen| screen.last().is_some_and(|line| line.starts_with("prompt:")));
}

/// The events of a log of JSON that are about this container.
fn events(text: &str, id: &str) -> Vec<String> {
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let about = lines.filter(|event| event["container"]["id"] == id);
    about.map(|event| event["event"].as_str().expect("a word").to_owned()).collect()
}

#[test]
fn json_has_a_line_for_each_event_of_a_container() {
    let early = Container::running();
    let watch = ns_inspect(&["watch", "--json", "--every", "100ms"]).start();
    eventually("what was there is found", || events(&watch.stdout(), &early.id) == ["found"]);
    let container = Container::running();
    let told = |wanted: &[&str]| {
        eventually(&format!("{wanted:?} is told"), || events(&watch.stdout(), &container.id) == wanted);
    };
    told(&["started"]);
    if container.verb(&["pause"]).code() == 0 {
        told(&["started", "paused"]);
        container.verb(&["resume"]).ok();
        told(&["started", "paused", "resumed"]);
    }
    let id = container.id.clone();
    drop(container);
    eventually("its end is told", || events(&watch.stdout(), &id).last().is_some_and(|last| last == "ended"));
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ns-inspect.schema.json");
    let schema: Value = serde_json::from_str(&fs::read_to_string(schema).expect("the schema")).expect("JSON");
    for line in watch.stdout().lines() {
        let event: Value = serde_json::from_str(line).expect("JSON");
        super::json::check(&event, &schema["$defs"]["event"], &schema, "event");
    }
}

#[test]
fn a_log_tells_what_happens_to_containers() {
    let watch = ns_inspect(&["watch", "--every", "100ms"]).start();
    // It tells nothing of what was there at its first look, whenever that is.
    let told =
        |id: &str, word: &str| watch.stdout().lines().any(|line| line.contains(&format!("Z container {id} {word} (")));
    let mut others = Vec::new();
    eventually("it has looked once", || {
        others.push(Container::running());
        std::thread::sleep(Duration::from_millis(300));
        others.iter().any(|other| told(&other.id, "started"))
    });
    let container = Container::running();
    eventually("it came", || told(&container.id, "started"));
    let id = container.id.clone();
    drop(container);
    eventually("it went", || told(&id, "ended"));
    assert!(!watch.stdout().contains("namespace"), "only of containers, unless asked: {}", watch.stdout());
}

#[test]
fn namespaces_of_no_container_are_told_of_where_that_is_wanted() {
    let watch = ns_inspect(&["watch", "--all", "--every", "100ms"]).start();
    let mut others = Vec::new();
    eventually("it has looked once", || {
        others.push(started(&["--uts"], "true"));
        std::thread::sleep(Duration::from_millis(300));
        watch.stdout().contains(" appeared")
    });
    let (running, said) = started(&["--uts"], "readlink /proc/self/ns/uts");
    let name = said.lines().next().expect("a line").to_owned();
    let told = |word: &str| {
        watch
            .stdout()
            .lines()
            .any(|line| line.contains(&format!("namespace {name} of process")) && line.ends_with(word))
    };
    eventually("it came", || told("appeared"));
    drop(running);
    eventually("it went", || told("disappeared"));
}

#[test]
fn only_containers_for_which_the_filter_holds_are_told_of() {
    let name = Container::new();
    // By an expression that does not have its name, by which what containers leave behind is looked for.
    let filter = format!("CONTAINER =~ '^{}$'", name.id.replacen('n', "[n]", 1));
    let watch = ns_inspect(&["watch", "--every", "100ms", "--filter", &filter]).start();
    // Long enough for its first look, and for a second one at what the filter does not let through.
    std::thread::sleep(Duration::from_millis(500));
    let other = Container::running();
    let container = name.args(&["sleep", "60"]).started();
    eventually("it came", || watch.stdout().contains(&format!("container {} started", container.id)));
    drop(other);
    drop(container);
    eventually("it went", || watch.stdout().contains(" ended ("));
    assert_eq!(watch.stdout().lines().count(), 2, "{}", watch.stdout());
}

#[test]
fn a_busy_loop_is_refused() {
    for every in ["0", "0s", "1ms", "soon"] {
        ns_inspect(&["watch", "--every", every]).run().exits(2).complains("invalid value").complains("--every");
    }
    ns_inspect(&["watch", "--every", "0s"]).run().exits(2).complains("100ms is the least");
    ns_inspect(&["watch", "--every", "100ms", "--count", "3"]).run().ok();
}
