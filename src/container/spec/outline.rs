//! Where in the text of a configuration things are, before all of it is read.

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::container::spec::parse;

/// Where things are: what else there is, and whether it fits, is looked at later.
#[derive(Deserialize)]
pub(crate) struct Outline<'a> {
    #[serde(borrow)]
    linux: Option<OutlineOfLinux<'a>>,
    pub(crate) process: Option<parse::NamesOfProcess>,
}

#[derive(Deserialize)]
struct OutlineOfLinux<'a> {
    #[serde(borrow)]
    seccomp: Option<&'a RawValue>,
}

/// Where in `text` its `linux.seccomp` is, if it has one.
pub(crate) fn find_profile(text: &[u8]) -> Option<Range<usize>> {
    serde_json::from_slice::<Outline<'_>>(text).ok()?.profile(text)
}

impl Outline<'_> {
    /// Where the profile is in `text`, of which this is the outline.
    pub(crate) fn profile(&self, text: &[u8]) -> Option<Range<usize>> {
        let profile = self.linux.as_ref()?.seccomp?.get();
        let start = profile.as_ptr().addr() - text.as_ptr().addr();
        Some(start..start + profile.len())
    }
}
