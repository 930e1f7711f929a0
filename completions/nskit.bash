# bash completion for nskit and its applets; written by `nskit generate`

_nskit() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} place= index=1
    local options= taking= values= verbs=
    COMPREPLY=()
    # Readline takes = for a word: --option=value is three.
    [[ $before == = ]] && ((COMP_CWORD > 1)) && before=${COMP_WORDS[COMP_CWORD-2]}
    [[ $word == = ]] && word=
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
        'unshare')
            verbs=''
            options='--help --version --mount --mount= --uts --uts= --ipc --ipc= --net --net= --pid --pid= --user --user= --cgroup --cgroup= --time --time= --fork --kill-child --kill-child= --forward-signals --mount-proc --mount-proc= --mount-binfmt --mount-binfmt= --map-user --map-users --map-group --map-groups --map-root-user --map-current-user --map-auto --map-subids --owner --propagation --setgroups --keep-caps --setuid --setgid --root --wd --monotonic --boottime --load-interp --clear-env --whitelist-env --verbose --cap-drop --no-new-privs --rlimit --seccomp'
            taking='--map-user --map-users --map-group --map-groups --owner --propagation --setgroups --setuid -S --setgid -G --root -R --wd -w --monotonic --boottime --load-interp -l --whitelist-env --cap-drop --rlimit --seccomp' ;;
        'nsenter')
            verbs=''
            options='--all --help --version --target --mount --mount= --uts --uts= --ipc --ipc= --net --net= --net-socket --pid --pid= --user --user= --cgroup --cgroup= --time --time= --setuid --setgid --root --root= --wd --wd= --wdns --env --no-fork --join-cgroup --preserve-credentials --keep-caps --user-parent --follow-context --pid-for-children --tools --tools= --verbose --cap-drop --no-new-privs --rlimit --seccomp'
            taking='--target -t --net-socket -N --setuid -S --setgid -G --wdns -W --cap-drop --rlimit --seccomp' ;;
        'ns-inspect')
            verbs='list show tree diff net mnt pid explain enter watch graph'
            options='--color --json --sort --filter --task --help --version'
            taking='--color --sort --filter -Q --task -p' ;;
        'ns-inspect list')
            verbs=''
            options=''
            taking='' ;;
        'ns-inspect show')
            verbs=''
            options='--color --json --help'
            taking='--color' ;;
        'ns-inspect tree')
            verbs=''
            options='--color --json --help'
            taking='--color' ;;
        'ns-inspect diff')
            verbs=''
            options='--color --json --help'
            taking='--color' ;;
        'ns-inspect net')
            verbs=''
            options='--color --json --help'
            taking='--color' ;;
        'ns-inspect mnt')
            verbs=''
            options='--holds --color --json --help'
            taking='--holds --color' ;;
        'ns-inspect pid')
            verbs=''
            options='--in --color --json --help'
            taking='--in --color' ;;
        'ns-inspect explain')
            verbs=''
            options='--as --color --json --help'
            taking='--as --color' ;;
        'ns-inspect enter')
            verbs=''
            options='--help'
            taking='' ;;
        'ns-inspect watch')
            verbs=''
            options='--every --count --color --sort --filter --help'
            taking='--every --count --color --sort --filter -Q' ;;
        'ns-inspect graph')
            verbs=''
            options='--format --help'
            taking='--format' ;;
        'lsns')
            verbs=''
            options='--json --list --notruncate --noheadings --output --output-all --persistent --task --filter --raw --pairs --sources --nowrap --type --tree --tree= --list-columns --help --version'
            taking='--output -o --task -p --filter -Q --sources --type -t' ;;
        'runtime')
            verbs='create delete events exec features kill list pause ps resume run spec start state update'
            options='--version --debug --log --log-format --root --systemd-cgroup --cgroup-manager --rootless --help'
            taking='--log --log-format --root --cgroup-manager --rootless' ;;
        'runtime create')
            verbs=''
            options='--bundle --console-socket --pidfd-socket --pid-file --no-pivot --no-new-keyring --preserve-fds --help'
            taking='--bundle -b --console-socket --pidfd-socket --pid-file --preserve-fds' ;;
        'runtime delete')
            verbs=''
            options='--force --help'
            taking='' ;;
        'runtime events')
            verbs=''
            options='--interval --stats --help'
            taking='--interval' ;;
        'runtime exec')
            verbs=''
            options='--console-socket --pidfd-socket --cwd --env --tty --user --additional-gids --process --detach --pid-file --process-label --apparmor --no-new-privs --cap --preserve-fds --cgroup --ignore-paused --help'
            taking='--console-socket --pidfd-socket --cwd --env -e --user -u --additional-gids -g --process -p --pid-file --process-label --apparmor --cap -c --preserve-fds --cgroup' ;;
        'runtime features')
            verbs=''
            options='--help'
            taking='' ;;
        'runtime kill')
            verbs=''
            options='--help'
            taking='' ;;
        'runtime list')
            verbs=''
            options='--format --quiet --help'
            taking='--format -f' ;;
        'runtime pause')
            verbs=''
            options='--help'
            taking='' ;;
        'runtime ps')
            verbs=''
            options='--format --help'
            taking='--format -f' ;;
        'runtime resume')
            verbs=''
            options='--help'
            taking='' ;;
        'runtime run')
            verbs=''
            options='--bundle --console-socket --pidfd-socket --pid-file --no-pivot --no-new-keyring --preserve-fds --detach --keep --no-subreaper --help'
            taking='--bundle -b --console-socket --pidfd-socket --pid-file --preserve-fds' ;;
        'runtime spec')
            verbs=''
            options='--bundle --rootless --host --help'
            taking='--bundle -b' ;;
        'runtime start')
            verbs=''
            options='--help'
            taking='' ;;
        'runtime state')
            verbs=''
            options='--help'
            taking='' ;;
        'runtime update')
            verbs=''
            options='--resources --blkio-weight --cpu-period --cpu-quota --cpu-burst --cpu-share --cpu-idle --cpu-rt-period --cpu-rt-runtime --cpuset-cpus --cpuset-mems --memory --memory-reservation --memory-swap --pids-limit --l3-cache-schema --mem-bw-schema --help'
            taking='--resources -r --blkio-weight --cpu-period --cpu-quota --cpu-burst --cpu-share --cpu-idle --cpu-rt-period --cpu-rt-runtime --cpuset-cpus --cpuset-mems --memory --memory-reservation --memory-swap --pids-limit --l3-cache-schema --mem-bw-schema' ;;
    esac
    case "$place $before" in
        'unshare --propagation') values='private shared slave unchanged' ;;
        'unshare --setgroups') values='allow deny' ;;
        'nsenter --setuid' | 'nsenter -S') values='follow' ;;
        'nsenter --setgid' | 'nsenter -G') values='follow' ;;
        'ns-inspect --color') values='auto always never' ;;
        'ns-inspect show --color') values='auto always never' ;;
        'ns-inspect tree --color') values='auto always never' ;;
        'ns-inspect diff --color') values='auto always never' ;;
        'ns-inspect net --color') values='auto always never' ;;
        'ns-inspect mnt --color') values='auto always never' ;;
        'ns-inspect pid --color') values='auto always never' ;;
        'ns-inspect explain --color') values='auto always never' ;;
        'ns-inspect watch --color') values='auto always never' ;;
        'ns-inspect graph --format') values='svg dot mermaid' ;;
        'runtime --log-format') values='text json' ;;
        'runtime --cgroup-manager') values='cgroupfs systemd disabled' ;;
        'runtime --rootless') values='true false auto' ;;
        'runtime list --format' | 'runtime list -f') values='table json' ;;
        'runtime ps --format' | 'runtime ps -f') values='table json' ;;
    esac
    if [[ $place == unshare || $place == nsenter ]]; then
        local start=1
        [[ ${COMP_WORDS[0]##*/} == nskit ]] && start=2
        for ((; start < COMP_CWORD; start++)); do
            case ${COMP_WORDS[start]} in
                --) ((start++)); break ;;
                =) ((start++)) ;;
                --*) [[ " $taking " == *" ${COMP_WORDS[start]} "* && ${COMP_WORDS[start+1]} != = ]] && ((start++)) ;;
                -*) [[ " $taking " == *" -${COMP_WORDS[start]: -1} "* ]] && ((start++)) ;;
                *) break ;;
            esac
        done
        if [[ $place == nsenter && start -lt COMP_CWORD ]] && nskit complete 2>/dev/null | grep -v '^[0-9]*$' | grep -Fxqe "${COMP_WORDS[start]}"; then
            ((start++))
            place=container
        fi
        if ((start < COMP_CWORD)); then
            declare -F _command_offset >/dev/null && _command_offset $start
            return
        fi
    fi
    if [[ $place == nsenter && ( $before == -t || $before == --target ) ]]; then
        COMPREPLY=($(compgen -W "$(nskit complete 2>/dev/null)" -- "$word"))
    elif [[ " $taking " == *" $before "* ]]; then
        COMPREPLY=($(compgen -W "$values" -- "$word"))
    elif [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$word"))
        [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
    elif [[ $place == nsenter ]]; then
        COMPREPLY=($(compgen -W "$(nskit complete 2>/dev/null | grep -v '^[0-9]*$')" -- "$word") $(compgen -c -- "$word"))
    elif [[ $place == unshare || $place == container ]]; then
        COMPREPLY=($(compgen -c -- "$word"))
    elif [[ $place == ns-inspect* ]]; then
        COMPREPLY=($(compgen -W "$verbs $(nskit complete 2>/dev/null | grep -v '^[0-9]*$')" -- "$word"))
    elif [[ -n $verbs ]]; then
        COMPREPLY=($(compgen -W "$verbs" -- "$word"))
    fi
}

complete -o default -F _nskit nskit unshare nsenter ns-inspect lsns nskit-runtime
