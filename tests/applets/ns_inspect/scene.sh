#!/bin/bash
# Twenty containers by every engine that is here, in a mount namespace of its own with a /run of its own; then what
# ns-inspect, lsns and a plain reading of /proc see of them. Prints lines `engine NAME` for what was started,
# `json DOCUMENT`, `lsns INODE...`, `proc INODE...`. NSKIT is the binary; the folder that it may fill is $1.
set -u
work=$1
mount -t tmpfs none "$work" && mount -t tmpfs none /run || exit 1
umount /sys/fs/cgroup/unified 2>/dev/null # crun refuses hybrid hosts
export PATH=$PATH:/usr/sbin:/sbin
has() { command -v "$1" >/dev/null; }
ended() { # Whatever was started ends, however this does.
    has podman && podman rm --all --force --time 0 >/dev/null 2>&1
    [ -z "${docker-}" ] || $docker rm --force $($docker ps --all --quiet) >/dev/null 2>&1
    for id in "${ctrs[@]}"; do
        ctr task kill --signal SIGKILL "$id"; ctr task rm --force "$id"; ctr container rm "$id"
    done >/dev/null 2>&1
    for id in "${ours[@]}"; do "$NSKIT" runtime delete --force "$id"; done >/dev/null 2>&1
    [ ${#daemons[@]} = 0 ] || { kill "${daemons[@]}"; wait "${daemons[@]}"; } 2>/dev/null
    for _ in $(seq 50); do
        # Of hierarchies that are not mounted conmon makes plain folders, with a file in them.
        find /sys/fs/cgroup/*/nskit-test-scene -depth \( -type f -delete -o -type d -exec rmdir {} \; \) 2>/dev/null
        ls -d /sys/fs/cgroup/*/nskit-test-scene >/dev/null 2>&1 || break
        sleep .1
    done
}
ctrs=() ours=() daemons=()
trap ended EXIT

mkdir -p "$work/image/bin"
cp "$(command -v busybox)" "$work/image/bin/" && ln -s busybox "$work/image/bin/sleep"
tar -C "$work/image" -cf "$work/layer.tar" .
layer=$(sha256sum <"$work/layer.tar")
config='{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin"]},"rootfs":{"type":"layers","diff_ids":["sha256:'${layer%% *}'"]}}'
name=$(printf %s "$config" | sha256sum) && name=${name%% *}.json && printf %s "$config" >"$work/$name"
echo '[{"Config":"'"$name"'","RepoTags":["docker.io/library/scene:latest"],"Layers":["layer.tar"]}]' >"$work/manifest.json"
tar -C "$work" -cf "$work/image.tar" manifest.json "$name" layer.tar

if has containerd && has ctr && has runc; then
    printf 'version = 2\nroot = "%s"\nstate = "/run/containerd"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "/run/containerd/containerd.sock"\n' "$work/containerd" >"$work/containerd.toml"
    containerd -c "$work/containerd.toml" >"$work/containerd.log" 2>&1 & daemons+=($!)
    for _ in $(seq 100); do ctr version >/dev/null 2>&1 && break; sleep .1; done
    ctr image import "$work/image.tar" >/dev/null || tail -3 "$work/containerd.log" >&2
    for number in 1 2 3 4 5 6; do
        ctr run --detach --cgroup "/nskit-test-scene/ctr$number" docker.io/library/scene:latest "scene-ctr$number" sleep 600 >&2 &&
            ctrs+=("scene-ctr$number") && echo "containerd scene-ctr$number"
    done
    if has dockerd; then
        echo '{"storage-driver":"vfs"}' >"$work/docker.json"
        dockerd --config-file "$work/docker.json" --data-root "$work/docker" --exec-root /run/docker --pidfile "$work/docker.pid" \
            --host unix:///run/docker.sock --bridge none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false \
            --cgroup-parent /nskit-test-scene --containerd /run/containerd/containerd.sock >"$work/docker.log" 2>&1 & daemons+=($!)
        docker="docker -H unix:///run/docker.sock"
        for _ in $(seq 100); do $docker version >/dev/null 2>&1 && break; sleep .1; done
        $docker load --input "$work/image.tar" >/dev/null || tail -3 "$work/docker.log" >&2
        for number in 1 2 3 4; do
            $docker run --detach --name "scene-docker$number" --network none scene sleep 600 >/dev/null && echo "docker scene-docker$number"
        done
        $docker run --detach --name scene-side --network container:scene-docker1 scene sleep 600 >/dev/null && echo "docker scene-side"
    fi
fi
if has podman && has conmon && has crun; then
    printf '[containers]\ndefault_ulimits=["nofile=1024:1024","nproc=4096:4096"]\n[engine]\ncgroup_manager="cgroupfs"\nevents_logger="file"\nruntime="crun"\nruntime_supports_json=["nskit-runtime"]\nruntime_supports_nocgroups=["nskit-runtime"]\nconmon_path=["%s"]\n' "$(command -v conmon)" >"$work/containers.conf"
    printf '[storage]\ndriver="vfs"\ngraphroot="%s/graph"\nrunroot="%s/runroot"\n' "$work" "$work" >"$work/storage.conf"
    echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$work/policy.json"
    export CONTAINERS_CONF=$work/containers.conf CONTAINERS_STORAGE_CONF=$work/storage.conf
    podman load --signature-policy "$work/policy.json" --input "$work/image.tar" >/dev/null 2>&1
    for number in 1 2 3 4; do
        podman run --detach --name "scene-podman$number" --cgroup-parent /nskit-test-scene --network none --log-driver=k8s-file \
            docker.io/library/scene:latest sleep 600 >/dev/null && echo "podman scene-podman$number"
    done
    # Whose a container is does not depend on the runtime.
    mkdir "$work/bin" && cp "$NSKIT" "$work/bin/nskit-runtime"
    podman --runtime "$work/bin/nskit-runtime" run --detach --name scene-ours --cgroup-parent /nskit-test-scene --network none \
        --log-driver=k8s-file docker.io/library/scene:latest sleep 600 >/dev/null && echo "podman scene-ours"
fi
mkdir "$work/bundle" && cp -a "$work/image" "$work/bundle/rootfs"
for number in 1 2 3 4 5; do
    id=nskit-test-scene$number
    "$NSKIT" runtime spec --bundle "$work/bundle" >/dev/null 2>&1
    sed -i 's/"terminal": true/"terminal": false/; s/"sh"$/"sleep", "600"/' "$work/bundle/config.json"
    "$NSKIT" runtime run --detach --bundle "$work/bundle" "$id" </dev/null >"$work/log" 2>&1 && ours+=("$id") && echo "nskit $id" ||
        cat "$work/log" >&2
    rm "$work/bundle/config.json"
done

readings() { # Where a link is as well: numbers of namespaces are used again.
    find /proc/[0-9]*/task/[0-9]*/{ns,fd} -type l -printf '%p %l\n' 2>/dev/null |
        sed -nE 's/ (mnt|uts|ipc|net|pid|user|cgroup|time):\[([0-9]+)\]$/ \2/p' | sort -u
}
# A process can leave a namespace meanwhile, and the number that this sets free be another's, in the same place. So somebody
# holds each that was read, of whom the test takes no notice.
mkfifo "$work/end"
held() {
    declare -A seen
    readings | while read -r place inode; do
        { [ -z "${seen[$inode]-}" ] && exec {fd}<"$place" && [[ $(readlink "/proc/$BASHPID/fd/$fd") == *"[$inode]" ]]; } 2>/dev/null &&
            seen[$inode]=$place && echo "$place $inode"
    done
}
( shopt -s lastpipe; held >"$work/reading"; sort "$work/reading" >"$work/held"; read -r _ <"$work/end" ) & holder=$!
for _ in $(seq 600); do [ -s "$work/held" ] && break; sleep .05; done
listed=$(lsns --noheadings --raw --output NS | sort -u)
echo "json $("$NSKIT" ns-inspect --json | tr -d '\n')"
after=$(readings)
echo >"$work/end"
echo "holder $holder"
# What is still where it was when it was held was there in between, whatever else came and went.
stayed=$(comm -12 "$work/held" <(echo "$after") | cut -d' ' -f2 | sort -u)
echo "proc" $stayed
echo "lsns" $(comm -12 <(echo "$listed") <(echo "$stayed"))
