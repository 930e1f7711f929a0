# What every case can use. The harness sets TOOLS (a folder with unshare and nsenter), UNSHARE (the system's own),
# PROGRAMS (the folder beside this file), HOST (the host's namespaces) and PAUSES (see pause there), and runs this in a
# mount namespace of its own, in an empty folder on a tmpfs.
PATH=$TOOLS:$PROGRAMS:/usr/sbin:/usr/bin:/sbin:/bin
SHELL=/bin/sh
LC_ALL=C
export PATH SHELL LC_ALL HOST

# A process in new namespaces, which are unshare's options; its pid is in T.
target() {
    case $1 in *p*) proc=--mount-proc ;; *) proc= ;; esac
    "$UNSHARE" "$@" --fork --kill-child $proc sleep 30 </dev/null >/dev/null 2>target-says &
    parent=$!
    T=
    while [ -z "$T" ]; do
        T=$(pgrep -P $parent -x sleep)
        kill -0 $parent || { cat target-says; exit 99; }
    done
    trap 'kill $parent 2>/dev/null' EXIT
}

# A program as a user without privilege.
as_user() { setpriv --reuid 12345 --regid 12345 --clear-groups "$@"; }

# Files of subordinate ids with these lines.
subids() {
    printf "$1" >subuid
    printf "${2-$1}" >subgid
    mount --bind subuid /etc/subuid
    mount --bind subgid /etc/subgid
}

# Whether a process runs: one that is dead may not have been waited for yet.
state() {
    case $(cut -d' ' -f3 "/proc/$1/stat" 2>/dev/null) in '' | Z | X) echo dead ;; *) echo alive ;; esac
}
