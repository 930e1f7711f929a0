//! Scripts of Debian's packages that were written for util-linux's unshare, with ours in its place.

use std::path::Path;

use crate::harness::{TempDir, make_rootfs, nskit, program, skip};

/// What autopkgtest-virt-unshare starts a test bed's programs with.
const HELPER: &str = "/usr/share/autopkgtest/lib/unshare-helper";

#[test]
fn a_test_bed_of_autopkgtest_is_entered() {
    if !Path::new(HELPER).exists() {
        skip!("autopkgtest is not installed");
    }
    let dir = TempDir::new();
    make_rootfs(&dir.join("root"));
    // The helper looks for unshare in /usr/bin and nowhere else.
    let script = "mount --bind $NSKIT /usr/bin/unshare && printf 'root:100000:65536\n' >subids || exit 1
        mount --bind subids /etc/subuid && mount --bind subids /etc/subgid || exit 1
        unshare --map-auto --map-root-user --user --mount -- $HELPER $PWD/root --bind /usr /host -- sh -c '
            echo pid $$; [ -c /dev/null ] && [ -d /dev/pts ] && [ -d /host/bin ] && cat /proc/self/uid_map'";
    let output = program("/usr/bin/unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script])
        .env("NSKIT", nskit())
        .env("HELPER", HELPER)
        .within(dir.path())
        .run()
        .ok();
    let told: Vec<String> =
        output.stdout().lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(told, ["pid 1", "0 0 1", "1 100000 65536"]);
}
