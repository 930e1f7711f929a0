//! What engines keep on disk, as JSON, and which folders of theirs may not be read.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Errno, strerror};
use crate::inspect::model::Gap;

/// Reads what engines keep, and remembers which folders may not be read.
#[derive(Default)]
pub(super) struct Folders {
    refused: Vec<String>,
}

impl Folders {
    /// The folders in a folder; none where it is not there.
    pub(super) fn below(&mut self, path: &Path) -> Vec<PathBuf> {
        match fs::read_dir(path) {
            Ok(entries) => entries
                .flatten()
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path())
                .collect(),
            Err(error) => {
                self.note(path, &error);
                Vec::new()
            }
        }
    }

    /// The content of a file in `folder`.
    pub(super) fn json(&mut self, folder: &Path, name: &str) -> Option<Value> {
        let text = fs::read(folder.join(name)).inspect_err(|error| self.note(folder, error)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn note(&mut self, folder: &Path, error: &std::io::Error) {
        let folder = folder.display().to_string();
        if error.kind() == std::io::ErrorKind::PermissionDenied && !self.refused.contains(&folder) {
            self.refused.push(folder);
        }
    }

    pub(super) fn gap(&self) -> Option<Gap> {
        let what = format!("containers in {}", self.refused.join(", "));
        (!self.refused.is_empty()).then(|| Gap::whole(what, strerror(Errno::ACCESS)))
    }
}

/// The content of a file.
pub(super) fn json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// A string that says something.
pub(super) fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}
