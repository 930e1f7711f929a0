//! Terminals: handed to the engine over a socket, or the caller's own.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::{Container, Invocation, Pty, Socket, eventually, program, runtime_words, skip_on};

/// The runtime on a terminal of its own, which controls its session.
fn on_terminal(container: &Container, words: &[&str]) -> Invocation {
    container.write_config();
    program("setsid")
        .args(["--ctty", "--wait"])
        .args(runtime_words())
        .arg("--root")
        .arg(container.state_root())
        .args(words)
}

fn socket(container: &Container) -> Socket {
    Socket::bind(container.dir.join("console.sock"))
}

#[test]
fn the_terminal_of_the_container_is_sent_over_the_socket() {
    let container =
        Container::script("tty; echo ready; read line; echo got $line; exit 4").set("/process/terminal", true);
    let socket = socket(&container);
    let create = container.launch(&["create", "--console-socket", socket.path()]).start();
    let mut terminal = Pty::from(socket.receive());
    create.wait().ok();
    container.start();
    terminal.expect("/dev/pts/0\r\nready\r\n");
    terminal.write("hello\n");
    terminal.expect("got hello\r\n");
    container.wait_stopped();
    terminal.rest();
}

#[test]
fn run_detached_sends_it_too() {
    let container =
        Container::script("[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all three").set("/process/terminal", true);
    let socket = socket(&container);
    let run = container.launch(&["run", "--detach", "--console-socket", socket.path()]).start();
    let mut terminal = Pty::from(socket.receive());
    run.wait().ok();
    terminal.expect("all three");
}

#[test]
fn it_controls_the_session_of_the_container() {
    let container = Container::script("trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.02; done");
    let container = container.set("/process/terminal", true);
    let socket = socket(&container);
    let create = container.launch(&["create", "--console-socket", socket.path()]).start();
    let mut terminal = Pty::from(socket.receive());
    create.wait().ok();
    container.start();
    terminal.expect("ready");
    terminal.write("\x03");
    terminal.expect("interrupted");
}

#[test]
fn it_has_the_size_of_the_configuration() {
    skip_on!(Crun | Runc, "the peers set it after the program may have read it");
    let container = Container::new().args(&["stty", "size"]).set("/process/terminal", true);
    let container = container.set("/process/consoleSize", json!({"height": 33, "width": 77}));
    let socket = socket(&container);
    let create = container.launch(&["create", "--console-socket", socket.path()]).start();
    let mut terminal = Pty::from(socket.receive());
    create.wait().ok();
    container.start();
    terminal.expect("33 77");
}

#[test]
fn it_is_dev_console_too() {
    let container =
        Container::script("echo through > /dev/console; stat -c %F /dev/console").set("/process/terminal", true);
    let socket = socket(&container);
    let create = container.launch(&["create", "--console-socket", socket.path()]).start();
    let mut terminal = Pty::from(socket.receive());
    create.wait().ok();
    container.start();
    terminal.expect("through");
    terminal.expect("character special file");
}

#[test]
fn it_belongs_to_the_user_of_the_process() {
    let container =
        Container::script("stat -c %u $(tty); echo x > $(tty) && echo written").set("/process/terminal", true);
    let container = container.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let socket = socket(&container);
    let create = container.launch(&["create", "--console-socket", socket.path()]).start();
    let mut terminal = Pty::from(socket.receive());
    create.wait().ok();
    container.start();
    terminal.expect("1000\r\n");
    terminal.expect("written");
}

#[test]
fn in_a_user_namespace_it_works_too() {
    let container =
        Container::script("tty; echo x > $(tty) && echo written").set("/process/terminal", true).user_namespace();
    let socket = socket(&container);
    let create = container.launch(&["create", "--console-socket", socket.path()]).start();
    let mut terminal = Pty::from(socket.receive());
    create.wait().ok();
    container.start();
    terminal.expect("written");
}

#[test]
fn exec_has_a_terminal_of_its_own() {
    let container = Container::running();
    let socket = socket(&container);
    let words = [
        "exec",
        "--tty",
        "--detach",
        "--console-socket",
        socket.path(),
        &container.id,
        "sh",
        "-c",
        "tty; read x; echo got $x",
    ];
    let exec = container.runtime(&words).start();
    let mut terminal = Pty::from(socket.receive());
    exec.wait().ok();
    terminal.expect("/dev/pts/0");
    terminal.write("line\n");
    terminal.expect("got line");
}

#[test]
fn exec_reads_the_terminal_from_the_process_file() {
    let container = Container::running();
    let socket = socket(&container);
    let process = json!({
        "terminal": true, "cwd": "/", "user": {"uid": 0, "gid": 0}, "args": ["sh", "-c", "[ -t 1 ] && echo terminal"],
        "env": ["PATH=/bin"]
    });
    let file = container.dir.join("process.json");
    fs::write(&file, process.to_string()).expect("write process.json");
    let exec = container.runtime(&["exec", "--detach", "--console-socket", socket.path(), "--process"]).arg(&file);
    let exec = exec.arg(&container.id).start();
    let mut terminal = Pty::from(socket.receive());
    exec.wait().ok();
    terminal.expect("terminal");
}

#[test]
fn run_in_the_foreground_passes_the_caller_s_terminal_through() {
    let container = Container::script("tty; read line; echo got $line; exit 6").set("/process/terminal", true);
    let (mut terminal, slave) = Pty::new();
    let bundle = container.bundle();
    let run = on_terminal(&container, &["run", "--bundle", bundle.to_str().expect("UTF-8"), &container.id]);
    let run = run.start_on(&slave);
    drop(slave);
    terminal.expect("/dev/pts/0");
    terminal.write("typed\n");
    terminal.expect("got typed");
    run.wait().exits(6);
}

#[test]
fn run_in_the_foreground_restores_the_terminal() {
    let container = Container::new().args(&["true"]).set("/process/terminal", true);
    let (terminal, slave) = Pty::new();
    let before = settings(&slave);
    let bundle = container.bundle();
    let run = on_terminal(&container, &["run", "--bundle", bundle.to_str().expect("UTF-8"), &container.id]);
    run.start_on(&slave).wait().ok();
    assert_eq!(settings(&slave), before);
    drop(terminal);
}

fn settings(terminal: &fs::File) -> String {
    format!("{:?}", rustix::termios::tcgetattr(terminal).expect("tcgetattr"))
}

#[test]
fn the_size_of_the_caller_s_terminal_is_passed_on_and_follows_it() {
    let container =
        Container::script("stty size; trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.02; done");
    let container = container.set("/process/terminal", true);
    let (mut terminal, slave) = Pty::new();
    let size = |rows, columns| rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal.master(), size(40, 100)).expect("set the size");
    let bundle = container.bundle();
    let run = on_terminal(&container, &["run", "--bundle", bundle.to_str().expect("UTF-8"), &container.id]);
    let run = run.start_on(&slave);
    drop(slave);
    terminal.expect("ready");
    terminal.expect("40 100");
    rustix::termios::tcsetwinsize(terminal.master(), size(50, 120)).expect("set the size");
    terminal.expect("50 120");
    run.wait();
}

#[test]
fn attached_exec_passes_the_caller_s_terminal_through() {
    let container = Container::running();
    let (mut terminal, slave) = Pty::new();
    let words = ["exec", "-t", &container.id, "sh", "-c", "tty; read x; echo got $x; exit 8"];
    let exec = on_terminal(&container, &words).start_on(&slave);
    drop(slave);
    terminal.expect("/dev/pts/0");
    terminal.write("word\n");
    terminal.expect("got word");
    exec.wait().exits(8);
}

#[test]
fn a_socket_that_nobody_listens_on_is_an_error_that_names_it() {
    let container = Container::new().set("/process/terminal", true);
    let output = container.create_with(&["--console-socket", "/no/such/socket"]).exits(1);
    output.complains("/no/such/socket").in_one_line();
    container.assert_gone();
}

#[test]
fn the_signals_of_a_hang_up_end_the_container() {
    let container = Container::sleeper().set("/process/terminal", true);
    let socket = socket(&container);
    let create = container.launch(&["create", "--console-socket", socket.path()]).start();
    let terminal = Pty::from(socket.receive());
    create.wait().ok();
    container.start();
    // Before its trap is set, the first process of a pid namespace hears nothing.
    eventually("the container stops", || {
        container.kill(&(Signal::SIGTERM as i32).to_string());
        container.status() == "stopped"
    });
    drop(terminal);
}

#[test]
fn the_pidfd_of_the_container_is_sent_over_a_socket() {
    skip_on!(Crun | Runc, "runc 1.1 and crun 1.8 have no --pidfd-socket");
    let container = Container::sleeper();
    let socket = socket(&container);
    let create = container.launch(&["create", "--pidfd-socket", socket.path()]).start();
    let pidfd = socket.receive();
    create.wait().ok();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&pidfd);
    let shown = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).expect("read what the descriptor is");
    let pid = shown.lines().find_map(|line| line.strip_prefix("Pid:")).expect("a pidfd").trim();
    assert_eq!(pid, container.pid().to_string());
}
