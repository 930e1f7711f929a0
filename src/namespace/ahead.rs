//! Namespaces that are made while the child that will be in them is not yet there.

use super::{Kind, Kinds, Plan, Step, enter};
use crate::error::Result;
use crate::sys;

/// Kinds of which a new one is worth a process of its own to make it.
const COSTLY: Kinds = Kinds::only(Kind::Net);

/// What is made ahead for the child of a [`Plan`].
#[derive(Debug)]
pub struct Ahead {
    kinds: Kinds,
    process: sys::ahead::Ahead,
}

impl Ahead {
    /// Begins to make what is costly of the child's own new namespaces, and takes it out of `plan`. The sooner before the
    /// child's clone, the less the child waits.
    ///
    /// There is nothing to make ahead where a user namespace is entered, which is to own the others, and where this fails
    /// the child makes them itself, and says why that failed.
    pub fn start(plan: &mut Plan) -> Option<Ahead> {
        if plan.clone.contains(Kind::User) || plan.carrier.is_some() {
            return None;
        }
        let Some(Step::Unshare(unshared)) = plan.child.last_mut() else { return None };
        let kinds = *unshared & COSTLY;
        if kinds.is_empty() {
            return None;
        }
        let process = sys::ahead::Ahead::start(kinds.flags()).ok()?;
        *unshared = *unshared - kinds;
        if unshared.is_empty() {
            plan.child.pop();
        }
        Some(Ahead { kinds, process })
    }

    /// The child's part: joins what was made.
    ///
    /// # Errors
    /// As unshare(2), when they could not be made.
    pub fn join(&self) -> Result<()> {
        match self.process.join(self.kinds.flags()) {
            Ok(()) => Ok(()),
            Err(_) => enter(&[Step::Unshare(self.kinds)], &[], ""),
        }
    }
}
