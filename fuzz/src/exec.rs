//! `exec --process`: the process of a file.

use nskit::container::spec::parse::parse_process;
use nskit::container::spec::process::Process;

use super::is_clear;

/// It is refused with a reason, or can be started with neither a relative folder nor no program.
pub fn check(data: &[u8]) {
    match parse_process(data) {
        Err(error) => is_clear(&error),
        Ok(process) => match Process::prepare(&process, None, false) {
            Err(error) => is_clear(&error),
            Ok(prepared) => {
                assert!(prepared.cwd().is_absolute());
                let Ok(environment) = prepared.environment() else { return };
                let names: Vec<_> = environment.into_iter().map(|(name, _)| name).collect();
                let mut once = names.clone();
                once.sort_unstable();
                once.dedup();
                assert_eq!(once.len(), names.len(), "{names:?}");
            }
        },
    }
}
