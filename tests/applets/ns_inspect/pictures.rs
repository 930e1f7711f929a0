//! Pictures and the page: what is drawn, what is folded, and what a container may call itself.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::ns_inspect;
use super::views::started;
use crate::harness::{
    Container, Running, TempDir, clean_up, eventually, has_systemd, left_behind, nskit, program, skip, unique_name,
};

#[test]
fn a_container_is_drawn_in_three_languages_with_what_it_shares() {
    let first = Container::running();
    let path = |kind: &str| format!("/proc/{}/ns/{kind}", first.pid());
    let second = Container::sleeper().without_namespace("network").without_namespace("ipc");
    let second = second.namespace("network", Some(&path("net"))).namespace("ipc", Some(&path("ipc"))).started();
    let alone = Container::running();
    for format in ["svg", "dot", "mermaid"] {
        let output = ns_inspect(&["graph", &second.id, "--format", format]).run().ok();
        let text = output.mentions(&first.id).mentions(&second.id).mentions("share ipc net").stdout();
        assert!(!text.contains(&alone.id) && !text.contains("Namespaces of no container"), "{text}");
    }
    let filter = format!("PID == {}", alone.pid());
    let text = ns_inspect(&["graph", "--filter", &filter, "--type", "uts,pid"]).run().ok().mentions(&alone.id).stdout();
    for absent in [&*first.id, "Networks", "Id maps", ">ipc<"] {
        assert!(!text.contains(absent), "{absent}: {text}");
    }
    assert!(text.contains(">uts<") && text.contains(">pid<") && text.contains("1 container "), "{text}");
}

#[test]
fn strays_are_folded_and_a_bad_wish_is_refused() {
    let strays: Vec<Running> = (0..20).map(|_| started(&["--uts"], "true").0).collect();
    let text = ns_inspect(&["graph"]).run().ok().mentions("Namespaces of no container").stdout();
    let pid = strays[0].pid().to_string();
    assert!(text.matches(&pid).count() < 5, "none is drawn by itself: {text}");
    ns_inspect(&["graph", "--type", "mount,house"]).run().exits(2).complains("there is no such kind of namespace");
    ns_inspect(&["graph", "--filter", "NOPE > 1"]).run().exits(2).complains("unknown column: NOPE");
    if !has_systemd() {
        // There, this test's own service is what the process is in.
        ns_inspect(&["report", &pid]).run().exits(1).complains("it is in no container");
    }
    ns_inspect(&["report", "--format", "pdf"]).run().exits(2).complains("invalid value 'pdf'");
}

#[test]
fn a_bridge_is_drawn_with_what_is_behind_it() {
    if !Path::new("/usr/sbin/ip").exists() {
        skip!("iproute2 is not installed");
    }
    let script = format!(
        "setpriv --pdeathsig KILL {} unshare --net sh -c 'exec sleep 60' & sleep 0.5; far=$(pgrep -P $$ sleep); \
         ip link add testbr0 type bridge && ip addr add 10.77.0.1/24 dev testbr0 && \
         ip link add near0 type veth peer name far0 netns $far && ip link set near0 master testbr0 && \
         nsenter -t $far -n ip addr add 10.77.0.2/24 dev far0",
        nskit().display()
    );
    let (_running, _) = started(&["--net"], &script);
    for format in ["svg", "dot", "mermaid"] {
        let output = ns_inspect(&["graph", "--type", "net", "--format", format]).run().ok();
        output.mentions("testbr0").mentions("10.77.0.1/24").mentions("10.77.0.2/24 far0 ⇄ near0");
    }
}

#[test]
fn id_maps_show_which_ids_others_have_too() {
    let map = |options: &[&str]| started(&[&["--user"], options].concat(), "true").0;
    let one = map(&["--map-users", "0:700000:1000", "--map-groups", "0:700000:1000"]);
    let other = map(&["--map-users", "0:700500:1000", "--map-groups", "0:700500:1000"]);
    let text = ns_inspect(&["graph", "--type", "user"]).run().ok().stdout();
    for (pid, about) in [(one.pid(), "500-999 = host 700500-700999"), (other.pid(), "0-499 = host 700500-700999")] {
        let bar = text.lines().find(|line| line.contains("\"overlap\"") && line.contains(about)).unwrap_or_default();
        assert!(bar.contains(&pid.to_string()) && bar.contains("also of"), "{about}: {text}");
    }
}

/// Names and images that would be more than that in a page.
const HOSTILE: [&str; 4] = [
    "</summary></details><script>window.pwned=1</script>",
    "\\\"><img src=x onerror=window.pwned=2>",
    "javascript:window.pwned=3 ' onmouseover='window.pwned=4",
    "plain",
];

/// A page about containers of Docker's that are called so, made in a mount namespace with a /var/lib of its own.
fn page(dir: &TempDir) -> std::path::PathBuf {
    let name = unique_name();
    let mut script = String::from("mount -t tmpfs none /var/lib; trap 'kill $pids' EXIT; pids=; ");
    for (number, hostile) in HOSTILE.iter().enumerate() {
        let id = format!("{number:064x}");
        let config =
            json!({"ID": id, "Name": format!("/{}", hostile.replace("\\\"", "\"")), "Config": {"Image": "i<b>m"}});
        let config = config.to_string().replace('\'', "'\\''");
        script.push_str(&format!(
            "c=/sys/fs/cgroup/pids; [ -d $c ] || c=/sys/fs/cgroup; c=$c/{name}/docker/{id}; \
             mkdir -p $c /var/lib/docker/containers/{id}; \
             printf '%s' '{config}' >/var/lib/docker/containers/{id}/config.v2.json; \
             sh -c 'echo $$ >$0/cgroup.procs; exec $1 unshare --uts --ipc sleep 60' $c $0 & pids=\"$pids $!\"; "
        ));
    }
    script.push_str("sleep 1; $0 ns-inspect report --filter \"ENGINE == 'docker'\"");
    let nskit = nskit();
    let words = ["unshare", "--mount", "sh", "-c", &script, nskit.to_str().expect("UTF-8")];
    let text = program(&nskit).args(words).env("LC_ALL", "C.UTF-8").run().ok().stdout();
    clean_up(&name);
    eventually("nothing is left", || left_behind(&name).is_empty());
    let page = dir.join("report.html");
    std::fs::write(&page, text).expect("write the page");
    page
}

#[test]
fn a_page_may_run_what_is_its_own_and_nothing_else() {
    let dir = TempDir::new();
    let text = std::fs::read_to_string(page(&dir)).expect("read the page");
    let policy = text.split_once("Content-Security-Policy\" content=\"").and_then(|(_, rest)| rest.split_once('"'));
    let policy = policy.expect("a policy").0;
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
    for (element, directive) in [("style", "style-src"), ("script", "script-src")] {
        assert_eq!(text.matches(&format!("<{element}")).count(), 1, "{element}");
        let content = text.split_once(&format!("<{element}>")).and_then(|(_, rest)| rest.split_once("</"));
        let script = "sha256sum | cut -c1-64 | sed 's/../\\\\x&/g' | { read -r bytes; printf \"$bytes\" | base64; }";
        let hash = program("bash").args(["-c", script]).input(content.expect("content").0).run().ok().stdout();
        assert!(policy.contains(&format!("{directive} 'sha256-{hash}'")), "{directive} 'sha256-{hash}': {policy}");
    }
    for forbidden in ["<img", "onerror=window", "http://", "https://", "<b>", " style=\""] {
        let harmless = text.replace("http://www.w3.org/2000/svg", "").replace("&gt;", "");
        assert!(!harmless.contains(forbidden) || forbidden == "onerror=window", "{forbidden}");
    }
    assert!(text.contains("&lt;script&gt;window.pwned=1&lt;/script&gt;"), "{text}");
}

/// A browser without a window, by the WebDriver protocol.
struct Browser {
    driver: Running,
    port: u16,
    session: String,
    _dir: TempDir,
}

impl Browser {
    fn start() -> Browser {
        let dir = TempDir::new();
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let driver = program("chromedriver").arg(format!("--port={port}")).start();
        eventually("the driver listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        let data = format!("--user-data-dir={}", dir.path().display());
        let words = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
                     --disable-component-update --disable-sync --window-size=1400,1000";
        let words: Vec<&str> = words.split_whitespace().chain([data.as_str()]).collect();
        let options = json!({"args": words, "binary": "/usr/bin/chromium"});
        let wanted = json!({"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}});
        let mut browser = Browser { driver, port, session: String::new(), _dir: dir };
        let answer = browser.ask("POST", "/session", &json!({"capabilities": {"alwaysMatch": wanted}}));
        browser.session = answer["sessionId"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        browser
    }

    /// One request, and the value that is answered.
    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connect to the driver");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("set a limit");
        let head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n", self.port);
        write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).expect("ask the driver");
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        // The driver keeps the connection: what its head announces is all.
        loop {
            let count = stream.read(&mut buffer).expect("hear from the driver");
            answer.extend_from_slice(&buffer[..count]);
            let text = String::from_utf8_lossy(&answer).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let len = head
                    .lines()
                    .find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
                if count == 0 || len.is_some_and(|len: usize| body.len() >= len) {
                    let answer: Value = serde_json::from_str(body).unwrap_or_else(|why| panic!("{why}: {text}"));
                    assert!(answer["value"]["error"].is_null(), "{method} {path}: {answer}");
                    return answer["value"].clone();
                }
            }
            assert!(count > 0, "the driver said no more than {text}");
        }
    }

    #[track_caller]
    fn post(&self, path: &str, body: Value) -> Value {
        self.ask("POST", &format!("/session/{}{path}", self.session), &body)
    }

    /// What an expression is in the page.
    #[track_caller]
    fn eval(&self, expression: &str) -> Value {
        self.post("/execute/sync", json!({"script": format!("return {expression}"), "args": []}))
    }

    #[track_caller]
    fn element(&self, selector: &str) -> String {
        let found = self.post("/element", json!({"using": "css selector", "value": selector}));
        let id = found.as_object().and_then(|members| members.values().next()?.as_str());
        id.unwrap_or_else(|| panic!("no {selector}: {found}")).to_owned()
    }

    #[track_caller]
    fn click(&self, selector: &str) {
        self.post(&format!("/element/{}/click", self.element(selector)), json!({}));
    }

    #[track_caller]
    fn keys(&self, selector: &str, text: &str) {
        self.post(&format!("/element/{}/value", self.element(selector)), json!({"text": text}));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.ask("DELETE", &format!("/session/{}", self.session), &Value::Null);
        }
        self.driver.signal(nix::sys::signal::Signal::SIGTERM);
    }
}

#[test]
fn a_page_is_searched_and_clicked_in_a_browser_and_hostile_names_do_nothing() {
    if !Path::new("/usr/bin/chromium").exists() || !Path::new("/usr/bin/chromedriver").exists() {
        skip!("chromium is not installed");
    }
    let dir = TempDir::new();
    let page = page(&dir);
    let browser = Browser::start();
    browser.post("/url", json!({"url": format!("file://{}", page.display())}));
    let shown = "[...document.querySelectorAll('#matrix tbody tr')].filter((row) => !row.hidden).length";
    // Other tests have containers too.
    let all = browser.eval(shown).as_u64().expect("a number");
    assert!(all >= 4, "{all}");
    assert_eq!(browser.eval("document.querySelectorAll('svg a[data-c]').length"), all);
    let names = browser.eval("[...document.querySelectorAll('#matrix summary')].map((one) => one.textContent)");
    for name in HOSTILE {
        let name = name.replace("\\\"", "\"");
        assert!(names.as_array().expect("an array").iter().any(|found| *found == name.as_str()), "{name}: {names}");
    }

    browser.keys("body", "/");
    assert_eq!(browser.eval("document.activeElement.id"), "search");
    browser.keys("#search", "PLAIN i<b>");
    assert_eq!(browser.eval(shown), 1);
    assert_eq!(browser.eval("document.getElementById('count').textContent"), format!("1 of {all}"));
    assert_eq!(browser.eval("document.querySelectorAll('svg a.dim').length"), all - 1);
    browser.keys("#search", "nothing has this");
    assert_eq!(browser.eval("document.getElementById('none').hidden"), false);
    browser.keys("#search", "\u{e00c}");
    assert_eq!(browser.eval(shown), all);

    // A click in the picture unfolds what is known of the container.
    let place = browser
        .eval("[...document.querySelectorAll('#matrix tr')].find((row) => row.textContent.includes('plain')).id");
    let place = place.as_str().expect("an id").trim_start_matches('c');
    browser.click(&format!("svg a[data-c='{place}'] text"));
    assert_eq!(browser.eval(&format!("document.querySelector('#c{place} details').open")), true);
    let text = browser.eval(&format!("document.querySelector('#c{place} dl').textContent"));
    assert!(text.as_str().is_some_and(|text| text.contains("uts:[") && text.contains("imagei<b>m")), "{text}");
    browser.click("#fold");
    assert_eq!(browser.eval("document.querySelectorAll('#matrix details[open]').length"), all);
    // What is scrolled to is not under the head, but a click of the driver's does not scroll to what is seen in part.
    browser.eval("window.scrollTo(0, 0)");
    browser.click("#picture > summary");
    assert_eq!(browser.eval("document.getElementById('picture').open"), false);
    browser.keys("body", "jj");
    assert_eq!(browser.eval("document.activeElement.tagName"), "SUMMARY");

    let colour = "getComputedStyle(document.body).backgroundColor";
    let before = browser.eval(colour);
    browser.click("#theme");
    assert_ne!(browser.eval(colour), before);

    assert_eq!(browser.eval("typeof window.pwned"), "undefined");
    assert_eq!(browser.eval("document.querySelectorAll('img, b, iframe, object, link').length"), 0);
    assert_eq!(browser.eval("document.scripts.length"), 1);
    let log = browser.post("/se/log", json!({"type": "browser"}));
    assert_eq!(log, json!([]), "the console has something to say");
}
