//! `update`.

use std::io::Read;

use anyhow::{Context, bail};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use nskit::container::spec::parse::parse_resources as parse;
use nskit::container::verbs::update::update;
use oci_spec::runtime::{LinuxIntelRdt, LinuxResources};
use serde_json::{Map, Value, json};

use super::Globals;

#[derive(Args, Debug)]
struct Update {
    /// File with the limits, in the form of config.json's linux.resources; - is standard input. Other options are ignored
    #[arg(short, long, value_name = "FILE")]
    resources: Option<String>,
    /// Weight of the container's block I/O, 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<u16>,
    /// Period of the processor quota, in microseconds
    #[arg(long, value_name = "US")]
    cpu_period: Option<u64>,
    /// Processor time a period, in microseconds; -1 is no limit
    #[arg(long, value_name = "US", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    /// Processor time that may be saved up beyond the quota, in microseconds
    #[arg(long, value_name = "US")]
    cpu_burst: Option<u64>,
    /// Share of processor time beside others'
    #[arg(long, value_name = "SHARES")]
    cpu_share: Option<u64>,
    /// 1 to run only when nobody else does, 0 not to
    #[arg(long, value_name = "0|1")]
    cpu_idle: Option<i64>,
    /// Period of the real-time limit, in microseconds
    #[arg(long, value_name = "US")]
    cpu_rt_period: Option<u64>,
    /// Real-time processor time a period, in microseconds
    #[arg(long, value_name = "US", allow_hyphen_values = true)]
    cpu_rt_runtime: Option<i64>,
    /// Processors to run on
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes to use
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Limit of memory, in bytes or with a suffix; -1 is no limit
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory: Option<String>,
    /// Memory that is kept for it when others need some
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_reservation: Option<String>,
    /// Limit of memory and swap together; -1 is no limit
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_swap: Option<String>,
    /// Limit of tasks; -1 is no limit
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// Intel RDT: schema of the L3 cache
    #[arg(long, value_name = "SCHEMA")]
    l3_cache_schema: Option<String>,
    /// Intel RDT: schema of memory bandwidth
    #[arg(long, value_name = "SCHEMA")]
    mem_bw_schema: Option<String>,
    /// Of no effect
    #[arg(long, value_name = "BYTES", hide = true, allow_hyphen_values = true)]
    kernel_memory: Option<String>,
    /// Limit of TCP buffers, on cgroup v1
    #[arg(long, value_name = "BYTES", hide = true, allow_hyphen_values = true)]
    kernel_memory_tcp: Option<String>,
    /// Name of the container
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) fn command(command: Command) -> Command {
    Update::augment_args(command).about("Change the limits of a container")
}

pub(super) fn run(globals: &Globals, matches: &ArgMatches) -> anyhow::Result<u8> {
    let args = Update::from_arg_matches(matches)?;
    let mut schemata = LinuxIntelRdt::default();
    schemata.set_l3_cache_schema(args.l3_cache_schema.clone().filter(|schema| !schema.is_empty()));
    schemata.set_mem_bw_schema(args.mem_bw_schema.clone().filter(|schema| !schema.is_empty()));
    if args.kernel_memory.is_some() {
        log::warn!("Kernel memory settings are ignored and will be removed");
    }
    let change = match args.resources.as_deref().filter(|file| !file.is_empty()) {
        Some("-") => {
            let mut text = Vec::new();
            std::io::stdin().read_to_end(&mut text).context("read standard input")?;
            parse(&text).context("read standard input")?
        }
        Some(file) => parse(&std::fs::read(file).with_context(|| format!("read {file}"))?)
            .with_context(|| format!("read {file}"))?,
        None => from_options(&args)?,
    };
    update(&globals.runtime()?, &args.id, &change, &schemata)?;
    Ok(0)
}

fn from_options(args: &Update) -> anyhow::Result<LinuxResources> {
    let object = |pairs: Vec<(&str, Option<Value>)>| {
        let set = pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(set.collect::<Map<_, _>>())
    };
    let text = |list: &Option<String>| list.clone().filter(|list| !list.is_empty()).map(Value::from);
    let bytes = |name: &str, value: &Option<String>| -> anyhow::Result<Option<Value>> {
        value
            .as_deref()
            .filter(|value| !value.is_empty())
            .map(|value| size(value).map(Value::from).with_context(|| format!("invalid value for {name}")))
            .transpose()
    };
    let mut resources = json!({
        "cpu": object(vec![
            ("period", args.cpu_period.map(Value::from)),
            ("quota", args.cpu_quota.map(Value::from)),
            ("burst", args.cpu_burst.map(Value::from)),
            ("shares", args.cpu_share.map(Value::from)),
            ("idle", args.cpu_idle.map(Value::from)),
            ("realtimePeriod", args.cpu_rt_period.map(Value::from)),
            ("realtimeRuntime", args.cpu_rt_runtime.map(Value::from)),
            ("cpus", text(&args.cpuset_cpus)),
            ("mems", text(&args.cpuset_mems)),
        ]),
        "memory": object(vec![
            ("limit", bytes("memory", &args.memory)?),
            ("reservation", bytes("memory-reservation", &args.memory_reservation)?),
            ("swap", bytes("memory-swap", &args.memory_swap)?),
            ("kernelTCP", bytes("kernel-memory-tcp", &args.kernel_memory_tcp)?),
        ]),
        "blockIO": object(vec![("weight", args.blkio_weight.filter(|weight| *weight != 0).map(Value::from))]),
    });
    if let Some(limit) = args.pids_limit {
        resources["pids"] = json!({ "limit": limit });
    }
    Ok(nskit::container::spec::strict::from_slice(resources.to_string().as_bytes())?)
}

/// A size in bytes, with a suffix of powers of 1024 if there is one: `512m`, `1.5GiB`; -1 is no limit.
fn size(text: &str) -> anyhow::Result<i64> {
    if text == "-1" {
        return Ok(-1);
    }
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, suffix) = lower.split_at(digits);
    let suffix = suffix.trim();
    let letter = suffix.trim_end_matches('b').trim_end_matches('i');
    let power = match (letter, suffix) {
        ("", "" | "b") => 0,
        ("k" | "m" | "g" | "t" | "p", suffix) if suffix.len() <= 3 => {
            1 + "kmgtp".find(letter).unwrap_or_default() as i32
        }
        _ => bail!("invalid size: {text:?}"),
    };
    let number: f64 = number.parse().with_context(|| format!("invalid size: {text:?}"))?;
    let bytes = number * 1024f64.powi(power);
    if bytes >= i64::MAX as f64 {
        bail!("invalid size: {text:?} is more than can be limited");
    }
    Ok(bytes as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_suffixes() {
        for (text, bytes) in
            [("0", 0), ("512", 512), ("1k", 1024), ("1.5m", 1_572_864), ("2GiB", 2 << 30), ("1Tb", 1 << 40), ("-1", -1)]
        {
            assert_eq!(size(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "x", "1x", "-2", "1kk", "1 2", "99999999999999999999", "9000p"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
