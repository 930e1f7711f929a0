//! What a seccomp profile costs a start: reading its JSON, mapping it, compiling it, loading it (medians).
//!
//! `cargo bench --bench seccomp [FILE]`, where FILE holds the `linux.seccomp` object of a configuration; without it, a
//! profile that allows every system call by its name but for `clone` and `personality`, which it allows by argument.

use std::time::{Duration, Instant};

use nskit::container::spec::seccomp::profile;
use nskit::seccomp::{Syscall, compile};
use oci_spec::runtime::LinuxSeccomp;

fn main() {
    let file = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let text = match file {
        Some(file) => std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}")),
        None => every_name(),
    };
    let parse = || serde_json::from_str::<LinuxSeccomp>(&text).unwrap_or_else(|error| panic!("linux.seccomp: {error}"));
    let specified = parse();
    let mapped = profile(&specified).unwrap();
    let program = compile(&mapped).unwrap();
    let names: usize = mapped.rules.iter().map(|rule| rule.syscalls.len()).sum();
    println!("{names} names, {} instructions", program.instructions().len());

    // A filter belongs to its thread and ends with it.
    let load = || std::thread::scope(|scope| scope.spawn(|| time(|| program.load().unwrap())).join().unwrap());
    for (what, once) in [
        ("read", &(|| time(parse)) as &dyn Fn() -> Duration),
        ("map", &|| time(|| profile(&specified).unwrap())),
        ("compile", &|| time(|| compile(&mapped).unwrap())),
        ("load", &load),
    ] {
        let mut times: Vec<Duration> = (0..201).map(|_| once()).collect();
        times.sort_unstable();
        println!("{what:8} {:7.1} us", times[times.len() / 2].as_secs_f64() * 1e6);
    }
}

fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    std::hint::black_box(work());
    start.elapsed()
}

fn every_name() -> String {
    let by_argument = ["clone", "personality"];
    let names: Vec<&str> = Syscall::all().map(Syscall::name).filter(|name| !by_argument.contains(name)).collect();
    serde_json::json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [
            { "names": names, "action": "SCMP_ACT_ALLOW" },
            {
                "names": ["clone"],
                "action": "SCMP_ACT_ALLOW",
                "args": [{ "index": 0, "value": 0x7E02_0000u32, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }],
            },
            {
                "names": ["personality"],
                "action": "SCMP_ACT_ALLOW",
                "args": [
                    { "index": 0, "value": 0, "op": "SCMP_CMP_EQ" },
                    { "index": 0, "value": 8, "op": "SCMP_CMP_EQ" },
                ],
            },
        ],
    })
    .to_string()
}
