//! How the binary is linked: see each function.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is_x86_64 = std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64");
    if is_x86_64 {
        // src/sys/early.rs has the program's first instructions.
        println!("cargo:rustc-link-arg-bin=nskit=-Wl,-e,nskit_start");
    }
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        pack_relocations();
        if is_x86_64 {
            order_functions();
        }
    }
}

/// Packs the relocations of the static, position-independent binary: a tenth of its size, most of them the same step from
/// the last. The C library that is linked must know how to apply them to itself, which glibc does from 2.36 on.
fn pack_relocations() {
    if glibc().is_some_and(|version| version >= (2, 36)) {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Puts the functions that a start runs side by side (benches/order finds them). Only LLVM's linker can, which rustc uses
/// on x86-64 from 1.90 on.
fn order_functions() {
    let order = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/functions.order");
    println!("cargo:rerun-if-changed={}", order.display());
    if rustc().is_some_and(|minor| minor >= 90) && order.exists() {
        println!("cargo:rustc-link-arg-bins=-Wl,--symbol-ordering-file={}", order.display());
        // Names change with the code and the compiler; one that is not found is one that is not moved.
        println!("cargo:rustc-link-arg-bins=-Wl,--no-warn-symbol-ordering");
    }
}

/// The minor version of the compiler: 90 of 1.90.0.
fn rustc() -> Option<u32> {
    let output = Command::new(std::env::var_os("RUSTC")?).arg("--version").output().ok()?;
    String::from_utf8(output.stdout).ok()?.split('.').nth(1)?.parse().ok()
}

/// The version of the C library of this machine, against which the binary is linked.
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}
