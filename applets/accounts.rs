//! Users and groups by name: /etc/passwd and /etc/group, and what else the system knows (LDAP, systemd) through
//! getent(1), since a static binary cannot load the C library's own lookup modules.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::{Command, Stdio};

use nskit::error::Errno;

use super::number::{self, Bad};

/// A line of passwd(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    /// The login name.
    pub(crate) name: OsString,
    /// The user id.
    pub(crate) uid: u32,
    /// The login shell, if one is given.
    pub(crate) shell: Option<OsString>,
}

/// The user with this id.
pub(crate) fn user(uid: u32) -> Option<User> {
    lookup("passwd", &uid.to_string(), 2).and_then(|line| parse_user(&line))
}

/// The id that `text`, a number or the name of a user, means.
///
/// # Errors
/// `ERANGE` for a number that is no id, `EINVAL` for a name that nobody has.
pub(crate) fn uid(text: &OsStr) -> Result<u32, Errno> {
    named(text, "passwd")
}

/// The id that `text`, a number or the name of a group, means.
///
/// # Errors
/// As [`uid`].
pub(crate) fn gid(text: &OsStr) -> Result<u32, Errno> {
    named(text, "group")
}

fn named(text: &OsStr, database: &str) -> Result<u32, Errno> {
    match number::id(text) {
        // The number that setuid(2) and its kin take for "none".
        Ok(u32::MAX) => Err(Errno::INVAL),
        Ok(id) => Ok(id),
        Err(Bad::Range) => Err(Errno::RANGE),
        Err(Bad::Syntax) => {
            let name = text.to_str().filter(|name| !name.is_empty()).ok_or(Errno::INVAL)?;
            let line = lookup(database, name, 0).ok_or(Errno::INVAL)?;
            let id = line.split(|byte| *byte == b':').nth(2).ok_or(Errno::INVAL)?;
            number::id(OsStr::from_bytes(id)).map_err(|_| Errno::INVAL)
        }
    }
}

/// The line of `/etc/DATABASE` whose field number `field` is `key`, else that of getent(1).
fn lookup(database: &str, key: &str, field: usize) -> Option<Vec<u8>> {
    let text = std::fs::read(format!("/etc/{database}")).unwrap_or_default();
    if let Some(line) = find(&text, key, field) {
        return Some(line.to_vec());
    }
    let output =
        Command::new("getent").args([database, "--", key]).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    // getent takes a number for an id and all else for a name: what was asked for must be what was found.
    find(&output.stdout, key, field).map(<[u8]>::to_vec)
}

fn find<'a>(text: &'a [u8], key: &str, field: usize) -> Option<&'a [u8]> {
    text.split(|byte| *byte == b'\n')
        .find(|line| line.split(|byte| *byte == b':').nth(field).is_some_and(|value| value == key.as_bytes()))
}

fn parse_user(line: &[u8]) -> Option<User> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
    let own = |field: &&[u8]| OsString::from_vec(field.to_vec());
    Some(User {
        name: fields.first().map(own)?,
        uid: number::id(OsStr::from_bytes(fields.get(2)?)).ok()?,
        shell: fields.get(6).filter(|shell| !shell.is_empty()).map(own),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_root_by_name_and_number() {
        assert_eq!(uid("root".as_ref()), Ok(0));
        assert_eq!(gid("root".as_ref()), Ok(0));
        assert_eq!(user(0).unwrap().name, "root");
    }

    #[test]
    fn says_why_an_account_is_none() {
        assert_eq!(uid("no-such-user".as_ref()), Err(Errno::INVAL));
        assert_eq!(uid("".as_ref()), Err(Errno::INVAL));
        assert_eq!(uid("-1".as_ref()), Err(Errno::RANGE));
        assert_eq!(gid("4294967296".as_ref()), Err(Errno::RANGE));
        assert_eq!(uid("4294967295".as_ref()), Err(Errno::INVAL));
    }

    #[test]
    fn reads_a_line_with_and_without_a_shell() {
        let with = parse_user(b"a:x:5:6:A:/home/a:/bin/zsh").unwrap();
        assert_eq!((with.uid, with.shell.as_deref()), (5, Some(OsStr::new("/bin/zsh"))));
        assert_eq!(parse_user(b"a:x:5:6:A:/home/a:").unwrap().shell, None);
        assert_eq!(parse_user(b"+::::::"), None);
    }
}
