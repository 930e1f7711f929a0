//! What the manual says beside the options.

/// The section DESCRIPTION.
pub(super) const DESCRIPTION: &str = "\
Runs PROGRAM in new namespaces of the kinds that options name, and in the caller's own for the rest; see namespaces(7).

All kinds but the user namespace need CAP_SYS_ADMIN. With --user, or an option that implies it, they are made in a new user \
namespace, in which the caller has that: unshare -r is for everybody.

A namespace ends with its last process, unless it is bound to a file: --uts=FILE mounts it on FILE, which must be there, \
nsenter --uts=FILE enters it, and umount FILE ends it. FILE for a mount namespace must not be on a shared mount.

A new pid namespace is for children. With --fork PROGRAM is the first of them, its process 1; when that ends, the kernel \
kills all others in it. --mount-proc makes /proc show it.

IN:OUT:COUNT maps COUNT ids from IN on to those from OUT on in the caller's namespace. An ordinary user may map their own id \
(-r, -c, --map-user), and through newuidmap(1) and newgidmap(1) those that /etc/subuid and /etc/subgid grant (auto, subids). \
all maps every id to itself. Where the group map was written without privilege, groups cannot be dropped: -G fails then.

--cap-drop, --rlimit, --no-new-privs and --seccomp are for PROGRAM alone. --seccomp FILE takes a profile as \
container engines have it, or a runtime configuration with one; without --no-new-privs it needs CAP_SYS_ADMIN.";

/// The sections behind the options.
pub(super) const SECTIONS: &str = "\
EXAMPLES
  unshare -r id
             be root in a user namespace, as an ordinary user
  unshare -rpf --mount-proc ps aux
             see one's own processes alone
  unshare -cn --cap-drop all --no-new-privs PROGRAM
             run a program without the network, and without a way to any privilege
  unshare --map-auto --map-root-user --mount --root=DIR /bin/sh
             change the root directory with all the ids that /etc/subuid grants
  touch /run/uts && unshare --uts=/run/uts hostname web
             keep a namespace without a process; nsenter --uts=/run/uts hostname enters it later
  unshare -pf --kill-child=TERM PROGRAM
             have a program end when unshare is killed
  unshare -v -rmpf --mount-proc true
             see each step, and why the one that fails does";
