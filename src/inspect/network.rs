//! What is in a network namespace: links, addresses, and sockets that wait for somebody.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};

use super::model::{Namespace, Snapshot};
use crate::error::{Attempt, Error, Result};
use crate::namespace::Kind;
use crate::netlink::{self, Attributes, Protocol, Socket};

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its index, unique in the namespace.
    pub index: i32,
    /// Its name.
    pub name: String,
    /// What it is: `veth`, `bridge`; empty for a device.
    pub kind: String,
    /// Whether it is up.
    pub up: bool,
    /// Its hardware address.
    pub mac: String,
    /// Largest packet, bytes.
    pub mtu: u32,
    /// The index of the bridge or bond that it is part of.
    pub master: Option<i32>,
    /// The index of the other end, of a veth, or of the device below.
    pub peer: Option<i32>,
    /// Where the other end is, as this namespace calls that one; none where it is in the same.
    pub peer_netnsid: Option<i32>,
    /// Addresses with prefix lengths: `10.0.0.2/24`.
    pub addresses: Vec<String>,
}

/// A socket that waits for connections or datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// The local address.
    pub address: IpAddr,
    /// The local port.
    pub port: u16,
    /// The socket's inode number, which descriptors of it show.
    pub inode: u64,
}

/// What is in a network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// The namespace's inode number.
    pub namespace: u64,
    /// Interfaces by index.
    pub links: Vec<Link>,
    /// Sockets that wait.
    pub listeners: Vec<Listener>,
    /// What it calls other network namespaces: their inode numbers by id.
    pub netnsids: HashMap<i32, u64>,
}

const TCP_LISTEN: u32 = 1 << 10;
const UDP_UNCONNECTED: u32 = 1 << 7;
const IFF_UP: u32 = 1;

/// Looks into a network namespace, through sockets that a thread makes in it.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN` over it or over its owner, but for the caller's own.
pub fn look(ns: BorrowedFd<'_>) -> Result<Network> {
    let inode = rustix::fs::fstat(ns).attempt(|| "stat the network namespace")?.st_ino;
    let attempted = || format!("look into net:[{inode}]");
    // A kernel that cannot list sockets has none to tell of.
    let mut sockets = Socket::open_in(ns, &[Protocol::Route, Protocol::Diagnosis])
        .or_else(|_| Socket::open_in(ns, &[Protocol::Route]))
        .attempt(attempted)?
        .into_iter();
    let mut route = sockets.next().ok_or_else(|| Error::invalid(attempted()))?;
    let mut network = Network { namespace: inode, ..Network::default() };
    network.add_links(&route.dump(netlink::RTM_GETLINK, &[0; 16]).attempt(attempted)?);
    network.add_addresses(&route.dump(netlink::RTM_GETADDR, &[0; 8]).attempt(attempted)?);
    let Some(mut diagnosis) = sockets.next() else { return Ok(network) };
    for (protocol, number, states) in [("tcp", 6, TCP_LISTEN), ("udp", 17, UDP_UNCONNECTED)] {
        for family in [2u8, 10] {
            let mut request = vec![family, number, 0, 0];
            request.extend_from_slice(&states.to_ne_bytes());
            request.resize(56, 0);
            // A kernel without this protocol, or without the module to list it, has nothing to tell.
            let messages = diagnosis.dump(netlink::SOCK_DIAG_BY_FAMILY, &request).unwrap_or_default();
            network.add_listeners(protocol, &messages);
        }
    }
    Ok(network)
}

impl Network {
    fn add_links(&mut self, messages: &[Vec<u8>]) {
        self.links.extend(messages.iter().filter_map(|message| read_link(message)));
    }

    fn add_addresses(&mut self, messages: &[Vec<u8>]) {
        for (index, address) in messages.iter().filter_map(|message| read_address(message)) {
            if let Some(link) = self.links.iter_mut().find(|link| link.index == index) {
                link.addresses.push(address);
            }
        }
    }

    fn add_listeners(&mut self, protocol: &'static str, messages: &[Vec<u8>]) {
        self.listeners.extend(messages.iter().filter_map(|message| read_listener(protocol, message)));
    }
}

/// What three answers of the kernel say: of links, of addresses and of TCP sockets, each a datagram with its headers. For
/// fuzzing: [`look`] takes them from sockets.
///
/// # Errors
/// The errno of an answer, and `EBADMSG` for what is none.
#[doc(hidden)]
pub fn read_answers(links: &[u8], addresses: &[u8], sockets: &[u8]) -> Result<Network, crate::error::Errno> {
    let mut network = Network::default();
    network.add_links(&netlink::messages(links)?);
    network.add_addresses(&netlink::messages(addresses)?);
    network.add_listeners("tcp", &netlink::messages(sockets)?);
    Ok(network)
}

/// Looks into every network namespace, as [`look_at`].
pub fn look_at_all(snapshot: &Snapshot) -> (Vec<Network>, Vec<(u64, Error)>) {
    look_at(snapshot, |_| true)
}

/// Looks into the network namespaces for which `wanted` holds, and asks each what it calls the others that its links lead to.
/// Errors are told beside the inode number of the namespace that could not be looked into.
pub fn look_at(snapshot: &Snapshot, wanted: impl Fn(&Namespace) -> bool) -> (Vec<Network>, Vec<(u64, Error)>) {
    let (mut networks, mut failures) = (Vec::new(), Vec::new());
    let is_wanted = |namespace: &&Namespace| namespace.kind == Kind::Net && wanted(namespace);
    let namespaces: Vec<_> = snapshot.namespaces.iter().filter(is_wanted).collect();
    let mut opened = Vec::new();
    for namespace in namespaces {
        match snapshot.open(namespace) {
            Ok(fd) => opened.push((namespace.inode, fd)),
            Err(error) => failures.push((namespace.inode, error)),
        }
    }
    for (inode, fd) in &opened {
        match look(fd.as_fd()) {
            Ok(network) => networks.push(network),
            Err(error) => failures.push((*inode, error)),
        }
    }
    // Only where an index alone does not tell the other end of a veth.
    for place in 0..networks.len() {
        let open = |inode| opened.iter().find(|(opened, _)| *opened == inode).map(|(_, fd)| fd);
        let Some(own) = open(networks[place].namespace) else { continue };
        let mut ids = HashMap::new();
        let mut route = None;
        for link in networks[place].links.iter().filter(|link| link.peer_netnsid.is_some()) {
            let candidates = candidates(&networks, place, link);
            if let ([only], Some(id)) = (candidates.as_slice(), link.peer_netnsid) {
                ids.insert(id, networks[*only].namespace);
                continue;
            }
            for candidate in candidates {
                let inode = networks[candidate].namespace;
                let Some(fd) = open(inode) else { continue };
                if route.is_none() {
                    route = Socket::open_in(own.as_fd(), &[Protocol::Route]).ok().and_then(|mut sockets| sockets.pop());
                }
                if let Some(id) = route.as_mut().and_then(|route| route.netnsid(fd.as_fd())) {
                    ids.insert(id, inode);
                }
            }
        }
        networks[place].netnsids = ids;
    }
    (networks, failures)
}

/// The networks in which a link has the index of this one's peer, and has this one as its peer.
fn candidates(networks: &[Network], place: usize, link: &Link) -> Vec<usize> {
    let fits = |other: &Link| Some(other.index) == link.peer && other.peer == Some(link.index);
    let others = networks.iter().enumerate().filter(|(other, _)| *other != place);
    others.filter(|(_, network)| network.links.iter().any(fits)).map(|(other, _)| other).collect()
}

/// Where the other end of a link is: the namespace's inode number and the link there.
pub fn peer<'a>(networks: &'a [Network], network: &Network, link: &Link) -> Option<(u64, &'a Link)> {
    let inode = match link.peer_netnsid {
        Some(id) => *network.netnsids.get(&id)?,
        None => network.namespace,
    };
    let there = networks.iter().find(|other| other.namespace == inode)?;
    let other = there.links.iter().find(|other| Some(other.index) == link.peer)?;
    Some((inode, other))
}

/// Which processes have each socket open: inode numbers to pids.
pub fn socket_owners(pids: impl IntoIterator<Item = i32>) -> HashMap<u64, Vec<i32>> {
    let mut owners: HashMap<u64, Vec<i32>> = HashMap::new();
    for pid in pids {
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let Ok(link) = fs::read_link(entry.path()) else { continue };
            let number = link.to_str().and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            if let Some(number) = number {
                let pids = owners.entry(number).or_default();
                if pids.last() != Some(&pid) {
                    pids.push(pid);
                }
            }
        }
    }
    owners
}

fn read_link(message: &[u8]) -> Option<Link> {
    let mut link = Link {
        index: i32::from_ne_bytes(message.get(4..8)?.try_into().ok()?),
        up: u32::from_ne_bytes(message.get(8..12)?.try_into().ok()?) & IFF_UP != 0,
        ..Link::default()
    };
    for (kind, value) in Attributes(message.get(16..)?) {
        let number = || value.get(..4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
        match kind {
            1 => link.mac = value.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"),
            3 => link.name = string(value),
            4 => link.mtu = number()? as u32,
            5 => link.peer = number().filter(|&peer| peer != 0),
            10 => link.master = number(),
            18 => {
                let kind = Attributes(value).find(|(kind, _)| *kind == 1);
                link.kind = kind.map(|(_, name)| string(name)).unwrap_or_default();
            }
            37 => link.peer_netnsid = number(),
            _ => {}
        }
    }
    Some(link)
}

fn string(value: &[u8]) -> String {
    String::from_utf8_lossy(value.split(|&byte| byte == 0).next().unwrap_or_default()).into_owned()
}

fn read_address(message: &[u8]) -> Option<(i32, String)> {
    let (prefix, index) = (message.get(1)?, i32::from_ne_bytes(message.get(4..8)?.try_into().ok()?));
    let (mut address, mut local) = (None, None);
    for (kind, value) in Attributes(message.get(8..)?) {
        match kind {
            1 => address = ip(value),
            2 => local = ip(value),
            _ => {}
        }
    }
    // The local one is the other's of a point-to-point link.
    Some((index, format!("{}/{prefix}", local.or(address)?)))
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}

fn read_listener(protocol: &'static str, message: &[u8]) -> Option<Listener> {
    let family = *message.first()?;
    let port = u16::from_be_bytes(message.get(4..6)?.try_into().ok()?);
    let address = ip(message.get(8..if family == 2 { 12 } else { 24 })?)?;
    let inode = u32::from_ne_bytes(message.get(68..72)?.try_into().ok()?);
    Some(Listener { protocol, address, port, inode: u64::from(inode) })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listening_socket_is_found_with_the_process_that_has_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ns = File::open("/proc/self/ns/net").unwrap();
        let network = look(ns.as_fd()).unwrap();
        let found = network.listeners.iter().find(|listener| listener.port == port).unwrap();
        assert_eq!((found.protocol, found.address), ("tcp", "127.0.0.1".parse().unwrap()));
        let pid = std::process::id() as i32;
        assert_eq!(socket_owners([pid])[&found.inode], [pid]);
        assert!(network.links.iter().any(|link| link.name == "lo"));
    }
}
