#!/usr/bin/env python3
"""CPU time and memory of `lsns` by nskit beside util-linux's, with thousands of processes and namespaces.

    benches/ns_inspect.py NSKIT [LSNS...] [--processes N,N,...] [--containers N] [--output FILE] [--json FILE]

Run as root. NSKIT is the binary; LSNS are others to measure beside it (the system's unless given). Sleeping
processes share the caller's namespaces; "containers" are processes with six namespaces of their own each.
Everything started here ends with the run.
"""

import argparse
import ctypes
import json
import os
import signal
import statistics
import subprocess
import sys
import time

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWNET, CLONE_NEWCGROUP, CLONE_NEWUSER = 0x40000000, 0x2000000, 0x10000000
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


class Sleepers:
    """Processes that sleep until the end of the `with`."""

    def __init__(self, count, namespaces=0):
        self.count, self.namespaces, self.pids = count, namespaces, []

    def __enter__(self):
        null = os.open("/dev/null", os.O_RDWR)
        for _ in range(self.count):
            pid = os.fork()
            if pid == 0:
                # However this program ends.
                libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                for fd in range(3):
                    os.dup2(null, fd)
                os.closerange(3, 1024)
                if self.namespaces and libc.unshare(self.namespaces) != 0:
                    os._exit(1)
                if self.namespaces:
                    signal.pause()
                os.execv("/bin/sleep", ["sleep", "100000"])
            self.pids.append(pid)
        os.close(null)
        # Until the last has done what it does before it sleeps.
        time.sleep(2 + self.count / 2000)
        return self

    def __exit__(self, *_):
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
        for pid in self.pids:
            os.waitpid(pid, 0)


def run(command):
    """CPU seconds, wall seconds and the largest resident set in MiB of one run."""
    start = time.monotonic()
    # Not a fork of this interpreter, whose size would be taken for the command's.
    actions = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(command)} ended with status {status}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - start, usage.ru_maxrss / 1024


def measure(commands, runs):
    """Each command `runs` times, in turns, so that what else the machine does falls on all alike."""
    rounds = [[run(command) for command in commands] for _ in range(runs)]
    results = []
    for samples in zip(*rounds):
        cpu, wall, memory = zip(*samples)
        results.append({"cpu": statistics.median(cpu), "least": min(cpu), "wall": statistics.median(wall), "memory": max(memory)})
    return results


def version(lsns):
    return "lsns " + subprocess.run([lsns, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("nskit")
    parser.add_argument("lsns", nargs="*", default=["/usr/bin/lsns"])
    parser.add_argument("--processes", default="2000,8000")
    parser.add_argument("--containers", type=int, default=10000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--output", help="the table, as Markdown")
    parser.add_argument("--json", help="the same, for report.jq")
    arguments = parser.parse_args()
    nskit = os.path.abspath(arguments.nskit)
    rows = []
    lines = [
        "| processes | command | CPU s, median | least | wall ms | MiB | ratio to the last lsns |",
        "|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines))

    def row(processes, name, result, peer=None):
        ratio = result["cpu"] / peer["cpu"] if peer else None
        rows.append({"processes": processes, "command": name, "ratio": ratio, **result})
        cells = [processes, f"`{name}`", f"{result['cpu']:.4f}", f"{result['least']:.4f}", f"{result['wall'] * 1000:.1f}"]
        cells += [f"{result['memory']:.1f}", f"{ratio:.3f}" if ratio else ""]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
        print(lines[-1], flush=True)

    def rows_of(processes, commands, runs, peers=()):
        results = measure([[path] for path in peers] + [[nskit, *words.split()] for words in commands], runs)
        for path, result in zip(peers, results):
            row(processes, version(path), result)
        last = results[len(peers) - 1] if peers else None
        for words, result in zip(commands, results[len(peers) :]):
            row(processes, "nskit " + words, result, last)

    for count in map(int, arguments.processes.split(",")):
        with Sleepers(count) as sleepers:
            rows_of(count, ["lsns", "lsns --sources=processes"], arguments.runs, arguments.lsns)
            pid = sleepers.pids[0]
            rows_of(count, [f"ns-inspect -p {pid}", f"lsns -p {pid} -o NS,TYPE"], 20)
    if arguments.containers:
        kinds = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP | CLONE_NEWUSER
        with Sleepers(arguments.containers, kinds):
            what = f"{arguments.containers} with 6 namespaces each"
            rows_of(what, ["lsns", "lsns -T", "ns-inspect --json"], 1)
    for path, text in [(arguments.output, "\n".join(lines) + "\n"), (arguments.json, json.dumps(rows))]:
        if path:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)


if __name__ == "__main__":
    main()
