# bash completion for nskit and its applets; written by `nskit generate`

# Completes the word $1 to what $2 says: a source, or = or , and the words of which one or some are meant.
_nskit_values() {
    local word=$1 before= words= root=()
    case $2 in
        targets)
            [[ $word == [0-9]* ]] || words=$(nskit complete 2>/dev/null | grep -v '^[0-9]*$')
            [[ -n $words ]] || words=$(nskit complete 2>/dev/null) ;;
        processes) words=$(nskit complete 2>/dev/null | grep '^[0-9]*$') ;;
        containers)
            for ((index = 1; index < COMP_CWORD; index++)); do
                [[ ${COMP_WORDS[index]} == --root ]] || continue
                [[ ${COMP_WORDS[index+1]} == = ]] && ((index++))
                root=(--root "${COMP_WORDS[index+1]}")
            done
            words=$(nskit runtime "${root[@]}" list -q 2>/dev/null | grep -x '[A-Za-z0-9_.+-]*') ;;
        ,*) before=${word%"${word##*[,+]}"} word=${word##*[,+]} words=${2//,/ } ;;
        =*) words=${2#=} words=${words//,/ } ;;
    esac
    COMPREPLY=($(compgen -P "$before" -W "$words" -- "$word"))
    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
}

_nskit() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} attached= place= behind=1 start=0 nth=0 index
    local tools= options= taking= values=any verbs= operands=
    COMPREPLY=()
    # Readline takes = for a word: --option=value is three.
    if [[ $word == = ]]; then
        word= attached=yes
    elif [[ $before == = ]] && ((COMP_CWORD > 1)); then
        before=${COMP_WORDS[COMP_CWORD-2]} attached=yes
    fi
    case ${COMP_WORDS[0]##*/} in
        unshare) place=unshare ;;
        nsenter) place=nsenter ;;
        ns-inspect) place=ns-inspect ;;
        lsns) place=lsns ;;
        nskit-runtime) place=runtime ;;
        runc) place=runtime ;;
        containerd-shim-nskit-v2) place=shim ;;
    esac
    for ((index = 1; index < COMP_CWORD; index++)); do
        case "${place:+$place }${COMP_WORDS[index]}" in
            "unshare" | "nsenter" | "ns-inspect" | "ns-inspect list" | "ns-inspect show" | "ns-inspect tree" | "ns-inspect diff" | "ns-inspect net" | "ns-inspect mnt" | "ns-inspect pid" | "ns-inspect explain" | "ns-inspect enter" | "ns-inspect watch" | "ns-inspect graph" | "ns-inspect report" | "lsns" | "runtime" | "runtime checkpoint" | "runtime create" | "runtime delete" | "runtime events" | "runtime exec" | "runtime features" | "runtime kill" | "runtime list" | "runtime pause" | "runtime ps" | "runtime restore" | "runtime resume" | "runtime run" | "runtime spec" | "runtime start" | "runtime state" | "runtime update" | "shim" | "install") place="${place:+$place }${COMP_WORDS[index]}" behind=$((index + 1)) ;;
            runc) place=runtime behind=$((index + 1)) ;;
        esac
    done
    [[ $place == 'ns-inspect list' ]] && place=lsns
    case $place in
        '') verbs='unshare nsenter ns-inspect lsns runtime shim install'; options='--help --version --list' ;;
        'unshare')
            verbs=''
            options='--help --version --mount --mount= --uts --uts= --ipc --ipc= --net --net= --pid --pid= --user --user= --cgroup --cgroup= --time --time= --fork --kill-child --kill-child= --forward-signals --mount-proc --mount-proc= --mount-binfmt --mount-binfmt= --map-user --map-users --map-group --map-groups --map-root-user --map-current-user --map-auto --map-subids --owner --propagation --setgroups --keep-caps --setuid --setgid --root --wd --monotonic --boottime --load-interp --clear-env --whitelist-env --verbose --cap-drop --no-new-privs --rlimit --seccomp'
            taking='--map-user --map-users --map-group --map-groups --owner --propagation --setgroups --setuid -S --setgid -G --root -R --wd -w --monotonic --boottime --load-interp -l --whitelist-env --cap-drop --rlimit --seccomp'
            operands='' ;;
        'nsenter')
            verbs=''
            options='--all --help --version --target --mount --mount= --uts --uts= --ipc --ipc= --net --net= --net-socket --pid --pid= --user --user= --cgroup --cgroup= --time --time= --setuid --setgid --root --root= --wd --wd= --wdns --env --no-fork --join-cgroup --preserve-credentials --keep-caps --user-parent --follow-context --pid-for-children --tools --tools= --verbose --cap-drop --no-new-privs --rlimit --seccomp'
            taking='--target -t --net-socket -N --setuid -S --setgid -G --wdns -W --cap-drop --rlimit --seccomp'
            operands='' ;;
        'ns-inspect')
            verbs='list show tree diff net mnt pid explain enter watch graph report'
            options='--color --json --sort --filter --all --output --no-headings --task --help --version'
            taking='--color --sort --filter -Q --output -o --task -p'
            operands='targets' ;;
        'ns-inspect list')
            verbs=''
            options=''
            taking=''
            operands='' ;;
        'ns-inspect show')
            verbs=''
            options='--color --json --help'
            taking='--color'
            operands='targets' ;;
        'ns-inspect tree')
            verbs=''
            options='--color --json --help'
            taking='--color'
            operands='' ;;
        'ns-inspect diff')
            verbs=''
            options='--color --json --help'
            taking='--color'
            operands='targets targets' ;;
        'ns-inspect net')
            verbs=''
            options='--color --json --help'
            taking='--color'
            operands='targets' ;;
        'ns-inspect mnt')
            verbs=''
            options='--holds --color --json --help'
            taking='--holds --color'
            operands='targets' ;;
        'ns-inspect pid')
            verbs=''
            options='--in --color --json --help'
            taking='--in --color'
            operands='processes' ;;
        'ns-inspect explain')
            verbs=''
            options='--as --color --json --help'
            taking='--as --color'
            operands='targets' ;;
        'ns-inspect enter')
            verbs=''
            options='--help'
            taking=''
            operands='targets' ;;
        'ns-inspect watch')
            verbs=''
            options='--every --count --all --json --color --sort --filter --help'
            taking='--every --count --color --sort --filter -Q'
            operands='' ;;
        'ns-inspect graph')
            verbs=''
            options='--type --sort --filter --format --help'
            taking='--type -t --sort --filter -Q --format'
            operands='targets' ;;
        'ns-inspect report')
            verbs=''
            options='--type --sort --filter --format --help'
            taking='--type -t --sort --filter -Q --format'
            operands='targets' ;;
        'lsns')
            verbs=''
            options='--json --list --notruncate --noheadings --output --output-all --persistent --task --filter --raw --pairs --sources --nowrap --type --tree --tree= --list-columns --help --version'
            taking='--output -o --task -p --filter -Q --sources --type -t'
            operands='' ;;
        'runtime')
            verbs='checkpoint create delete events exec features kill list pause ps restore resume run spec start state update'
            options='--debug --log --log-format --root --systemd-cgroup --cgroup-manager --rootless --version --help'
            taking='--log --log-format --root --cgroup-manager --rootless'
            operands='' ;;
        'runtime checkpoint')
            verbs=''
            options='--image-path --work-path --tcp-established --ext-unix-sk --shell-job --file-locks --auto-dedup --lazy-pages --manage-cgroups-mode --empty-ns --parent-path --pre-dump --leave-running --tcp-skip-in-flight --link-remap --status-fd --page-server --help'
            taking='--image-path --work-path --manage-cgroups-mode --empty-ns --parent-path --status-fd --page-server'
            operands='containers' ;;
        'runtime create')
            verbs=''
            options='--bundle --console-socket --pidfd-socket --pid-file --no-pivot --no-new-keyring --preserve-fds --help'
            taking='--bundle -b --console-socket --pidfd-socket --pid-file --preserve-fds'
            operands='' ;;
        'runtime delete')
            verbs=''
            options='--force --help'
            taking=''
            operands='containers' ;;
        'runtime events')
            verbs=''
            options='--interval --stats --help'
            taking='--interval'
            operands='containers' ;;
        'runtime exec')
            verbs=''
            options='--console-socket --pidfd-socket --cwd --env --tty --user --additional-gids --process --detach --pid-file --process-label --apparmor --no-new-privs --cap --preserve-fds --cgroup --ignore-paused --help'
            taking='--console-socket --pidfd-socket --cwd --env -e --user -u --additional-gids -g --process -p --pid-file --process-label --apparmor --cap -c --preserve-fds --cgroup'
            operands='containers any' ;;
        'runtime features')
            verbs=''
            options='--help'
            taking=''
            operands='' ;;
        'runtime kill')
            verbs=''
            options='--help'
            taking=''
            operands='containers =HUP,INT,QUIT,ILL,TRAP,ABRT,IOT,BUS,FPE,KILL,USR1,SEGV,USR2,PIPE,ALRM,TERM,STKFLT,CHLD,CLD,CONT,STOP,TSTP,TTIN,TTOU,URG,XCPU,XFSZ,VTALRM,PROF,WINCH,IO,POLL,PWR,SYS' ;;
        'runtime list')
            verbs=''
            options='--format --quiet --help'
            taking='--format -f'
            operands='' ;;
        'runtime pause')
            verbs=''
            options='--help'
            taking=''
            operands='containers' ;;
        'runtime ps')
            verbs=''
            options='--format --help'
            taking='--format -f'
            operands='containers any' ;;
        'runtime restore')
            verbs=''
            options='--image-path --work-path --tcp-established --ext-unix-sk --shell-job --file-locks --auto-dedup --lazy-pages --manage-cgroups-mode --empty-ns --bundle --console-socket --pid-file --detach --no-subreaper --no-pivot --lsm-profile --lsm-mount-context --help'
            taking='--image-path --work-path --manage-cgroups-mode --empty-ns --bundle -b --console-socket --pid-file --lsm-profile --lsm-mount-context'
            operands='containers' ;;
        'runtime resume')
            verbs=''
            options='--help'
            taking=''
            operands='containers' ;;
        'runtime run')
            verbs=''
            options='--bundle --console-socket --pidfd-socket --pid-file --no-pivot --no-new-keyring --preserve-fds --detach --keep --no-subreaper --help'
            taking='--bundle -b --console-socket --pidfd-socket --pid-file --preserve-fds'
            operands='' ;;
        'runtime spec')
            verbs=''
            options='--bundle --rootless --host --help'
            taking='--bundle -b'
            operands='' ;;
        'runtime start')
            verbs=''
            options='--help'
            taking=''
            operands='containers' ;;
        'runtime state')
            verbs=''
            options='--help'
            taking=''
            operands='containers' ;;
        'runtime update')
            verbs=''
            options='--resources --blkio-weight --cpu-period --cpu-quota --cpu-burst --cpu-share --cpu-idle --cpu-rt-period --cpu-rt-runtime --cpuset-cpus --cpuset-mems --memory --memory-reservation --memory-swap --pids-limit --l3-cache-schema --mem-bw-schema --help'
            taking='--resources -r --blkio-weight --cpu-period --cpu-quota --cpu-burst --cpu-share --cpu-idle --cpu-rt-period --cpu-rt-runtime --cpuset-cpus --cpuset-mems --memory --memory-reservation --memory-swap --pids-limit --l3-cache-schema --mem-bw-schema'
            operands='containers' ;;
        'shim')
            verbs=''
            options='--namespace --id --address --bundle --debug --info --version --help'
            taking='--namespace --id --address --bundle'
            operands='=start,delete' ;;
        'install')
            verbs=''
            options='--dir --hard-links --force --help'
            taking='--dir'
            operands='=unshare,nsenter,ns-inspect,lsns,nskit-runtime,runc,containerd-shim-nskit-v2 ...' ;;
    esac
    case "$place $before" in
        'unshare --kill-child') values='=HUP,INT,QUIT,ILL,TRAP,ABRT,IOT,BUS,FPE,KILL,USR1,SEGV,USR2,PIPE,ALRM,TERM,STKFLT,CHLD,CLD,CONT,STOP,TSTP,TTIN,TTOU,URG,XCPU,XFSZ,VTALRM,PROF,WINCH,IO,POLL,PWR,SYS' ;;
        'unshare --propagation') values='=private,shared,slave,unchanged' ;;
        'unshare --setgroups') values='=allow,deny' ;;
        'unshare --cap-drop') values=',audit_control,audit_read,audit_write,block_suspend,bpf,checkpoint_restore,chown,dac_override,dac_read_search,fowner,fsetid,ipc_lock,ipc_owner,kill,lease,linux_immutable,mac_admin,mac_override,mknod,net_admin,net_bind_service,net_broadcast,net_raw,perfmon,setfcap,setgid,setpcap,setuid,sys_admin,sys_boot,sys_chroot,sys_module,sys_nice,sys_pacct,sys_ptrace,sys_rawio,sys_resource,sys_time,sys_tty_config,syslog,wake_alarm,all' ;;
        'unshare --rlimit') values='=as=,core=,cpu=,data=,fsize=,locks=,memlock=,msgqueue=,nice=,nofile=,nproc=,rss=,rtprio=,rttime=,sigpending=,stack=' ;;
        'nsenter --target' | 'nsenter -t') values='targets' ;;
        'nsenter --setuid' | 'nsenter -S') values='=follow' ;;
        'nsenter --setgid' | 'nsenter -G') values='=follow' ;;
        'nsenter --cap-drop') values=',audit_control,audit_read,audit_write,block_suspend,bpf,checkpoint_restore,chown,dac_override,dac_read_search,fowner,fsetid,ipc_lock,ipc_owner,kill,lease,linux_immutable,mac_admin,mac_override,mknod,net_admin,net_bind_service,net_broadcast,net_raw,perfmon,setfcap,setgid,setpcap,setuid,sys_admin,sys_boot,sys_chroot,sys_module,sys_nice,sys_pacct,sys_ptrace,sys_rawio,sys_resource,sys_time,sys_tty_config,syslog,wake_alarm,all' ;;
        'nsenter --rlimit') values='=as=,core=,cpu=,data=,fsize=,locks=,memlock=,msgqueue=,nice=,nofile=,nproc=,rss=,rtprio=,rttime=,sigpending=,stack=' ;;
        'ns-inspect --color') values='=auto,always,never' ;;
        'ns-inspect --sort') values='=CONTAINER,-CONTAINER,ENGINE,-ENGINE,STATE,-STATE,PID,-PID,PROCS,-PROCS,MEMORY,-MEMORY,AGE,-AGE,MNT,-MNT,UTS,-UTS,IPC,-IPC,NET,-NET,PID-NS,-PID-NS,USER,-USER,CGROUP,-CGROUP,TIME,-TIME,UNUSUAL,-UNUSUAL,COMMAND,-COMMAND,IMAGE,-IMAGE,POD,-POD,ID,-ID' ;;
        'ns-inspect --output' | 'ns-inspect -o') values=',CONTAINER,ENGINE,STATE,PID,PROCS,MEMORY,AGE,MNT,UTS,IPC,NET,PID-NS,USER,CGROUP,TIME,UNUSUAL,COMMAND,IMAGE,POD,ID' ;;
        'ns-inspect --task' | 'ns-inspect -p') values='processes' ;;
        'ns-inspect show --color') values='=auto,always,never' ;;
        'ns-inspect tree --color') values='=auto,always,never' ;;
        'ns-inspect diff --color') values='=auto,always,never' ;;
        'ns-inspect net --color') values='=auto,always,never' ;;
        'ns-inspect mnt --color') values='=auto,always,never' ;;
        'ns-inspect pid --in') values='targets' ;;
        'ns-inspect pid --color') values='=auto,always,never' ;;
        'ns-inspect explain --as') values='processes' ;;
        'ns-inspect explain --color') values='=auto,always,never' ;;
        'ns-inspect watch --color') values='=auto,always,never' ;;
        'ns-inspect watch --sort') values='=CONTAINER,-CONTAINER,ENGINE,-ENGINE,STATE,-STATE,PID,-PID,PROCS,-PROCS,MEMORY,-MEMORY,AGE,-AGE,MNT,-MNT,UTS,-UTS,IPC,-IPC,NET,-NET,PID-NS,-PID-NS,USER,-USER,CGROUP,-CGROUP,TIME,-TIME,UNUSUAL,-UNUSUAL,COMMAND,-COMMAND,IMAGE,-IMAGE,POD,-POD,ID,-ID' ;;
        'ns-inspect graph --sort') values='=CONTAINER,-CONTAINER,ENGINE,-ENGINE,STATE,-STATE,PID,-PID,PROCS,-PROCS,MEMORY,-MEMORY,AGE,-AGE,MNT,-MNT,UTS,-UTS,IPC,-IPC,NET,-NET,PID-NS,-PID-NS,USER,-USER,CGROUP,-CGROUP,TIME,-TIME,UNUSUAL,-UNUSUAL,COMMAND,-COMMAND,IMAGE,-IMAGE,POD,-POD,ID,-ID' ;;
        'ns-inspect graph --format') values='=svg,dot,mermaid' ;;
        'ns-inspect report --sort') values='=CONTAINER,-CONTAINER,ENGINE,-ENGINE,STATE,-STATE,PID,-PID,PROCS,-PROCS,MEMORY,-MEMORY,AGE,-AGE,MNT,-MNT,UTS,-UTS,IPC,-IPC,NET,-NET,PID-NS,-PID-NS,USER,-USER,CGROUP,-CGROUP,TIME,-TIME,UNUSUAL,-UNUSUAL,COMMAND,-COMMAND,IMAGE,-IMAGE,POD,-POD,ID,-ID' ;;
        'ns-inspect report --format') values='=html' ;;
        'lsns --output' | 'lsns -o') values=',NS,TYPE,PATH,NPROCS,PID,PPID,COMMAND,UID,USER,NETNSID,NSFS,PNS,ONS' ;;
        'lsns --task' | 'lsns -p') values='processes' ;;
        'lsns --sources') values=',processes,threads,descriptors,mounts,lists' ;;
        'lsns --type' | 'lsns -t') values='=mnt,net,ipc,user,pid,uts,cgroup,time' ;;
        'lsns --tree' | 'lsns -T') values='=owner,parent,process' ;;
        'runtime --log-format') values='=text,json' ;;
        'runtime --cgroup-manager') values='=cgroupfs,systemd,disabled' ;;
        'runtime --rootless') values='=true,false,auto' ;;
        'runtime checkpoint --manage-cgroups-mode') values='=soft,full,strict,ignore' ;;
        'runtime checkpoint --empty-ns') values='=network' ;;
        'runtime exec --cap' | 'runtime exec -c') values='=audit_control,audit_read,audit_write,block_suspend,bpf,checkpoint_restore,chown,dac_override,dac_read_search,fowner,fsetid,ipc_lock,ipc_owner,kill,lease,linux_immutable,mac_admin,mac_override,mknod,net_admin,net_bind_service,net_broadcast,net_raw,perfmon,setfcap,setgid,setpcap,setuid,sys_admin,sys_boot,sys_chroot,sys_module,sys_nice,sys_pacct,sys_ptrace,sys_rawio,sys_resource,sys_time,sys_tty_config,syslog,wake_alarm,all' ;;
        'runtime list --format' | 'runtime list -f') values='=table,json' ;;
        'runtime ps --format' | 'runtime ps -f') values='=table,json' ;;
        'runtime restore --manage-cgroups-mode') values='=soft,full,strict,ignore' ;;
        'runtime restore --empty-ns') values='=network' ;;
    esac
    for ((index = behind; index < COMP_CWORD; index++)); do
        # Who names a target names no container.
        [[ $place == nsenter && $start == 0 && ${COMP_WORDS[index]} =~ ^(--ta|-[aeFcZv]*t) ]] && place=container
        case ${COMP_WORDS[index]} in
            --) ((start)) || start=$((index + 1)) ;;
            =) ((index++)) ;;
            --tools) [[ ${COMP_WORDS[index+1]} == = ]] || tools=yes ;;
            --*) [[ " $taking " == *" ${COMP_WORDS[index]} "* && ${COMP_WORDS[index+1]} != = ]] && ((index++)) ;;
            -*) [[ " $taking " == *" -${COMP_WORDS[index]: -1} "* ]] && ((index++)) ;;
            *) ((start)) || start=$index
               ((nth++)) ;;
        esac
    done
    if [[ $place == nsenter ]] && ((start && start < COMP_CWORD)) && nskit complete 2>/dev/null | grep -v '^[0-9]*$' | grep -Fxqe "${COMP_WORDS[start]}"; then
        ((start++))
        place=container
    fi
    if [[ $place == unshare || $place == nsenter || $place == container ]] && ((start && start < COMP_CWORD)); then
        declare -F _command_offset >/dev/null && _command_offset $start
        return
    fi
    if [[ -n $attached || " $taking " == *" $before "* ]]; then
        _nskit_values "$word" "$values"
    elif [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$word"))
        [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
    elif [[ $place == nsenter || $place == container ]] && [[ -n $tools ]]; then
        [[ $place == container ]] || COMPREPLY=($(compgen -W "$(nskit complete 2>/dev/null | grep -v '^[0-9]*$')" -- "$word"))
        COMPREPLY+=($(compgen -W 'unshare nsenter ns-inspect lsns runtime shim nskit' -- "$word"))
    elif [[ $place == nsenter ]]; then
        COMPREPLY=($(compgen -W "$(nskit complete 2>/dev/null | grep -v '^[0-9]*$')" -- "$word") $(compgen -c -- "$word"))
    elif [[ $place == unshare || $place == container ]]; then
        COMPREPLY=($(compgen -c -- "$word"))
    else
        operands=($operands)
        if [[ $operands && ${operands[${#operands[@]}-1]} == ... ]]; then
            unset "operands[${#operands[@]}-1]"
            ((nth < ${#operands[@]})) || nth=$((${#operands[@]} - 1))
        fi
        ((nth < ${#operands[@]})) && _nskit_values "$word" "${operands[nth]}"
        ((nth == 0)) && COMPREPLY=($(compgen -W "$verbs" -- "$word") "${COMPREPLY[@]}")
    fi
}

# As the name that bash-completion loads this file by: those of util-linux only where they are links to nskit.
_nskit_name=${BASH_SOURCE[0]##*/}
complete -o default -F _nskit nskit "${_nskit_name%.bash}"
unset _nskit_name
