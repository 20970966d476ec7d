//! The stub resolver and the reading of questions.
//!
//! Without a name server `getaddrinfo` fails before it sends the name. The
//! stub's sockets were bound before the Landlock domain; it answers NXDOMAIN to
//! everything, so the name is seen and nothing is ever resolved.

use std::io;
use std::net::{IpAddr, Ipv6Addr, UdpSocket};

use simple_dns::{Packet, PacketFlag, QTYPE, RCODE};

use crate::evidence::line::RESOLVERS;

/// Bytes of a query that are looked at.
const LONGEST: usize = 4096;

/// Name (bytes, no final dot) and type of what is asked.
pub(super) type Question = (Vec<u8>, String);

/// Binds to `port` of each address at which machines have a resolver.
///
/// # Errors
///
/// If the first of them, which is the one that ours name, cannot be bound to.
pub fn bind(port: u16) -> io::Result<Vec<UdpSocket>> {
    let (first, rest) = RESOLVERS.split_first().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut sockets = vec![UdpSocket::bind((*first, port))?];
    let rest = rest.iter().copied().map(IpAddr::V4).chain([IpAddr::V6(Ipv6Addr::LOCALHOST)]);
    sockets.extend(rest.filter_map(|address| UdpSocket::bind((address, port)).ok()));
    sockets.iter().try_for_each(|socket| socket.set_nonblocking(true))?;
    Ok(sockets)
}

/// What a query asks, with its length before it as in a stream or without; nothing if it is no query.
pub(super) fn questions(message: &[u8]) -> Vec<Question> {
    let message = message.get(..message.len().min(LONGEST)).unwrap_or_default();
    let message = match message {
        [high, low, rest @ ..] if usize::from(u16::from_be_bytes([*high, *low])) == rest.len() => rest,
        whole => whole,
    };
    let Ok(packet) = Packet::parse(message) else { return Vec::new() };
    if packet.has_flags(PacketFlag::RESPONSE) {
        return Vec::new();
    }
    packet
        .questions
        .iter()
        .map(|question| (question.qname.to_string().into_bytes(), type_name(question.qtype)))
        .collect()
}

fn type_name(qtype: QTYPE) -> String {
    match qtype {
        QTYPE::TYPE(kind) => format!("{kind:?}"),
        other => format!("{other:?}"),
    }
}

/// Answers one waiting query and returns its questions.
pub(super) fn answer(socket: &UdpSocket) -> Vec<Question> {
    let mut buffer = [0; LONGEST];
    let Ok((length, from)) = socket.recv_from(&mut buffer) else { return Vec::new() };
    let message = buffer.get(..length).unwrap_or_default();
    let Ok(query) = Packet::parse(message) else { return Vec::new() };
    if query.has_flags(PacketFlag::RESPONSE) {
        return Vec::new();
    }
    let mut reply = Packet::new_reply(query.id());
    reply.set_flags(PacketFlag::RECURSION_DESIRED | PacketFlag::RECURSION_AVAILABLE);
    *reply.rcode_mut() = RCODE::NameError;
    reply.questions.clone_from(&query.questions);
    if let Ok(bytes) = reply.build_bytes_vec() {
        let _ = socket.send_to(&bytes, from);
    }
    questions(message)
}
