//! A configuration as it was read. `linux.seccomp`, in practice most of it, is parsed only when it is needed, which a
//! container's own process need not wait for.

use std::ops::Range;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxSeccomp, Spec};

use crate::container::record::folder::Folder;
use crate::container::spec::outline::Outline;
use crate::container::spec::parse;
use crate::container::spec::seccomp;
use crate::container::spec::strict;
use crate::error::{Attempt, Result};
use crate::seccomp::Profile;

/// The text of a configuration, and what it says.
#[derive(Debug)]
pub struct Config {
    /// What it says, but for `linux.seccomp` until [`Config::complete`].
    pub spec: Spec,
    /// As it was read.
    pub text: Vec<u8>,
    file: PathBuf,
    /// Where in the text the profile is that `spec` lacks.
    profile: Option<Range<usize>>,
}

impl Config {
    /// The configuration that the container in `folder` was created with, or was given by `update` since.
    ///
    /// # Errors
    /// As open(2), and when it is damaged.
    pub fn kept_in(folder: &Folder) -> Result<Config> {
        let (path, text) = folder.read_config()?;
        Config::parse(path, text)
    }

    /// Parses `text`, which was read from `file`.
    ///
    /// # Errors
    /// What does not fit the runtime-spec, with line and column; in a profile, that is left to [`Config::complete`].
    pub fn parse(file: PathBuf, text: Vec<u8>) -> Result<Config> {
        let outline = serde_json::from_slice::<Outline<'_>>(&text).ok();
        let is_odd = outline.as_ref().and_then(|outline| outline.process.as_ref()).is_some_and(|names| names.are_odd());
        let in_parts = outline.and_then(|outline| outline.profile(&text)).and_then(|profile| {
            let rest = [&text[..profile.start], b"null", &text[profile.end..]].concat();
            // What is wrong is said of the whole text.
            Some((parse::parse(&rest, is_odd).ok()?, Some(profile)))
        });
        let (spec, profile) = match in_parts {
            Some(parts) => parts,
            None => (parse::parse(&text, is_odd).attempt(|| format!("read {}", file.display()))?, None),
        };
        Ok(Config { spec, text, file, profile })
    }

    /// Where it was read from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Whether there is a `linux.seccomp`.
    pub fn has_profile(&self) -> bool {
        self.profile.is_some() || self.spec.linux().as_ref().is_some_and(|linux| linux.seccomp().is_some())
    }

    /// Parses `linux.seccomp` too.
    ///
    /// # Errors
    /// What of it does not fit the runtime-spec, with line and column.
    pub fn complete(&mut self) -> Result<()> {
        let Some(profile) = self.profile.take() else { return Ok(()) };
        let seccomp = match strict::from_slice::<LinuxSeccomp>(&self.text[profile]) {
            Ok(seccomp) => Some(seccomp),
            // What is wrong is said of the whole text.
            Err(_) => {
                let whole = parse::parse(&self.text, false).attempt(|| format!("read {}", self.file.display()))?;
                whole.linux().as_ref().and_then(|linux| linux.seccomp().clone())
            }
        };
        if let Some(linux) = self.spec.linux_mut() {
            linux.set_seccomp(seccomp);
        }
        Ok(())
    }

    /// The profile that its `linux.seccomp` asks for, if it has one.
    ///
    /// # Errors
    /// As [`Config::complete`] and [`seccomp::profile`].
    pub fn seccomp_profile(&mut self) -> Result<Option<Profile>> {
        self.complete()?;
        seccomp::profile_of(&self.spec).attempt(|| format!("read {}", self.file.display()))
    }

    /// What it says, with nothing left out.
    ///
    /// # Errors
    /// As [`Config::complete`].
    pub fn into_spec(mut self) -> Result<Spec> {
        self.complete()?;
        Ok(self.spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{
    "ociVersion": "1.2.0",
    "root": {"path": "rootfs"},
    "linux": {
        "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"},
        "namespaces": [{"type": "mount"}]
    }
}"#;

    fn parse(text: &str) -> Result<Config> {
        Config::parse("/bundle/config.json".into(), text.into())
    }

    #[test]
    fn completed_it_is_the_whole() {
        let mut config = parse(TEXT).unwrap();
        assert!(config.has_profile() && config.spec.linux().as_ref().unwrap().seccomp().is_none());
        config.complete().unwrap();
        assert!(config.has_profile());
        assert_eq!(config.into_spec().unwrap(), parse::parse(TEXT.as_bytes(), false).unwrap());
    }

    #[test]
    fn without_a_profile_nothing_is_missing() {
        for seccomp in ["", r#""seccomp": null,"#] {
            let text = TEXT.replace(r#""seccomp": {"defaultAction": "SCMP_ACT_ALLOW"},"#, seccomp);
            let config = parse(&text).unwrap();
            assert!(!config.has_profile());
            assert_eq!(config.into_spec().unwrap(), parse::parse(text.as_bytes(), false).unwrap());
        }
    }

    #[test]
    fn what_is_wrong_is_said_of_the_whole_text() {
        let complete = |text: &str| parse(text).and_then(Config::into_spec).unwrap_err().to_string();
        let profile = complete(&TEXT.replace("SCMP_ACT_ALLOW", "SCMP_ACT_BOGUS"));
        assert!(profile.contains("/bundle/config.json") && profile.contains("SCMP_ACT_BOGUS"), "{profile}");
        assert!(profile.contains("line 5 column"), "{profile}");
        let rest = complete(&TEXT.replace("\"mount\"", "\"bogus\""));
        assert!(rest.contains("line 6 column"), "{rest}");
        let array = complete(&TEXT.replace(r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#, r#"["SCMP_ACT_ALLOW"]"#));
        assert!(array.contains("an object") && array.contains("line 5"), "{array}");
    }

    #[test]
    fn a_profile_that_is_there_twice_is_refused() {
        let twice =
            TEXT.replace("\"namespaces\"", "\"seccomp\": {\"defaultAction\": \"SCMP_ACT_KILL\"}, \"namespaces\"");
        assert!(parse(&twice).and_then(Config::into_spec).unwrap_err().to_string().contains("duplicate field"));
    }
}
