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
    println!("cargo:rustc-check-cfg=cfg(nskit_libc_start)");
    let is_static = std::env::var("CARGO_CFG_TARGET_FEATURE").is_ok_and(|features| features.contains("crt-static"));
    if is_x86_64 && is_static && start_of_libc().is_some_and(|names| names == START_OF_LIBC) {
        println!("cargo:rustc-cfg=nskit_libc_start");
    }
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        strip();
        pack_relocations();
        if is_x86_64 {
            order_functions();
        }
    }
}

/// Leaves symbols out, unless who measures wants them. Cargo's own setting is part of every function's name, and of those
/// benches/functions.order would find none.
fn strip() {
    println!("cargo:rerun-if-env-changed=NSKIT_SYMBOLS");
    if std::env::var_os("NSKIT_SYMBOLS").is_none() {
        println!("cargo:rustc-link-arg-bins=-Wl,--strip-all");
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

/// What the C library's start, libc-start.o of libc.a, defines and needs: in the one version, 2.36, that src/sys/libc_start.rs
/// stands in for. Any other has its own start.
const START_OF_LIBC: &str = "_GLOBAL_OFFSET_TABLE_ __assert_fail __cxa_atexit __environ __fini_array_end \
    __fini_array_start __init_array_end __init_array_start __libc_check_standard_fds __libc_early_init \
    __libc_enable_secure __libc_fatal __libc_init_first __libc_setup_tls __libc_stack_end __libc_start_main \
    __libc_start_main_impl __nptl_deallocate_tsd __nptl_nthreads __preinit_array_end __preinit_array_start \
    __pthread_initialize_minimal __rela_iplt_end __rela_iplt_start __tunable_get_val __tunable_set_val __tunables_init \
    __x86_data_cache_size __x86_data_cache_size_half __x86_rep_movsb_stop_threshold __x86_rep_movsb_threshold \
    __x86_rep_stosb_threshold __x86_shared_cache_size __x86_shared_cache_size_half __x86_shared_non_temporal_threshold \
    __x86_string_control _dl_aux_init _dl_debug_initialize _dl_hwcap _dl_minsigstacksize _dl_platform _dl_random \
    _dl_relocate_static_pie _dl_tunable_set_hwcaps _dl_x86_cpu_features _fini _init _setjmp exit";

/// The names in that part of the C library that will be linked, if it is glibc 2.36 and there are tools to look into it.
fn start_of_libc() -> Option<String> {
    glibc().filter(|version| *version == (2, 36))?;
    let output = |command: &mut Command| {
        let output = command.output().ok().filter(|output| output.status.success())?;
        Some(output.stdout)
    };
    let library = output(Command::new("cc").arg("-print-file-name=libc.a"))?;
    let library = String::from_utf8(library).ok()?;
    // A library of another version must not get this one's start.
    println!("cargo:rerun-if-changed={}", library.trim());
    let object = output(Command::new("ar").arg("p").arg(library.trim()).arg("libc-start.o"))?;
    let copy = Path::new(&std::env::var_os("OUT_DIR")?).join("libc-start.o");
    std::fs::write(&copy, object).ok()?;
    let listed = String::from_utf8(output(Command::new("nm").arg(&copy))?).ok()?;
    // `U name`, `w name`, or `address T name`: small letters are for what is nobody else's.
    let mut names: Vec<&str> = listed
        .lines()
        .filter_map(|line| match *line.split_whitespace().collect::<Vec<_>>() {
            ["U" | "w", name] | [_, "T" | "D" | "B", name] => Some(name),
            _ => None,
        })
        .collect();
    names.sort_unstable();
    Some(names.join(" "))
}
