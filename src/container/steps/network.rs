//! Network devices of the host that the configuration moves into the container: `linux.netDevices`.
//!
//! A device keeps its index where it can, and its attributes; its addresses the kernel takes away on the move, and they are
//! given back: the permanent ones of global scope, as the specification has it.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use oci_spec::runtime::Spec;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::error::{Attempt, Error, Kind, Result};
use crate::netlink::{self, Attributes, Protocol, Socket, add_attribute};

// linux/if_link.h and linux/if_addr.h.
const IFLA_IFNAME: u16 = 3;
const IFLA_NET_NS_FD: u16 = 28;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const IFA_RT_PRIORITY: u16 = 9;
const IFA_F_PERMANENT: u32 = 0x80;
/// The flags that somebody has chosen: IFA_F_NODAD, IFA_F_HOMEADDRESS, IFA_F_MANAGETEMPADDR, IFA_F_NOPREFIXROUTE,
/// IFA_F_MCAUTOJOIN. Others tell of the past.
const CHOSEN_FLAGS: u32 = 0x02 | 0x10 | 0x100 | 0x200 | 0x400;
const RT_SCOPE_UNIVERSE: u8 = 0;
const IFF_UP: u32 = 1;

/// Whether any device is to be moved.
pub fn has_devices(spec: &Spec) -> bool {
    spec.linux().as_ref().and_then(|linux| linux.net_devices().as_ref()).is_some_and(|devices| !devices.is_empty())
}

/// Moves the devices of `linux.netDevices` into the network namespace of `pid`, which has it already, and brings them up.
///
/// # Errors
/// When a device is not there or cannot be moved, or when the container has one of that name. Those that have moved by then
/// go back.
pub fn move_devices(spec: &Spec, pid: Pid) -> Result<()> {
    let Some(devices) = spec.linux().as_ref().and_then(|linux| linux.net_devices().as_ref()) else { return Ok(()) };
    if devices.is_empty() {
        return Ok(());
    }
    let mut host = Side::host()?;
    let mut container = Side::of(pid)?;
    // Always in the same order, for templates.
    let mut wanted: Vec<(&str, &str)> = devices
        .iter()
        .map(|(name, device)| {
            (name.as_str(), device.name().as_deref().filter(|wanted| !wanted.is_empty()).unwrap_or(name))
        })
        .collect();
    wanted.sort_unstable();
    // What can be known to fail does so before anything has moved.
    for (number, (name, wanted_name)) in wanted.iter().enumerate() {
        let what = || attempted(name, wanted_name);
        if host.find(name).attempt(what)?.is_none() {
            return Err(Error::os(Errno::NODEV, what()));
        }
        let twice = wanted[..number].iter().any(|(_, other)| other == wanted_name);
        if !is_template(wanted_name) && (twice || container.find(wanted_name).attempt(what)?.is_some()) {
            let who = if twice {
                "another one is to have that name"
            } else {
                "the network namespace has a device of that name"
            };
            return Err(Error::new(Kind::State, format!("{}: {who}", what())));
        }
    }
    let mut moved = Vec::with_capacity(wanted.len());
    for (name, wanted_name) in wanted {
        let one = Moving { name, wanted: wanted_name }.go(&mut host, &mut container);
        match one.attempt(|| attempted(name, wanted_name)) {
            Ok(one) => moved.push(one),
            Err(error) => {
                moved.into_iter().rev().for_each(|moved: Moved<'_>| moved.go_back(&mut host, &mut container));
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Brings the loopback device of the network namespace of `pid` up.
///
/// # Errors
/// `EPERM` without privilege over the namespace.
pub fn bring_loopback_up(pid: Pid) -> Result<()> {
    // The first device of every network namespace.
    const LOOPBACK: i32 = 1;
    Side::of(pid)?.bring_up(LOOPBACK).attempt(|| "bring the loopback device up")
}

fn attempted(name: &str, wanted: &str) -> String {
    format!("move network device {name} to the container as {wanted}")
}

/// A device that is to be moved.
struct Moving<'a> {
    name: &'a str,
    wanted: &'a str,
}

/// One that was, and how it was before.
struct Moved<'a> {
    name: &'a str,
    was_up: bool,
    addresses: Vec<Address>,
    device: Device,
}

impl<'a> Moving<'a> {
    fn go(self, host: &mut Side, container: &mut Side) -> Result<Moved<'a>, Errno> {
        let before = host.find(self.name)?.ok_or(Errno::NODEV)?;
        let addresses = host.addresses(before.index)?;
        let name = self.name;
        let handed_over = host.hand_over(&before, self.wanted, container);
        if handed_over.is_err()
            && host.find(name)?.is_none()
            && let Some(device) = container.find(name)?
        {
            // It moved, and could not have its new name.
            Moved { name, was_up: before.up, addresses, device }.go_back(host, container);
            return Err(handed_over.err().unwrap_or(Errno::EXIST));
        }
        let moved = Moved { name, was_up: before.up, addresses, device: handed_over? };
        let set_up = moved.addresses.iter().try_for_each(|address| container.add(address, moved.device.index));
        if let Err(errno) = set_up.and_then(|()| container.bring_up(moved.device.index)) {
            moved.go_back(host, container);
            return Err(errno);
        }
        log::debug!(
            "network device {} is {} in the container, with {} address(es)",
            self.name,
            moved.device.name,
            moved.addresses.len()
        );
        Ok(moved)
    }
}

impl Moved<'_> {
    /// As it was, as far as that goes.
    fn go_back(self, host: &mut Side, container: &mut Side) {
        if let Ok(back) = container.hand_over(&self.device, self.name, host) {
            // One that cannot be given back keeps none of the others away.
            for address in &self.addresses {
                let _ = host.add(address, back.index);
            }
            if self.was_up {
                let _ = host.bring_up(back.index);
            }
        }
    }
}

/// Whether the kernel is to complete the name with a number.
fn is_template(name: &str) -> bool {
    name.contains("%d")
}

/// A network device.
#[derive(Debug)]
struct Device {
    index: i32,
    name: String,
    up: bool,
}

/// An address: the fixed part of its message, and the attributes to keep.
struct Address {
    family: u8,
    prefix: u8,
    attributes: Vec<u8>,
}

/// A network namespace.
struct Side {
    namespace: OwnedFd,
    route: Socket,
}

impl Side {
    fn host() -> Result<Side> {
        Side::open("/proc/self/ns/net", |_| Socket::open(Protocol::Route))
    }

    fn of(pid: Pid) -> Result<Side> {
        Side::open(&format!("/proc/{}/ns/net", pid.as_raw_nonzero()), |namespace| {
            Socket::open_in(namespace.as_fd(), &[Protocol::Route])?.pop().ok_or(Errno::BADF)
        })
    }

    fn open(path: &str, socket: impl FnOnce(&OwnedFd) -> Result<Socket, Errno>) -> Result<Side> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let namespace = rustix::fs::open(path, flags, Mode::empty()).attempt(|| format!("open {path}"))?;
        let route = socket(&namespace).attempt(|| format!("enter {path}"))?;
        Ok(Side { namespace, route })
    }

    fn devices(&mut self) -> Result<Vec<Device>, Errno> {
        let messages = self.route.dump(netlink::RTM_GETLINK, &[0; 16])?;
        Ok(messages.iter().filter_map(|message| Device::read(message)).collect())
    }

    fn find(&mut self, name: &str) -> Result<Option<Device>, Errno> {
        Ok(self.devices()?.into_iter().find(|device| device.name == name))
    }

    fn addresses(&mut self, index: i32) -> Result<Vec<Address>, Errno> {
        let messages = self.route.dump(netlink::RTM_GETADDR, &[0; 8])?;
        Ok(messages.iter().filter_map(|message| Address::read(message, index)).collect())
    }

    /// Moves a device to another namespace, under another name; returns it as it is there.
    fn hand_over(&mut self, device: &Device, name: &str, to: &mut Side) -> Result<Device, Errno> {
        let known: Vec<i32> = to.devices()?.iter().map(|device| device.index).collect();
        let mut request = link(device.index, 0, 0);
        add_attribute(&mut request, IFLA_IFNAME, &[name.as_bytes(), &[0]].concat());
        add_attribute(&mut request, IFLA_NET_NS_FD, &to.namespace.as_raw_fd().to_ne_bytes());
        self.route.act(netlink::RTM_NEWLINK, &request)?;
        let is_it = |other: &Device| if is_template(name) { !known.contains(&other.index) } else { other.name == name };
        to.devices()?.into_iter().find(is_it).ok_or(Errno::NODEV)
    }

    fn add(&mut self, address: &Address, index: i32) -> Result<(), Errno> {
        // struct ifaddrmsg.
        let mut request = vec![address.family, address.prefix, 0, RT_SCOPE_UNIVERSE];
        request.extend_from_slice(&index.to_ne_bytes());
        request.extend_from_slice(&address.attributes);
        match self.route.act(netlink::RTM_NEWADDR, &request) {
            Err(Errno::EXIST) => Ok(()),
            added => added,
        }
    }

    fn bring_up(&mut self, index: i32) -> Result<(), Errno> {
        self.route.act(netlink::RTM_NEWLINK, &link(index, IFF_UP, IFF_UP))
    }
}

/// The kernel's `struct ifinfomsg`.
fn link(index: i32, flags: u32, changed: u32) -> Vec<u8> {
    [&[0; 4][..], &index.to_ne_bytes(), &flags.to_ne_bytes(), &changed.to_ne_bytes()].concat()
}

impl Device {
    fn read(message: &[u8]) -> Option<Device> {
        let number =
            |at: usize| message.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
        let (_, name) = Attributes(message.get(16..)?).find(|(kind, _)| *kind == IFLA_IFNAME)?;
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        Some(Device {
            index: number(4)? as i32,
            name: String::from_utf8_lossy(name).into_owned(),
            up: number(8)? & IFF_UP != 0,
        })
    }
}

impl Address {
    /// One that is to come along, if it is the device's.
    fn read(message: &[u8], index: i32) -> Option<Address> {
        let &[family, prefix, flags, scope] = message.get(..4)?.first_chunk()?;
        let owner = i32::from_ne_bytes(message.get(4..8)?.try_into().ok()?);
        if owner != index || scope != RT_SCOPE_UNIVERSE {
            return None;
        }
        let mut flags = u32::from(flags);
        let mut attributes = Vec::new();
        for (kind, value) in Attributes(message.get(8..)?) {
            match kind {
                IFA_FLAGS => flags = u32::from_ne_bytes(value.try_into().ok()?),
                IFA_ADDRESS | IFA_LOCAL | IFA_BROADCAST | IFA_RT_PRIORITY => {
                    add_attribute(&mut attributes, kind, value)
                }
                _ => {}
            }
        }
        add_attribute(&mut attributes, IFA_FLAGS, &(flags & CHOSEN_FLAGS).to_ne_bytes());
        (flags & IFA_F_PERMANENT != 0).then_some(Address { family, prefix, attributes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_belong_to_the_place_stay() {
        let message = |scope: u8, flags: u32| {
            let mut bytes = vec![2, 24, 0, scope, 7, 0, 0, 0];
            add_attribute(&mut bytes, IFA_LOCAL, &[10, 0, 0, 1]);
            add_attribute(&mut bytes, IFA_FLAGS, &flags.to_ne_bytes());
            bytes
        };
        assert!(Address::read(&message(RT_SCOPE_UNIVERSE, IFA_F_PERMANENT), 7).is_some());
        assert!(Address::read(&message(RT_SCOPE_UNIVERSE, IFA_F_PERMANENT), 8).is_none());
        assert!(Address::read(&message(RT_SCOPE_UNIVERSE, 0), 7).is_none());
        assert!(Address::read(&message(253, IFA_F_PERMANENT), 7).is_none());
        assert!(Address::read(&[2, 24, 0], 7).is_none());
    }
}
