//! What the fuzz targets (fuzz/) check, of every seed: those that they begin with, and those that once failed.

use std::fs;
use std::path::Path;

#[allow(unreachable_pub)]
#[path = "../../fuzz/src/lib.rs"]
mod targets;

#[test]
fn what_fuzzing_begins_with_and_what_it_found_passes() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for (name, check) in targets::TARGETS {
        let mut count = 0;
        for seed in fs::read_dir(seeds.join(name)).unwrap_or_else(|error| panic!("seeds of {name}: {error}")) {
            let path = seed.expect("a seed").path();
            eprintln!("{}", path.display());
            check(&fs::read(&path).expect("read a seed"));
            count += 1;
        }
        assert!(count > 0, "{name} has no seeds");
    }
}
