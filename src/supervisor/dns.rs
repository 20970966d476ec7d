//! The stub resolver and the reading of questions.
//!
//! Without a name server `getaddrinfo` fails before it sends the name. The
//! stub's sockets were bound before the Landlock domain; it answers NXDOMAIN to
//! everything, so the name is seen and nothing is ever resolved.

use std::net::UdpSocket;

use simple_dns::{Packet, PacketFlag, QTYPE, RCODE};

/// Bytes of a query that are looked at.
const LONGEST: usize = 4096;

/// Name (bytes, no final dot) and type of each question of a query; none if it is no query.
pub(super) fn questions(message: &[u8]) -> Vec<(Vec<u8>, String)> {
    let message = message.get(..message.len().min(LONGEST)).unwrap_or_default();
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
pub(super) fn answer(socket: &UdpSocket) -> Vec<(Vec<u8>, String)> {
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
