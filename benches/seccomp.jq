# A profile as Podman and Docker keep it (names, with conditions on architecture, capabilities and kernel) resolved for
# one container: a config.json whose linux.seccomp is what those engines would write there.
#
#     jq --slurpfile profile seccomp.json --arg arch amd64 --arg kernel 6.1 -f seccomp.jq config.json

def version: split(".") | map(capture("^(?<n>[0-9]+)").n | tonumber) | .[:2];

# Does the machine and the container fit every condition of an `includes`, or one of an `excludes`?
def includes($arch; $caps; $kernel):
    ((.arches // []) | length == 0 or index($arch) != null)
    and ((.caps // []) - $caps | length == 0)
    and (.minKernel // "" | . == "" or version <= $kernel);
def excludes($arch; $caps; $kernel):
    ((.arches // []) | index($arch) != null)
    or (any((.caps // [])[]; . as $cap | $caps | index($cap) != null))
    or (.minKernel // "" | . != "" and version <= $kernel);

{ amd64: "SCMP_ARCH_X86_64", arm64: "SCMP_ARCH_AARCH64" }[$arch] as $native
| (.process.capabilities.bounding // []) as $caps
| ($kernel | version) as $kernel
| .linux.seccomp = ($profile[0] | {
    defaultAction,
    defaultErrnoRet,
    architectures: ([.archMap[] | select(.architecture == $native) | .architecture, .subArchitectures[]]),
    syscalls: [
        .syscalls[]
        | select((.includes // {}) | includes($arch; $caps; $kernel))
        | select((.excludes // {}) | excludes($arch; $caps; $kernel) | not)
        | { names: (.names // [.name]), action, errnoRet, args: ((.args // []) | map(del(.valueTwo | select(. == 0)))) }
        | del(.errnoRet | select(. == null)) | del(.args | select(length == 0))
    ]
} | del(.defaultErrnoRet | select(. == null)))
