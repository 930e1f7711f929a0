//! The part of the manual that no option tells.

/// What the manual has besides: headings, words with what they mean, and examples, by their indentation.
pub(super) const MANUAL: &str = "\
TARGETS
  NAME       a container: its name, POD/NAME, NAMESPACE/POD/NAME, id, or a beginning that only one has
  NAME:PID   the process that the container calls so
  POD        a pod, also NAMESPACE/POD; a Kubernetes namespace
  PID        a process
  TYPE:[INODE], INODE
             a namespace, as readlink(1) of /proc/PID/ns/TYPE shows it
  PATH       a namespace that is bound there, a folder in /proc, or a container's bundle
  NETNS      a network namespace that ip-netns(8) has in /run/netns

COLUMNS
  The overview has a line a container. --sort, --filter and --output take these names, in capitals or
  not. MNT, CGROUP, TIME, POD and ID are shown where --output asks for them.

  CONTAINER  POD/NAME, the name, or the id
  ENGINE     docker, containerd, podman, cri-o, lxc, machine (systemd-machined), systemd (a unit
             with namespaces of its own), nskit and runtime (containers of this and of other
             runtimes that no engine is known to have started)
  STATE      creating, created (a process waits in it to be started), running or paused; with --all
             also stopped, and those that their engine has only created
  PID        the first process, as /proc numbers it
  PROCS      how many processes are in it
  MEMORY     what its cgroup is charged with, bytes, less files that can be dropped; the resident
             memory of its processes where it has no cgroup that tells
  AGE        how long the first process has been running, seconds
  MNT UTS IPC NET PID-NS USER CGROUP TIME
             whose namespace it is in: own, host, =NAME of another container, =pod of its own, or ?
             where that cannot be known
  UNUSUAL    what it is not kept from, which containers usually are: the host's namespace (host net,
             host pid, host ipc, host mnt; host user where others of the engine have their own), no
             seccomp filter, all capabilities, the host's root or an engine's socket mounted in it
  COMMAND    of the first process, or what it will execute
  IMAGE      what it was made from, where the engine tells
  POD ID     the pod, the whole id

  Below, other namespaces have a line for each program that has some, with KEPT BY, the process with
  the lowest pid or what else keeps them alive; --all has a line for each process. These are neither
  sorted nor filtered, and with --filter not shown.

  The host's namespaces are those that the kernel started with, which process 1 of a container is
  not in. On a terminal columns shrink to its width, or are left out by name; elsewhere nothing is
  cut.

NOT LOOKED AT
  What the caller may not look at is told on standard error. What a kernel shows nobody is in JSON's
  gaps only: before Linux 6.19, namespaces that only a descriptor in flight, a key or a file's
  credentials hold; before 6.12, mount namespaces that no process is in.

FILES
  /usr/local/share/nskit/ns-inspect.schema.json
             the schema of --json and watch --json, as make install installs it; its version changes
             when a member goes or means something else

FILTERS
  Comparisons == != < <= > >= (eq ne lt le gt ge), and =~ !~ with an extended regular expression, of
  columns and of numbers, strings in quotes and true or false; joined by and, or, not (&& || !) and
  parentheses. and and or bind equally, to the left.

  A number can have a unit: K, M, G, T, P, E, with or without iB, are powers of 1024, as in MEMORY >
  1.5M; s, m, h, day, week and the like are times, as in AGE > 1h30m. A missing value equals
  nothing.

KEYS OF WATCH
  Up Down PgUp PgDn Home End   move; k j b Space g G do too
  Enter       open the container: namespaces, processes, mounts, network, explain (Tab, 1 to 5)
  Esc q       back; q in the list quits, Ctrl-C anywhere
  /           filter: an expression as above, or a part of a container's name; c shows all
  s S r       sort by the next column or the one before, reverse the order
  o e ?       other namespaces, all events, all keys
  Ctrl-L      look now and draw anew
  Ctrl-Z      suspend

  Without a terminal, with --count and with --json watch prints a line for each event instead.

EXIT STATUS
  0  it was shown
  1  it could not be: there is no such target, or it may not be looked at
  2  the command line is not valid

EXAMPLES
  ns-inspect --filter 'NET == \"host\" and MEMORY > 100M' --sort -MEMORY
             containers on the host's network, the largest first
  ns-inspect 8051
             which container process 8051 is in, its pid and its user there
  ns-inspect -J --filter 'UNUSUAL =~ \"docker.sock\"'
             containers that can give Docker orders, as JSON
  ns-inspect -n -o container,memory --sort -memory
             two columns without headings
  ns-inspect web
             one container: what it shares with whom, and the nsenter line that enters it
  ns-inspect explain web
             which namespaces the caller may enter, and exactly why not the others
  ns-inspect mnt --holds /mnt/usb
             which mount namespaces keep a file system busy
  ns-inspect pid 7 --in web
             what the host calls process 7 of a container
  ns-inspect graph >namespaces.svg
             a picture";
