# bash completion for nskit and its applets; written by `nskit generate`

_nskit() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} place= index=1 options= verbs=
    COMPREPLY=()
    case ${COMP_WORDS[0]##*/} in
        unshare) place=unshare ;;
        nsenter) place=nsenter ;;
        ns-inspect) place=ns-inspect ;;
        lsns) place=lsns ;;
        nskit-runtime) place=runtime ;;
    esac
    while ((index < COMP_CWORD)); do
        case "${place:+$place }${COMP_WORDS[index]}" in
            "unshare" | "nsenter" | "ns-inspect" | "ns-inspect list" | "ns-inspect show" | "ns-inspect tree" | "ns-inspect diff" | "ns-inspect net" | "ns-inspect mnt" | "ns-inspect pid" | "ns-inspect explain" | "ns-inspect enter" | "ns-inspect watch" | "ns-inspect graph" | "lsns" | "runtime" | "runtime create" | "runtime delete" | "runtime events" | "runtime exec" | "runtime features" | "runtime kill" | "runtime list" | "runtime pause" | "runtime ps" | "runtime resume" | "runtime run" | "runtime spec" | "runtime start" | "runtime state" | "runtime update") place="${place:+$place }${COMP_WORDS[index]}" ;;
        esac
        ((index++))
    done
    case $place in
        '') verbs='unshare nsenter ns-inspect lsns runtime install'; options='--help --version --list' ;;
        'unshare') verbs=''; options='--help --version --mount --mount= --uts --uts= --ipc --ipc= --net --net= --pid --pid= --user --user= --cgroup --cgroup= --time --time= --fork --kill-child --kill-child= --forward-signals --mount-proc --mount-proc= --mount-binfmt --mount-binfmt= --map-user --map-users --map-group --map-groups --map-root-user --map-current-user --map-auto --map-subids --owner --propagation --setgroups --keep-caps --setuid --setgid --root --wd --monotonic --boottime --load-interp --clear-env --whitelist-env --verbose --cap-drop --no-new-privs --rlimit --seccomp' ;;
        'nsenter') verbs=''; options='--all --help --version --target --mount --mount= --uts --uts= --ipc --ipc= --net --net= --net-socket --pid --pid= --user --user= --cgroup --cgroup= --time --time= --setuid --setgid --root --root= --wd --wd= --wdns --env --no-fork --join-cgroup --preserve-credentials --keep-caps --user-parent --follow-context --pid-for-children --tools --tools= --verbose --cap-drop --no-new-privs --rlimit --seccomp' ;;
        'ns-inspect') verbs='list show tree diff net mnt pid explain enter watch graph'; options='--color --json --sort --filter --task --help --version' ;;
        'ns-inspect list') verbs=''; options='' ;;
        'ns-inspect show') verbs=''; options='--color --json --help' ;;
        'ns-inspect tree') verbs=''; options='--color --json --help' ;;
        'ns-inspect diff') verbs=''; options='--color --json --help' ;;
        'ns-inspect net') verbs=''; options='--color --json --help' ;;
        'ns-inspect mnt') verbs=''; options='--holds --color --json --help' ;;
        'ns-inspect pid') verbs=''; options='--in --color --json --help' ;;
        'ns-inspect explain') verbs=''; options='--as --color --json --help' ;;
        'ns-inspect enter') verbs=''; options='--help' ;;
        'ns-inspect watch') verbs=''; options='--every --count --color --sort --filter --help' ;;
        'ns-inspect graph') verbs=''; options='--format --help' ;;
        'lsns') verbs=''; options='--json --list --noheadings --output --output-all --persistent --task --filter --raw --pairs --sources --notruncate --nowrap --type --tree --tree= --list-columns --help --version' ;;
        'runtime') verbs='create delete events exec features kill list pause ps resume run spec start state update'; options='--version --debug --log --log-format --root --systemd-cgroup --cgroup-manager --rootless --help' ;;
        'runtime create') verbs=''; options='--bundle --console-socket --pidfd-socket --pid-file --no-pivot --no-new-keyring --preserve-fds --help' ;;
        'runtime delete') verbs=''; options='--force --help' ;;
        'runtime events') verbs=''; options='--interval --stats --help' ;;
        'runtime exec') verbs=''; options='--console-socket --pidfd-socket --cwd --env --tty --user --additional-gids --process --detach --pid-file --process-label --apparmor --no-new-privs --cap --preserve-fds --cgroup --ignore-paused --help' ;;
        'runtime features') verbs=''; options='--help' ;;
        'runtime kill') verbs=''; options='--help' ;;
        'runtime list') verbs=''; options='--format --quiet --help' ;;
        'runtime pause') verbs=''; options='--help' ;;
        'runtime ps') verbs=''; options='--format --help' ;;
        'runtime resume') verbs=''; options='--help' ;;
        'runtime run') verbs=''; options='--bundle --console-socket --pidfd-socket --pid-file --no-pivot --no-new-keyring --preserve-fds --detach --keep --no-subreaper --help' ;;
        'runtime spec') verbs=''; options='--bundle --rootless --host --help' ;;
        'runtime start') verbs=''; options='--help' ;;
        'runtime state') verbs=''; options='--help' ;;
        'runtime update') verbs=''; options='--resources --blkio-weight --cpu-period --cpu-quota --cpu-burst --cpu-share --cpu-idle --cpu-rt-period --cpu-rt-runtime --cpuset-cpus --cpuset-mems --memory --memory-reservation --memory-swap --pids-limit --l3-cache-schema --mem-bw-schema --help' ;;
    esac
    if [[ $place == nsenter && ( $before == -t || $before == --target ) ]]; then
        COMPREPLY=($(compgen -W "$(nskit complete 2>/dev/null)" -- "$word"))
    elif [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$word"))
        [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
    elif [[ -n $verbs ]]; then
        COMPREPLY=($(compgen -W "$verbs" -- "$word"))
    elif [[ $place == nsenter ]]; then
        COMPREPLY=($(compgen -W "$(nskit complete 2>/dev/null | grep -v '^[0-9]*$')" -- "$word") $(compgen -c -- "$word"))
    elif [[ $place == unshare ]]; then
        COMPREPLY=($(compgen -c -- "$word"))
    fi
}

complete -o default -F _nskit nskit unshare nsenter ns-inspect lsns nskit-runtime
