//! From Create to Shutdown, in and out of order.

use nskit::protobuf::{Fields, Message};

use super::needs_our_shim;
use crate::harness::{Container, Task, eventually, number};

const CREATED: u64 = 1;
const RUNNING: u64 = 2;
const STOPPED: u64 = 3;
const PAUSED: u64 = 4;

const NOT_FOUND: u64 = 5;
const WRONG_STATE: u64 = 9;

#[test]
fn a_task_is_created_started_awaited_and_deleted() {
    needs_our_shim!();
    let task = Task::new(Container::script("exit 7"));
    let mut client = task.client();
    let state = |client: &mut crate::harness::Client| number(&client.ask("State", &task.named("")).expect("State"), 4);
    let pid = number(&client.ask("Create", &task.create(None)).expect("Create"), 1);
    assert_eq!(state(&mut client), CREATED);
    assert_eq!(std::fs::read_to_string(task.bundle().join("init.pid")).expect("a pid file"), pid.to_string());
    let mut waiting = [task.client(), task.client()];
    let streams = waiting.each_mut().map(|client| client.send("Wait", &task.named("")));
    assert_eq!(number(&client.ask("Start", &task.named("")).expect("Start"), 1), pid);
    for (client, stream) in waiting.iter_mut().zip(streams) {
        assert_eq!(number(&client.answer(stream).expect("Wait"), 1), 7);
    }
    assert_eq!(state(&mut client), STOPPED);
    let (code, why) = client.ask("Kill", &task.kill("", 15)).expect_err("it has ended");
    assert_eq!((code, why.contains("process already finished")), (NOT_FOUND, true), "{why}");
    let deleted = client.ask("Delete", &task.named("")).expect("Delete");
    assert_eq!((number(&deleted, 1), number(&deleted, 2)), (pid, 7));
    assert_eq!(client.ask("State", &task.named("")).expect_err("it is gone").0, NOT_FOUND);
    let expected = ["create", "start", &format!("exit {} 7", task.container.id), "delete 7"];
    eventually("all events have come", || task.events() == expected);
    client.ask("Shutdown", &task.named("")).expect("Shutdown");
    task.assert_gone();
}

#[test]
fn another_process_ends_before_the_first_and_its_status_comes_back() {
    needs_our_shim!();
    let task = Task::new(Container::sleeper());
    let mut client = task.client();
    client.ask("Create", &task.create(None)).expect("Create");
    let (code, _) = client.ask("Exec", &task.exec("early", "true", None)).expect_err("it is not started");
    assert_eq!(code, WRONG_STATE);
    client.ask("Start", &task.named("")).expect("Start");
    client.ask("Exec", &task.exec("one", "exit 5", None)).expect("Exec");
    assert_eq!(client.ask("Exec", &task.exec("one", "true", None)).expect_err("it is there").0, 6);
    client.ask("Start", &task.named("one")).expect("Start");
    assert_eq!(number(&client.ask("Wait", &task.named("one")).expect("Wait"), 1), 5);
    client.ask("Exec", &task.exec("two", "sleep 1000", None)).expect("Exec");
    let pid = number(&client.ask("Start", &task.named("two")).expect("Start"), 1);
    let pids = client.ask("Pids", &task.named("")).expect("Pids");
    let named = Fields::of(&pids).expect("a message").every(1).any(|process| {
        let process = Fields::of(process).expect("a process");
        let details = Fields::of(process.bytes(2)).expect("its details");
        process.number(1) == pid && Fields::of(details.bytes(2)).expect("a message").text(1) == "two"
    });
    assert!(named, "the exec is not among the pids by its name");
    assert_eq!(client.ask("Delete", &task.named("two")).expect_err("it runs").0, WRONG_STATE);
    client.ask("Kill", &task.kill("", 9)).expect("Kill");
    assert_eq!(number(&client.ask("Wait", &task.named("")).expect("Wait"), 1), 137);
    assert_eq!(number(&client.ask("Wait", &task.named("two")).expect("Wait"), 1), 137);
    for exec in ["one", "two"] {
        client.ask("Delete", &task.named(exec)).expect("Delete");
    }
    eventually("both ends are told", || task.events().iter().filter(|event| event.starts_with("exit")).count() == 3);
    let events = task.events();
    let at = |event: &str| events.iter().position(|other| other == event);
    assert!(at("exit two 137") < at(&format!("exit {} 137", task.container.id)), "{events:?}");
    assert!(at("exec-started one") < at("exit one 5"), "{events:?}");
    task.end();
}

#[test]
fn what_cannot_be_executed_fails_with_its_cause_and_leaves_the_rest() {
    needs_our_shim!();
    let task = Task::new(Container::script("true").args(&["/no/such/program"]));
    let mut client = task.client();
    let (_, why) = client.ask("Create", &task.create(None)).expect_err("there is no such program");
    let words = ["OCI runtime create failed: ", "/no/such/program", "no such file or directory"];
    assert!(words.iter().all(|word| why.contains(word)), "{why}");
    assert_eq!(client.ask("Start", &task.named("")).expect_err("it is not there").0, NOT_FOUND);
    client.ask("Shutdown", &task.named("")).expect("Shutdown");
    task.assert_gone();

    let task = Task::new(Container::sleeper());
    let mut client = task.client();
    client.ask("Create", &task.create(None)).expect("Create");
    client.ask("Start", &task.named("")).expect("Start");
    let mut exec = task.named("bad");
    let spec = r#"{"args":["no-such"],"env":["PATH=/bin"],"cwd":"/","user":{"uid":0,"gid":0}}"#;
    exec.message(7, Message::default().text(1, "Process").text(2, spec));
    client.ask("Exec", &exec).expect("Exec");
    let (_, why) = client.ask("Start", &task.named("bad")).expect_err("there is no such program");
    assert!(why.contains("OCI runtime exec failed: ") && why.contains("executable file not found in $PATH"), "{why}");
    client.ask("Delete", &task.named("bad")).expect("Delete");
    assert_eq!(number(&client.ask("State", &task.named("")).expect("State"), 4), RUNNING);
    task.end();
}

#[test]
fn a_created_task_can_be_deleted_and_one_that_runs_cannot() {
    needs_our_shim!();
    let task = Task::new(Container::sleeper());
    let mut client = task.client();
    client.ask("Create", &task.create(None)).expect("Create");
    let deleted = client.ask("Delete", &task.named("")).expect("Delete");
    assert_eq!(number(&deleted, 2), 137);
    client.ask("Create", &task.create(None)).expect("Create, again");
    client.ask("Start", &task.named("")).expect("Start");
    let (code, why) = client.ask("Start", &task.named("")).expect_err("it runs");
    assert_eq!((code, why.as_str()), (WRONG_STATE, "cannot start a running process"));
    let (code, why) = client.ask("Delete", &task.named("")).expect_err("it runs");
    assert_eq!((code, why.as_str()), (WRONG_STATE, "cannot delete a running process"));
    // With a container left there is somebody to serve.
    client.ask("Shutdown", &task.named("")).expect("Shutdown");
    assert_eq!(number(&client.ask("State", &task.named("")).expect("State"), 4), RUNNING);
    task.end();
}

#[test]
fn a_task_is_paused_measured_limited_and_resumed() {
    needs_our_shim!();
    let task = Task::new(Container::sleeper());
    let mut client = task.client();
    client.ask("Create", &task.create(None)).expect("Create");
    client.ask("Start", &task.named("")).expect("Start");
    client.ask("Pause", &task.named("")).expect("Pause");
    assert_eq!(number(&client.ask("State", &task.named("")).expect("State"), 4), PAUSED);
    assert_eq!(client.ask("Pause", &task.named("")).expect_err("it is paused").0, WRONG_STATE);
    client.ask("Resume", &task.named("")).expect("Resume");
    let mut update = task.named("");
    let limits = r#"{"pids":{"limit":55}}"#;
    update.message(2, Message::default().text(1, "LinuxResources").text(2, limits));
    client.ask("Update", &update).expect("Update");
    let stats = client.ask("Stats", &task.named("")).expect("Stats");
    let any = Fields::of(Fields::of(&stats).expect("a message").bytes(1)).expect("an Any");
    let metrics = Fields::of(any.bytes(2)).expect("metrics");
    let pids = match any.text(1).as_str() {
        "io.containerd.cgroups.v1.Metrics" => metrics.bytes(2),
        "io.containerd.cgroups.v2.Metrics" => metrics.bytes(1),
        other => panic!("{other} is no type of metrics"),
    };
    assert_eq!(number(pids, 2), 55);
    assert!(number(pids, 1) > 0, "nobody is counted");
    task.end();
}

#[test]
fn containers_of_a_pod_share_a_shim_and_bootstrap_answers_in_kind() {
    needs_our_shim!();
    let sandbox = Task::new(Container::sleeper());
    let group = &sandbox.container.id;
    let annotated =
        Container::sleeper().set("/annotations", serde_json::json!({"io.kubernetes.cri.sandbox-id": group}));
    let beside = Task::without_shim(annotated);
    let shim =
        |action: &str, input: &Message| nskit_shim(&beside, &sandbox, action).input(input.bytes()).run().ok().stdout();
    let address = format!("unix://{}", sandbox.socket.display());
    assert_eq!(shim("start", &Message::default()), address);
    let mut params = Message::default();
    params.text(1, &beside.container.id).text(2, sandbox.namespace()).number(3, 0);
    assert_eq!(shim("start", &params), format!("\u{8}\u{3}\u{12}Y{address}\u{1a}\u{5}ttrpc").trim());
    let mut client = sandbox.client();
    client.ask("Create", &sandbox.create(None)).expect("Create");
    client.ask("Create", &beside.create(None)).expect("Create");
    client.ask("Start", &beside.named("")).expect("Start");
    client.ask("Kill", &beside.kill("", 9)).expect("Kill");
    client.ask("Wait", &beside.named("")).expect("Wait");
    client.ask("Delete", &beside.named("")).expect("Delete");
    assert_eq!(number(&client.ask("State", &sandbox.named("")).expect("State"), 4), CREATED);
    sandbox.end();
}

/// The shim's program for one container with the address of another's containerd.
fn nskit_shim(of: &Task, engine: &Task, action: &str) -> crate::harness::Invocation {
    crate::harness::program(crate::harness::nskit())
        .args(["shim", "-namespace", &engine.namespace(), "-id", &of.container.id, "-address"])
        .arg(engine.container.dir.join("containerd.sock"))
        .arg(action)
        .within(&of.bundle())
}
