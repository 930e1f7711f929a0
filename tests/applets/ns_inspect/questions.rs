//! The questions that an operator asks first: which container is this process, who is it there, in which state are they, and
//! what is unusual about one.

use serde_json::Value;

use super::ns_inspect;
use crate::harness::{Container, Output, left_behind, nskit, program, unique_name};

/// Runs a script in a mount namespace with a /run of its own, in which `$NSKIT` is the binary and `bundle` makes one of a
/// root with users of its own, `run ID [WORDS…]` starts it. The containers of `$NAME…` end with it.
fn with_containers(script: &str) -> Output {
    let name = unique_name();
    let before = r#"
        mount -t tmpfs none /run && mkdir -p /run/b/rootfs/bin /run/b/rootfs/etc && cd /run/b || exit
        cp $(command -v busybox) rootfs/bin/ && ln -s busybox rootfs/bin/sh && ln -s busybox rootfs/bin/sleep || exit
        printf 'root:x:0:0::/:/bin/sh\npostgres:x:999:999::/:/bin/sh\n' >rootfs/etc/passwd
        $NSKIT runtime spec >/dev/null
        sed -i 's/"terminal": true/"terminal": false/; s/"sh"$/"sleep", "600"/' config.json
        cp config.json plain.json
        create() { $NSKIT runtime create "$@" </dev/null >log 2>&1 || cat log; }
        run() { create "$@" && $NSKIT runtime start "$1"; }
        changed() { sed "$1" plain.json >config.json; }
        i="$NSKIT ns-inspect"
        ended() { for id in $(ls /run/nskit); do $NSKIT runtime delete --force $id; done 2>/dev/null; }
        trap ended EXIT
    "#;
    let script = format!("{before}{script}");
    let line = program(nskit()).args(["unshare", "--mount", "bash", "-c", &script]).env("NSKIT", nskit());
    let output = line.env("NAME", &name).at_most(60.0).run();
    assert_eq!(left_behind(&name), Vec::<String>::new());
    output
}

/// The words of the row that begins so.
#[track_caller]
fn row<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn a_process_is_told_with_its_container_its_pid_there_and_who_it_is_there() {
    let output = with_containers(
        r#"
        changed 's/"uid": 0/"uid": 999/'; run $NAME
        $NSKIT runtime exec --detach $NAME sleep 601 </dev/null >/dev/null
        pid=$($NSKIT runtime state $NAME | sed -n 's/.*"pid": \([0-9]*\).*/\1/p')
        echo "pid $pid"
        for words in "$pid" "-p $pid" "pid $pid" "explain $pid" "$NAME:1" "pid $NAME:1"; do $i $words | head -1; done
        $i --json $pid | tr -d '\n'; echo
        $i pid --json $NAME:1; $i explain --json $pid
        $i $NAME:77
        "#,
    );
    let (text, said) = (output.stdout(), output.stderr());
    let pid = text.lines().find_map(|line| line.strip_prefix("pid ")).expect("a pid");
    let heading = format!("process {pid}, pid 1 in nskit container ");
    let headings: Vec<&str> = text.lines().filter(|line| line.starts_with(&heading)).collect();
    assert_eq!(headings.len(), 6, "{text}\n{said}");
    assert!(
        headings.iter().all(|line| line.contains("user postgres in the container") && line.ends_with(": sleep 600"))
    );
    let documents: Vec<Value> = text
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let [one, level, explained] = documents.as_slice() else { panic!("{text}") };
    assert_eq!(one["target"]["user"]["inside"]["name"], "postgres", "{one}");
    assert_eq!(one["containers"][0]["id"], one["target"]["container"]);
    assert_eq!(level["container"]["id"], explained["target"]["container"], "{text}");
    assert!(said.contains("has no process 77: it has 1, "), "{said}");
}

#[test]
fn states_commands_and_memory_are_in_the_overview_and_in_json() {
    let output = with_containers(
        r#"
        run $NAME-run; create $NAME-wait; run $NAME-still; $NSKIT runtime pause $NAME-still
        changed 's/"600"/"0"/'; run $NAME-gone; sleep 0.5
        $i; echo all; $i --all --output container,state; $i --json --all
        $NSKIT runtime resume $NAME-still
        "#,
    );
    let (text, said) = (output.stdout(), output.stderr());
    let (usual, all) = text.split_once("\nall\n").unwrap_or_else(|| panic!("{text}{said}"));
    let name = usual.lines().filter_map(|line| line.split_whitespace().next()?.strip_suffix("-run")).next();
    let name = name.unwrap_or_else(|| panic!("{usual}"));
    for (which, state, command) in
        [("run", "running", "sleep 600"), ("wait", "created", "sleep 600"), ("still", "paused", "sleep 600")]
    {
        let row = row(usual, &format!("{name}-{which}"));
        assert!(row.contains(state) && row.contains(command), "{row}");
    }
    assert!(!usual.contains(&format!("{name}-gone")), "{usual}");
    assert!(row(all, &format!("{name}-gone")).contains("stopped"), "{all}");
    let document: Value = serde_json::from_str(&all[all.find("{\n").expect("a document")..]).expect("JSON");
    let found = |which: &str| {
        let containers = document["containers"].as_array().expect("an array");
        let id = format!("{name}-{which}");
        containers.iter().find(|one| one["id"] == id.as_str()).cloned().unwrap_or_else(|| panic!("{document}"))
    };
    for (which, state) in [("run", "running"), ("wait", "created"), ("still", "paused"), ("gone", "stopped")] {
        assert_eq!(found(which)["state"], state);
    }
    let running = found("run");
    assert_eq!((&running["processes"], &running["command"]), (&1.into(), &"sleep 600".into()));
    assert_eq!(running["memory_of"], "cgroup", "{running}");
    assert!(running["memory"].as_u64().is_some_and(|bytes| bytes > 0 && bytes < 64 << 20), "{running}");
    assert!(running["age"].is_u64());
    assert_eq!(running["namespaces"]["mnt"]["whose"], "own");
    assert_eq!(found("gone")["namespaces"]["net"], Value::Null);
}

#[test]
fn what_a_container_is_not_kept_from_stands_out() {
    let output = with_containers(
        r#"
        sock=/run/docker.sock; touch $sock
        mount='{"destination": "/host", "type": "bind", "source": "/", "options": ["rbind", "ro"]}, {"destination": "/s", "type": "bind", "source": "/run/docker.sock", "options": ["bind"]},'
        tr -d '\n\t ' <plain.json | sed "s/{\"type\":\"network\"},//; s|\"mounts\":\[|&$mount|" >config.json
        run $NAME-odd; cp plain.json config.json; run $NAME-usual
        $i --output container,net,user,unusual; $i --json --filter 'UNUSUAL =~ "docker.sock" and CONTAINER =~ "-odd"'
        "#,
    );
    let (text, said) = (output.stdout(), output.stderr());
    let odd = text.lines().find(|line| line.contains("-odd ")).unwrap_or_else(|| panic!("{text}{said}"));
    for deviation in ["host net", "host / on /host (ro)", "docker.sock"] {
        assert!(odd.contains(deviation), "{odd}");
    }
    let usual = text.lines().find(|line| line.contains("-usual ")).unwrap_or_else(|| panic!("{text}"));
    assert!(!usual.contains("host net") && !usual.contains("host user") && !usual.contains("all caps"), "{usual}");
    let document: Value = serde_json::from_str(&text[text.find("{\n").expect("a document")..]).expect("JSON");
    assert_eq!(document["containers"].as_array().expect("an array").len(), 1, "{document}");
    let kinds: Vec<&str> = document["containers"][0]["deviations"]
        .as_array()
        .expect("an array")
        .iter()
        .filter_map(|deviation| deviation["kind"].as_str())
        .collect();
    assert!(["host-namespace", "host-root", "engine-socket"].iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
}

#[test]
fn a_container_that_is_being_created_is_shown_and_not_entered() {
    let output = with_containers(
        r#"
        mkfifo /run/fifo
        tr -d '\n' <plain.json | sed 's|"mounts"|"hooks": {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", "cat /run/fifo"]}]}, "mounts"|' >config.json
        create $NAME & made=$!
        for _ in $(seq 100); do $i -n -o state | grep -q creating && break; sleep .05; done
        $i --output container,state; $i enter $NAME; echo "enter $?"; $NSKIT nsenter $NAME true; echo "nsenter $?"
        echo >/run/fifo; wait $made; $i --output container,state
        "#,
    );
    let (text, said) = (output.stdout(), output.stderr());
    assert!(text.contains("creating") && text.contains("created"), "{text}{said}");
    assert!(text.contains("enter 1\nnsenter 1\n"), "{text}{said}");
    assert_eq!(said.matches("is being created").count(), 2, "{said}");
}

#[test]
fn a_container_in_its_callers_cgroup_has_its_own_processes_only() {
    let output = with_containers(
        r#"
        changed 's/"linux": {/"linux": {"cgroupsPath": "..\/nskit-none",/'; cp plain.json config.json
        sleep 602 & run $NAME; kill %1
        $i --json
        "#,
    );
    let text = output.stdout();
    let document: Value = serde_json::from_str(&text[text.find("{\n").expect("a document")..]).expect("JSON");
    let found = document["containers"].as_array().expect("an array").iter().find(|one| one["engine"] == "nskit");
    assert_eq!(found.expect("the container")["processes"], 1, "{document}");
}

#[test]
fn a_wrong_target_is_answered_with_what_is_near_and_a_beginning_is_enough() {
    let container = Container::running();
    let (beginning, last) = container.id.split_at(container.id.len() - 1);
    ns_inspect(&[&format!("{beginning}x{last}")]).run().exits(1).complains(&format!("did you mean '{}", beginning));
    ns_inspect(&["surely-nothing-is-called-so"]).run().exits(1).complains("; there are ");
}

#[test]
fn a_network_namespace_is_called_as_ip_netns_calls_it() {
    let script = "mount -t tmpfs none /run && mkdir /run/netns && touch /run/netns/blue && \
        $NSKIT unshare --net=/run/netns/blue true && \
        $NSKIT ns-inspect blue && $NSKIT ns-inspect enter blue && $NSKIT ns-inspect enter /run/netns/blue && \
        $NSKIT nsenter --net=/run/netns/blue true; $NSKIT ns-inspect bleu";
    let words = ["unshare", "--mount", "sh", "-c", script];
    let output = program(nskit()).args(words).env("NSKIT", nskit()).run();
    let text = output.stdout();
    assert!(text.contains("net:[") && text.matches("nsenter --net=").count() >= 2, "{text}{}", output.stderr());
    output.complains("network namespace: blue");
}
