#!/usr/bin/env python3
"""CPU time and memory of `lsns` by nskit beside util-linux's, with thousands of processes and namespaces.

    benches/ns_inspect.py NSKIT [LSNS...] [--processes N,N,...] [--containers N] [--output FILE]

Run as root. NSKIT is the binary; LSNS are others to measure beside it (the system's unless given). Sleeping
processes share the caller's namespaces; "containers" are processes with six namespaces of their own each.
Everything started here ends with the run.
"""

import argparse
import ctypes
import os
import signal
import statistics
import subprocess
import sys
import time

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWNET, CLONE_NEWCGROUP, CLONE_NEWUSER = 0x40000000, 0x2000000, 0x10000000
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


def measure(command, runs):
    """Median and least CPU seconds, wall milliseconds, and the largest resident set in MiB."""
    cpu, wall, memory = [], [], 0
    for _ in range(runs):
        start = time.monotonic()
        # Not a fork of this interpreter, whose size would be taken for the command's.
        actions = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
        pid = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        if status != 0:
            sys.exit(f"{' '.join(command)} ended with status {status}")
        wall.append((time.monotonic() - start) * 1000)
        cpu.append(usage.ru_utime + usage.ru_stime)
        memory = max(memory, usage.ru_maxrss / 1024)
    return statistics.median(cpu), min(cpu), statistics.median(wall), memory


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("nskit")
    parser.add_argument("lsns", nargs="*", default=["/usr/bin/lsns"])
    parser.add_argument("--processes", default="2000,8000")
    parser.add_argument("--containers", type=int, default=10000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--output")
    arguments = parser.parse_args()
    lines = ["| processes | command | CPU s, median | least | wall ms | MiB | ratio to the last lsns |", "|---|---|---|---|---|---|---|"]

    def row(what, name, result, peer=None):
        cpu, least, wall, memory = result
        ratio = f"{cpu / peer[0]:.3f}" if peer else ""
        lines.append(f"| {what} | `{name}` | {cpu:.4f} | {least:.4f} | {wall:.1f} | {memory:.1f} | {ratio} |")
        print(lines[-1], flush=True)

    def ours(*words):
        return [os.path.abspath(arguments.nskit), *words]

    print("\n".join(lines))
    for count in map(int, arguments.processes.split(",")):
        with Sleepers(count) as sleepers:
            peers = [(path, measure([path], max(2, arguments.runs // 2))) for path in arguments.lsns]
            for path, result in peers:
                version = subprocess.run([path, "--version"], capture_output=True, text=True).stdout.split()[-1]
                row(count, f"lsns {version}", result)
            row(count, "nskit lsns", measure(ours("lsns"), arguments.runs), peers[-1][1])
            words = ["lsns", "--sources=processes"]
            row(count, "nskit " + " ".join(words), measure(ours(*words), arguments.runs), peers[-1][1])
            pid = str(sleepers.pids[0])
            row(count, "nskit ns-inspect -p PID", measure(ours("ns-inspect", "-p", pid), 20))
            row(count, "nskit lsns -p PID -o NS,TYPE", measure(ours("lsns", "-p", pid, "-o", "NS,TYPE"), 20))
    if arguments.containers:
        kinds = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP | CLONE_NEWUSER
        with Sleepers(arguments.containers, kinds):
            what = f"{arguments.containers} with 6 namespaces each"
            for words in (["lsns"], ["lsns", "-T"], ["ns-inspect", "--json"]):
                row(what, "nskit " + " ".join(words), measure(ours(*words), 1))
    if arguments.output:
        with open(arguments.output, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
