# The results of benches/run as docs/benchmarks.md.

def median: sort | length as $n | if $n == 0 then null elif $n % 2 == 1 then .[$n / 2 | floor]
    else (.[$n / 2 - 1] + .[$n / 2]) / 2 end;
def digits($n): if . == null then "–" else
    (. * pow(10; $n) | round | fabs | tostring | if length <= $n then ("0" * ($n + 1 - length)) + . else . end) as $all
    | $all[:-$n] + "." + $all[-$n:] end;
def milliseconds: if . == null then "–" else . * 1000 | digits(2) end;
def row: "| " + join(" | ") + " |";
def table($head): [($head | row), ($head | to_entries | map(if .key == 0 then "---" else "---:" end) | row)] + map(row);

. as $all
| .facts as $facts
| ($facts.versions | keys_unsorted - ["nskit"]) as $peers
| (($facts.load | tonumber) > ($facts.cpus | tonumber) / 2) as $busy
# A busy machine moves a ratio by more than its distance to the target.
| (if $busy then " (busy machine)" else "" end) as $doubt
| ($peers | map(select(. == "crun")) + map(select(startswith("crun"))) | .[0] // "crun") as $crun
# What fails is not fast: such times are shown, and compared with nothing.
| (.times | map_values(map_values(if .failed == 0 then .wall | median else null end))) as $median

# A target: the ratio to one competitor, and whether it is kept.
| def target($what; $measure; $of; $most):
      ($median[$measure].nskit) as $ours | ($median[$measure][$of]) as $theirs
      | (if $ours != null and $theirs != null then $ours / $theirs else null end) as $ratio
      | ($all.times[$measure] | if $ratio then .nskit.cpu / .[$of].cpu else null end) as $cpu
      | [$what, ($ours | milliseconds), "\($of) \($theirs | milliseconds)", ($ratio | digits(2)), ($cpu | digits(2)), "≤ \($most)",
         (if $ratio == null then "not measured" elif $ratio <= $most then "kept" + $doubt else "**missed**" + $doubt end)];
  def times($measure; $title; $note):
      ($all.times[$measure] // {}) as $times | ($median[$measure] // {}) as $medians
      | ["### \($title)", "", $note, ""]
        + ([$times | to_entries[] | [.key, ($medians[.key] | milliseconds), (.value.wall | min | milliseconds), (.value.cpu | milliseconds),
            (if $medians.nskit == null then "–" else $medians.nskit / ($medians[.key] // infinite) | digits(2) end)]]
           | sort_by(.[1] | tonumber? // infinite) | table(["program", "median, ms", "fastest, ms", "CPU, ms", "nskit's median to this one"]))
        + [($all.failures[$measure] // {} | to_entries[] | "", "\(.key) was left out: `\(.value)`")]
        + [$times | to_entries[] | select(.value.failed > 0)
           | "", "**\(.key) failed in \(.value.failed) of \(.value.wall | length) runs; its times count for nothing.**"]
        + [""];
  def listed($processes; $command): [.[] | select(.processes == $processes and (.command | test($command)))] | .[0];
  def verdict($value; $most): if $value == null then "not measured" elif $value <= $most then "kept" + $doubt else "**missed**" + $doubt end;
  def listing($processes; $most):
      ($all.lsns // [] | listed($processes; "^nskit lsns$")) as $ours | ($all.lsns // [] | listed($processes; "^lsns ")) as $theirs
      | ["`lsns`, \($processes) processes, CPU", ($ours.cpu | milliseconds), "lsns \($theirs.cpu | milliseconds)", "–",
         ($ours.ratio | digits(2)), "≤ \($most)", verdict($ours.ratio; $most)];
  def across($kind; $labels; $measures):
      [$measures[] as [$key, $title] | [$title] + [$labels[] as $name | $all[$kind][$key][$name] | . // "–" | tostring]]
      | table([""] + $labels);

[
    "# Benchmarks", "",
    "Written by `make bench` (`benches/run`); every number is of that one run. Times are medians of \($facts.runs) runs, where nothing else is said, by"
    + " \($facts.hyperfine), no shell between, the commands taking turns, at nice -10. Everybody runs in a mount namespace without the"
    + " second cgroup version that crun refuses, every runtime keeps its state in a folder of its own on a tmpfs, as /run is, and crun's cache of"
    + " seccomp filters is warm.", "",
    "- \($facts.date), \($facts.kernel), \($facts.cpus) × \($facts.cpu), cgroup \($facts.cgroup), load \($facts.load) at the start",
    "- nskit at \($facts.commit), \($facts.versions.nskit.size / 1048576 | digits(2)) MiB; util-linux: \($facts.util_linux)",
    (if $busy then
        "- **The machine was busy with other work: times are drawn out, most where the kernel waits for every processor,"
        + " and ratios of one run are rough; the fastest and the CPU time say more.**" else empty end),
    (if $facts.note == "" then empty else "- \($facts.note)" end),
    ($peers[] | "- \(.): \($facts.versions[.].version), \($facts.versions[.].size / 1048576 | digits(2)) MiB"),
    "- CPU is user and system time of the processes that were waited for, a mean: it hears less of what else a machine does",
    "- `floor` is a program of our own (benches/programs/floor): the bare system calls, nothing read and nothing checked",
    "",
    "    RUNS=\($facts.runs) PEERS=\"\($facts.peers | rtrimstr(" ") | split(" ") | map(. + "=PROGRAM") | join(" "))\" make bench",
    "",
    "## Targets", "",
    "Ratios are against \($crun), which is \($facts.versions[$crun].version // "not there"). A slower peer flatters: the targets were set"
    + " against crun 1.29.", ""
]
+ ([
    target("`run /bin/true`"; "run"; $crun; 0.6),
    target("`run /bin/true`"; "run"; "floor"; 1.6),
    (target("`run` after a pause"; "pause"; $crun; 0.6) | .[5] = "–" | .[6] = ""),
    target("`run`, default seccomp profile"; "seccomp"; $crun; 0.5),
    (($median.seccomp.nskit // null) as $with | ($median.run.nskit // null) as $without
     | (if $with and $without then $with - $without else null end) as $more
     | ["the profile alone", ($more | if . == null then "–" elif . < 0 then "-" + (-. | milliseconds) else milliseconds end),
        "–", "–", "–", "≤ 0.5 ms",
        (if $more == null then "not measured" elif $more <= 0.0005 then "kept" + $doubt else "**missed**" + $doubt end)]),
    target("create, start, kill, delete"; "lifecycle"; $crun; 0.6),
    target("`exec /bin/true`"; "exec"; $crun; 0.6),
    (["run", "seccomp", "lifecycle", "exec"][] as $case
     | ($all.peak[$case].nskit) as $ours | ($all.peak[$case][$crun]) as $theirs
     | ["peak memory, \($case), KiB", ($ours // "–" | tostring), "\($crun) \($theirs // "–")",
        (if $ours and $theirs then $ours / $theirs | digits(2) else "–" end), "–", "≤ 1",
        (if $ours == null or $theirs == null then "not measured" elif $ours <= $theirs then "kept" else "**missed**" end)]),
    target("`unshare -U true`"; "unshare"; "util-linux"; 0.75),
    target("`nsenter -t PID -a true`"; "nsenter"; "util-linux"; 0.75),
    listing(2000; 0.25),
    listing(8000; 0.1),
    (($all.lsns // [] | listed(8000; "ns-inspect -p")) as $one
     | ["`ns-inspect -p PID`, 8000 processes", ($one.wall | milliseconds), "–", "–", "–", "≤ 2 ms", verdict($one.wall; 0.002)]),
    ($all.lsns // [] | map(select(.processes | type == "string")) | .[0].processes as $what | (map(.memory) | max) as $most
     | ["peak memory, \($what // "containers"), KiB", ($most | if . then . * 1024 | round | tostring else "–" end), "–", "–", "–",
        "≤ 204800", verdict($most; 200)])
] | table(["measure", "nskit, ms", "against, ms", "ratio", "of CPU", "target", ""]))
+ ["", "## Times", ""]
+ times("run"; "`run /bin/true`"; "The bundle of `spec` with busybox's `true`, without a terminal.")
+ times("pause"; "`run /bin/true` after a pause"; "Of 0.2 s, 40 times: as on a host on which containers do not start one upon the other. On cgroup v1 the kernel makes whoever moves another process to a cgroup wait for all processors; who does it back to back waits no more.")
+ times("seccomp"; "`run /bin/true` with a seccomp profile"; "The default profile of Podman and Docker, resolved for this machine.")
+ times("lifecycle"; "create, start, kill, delete"; "As an engine does, by benches/programs/drive: `create --pid-file`, `start`, `kill KILL`, the process reaped, `delete`.")
+ times("exec"; "`exec /bin/true`"; "In a running container of the same runtime.")
+ times("unshare"; "`unshare -U true`"; "`true` is busybox's for all, and alone as what cannot be saved.")
+ times("nsenter"; "`nsenter -t PID -a true`"; "Into a running container.")
+ ["## Peak memory", "",
   "The largest resident set of any process, in KiB, from the first to the last and before an exec too, the runtime's"
   + " process inside the container included. Pages of the program file count.", ""]
+ across("peak"; ["nskit", "floor"] + $peers; [["run", "run"], ["seccomp", "run with a profile"], ["lifecycle", "create … delete"], ["exec", "exec"]])
+ [""]
+ across("peak"; ["nskit", "util-linux", "busybox"]; [["unshare", "unshare -U"], ["nsenter", "nsenter -a"]])
+ ["", "## System calls", "", "Of all processes, the program's own and those of starting it included, by strace.", ""]
+ across("calls"; ["nskit", "floor"] + $peers; [["run", "run"], ["seccomp", "run with a profile"], ["exec", "exec"]])
+ [""]
+ across("calls"; ["nskit", "util-linux", "busybox", "true alone"]; [["unshare", "unshare -U"], ["nsenter", "nsenter -a"]])
+ ["", "## lsns and ns-inspect", "",
   "CPU time of the command alone with so many sleeping processes that share the caller's namespaces, or have six of their"
   + " own each; the commands take turns. Memory below 16 MiB cannot be told from the benchmark's own. Ratios are of CPU.", ""]
+ ([$all.lsns // [] | .[] | [(.processes | tostring), "`\(.command | sub("-p [0-9]+"; "-p PID"))`", (.cpu | milliseconds), (.least | milliseconds),
     (.wall | milliseconds), (.memory | if . < 16 then "< 16" else (round | tostring) end), (if .ratio then .ratio | digits(3) else "–" end)]]
   | table(["processes", "command", "CPU, ms", "least", "wall, ms", "MiB", "nskit's CPU to lsns's"]))
+ ["", "## Appendix: where the floor's time goes", "",
   "Medians of \($facts.runs) runs of `floor --time`, one after the other with nothing overlapping, on a clock that both"
   + " processes share. The rest of the floor's `run` is its own start and end.", ""]
+ (.floor as $groups
   | [($groups[] | [.group, (.times | median | milliseconds), (.times | min | milliseconds)]),
      ($groups | map(.times) | transpose | map(add) | ["all of a run", (median | milliseconds), (min | milliseconds)])]
   | table(["group of calls", "median, ms", "fastest, ms"]))
| .[]
