#!/bin/bash
# What cri-o and LXC leave on the machine around a running container, without them: cgroups as they name them, conmon
# above the process, the bundle with its annotations, containers/storage, the configuration of LXC. In a mount namespace
# of its own, with /run and /var/lib of its own. Then `"$@"` runs. The name of the cgroup to make is $1.
set -eu
name=$1 && shift
cgroup=/sys/fs/cgroup/pids && [ -d $cgroup ] || cgroup=/sys/fs/cgroup
mount -t tmpfs none /run && mount -t tmpfs none /var/lib
pids=()
ended() {
    [ ${#pids[@]} = 0 ] || kill -KILL "${pids[@]}" 2>/dev/null || true
    wait
    for _ in $(seq 50); do
        find "$cgroup/$name" -depth -type d -exec rmdir {} \; 2>/dev/null
        [ -d "$cgroup/$name" ] || break
        sleep .1
    done
}
trap ended EXIT

contained() { # CGROUP WORDS…: a process in that cgroup
    local folder=$cgroup/$name/$1 && shift
    mkdir -p "$folder"
    sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$folder" "$@" &
    pids+=($!)
}
annotations() { # KIND NAME ID: the members that cri-o writes and that tell a name
    cat <<JSON
"io.container.manager": "cri-o", "io.kubernetes.cri-o.ContainerType": "$1", "io.kubernetes.cri-o.ContainerID": "$3",
"io.kubernetes.cri-o.Name": "k8s_$2_web-1_prod_1b2c_0", "io.kubernetes.cri-o.SandboxID": "$sandbox",
"io.kubernetes.cri-o.ImageName": "registry.k8s.io/$2:1.27", "io.kubernetes.cri-o.Image": "$3",
"io.kubernetes.container.name": "$2", "io.kubernetes.pod.name": "web-1", "io.kubernetes.pod.namespace": "prod"
JSON
}
bundle() { # KIND NAME ID
    local folder=/run/containers/storage/overlay-containers/$3/userdata
    mkdir -p "$folder"
    printf '{"ociVersion": "1.0.2", "annotations": {%s}}' "$(annotations "$@")" >"$folder/config.json"
}
sandbox=$(printf 'a%.0s' $(seq 64)) web=$(printf 'b%.0s' $(seq 64)) stored=$(printf 'c%.0s' $(seq 64))
slice=kubepods.slice/kubepods-pod1b2c.slice

# A sandbox and a container of one pod, with conmon's own scope beside them.
bundle sandbox POD "$sandbox"
bundle container nginx "$web"
contained "$slice/crio-$sandbox.scope" sleep 60
mkdir -p /run/bin
cat >/run/bin/conmon <<'CONMON'
#!/bin/sh
mkdir -p "$FOLDER"
sh -c 'echo $$ >"$FOLDER/cgroup.procs" && exec sleep 60' &
echo $! >/run/child
wait
CONMON
chmod +x /run/bin/conmon
FOLDER=$cgroup/$name/$slice/crio-$web.scope contained "$slice/crio-conmon-$web.scope" /run/bin/conmon \
    -b "/run/containers/storage/overlay-containers/$web/userdata" -c "$web" --exit-dir /run/crio/exits \
    -l "/var/log/pods/prod_web-1_1b2c/nginx/0.log" -n k8s_nginx_web-1_prod_1b2c_0 -P /run/conmon.pid
# One of which nothing is left but containers/storage.
mkdir -p /var/lib/containers/storage/overlay-containers
cat >/var/lib/containers/storage/overlay-containers/containers.json <<JSON
[{"id": "$stored", "names": ["k8s_sidecar_web-1_prod_1b2c_0"], "image": "d0c", "layer": "1a7e",
  "metadata": "{\"pod-name\":\"k8s_web-1_prod_1b2c_0\",\"pod-id\":\"$sandbox\",\"image-name\":\"quay.io/sidecar:2\",\"image-id\":\"d0c\",\"name\":\"k8s_sidecar_web-1_prod_1b2c_0\",\"created-at\":1700000000}"}]
JSON
contained "$slice/crio-$stored.scope" sleep 60

# LXC's monitor is in a cgroup of its own; Incus has the same names.
mkdir -p /var/lib/lxc/shop /var/lib/incus/containers/mail
cat >/var/lib/lxc/shop/config <<'CONFIG'
# Template used to create this container: /usr/share/lxc/templates/lxc-download
# Parameters passed to the template: -d debian -r bookworm -a amd64
# For additional config options, please look at lxc.container.conf(5)

lxc.uts.name = shop
CONFIG
printf 'container:\n  config:\n    image.description: Alpine 3.20 amd64\n  name: mail\n' >/var/lib/incus/containers/mail/backup.yaml
contained lxc.payload.shop/init.scope sleep 60
contained lxc.payload.mail sleep 60
contained lxc.monitor.shop sleep 60

for _ in $(seq 100); do
    [ -s /run/child ] && [ "$(cat "$cgroup/$name/$slice"/crio-*.scope/cgroup.procs "$cgroup/$name"/lxc.*/cgroup.procs \
        "$cgroup/$name/lxc.payload.shop/init.scope/cgroup.procs" | sort -u | wc -l)" -ge 7 ] && break
    sleep .05
done
pids+=("$(cat /run/child)")
"$@"
