//! What the manual says beside the options.

/// The section DESCRIPTION.
pub(super) const DESCRIPTION: &str = "\
Runs PROGRAM in namespaces of another process, of a container, or of files; see namespaces(7).

Of a process: --target PID says which, and options without an argument which of its namespaces: nsenter -t PID -n -m; all of \
them with -a. PID:INODE is a process whose pidfd has this inode, so that no later process with the same number is meant.

Of a container: nsenter CONTAINER PROGRAM, and --target CONTAINER. CONTAINER is an id, the beginning of one that no other has, \
a name, POD/NAME or NAMESPACE/POD/NAME, of Docker, containerd, Podman, cri-o, LXC, or an OCI runtime; ns-inspect lists them. Digits alone are a process, never a container. \
All namespaces of its first process are entered but those that the caller is in, unless options name some. It is entered as \
root where its user namespace has one, without the caller's groups where they can be dropped. Options come before CONTAINER. \
Whoever started a container without privilege can enter it so.

Of a file: --net=FILE enters the namespace that is mounted on FILE, or that the link FILE in a /proc/PID/ns leads to. \
--net=:ID enters the namespace with this 64-bit id, which the ioctl NS_GET_ID of ioctl_nsfs(2) tells; it need not have a \
process (Linux 6.19).

A user namespace is entered as its root: user 0, group 0, no other groups, unless --preserve-credentials leaves them as they \
are or -S and -G say other ids. -S follow and -G follow are the target's own ids.

--root, --wd and --env without an argument are the target's. --wd=DIR is the caller's DIR, --wdns=DIR that inside.

For a pid namespace there is a fork, since it is entered by children: nsenter waits for PROGRAM, passes on the signals TERM, \
HUP and INT, and stops when it stops.

--tools runs PROGRAM from this binary, which needs nothing inside: nsenter --tools CONTAINER lsns. --tools=FILE runs the \
static program FILE of the caller; the words that follow are its arguments, from argv[0] on.";

/// The sections behind the options.
pub(super) const SECTIONS: &str = "\
EXAMPLES
  nsenter web
             a shell in a container
  nsenter web ls /
             one program in it
  nsenter -n web ip addr
             what a container's network looks like, with the caller's programs
  nsenter -t PID -a -r -w -e PROGRAM
             all namespaces of a process, with its root, directory and environment
  nsenter -t PID -a -S follow -G follow PROGRAM
             as the user that the process is
  nsenter --tools web lsns
             in a container that has no programs
  nsenter --tools=/bin/busybox web sh
             in such a container, with a static program of the caller
  nsenter --net=/run/netns/NAME PROGRAM
             a namespace that ip-netns(8) made
  ns-inspect explain PID
             why a namespace cannot be entered";
