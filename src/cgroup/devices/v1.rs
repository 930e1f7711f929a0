//! Device policies on v1: `devices.allow` and `devices.deny`.

use std::path::Path;

use rustix::io::Errno;

use super::Policy;
use crate::cgroup::file;
use crate::error::{Attempt, Error, Kind, Result};

/// Makes `policy` the one of the cgroup `dir`, which is `fresh` when this process has just made it.
///
/// What is allowed before and after stays allowed all the while. The kernel is asked for the result: a rule that it
/// ignored must not go unnoticed.
pub(in crate::cgroup) fn set(dir: &Path, policy: &Policy, fresh: bool) -> Result<()> {
    // In a cgroup that was just made nobody can be disturbed: begin with the disruptive rule and save reading.
    let current = if fresh { Policy { default_allow: true, ..Policy::default() } } else { read(dir)? };
    let rules = current.transition(policy);
    let mut rest = rules.as_slice();
    while let Some(first) = rest.first() {
        let name = if first.allow { "devices.allow" } else { "devices.deny" };
        let same = rest.iter().take_while(|rule| rule.allow == first.allow).count();
        let writer = file::Writer::open(dir, name).attempt(|| file::opening(dir, name))?;
        for rule in &rest[..same] {
            let value = rule.to_string();
            writer.write(&value).attempt(|| file::writing(dir, name, &value))?;
        }
        rest = &rest[same..];
    }
    if rules.is_empty() {
        return Ok(());
    }
    let reached = read(dir)?;
    let as_asked = if policy.default_allow { reached.default_allow } else { reached == *policy };
    if as_asked {
        Ok(())
    } else {
        let message = format!("{}: the kernel did not take over the device rules as they were written", dir.display());
        Err(Error::new(Kind::Os, message).with_errno(Errno::INVAL))
    }
}

fn read(dir: &Path) -> Result<Policy> {
    let list = file::read(dir, "devices.list").attempt(|| file::reading(dir, "devices.list"))?;
    Policy::from_list(&list).attempt(|| dir.display().to_string())
}
