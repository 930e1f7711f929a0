//! The one thing about networks that a new namespace needs: its loopback device up.

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// Brings the loopback device of this network namespace up.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` over the namespace.
pub fn loopback_up() -> Result<(), Errno> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let request = up();
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which outlives the call.
    let returned = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    super::check(returned.into()).map(drop)
}

/// What SIOCSIFFLAGS, netdevice(7), is to be told of the loopback device.
pub(super) fn up() -> libc::ifreq {
    // SAFETY: ifreq is plain data, for which all zeroes is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    // A fresh loopback device has no flags but these to keep: IFF_UP | IFF_RUNNING.
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    request
}
