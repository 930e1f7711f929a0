//! Which network namespaces are connected to the host and to each other, and by what.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use nskit::inspect::network::{self, Link, Network};
use nskit::namespace::Kind;

use super::super::facts;
use super::super::world::World;
use super::{Band, End, Networks};

/// In so many network namespaces is looked.
const LOOKED_INTO: usize = 500;

/// Kinds of links whose other end is the device that they are on.
const ON_DEVICES: [&str; 5] = ["macvlan", "macvtap", "ipvlan", "ipvtap", "vlan"];

/// A port of the host that leads to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Published {
    protocol: String,
    port: u16,
    /// Where to: an address and port, where they are known.
    to: Option<(IpAddr, u16)>,
    /// The id of the container, where that is known.
    container: Option<String>,
}

/// Looks into these network namespaces, and the host's.
pub(super) fn gather(world: &World, wanted: &BTreeSet<usize>) -> Networks {
    let mut looked: BTreeSet<u64> = BTreeSet::new();
    let namespaces = &world.snapshot.namespaces;
    let all = (0..namespaces.len()).filter(|&index| namespaces[index].kind == Kind::Net);
    let chosen: Vec<usize> = all.filter(|index| wanted.contains(index) || world.is_host(*index)).collect();
    looked.extend(chosen.iter().filter(|&&index| world.is_host(index)).map(|&index| namespaces[index].inode));
    looked.extend(chosen.iter().take(LOOKED_INTO).map(|&index| namespaces[index].inode));
    let (found, failures) = network::look_at(&world.snapshot, |namespace| looked.contains(&namespace.inode));
    let mut scene = Scene { world, found: &found, bands: BTreeMap::new(), published: Vec::new() };
    let host = found.iter().find(|network| scene.is_host(network.namespace));
    if let Some(host) = host {
        scene.published = published(world, host);
    }
    found.iter().for_each(|network| scene.connect(network));
    let mut networks = scene.drawn(host);
    networks.unseen = chosen.len().saturating_sub(looked.len()) + failures.len();
    networks
}

/// What is known on the way to a picture: bands by the namespace and the name of what they begin at.
struct Scene<'a> {
    world: &'a World,
    found: &'a [Network],
    bands: BTreeMap<(bool, u64, String), Wired<'a>>,
    published: Vec<Published>,
}

/// A band, before its ends are put into words.
#[derive(Default)]
struct Wired<'a> {
    lines: Vec<String>,
    /// The namespace there, its link, and what that leads to on this side.
    ends: Vec<(u64, &'a Link, String)>,
}

impl<'a> Scene<'a> {
    fn is_host(&self, inode: u64) -> bool {
        self.world.snapshot.find(inode).is_some_and(|index| self.world.is_host(index))
    }

    fn key(&self, inode: u64, name: &str) -> (bool, u64, String) {
        (!self.is_host(inode), inode, name.to_owned())
    }

    /// Takes note of the network's bridges, of what is behind its links, and of the devices that its links are on.
    fn connect(&mut self, network: &'a Network) {
        let is_host = self.is_host(network.namespace);
        for bridge in network.links.iter().filter(|link| link.kind == "bridge") {
            let band = self.bands.entry(self.key(network.namespace, &bridge.name)).or_default();
            band.lines = bridge.addresses.clone();
            if !bridge.up {
                band.lines.push("down".to_owned());
            }
        }
        for link in &network.links {
            let master = link.master.and_then(|master| network.links.iter().find(|other| other.index == master));
            let Some((there, other)) = network::peer(self.found, network, link) else {
                if let Some(master) = master {
                    let line = format!("{} is a port of it", link.name);
                    self.bands.entry(self.key(network.namespace, &master.name)).or_default().lines.push(line);
                } else if !is_host && !is_loopback(link) {
                    let kind = if link.kind.is_empty() { "device" } else { &link.kind };
                    let band = self.bands.entry((true, 0, format!("{kind} of its own"))).or_default();
                    band.ends.push((network.namespace, link, String::new()));
                }
                continue;
            };
            if there == network.namespace {
                continue;
            }
            if ON_DEVICES.contains(&link.kind.as_str()) {
                let name = format!("{} ({})", other.name, link.kind);
                let band = self.bands.entry(self.key(there, &name)).or_default();
                band.ends.push((network.namespace, link, String::new()));
            } else if let Some(master) = master {
                let band = self.bands.entry(self.key(network.namespace, &master.name)).or_default();
                band.ends.push((there, other, link.name.clone()));
            } else if other.master.is_none() && link.kind == "veth" && (is_host || !self.is_host(there)) {
                let is_ours = is_host || network.namespace < there;
                let name = if is_host { "veth without a bridge".to_owned() } else { self.title(network.namespace) };
                if is_ours {
                    let band = self.bands.entry(self.key(network.namespace, &name)).or_default();
                    band.ends.push((there, other, link.name.clone()));
                }
            }
        }
    }

    fn drawn(self, host: Option<&Network>) -> Networks {
        let mut connected: BTreeSet<u64> = BTreeSet::new();
        let mut bands = Vec::new();
        for ((_, inode, name), wired) in &self.bands {
            if wired.ends.is_empty() && *inode == 0 {
                continue;
            }
            connected.extend(wired.ends.iter().map(|(there, ..)| *there));
            connected.insert(*inode);
            let ends: Vec<End> = wired.ends.iter().map(|(there, link, via)| self.end(*there, link, via)).collect();
            let mut lines = wired.lines.clone();
            if *inode != 0 && !self.is_host(*inode) {
                lines.insert(0, format!("in {}", self.title(*inode)));
            }
            bands.push(Band { name: name.clone(), lines, ends });
        }
        let is_alone = |network: &&Network| !connected.contains(&network.namespace) && !self.is_host(network.namespace);
        let alone = self.found.iter().filter(is_alone).map(|network| self.title(network.namespace)).collect();
        let lines = host.map(|host| self.host_lines(host)).unwrap_or_default();
        let published = self.published.iter().map(|port| self.published_line(port)).collect();
        Networks { host: lines, published, bands, alone, unseen: 0 }
    }

    fn end(&self, inode: u64, link: &Link, via: &str) -> End {
        let via = if via.is_empty() { String::new() } else { format!(" ⇄ {via}") };
        let down = if link.up { "" } else { " down" };
        let address = first(&link.addresses).map(|address| format!("{address} ")).unwrap_or_default();
        let mut lines = vec![format!("{address}{}{via}{down}", link.name)];
        let network = self.found.iter().find(|network| network.namespace == inode);
        let is_its =
            |port: &&Published| port.to.is_some_and(|(address, _)| has(link, address)) || self.is_of(port, inode);
        let ports: Vec<String> = self.published.iter().filter(is_its).map(short).collect();
        if !ports.is_empty() {
            lines.push(format!("published {}", ports.join(" ")));
        }
        lines.extend(network.and_then(listens));
        let index = self.world.snapshot.find(inode);
        let containers = &self.world.inventory.containers;
        let place =
            index.and_then(|index| self.world.residents(index).min_by_key(|&place| containers[place].is_sandbox));
        End { title: self.title(inode), place, lines }
    }

    /// Whether the port is that of a container in this network namespace.
    fn is_of(&self, port: &Published, inode: u64) -> bool {
        let Some(index) = self.world.snapshot.find(inode).filter(|_| port.container.is_some()) else { return false };
        self.world
            .residents(index)
            .any(|place| Some(&self.world.inventory.containers[place].id) == port.container.as_ref())
    }

    /// The host's interfaces that lead out, and containers that are on them.
    fn host_lines(&self, host: &Network) -> Vec<String> {
        let is_way_out = |link: &&Link| {
            let is_inner = ["veth", "bridge", "ifb", "dummy"].contains(&link.kind.as_str());
            !is_inner && !is_loopback(link) && (link.up || !link.addresses.is_empty())
        };
        let line = |link: &Link| format!("{} {}", link.name, first(&link.addresses).unwrap_or_default());
        let mut lines: Vec<String> =
            host.links.iter().filter(is_way_out).map(|link| line(link).trim_end().to_owned()).collect();
        let index = self.world.snapshot.find(host.namespace);
        let on_it = index.map(|index| self.world.containers_in(index)).unwrap_or_default();
        if let Some(one) = on_it.first() {
            let more = if on_it.len() > 1 { format!(" and {} more", on_it.len() - 1) } else { String::new() };
            lines.push(format!("on it: {}{more}", one.title()));
        }
        lines
    }

    fn published_line(&self, port: &Published) -> String {
        let container =
            port.container.as_ref().and_then(|id| self.world.inventory.containers.iter().find(|one| one.id == *id));
        let to = match (container, port.to) {
            (Some(container), _) => container.title(),
            (None, Some((address, to))) => {
                let found = self.found.iter().find(|network| network.links.iter().any(|link| has(link, address)));
                format!("{}:{to}", found.map_or_else(|| address.to_string(), |network| self.title(network.namespace)))
            }
            (None, None) => "?".to_owned(),
        };
        format!("{} {} → {to}", port.protocol, port.port)
    }

    /// Whose a network namespace is, in a few words.
    fn title(&self, inode: u64) -> String {
        title(self.world, inode)
    }
}

/// Whose a namespace is: its containers', its first process's, or whatever keeps it.
pub(super) fn title(world: &World, inode: u64) -> String {
    let Some(index) = world.snapshot.find(inode) else { return format!("[{inode}]") };
    let mut containers = world.containers_in(index);
    containers.sort_by_key(|container| container.is_sandbox);
    if let [first, _, ..] = containers.as_slice()
        && let Some(pod) = first.pod.as_ref().filter(|_| containers.iter().all(|other| other.pod == first.pod))
    {
        return format!("pod {}", pod.name);
    }
    let namespace = &world.snapshot.namespaces[index];
    let mut names: Vec<String> = containers.iter().take(2).map(|container| container.title()).collect();
    if containers.len() > 2 {
        names.push(format!("{} more", containers.len() - 2));
    }
    match (names.is_empty(), world.snapshot.leader(namespace)) {
        (false, _) => names.join(", "),
        (true, Some(process)) => {
            let name = facts::command(process.pid);
            format!("{} {}", process.pid, name.split(' ').next().unwrap_or_default())
        }
        (true, None) => super::super::strays::kept(world, index),
    }
}

fn is_loopback(link: &Link) -> bool {
    link.name == "lo" || (link.kind.is_empty() && link.addresses.iter().any(|address| address.starts_with("127.")))
}

/// The address that people would name it by.
fn first(addresses: &[String]) -> Option<String> {
    addresses.iter().find(|address| address.contains('.')).or(addresses.first()).cloned()
}

fn has(link: &Link, wanted: IpAddr) -> bool {
    let parsed = |address: &String| address.split('/').next().and_then(|address| address.parse::<IpAddr>().ok());
    link.addresses.iter().filter_map(parsed).any(|address| address == wanted)
}

/// On which ports something waits.
fn listens(network: &Network) -> Option<String> {
    let ports: BTreeSet<(&str, u16)> =
        network.listeners.iter().map(|listener| (listener.protocol, listener.port)).collect();
    let words: Vec<String> = ports.iter().take(6).map(|(protocol, port)| format!("{protocol} {port}")).collect();
    let more = if ports.len() > words.len() { format!(" + {}", ports.len() - words.len()) } else { String::new() };
    (!words.is_empty()).then(|| format!("listens {}{more}", words.join(" ")))
}

fn short(port: &Published) -> String {
    match port.to {
        Some((_, to)) => format!("{}→{to}/{}", port.port, port.protocol),
        None => format!("{}/{}", port.port, port.protocol),
    }
}

/// Ports of the host that a process holds for a container: docker-proxy's, and conmon's for Podman.
fn published(world: &World, host: &Network) -> Vec<Published> {
    let mut found = Vec::new();
    let mut holders = Vec::new();
    for process in &world.snapshot.processes {
        let is_here = process.namespace(Kind::Net).is_some_and(|index| world.is_host(index));
        if !is_here || world.inventory.index_of(process.pid).is_some() {
            continue;
        }
        let name = std::fs::read_to_string(format!("/proc/{}/comm", process.pid)).unwrap_or_default();
        match name.trim_end() {
            "docker-proxy" => {
                found.extend(of_docker_proxy(&arguments(process.pid)));
            }
            "conmon" => holders.extend(of_conmon(&arguments(process.pid)).map(|id| (process.pid, id))),
            _ => {}
        }
    }
    let owners = network::socket_owners(holders.iter().map(|(pid, _)| *pid));
    let ids: HashMap<i32, String> = holders.into_iter().collect();
    for listener in &host.listeners {
        let id = owners.get(&listener.inode).and_then(|pids| pids.iter().find_map(|pid| ids.get(pid)));
        if let Some(id) = id {
            let (protocol, port) = (listener.protocol.to_owned(), listener.port);
            found.push(Published { protocol, port, to: None, container: Some(id.clone()) });
        }
    }
    found.sort_by_key(|port| (port.port, port.protocol.clone()));
    // One for each family of addresses.
    found.dedup_by_key(|port| (port.port, port.protocol.clone(), port.to));
    found
}

fn arguments(pid: i32) -> Vec<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

fn of_docker_proxy(words: &[String]) -> Option<Published> {
    let value = |name: &str| {
        let place = words.iter().position(|word| word.trim_start_matches('-') == name)?;
        words.get(place + 1).map(String::as_str)
    };
    Some(Published {
        protocol: value("proto")?.to_owned(),
        port: value("host-port")?.parse().ok()?,
        to: Some((value("container-ip")?.parse().ok()?, value("container-port")?.parse().ok()?)),
        container: None,
    })
}

fn of_conmon(words: &[String]) -> Option<String> {
    let place = words.iter().position(|word| word == "-c" || word == "--cid")?;
    words.get(place + 1).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn published_ports_are_read_from_those_who_hold_them() {
        let line = "/usr/bin/docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 8080 -container-ip 172.17.0.2 -container-port 80";
        let found = of_docker_proxy(&words(line)).unwrap();
        assert_eq!((found.port, found.to), (8080, Some(("172.17.0.2".parse().unwrap(), 80))));
        assert_eq!(short(&found), "8080→80/tcp");
        assert_eq!(of_docker_proxy(&words("docker-proxy -proto tcp")), None);
        assert_eq!(of_conmon(&words("conmon --api-version 1 -c abc -u abc")).as_deref(), Some("abc"));
    }
}
