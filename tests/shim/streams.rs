//! Standard streams, and connections that are slow.

use std::time::{Duration, Instant};

use super::needs_our_shim;
use crate::harness::{Container, Task, eventually, number, read_to_end};

#[test]
fn what_a_container_writes_is_in_its_fifo_to_the_last_byte() {
    needs_our_shim!();
    let task = Task::new(Container::script("seq 1 2000"));
    let (path, mut reader) = task.fifo("stdout");
    let mut client = task.client();
    client.ask("Create", &task.create(Some(&path))).expect("Create");
    client.ask("Start", &task.named("")).expect("Start");
    client.ask("Wait", &task.named("")).expect("Wait");
    let text = read_to_end(&mut reader);
    assert_eq!(text.lines().count(), 2000);
    assert!(text.ends_with("\n2000\n"));
    task.end();
}

#[test]
fn who_leaves_a_child_behind_is_deleted_without_waiting_for_it() {
    needs_our_shim!();
    let task = Task::new(Container::sleeper());
    let (path, mut reader) = task.fifo("stdout");
    let mut client = task.client();
    client.ask("Create", &task.create(None)).expect("Create");
    client.ask("Start", &task.named("")).expect("Start");
    client.ask("Exec", &task.exec("one", "sleep 30 & echo left", Some(&path))).expect("Exec");
    client.ask("Start", &task.named("one")).expect("Start");
    client.ask("Wait", &task.named("one")).expect("Wait");
    let begun = Instant::now();
    client.ask("Delete", &task.named("one")).expect("Delete");
    assert_eq!(read_to_end(&mut reader), "left\n");
    assert!(begun.elapsed() < Duration::from_secs(9), "it took {:?}", begun.elapsed());
    task.end();
}

#[test]
fn a_log_file_is_appended_to() {
    needs_our_shim!();
    let task = Task::new(Container::script("echo out; echo err >&2"));
    let file = task.container.dir.join("logs/of/it");
    let uri = format!("file://{}", file.display()).into();
    let mut client = task.client();
    client.ask("Create", &task.create(Some(&uri))).expect("Create");
    client.ask("Start", &task.named("")).expect("Start");
    client.ask("Wait", &task.named("")).expect("Wait");
    assert_eq!(std::fs::read_to_string(file).expect("a log"), "out\nerr\n");
    task.end();
}

#[test]
fn a_logging_program_takes_both_streams() {
    needs_our_shim!();
    let task = Task::new(Container::script("echo out; echo err >&2"));
    let (program, log) = (task.container.dir.join("logger"), task.container.dir.join("log"));
    let script =
        "#!/bin/sh\necho \"$1 $2 $CONTAINER_ID\" >\"$4\"; exec 5>&-; cat <&3 >>\"$4\"; cat <&4 >>\"$4\"; sleep 100\n";
    std::fs::write(task.container.dir.join("script"), script).expect("write a program");
    crate::harness::copy_program(&task.container.dir.join("script"), &program);
    crate::harness::program("chmod").arg("+x").arg(&program).run().ok();
    let uri = format!("binary://{}?tag=a%20b&file={}", program.display(), log.display()).into();
    let mut client = task.client();
    client.ask("Create", &task.create(Some(&uri))).expect("Create");
    client.ask("Start", &task.named("")).expect("Start");
    client.ask("Wait", &task.named("")).expect("Wait");
    let expected = format!("tag a b {}\nout\nerr\n", task.container.id);
    eventually("all is logged", || std::fs::read_to_string(&log).is_ok_and(|text| text == expected));
    // It does not end by itself.
    task.end();
}

#[test]
fn a_logging_program_that_is_not_there_is_named() {
    needs_our_shim!();
    let task = Task::new(Container::script("true"));
    let mut client = task.client();
    let (_, why) = client.ask("Create", &task.create(Some(&"binary:///no/such/logger".into()))).expect_err("none");
    assert!(why.contains("start the logging program /no/such/logger: no such file or directory"), "{why}");
    client.ask("Shutdown", &task.named("")).expect("Shutdown");
    task.assert_gone();
}

#[test]
fn a_connection_that_stalls_or_talks_nonsense_stalls_nobody() {
    needs_our_shim!();
    let task = Task::new(Container::sleeper());
    let mut half = task.client();
    half.send_bytes(&[0, 0, 1]);
    let mut nonsense = task.client();
    nonsense.send_bytes(&[0xff; 64]);
    let mut deaf = task.client();
    for _ in 0..200 {
        deaf.send("State", &task.named(""));
    }
    let mut client = task.client();
    client.ask("Create", &task.create(None)).expect("Create");
    assert_eq!(number(&client.ask("State", &task.named("")).expect("State"), 4), 1);
    assert_eq!(client.ask("Frobnicate", &task.named("")).expect_err("there is no such method").0, 12);
    task.end();
}

#[test]
fn events_are_kept_while_containerd_is_away() {
    needs_our_shim!();
    let task = Task::without_shim(Container::script("exit 3")).start_shim();
    let mut client = task.client();
    client.ask("Create", &task.create(None)).expect("Create");
    client.ask("Start", &task.named("")).expect("Start");
    client.ask("Wait", &task.named("")).expect("Wait");
    task.listen();
    let expected = ["create", "start", &format!("exit {} 3", task.container.id)];
    eventually("all events have come", || task.events() == expected);
    task.end();
}
