//! Answers of rtnetlink(7) and sock_diag(7).

use nskit::inspect::network;

/// Three answers one after the other, each as long as its first two bytes say: of links, of addresses, of sockets.
pub fn check(data: &[u8]) {
    let (links, rest) = answer(data);
    let (addresses, sockets) = answer(rest);
    if let Ok(network) = network::read_answers(links, addresses, sockets) {
        assert!(network.links.len() <= links.len() / 16);
    }
}

fn answer(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk() else { return (&[], bytes) };
    rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()))
}
