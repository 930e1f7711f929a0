//! A network namespace that is made while the child that will be in it is not yet there.

use super::{Kind, Kinds, Plan, Step, TimeOffsets, enter};
use crate::error::{Attempt, Result};
use crate::sys;

/// What is made ahead for the child of a [`Plan`].
#[derive(Debug)]
pub struct Ahead(sys::ahead::Ahead);

impl Ahead {
    /// Begins to make the child's new network namespace, and takes it out of `plan`; `None` where it is none of the child's
    /// own steps. The sooner before the child's clone, the less the child waits.
    ///
    /// There is nothing to make ahead where a user namespace is entered, which is to own the other. Where this fails the
    /// child makes it itself, and says why that failed.
    pub fn start(plan: &mut Plan) -> Option<Ahead> {
        if plan.clone.contains(Kind::User) || plan.carrier.is_some() {
            return None;
        }
        let Some(Step::Unshare(unshared)) = plan.child.last_mut() else { return None };
        if !unshared.contains(Kind::Net) {
            return None;
        }
        let process = sys::ahead::Ahead::start().ok()?;
        unshared.remove(Kind::Net);
        if unshared.is_empty() {
            plan.child.pop();
        }
        Some(Ahead(process))
    }

    /// The child's part: joins the namespace, whose loopback device is up.
    ///
    /// # Errors
    /// As unshare(2) and ioctl(2), when it could not be made.
    pub fn join(&self) -> Result<()> {
        if self.0.join().is_ok() {
            return Ok(());
        }
        enter(&[Step::Unshare(Kinds::only(Kind::Net))], &[], &TimeOffsets::default())?;
        loopback_up()
    }
}

/// Brings the loopback device of a new network namespace up.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` over the namespace.
pub fn loopback_up() -> Result<()> {
    sys::net::loopback_up().attempt(|| "bring the loopback device up")
}
