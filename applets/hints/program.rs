//! Why a program cannot be executed: execve(2) says `ENOENT` too where the file is there, but not what starts it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nskit::error::Errno;

/// What the kernel starts a program by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Interpreter {
    /// The program of the first line, `#!`.
    Script(PathBuf),
    /// The dynamic loader with this path.
    Loader(PathBuf),
}

impl Interpreter {
    /// Its path.
    fn path(&self) -> &Path {
        match self {
            Interpreter::Script(path) | Interpreter::Loader(path) => path,
        }
    }
}

/// Why execve(2) refuses the program that is called `name`, with `path` as `PATH`.
pub(crate) fn program(errno: Errno, name: &OsStr, path: Option<OsString>) -> Option<String> {
    let file = if name.as_bytes().contains(&b'/') { PathBuf::from(name) } else { in_path(name, path)? };
    let shown = file.display();
    match errno {
        Errno::NOENT => {
            let missing = started_by(&File::open(&file).ok()?).filter(|found| !found.path().exists())?;
            let needed = missing.path().display();
            Some(match missing {
                Interpreter::Script(_) => {
                    format!("{shown} is there, but not the interpreter of its first line, {needed}")
                }
                Interpreter::Loader(_) => format!("{shown} is there, but not the loader that it needs, {needed}"),
            })
        }
        Errno::ACCESS => {
            let metadata = file.metadata().ok()?;
            if metadata.is_dir() {
                return Some(format!("{shown} is a folder"));
            }
            if metadata.permissions().mode() & 0o111 == 0 {
                return Some(format!("{shown} is not executable: chmod +x {shown}"));
            }
            let flags = rustix::fs::statvfs(&file).ok()?.f_flag;
            flags
                .contains(rustix::fs::StatVfsMountFlags::NOEXEC)
                .then(|| format!("{shown} is on a mount with the option noexec"))
        }
        _ => None,
    }
}

/// The first file with this name in a folder of `path`.
pub(super) fn in_path(name: &OsStr, path: Option<OsString>) -> Option<PathBuf> {
    std::env::split_paths(&path?).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// What the kernel would start a program by, which it looks for in the root of the moment; `None` for static programs.
pub(crate) fn started_by(program: &File) -> Option<Interpreter> {
    /// `PT_INTERP` of elf(5).
    const INTERPRETER: u32 = 3;
    let mut header = [0; 256];
    let length = program.read_at(&mut header, 0).ok()?;
    if let Some(line) = header[..length].strip_prefix(b"#!") {
        let word = line.split(|byte| *byte == b'\n').next()?.split(|byte| matches!(byte, b' ' | b'\t'));
        let path = word.into_iter().find(|word| !word.is_empty())?;
        return Some(Interpreter::Script(OsString::from_vec(path.to_vec()).into()));
    }
    // The header of a 64-bit ELF file in the byte order of the machine, as all are that this is built for.
    if !header.starts_with(b"\x7fELF\x02") {
        return None;
    }
    let number = |at: usize| u64::from_ne_bytes(header[at..at + 8].try_into().expect("eight bytes"));
    let half = |at: usize| u64::from(u16::from_ne_bytes(header[at..at + 2].try_into().expect("two bytes")));
    let (table, size, count) = (number(32), half(54), half(56));
    for index in 0..count {
        let mut entry = [0; 56];
        program.read_exact_at(&mut entry, table.checked_add(index * size)?).ok()?;
        if entry[..4] != INTERPRETER.to_ne_bytes() {
            continue;
        }
        let field = |at: usize| u64::from_ne_bytes(entry[at..at + 8].try_into().expect("eight bytes"));
        let mut path = vec![0; usize::try_from(field(32)).ok()?.min(4096)];
        program.read_exact_at(&mut path, field(8)).ok()?;
        path.truncate(path.iter().position(|byte| *byte == 0).unwrap_or(path.len()));
        return Some(Interpreter::Loader(OsString::from_vec(path).into()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_a_program_is_started_by() {
        let of = |path: &str| started_by(&File::open(path).unwrap());
        assert!(
            matches!(of("/bin/sh"), Some(Interpreter::Loader(loader)) if loader.starts_with("/lib") || loader.starts_with("/lib64"))
        );
        assert_eq!(of("/etc/passwd"), None);
        let script = std::env::temp_dir().join(format!("nskit-test-script-{}", std::process::id()));
        std::fs::write(&script, "#! /no/such  -x\n").unwrap();
        let found = of(script.to_str().unwrap());
        std::fs::remove_file(&script).unwrap();
        assert_eq!(found, Some(Interpreter::Script("/no/such".into())));
    }
}
