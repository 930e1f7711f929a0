//! Where a service manager can be reached.
//!
//! systemd listens on a socket of its own, which `systemctl` uses too: it is there without a bus, and what is said goes
//! to systemd without anybody between. Whoever may not use it, or names a bus in the environment, goes by that.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::SocketAddrUnix;

use crate::error::{Error, Result};

/// systemd's own socket; of a user's manager below `XDG_RUNTIME_DIR`.
const PRIVATE: &str = "systemd/private";

/// A socket to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    socket: Socket,
    /// It is systemd's own, not that of a bus.
    pub is_direct: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Socket {
    Path(PathBuf),
    Abstract(Vec<u8>),
}

impl Endpoint {
    fn path(path: impl Into<PathBuf>, is_direct: bool) -> Endpoint {
        Endpoint { socket: Socket::Path(path.into()), is_direct }
    }

    /// What to connect a socket to.
    ///
    /// # Errors
    /// `ENAMETOOLONG`
    pub fn address(&self) -> std::result::Result<SocketAddrUnix, Errno> {
        match &self.socket {
            Socket::Path(path) => SocketAddrUnix::new(path.as_path()),
            Socket::Abstract(name) => SocketAddrUnix::new_abstract_name(name),
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.socket {
            Socket::Path(path) => write!(f, "{}", path.display()),
            Socket::Abstract(name) => write!(f, "@{}", String::from_utf8_lossy(name)),
        }
    }
}

/// Whether this process is who runs the system's service manager, by the owner of its socket: root is, but not who is
/// root in a user namespace and no one outside.
pub fn owns_system_manager() -> bool {
    let owner = rustix::fs::stat(Path::new("/run").join(PRIVATE)).map(|stat| stat.st_uid);
    owner == Ok(rustix::process::geteuid().as_raw())
}

/// The sockets to try one after the other for the system's service manager, or for that of the calling `user`, by what
/// `variable` says of the environment.
///
/// # Errors
/// The environment names no socket, or one that cannot be used.
pub fn endpoints(user: bool, variable: impl Fn(&str) -> Option<OsString>) -> Result<Vec<Endpoint>> {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let named = if user { "DBUS_SESSION_BUS_ADDRESS" } else { "DBUS_SYSTEM_BUS_ADDRESS" };
    let runtime_dir = variable("XDG_RUNTIME_DIR");
    if let Some(addresses) = variable(named) {
        let parsed = parse(&addresses, runtime_dir.as_deref());
        if parsed.is_empty() {
            return Err(Error::unsupported(format!("{named}={addresses:?} names no unix socket to find systemd by")));
        }
        return Ok(parsed);
    }
    if !user {
        return Ok(vec![
            Endpoint::path(Path::new("/run").join(PRIVATE), true),
            Endpoint::path("/run/dbus/system_bus_socket", false),
        ]);
    }
    let dir = PathBuf::from(runtime_dir.ok_or_else(|| {
        Error::unsupported(
            "the systemd of this user cannot be found: neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set \
             (is this a login session, or loginctl enable-linger on?)",
        )
    })?);
    Ok(vec![Endpoint::path(dir.join(PRIVATE), true), Endpoint::path(dir.join("bus"), false)])
}

/// The unix sockets in a list of D-Bus addresses: `unix:path=/run/bus,guid=1;unix:abstract=x`. Others are passed over.
fn parse(addresses: &OsStr, runtime_dir: Option<&OsStr>) -> Vec<Endpoint> {
    let address = |address: &[u8]| {
        let keys = address.strip_prefix(b"unix:")?;
        keys.split(|byte| *byte == b',').find_map(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=')?;
            let value = unescape(&pair[equals + 1..])?;
            let socket = match &pair[..equals] {
                b"path" => Socket::Path(PathBuf::from(OsStr::from_bytes(&value))),
                b"abstract" => Socket::Abstract(value),
                b"runtime" => Socket::Path(Path::new(runtime_dir?).join("bus")),
                _ => return None,
            };
            Some(Endpoint { socket, is_direct: false })
        })
    };
    addresses.as_bytes().split(|byte| *byte == b';').filter_map(address).collect()
}

/// Undoes `%20` and the like.
fn unescape(value: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = value.iter();
    let mut unescaped = Vec::with_capacity(value.len());
    while let Some(byte) = bytes.next() {
        unescaped.push(match byte {
            b'%' => {
                let mut digit = || char::from(*bytes.next()?).to_digit(16);
                (digit()? * 16 + digit()?) as u8
            }
            byte => *byte,
        });
    }
    Some(unescaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(user: bool, variables: &[(&str, &str)]) -> Result<Vec<String>> {
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
        Ok(endpoints(user, variable)?.iter().map(Endpoint::to_string).collect())
    }

    #[test]
    fn the_environment_names_the_bus() {
        let system = [("DBUS_SYSTEM_BUS_ADDRESS", "tcp:host=x;unix:path=/a%20b,guid=1;unix:abstract=/c")];
        assert_eq!(shown(false, &system).unwrap(), ["/a b", "@/c"]);
        let session = [("DBUS_SESSION_BUS_ADDRESS", "unix:runtime=yes"), ("XDG_RUNTIME_DIR", "/run/user/7")];
        assert_eq!(shown(true, &session).unwrap(), ["/run/user/7/bus"]);
    }

    #[test]
    fn without_it_the_manager_has_a_socket_of_its_own_and_a_bus() {
        assert_eq!(shown(false, &[]).unwrap(), ["/run/systemd/private", "/run/dbus/system_bus_socket"]);
        let variables = [("XDG_RUNTIME_DIR", "/run/user/7"), ("DBUS_SESSION_BUS_ADDRESS", "")];
        assert_eq!(shown(true, &variables).unwrap(), ["/run/user/7/systemd/private", "/run/user/7/bus"]);
    }

    #[test]
    fn an_environment_without_a_socket_is_named() {
        let error = shown(true, &[]).unwrap_err().to_string();
        assert!(error.contains("XDG_RUNTIME_DIR") && error.contains("DBUS_SESSION_BUS_ADDRESS"), "{error}");
        for address in ["tcp:host=x", "unix:path", "unix:path=%", "unix:tmpdir=/x", ";", "unix:path=%zz"] {
            let error = shown(false, &[("DBUS_SYSTEM_BUS_ADDRESS", address)]).unwrap_err().to_string();
            assert!(error.contains(address), "{error}");
        }
    }
}
