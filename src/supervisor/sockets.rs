//! Sockets: families by name, addresses, messages.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::caller::{read_memory, read_pieces, uint, word32, word64};
use crate::evidence::Bytes;
use crate::evidence::line::{Address, Object};
use crate::sandbox::table::names;
use crate::sys::seccomp::Notification;

/// No socket address is longer (`struct sockaddr_storage`).
const ADDRESS_CAP: usize = 128;
/// Bytes of a message that are looked at.
const MESSAGE_CAP: usize = 64 * 1024;
/// Of all messages of one call, beyond which only what a question to a name server needs is looked at.
const MESSAGES_CAP: usize = 1 << 20;
/// A question over UDP has fewer bytes.
const QUESTION_CAP: usize = 1500;
/// Messages of one `sendmmsg` and pieces of one message: the kernel takes no more (`UIO_MAXIOV`).
const PARTS_CAP: u64 = 1024;

/// A message that a caller wants to send.
#[derive(Debug)]
pub(super) struct Message {
    /// The destination, if the call names one.
    pub(super) to: Option<Address>,
    /// The first bytes.
    pub(super) bytes: Vec<u8>,
    /// How long it is, as the caller says.
    pub(super) length: u64,
    /// `MSG_*` by name.
    pub(super) flags: Vec<String>,
}

impl Message {
    /// As evidence, if the call names a destination.
    pub(super) fn object(&self) -> Option<Object> {
        let to = self.to.clone()?;
        Some(Object::Message { to, length: self.length, flags: self.flags.clone() })
    }
}

/// The arguments of `socket(2)`.
pub(super) fn socket_object(notification: &Notification) -> Object {
    const TYPE_MASK: u32 = 0xf;
    let [family, kind, protocol, ..] = notification.args;
    let kind = uint(kind);
    let named = names::SOCKET_TYPE.iter().find(|(value, _)| *value == kind & TYPE_MASK);
    Object::Socket {
        family: family_name(uint(family)),
        kind: named.map_or_else(|| (kind & TYPE_MASK).to_string(), |(_, name)| (*name).to_owned()),
        protocol: i64::from(super::caller::int(protocol)),
        flags: names::bit_names(kind & !TYPE_MASK, names::SOCKET),
    }
}

/// The address at a pointer. An error if it cannot be read.
pub(super) fn read_address(tid: i32, at: u64, length: u64) -> std::io::Result<Address> {
    let length = usize::try_from(u64::from(uint(length))).unwrap_or(ADDRESS_CAP).min(ADDRESS_CAP);
    Ok(decode_address(&read_memory(tid, at, length)?))
}

/// `sendto(2)`.
pub(super) fn read_sendto(notification: &Notification) -> std::io::Result<Vec<Message>> {
    let [_, bytes, length, flags, address, address_length] = notification.args;
    let to = if address == 0 { None } else { Some(read_address(notification.tid, address, address_length)?) };
    let bytes = read_pieces(notification.tid, &[(bytes, length)], MESSAGE_CAP)?;
    Ok(vec![Message { to, bytes, length, flags: names::bit_names(uint(flags), names::MESSAGE) }])
}

/// `sendmsg(2)`.
pub(super) fn read_sendmsg(notification: &Notification) -> std::io::Result<Vec<Message>> {
    let [_, message, flags, ..] = notification.args;
    Ok(vec![read_message(notification.tid, message, flags, MESSAGE_CAP)?])
}

/// `sendmmsg(2)`.
pub(super) fn read_sendmmsg(notification: &Notification) -> std::io::Result<Vec<Message>> {
    /// `struct mmsghdr`: a `struct msghdr` and a length, padded.
    const STRIDE: u64 = 64;
    let [_, vector, count, flags, ..] = notification.args;
    let mut messages = Vec::new();
    let mut room = MESSAGES_CAP;
    for at in 0..u64::from(uint(count)).min(PARTS_CAP) {
        let cap = room.clamp(QUESTION_CAP, MESSAGE_CAP);
        let message = read_message(notification.tid, vector.wrapping_add(at * STRIDE), flags, cap)?;
        room = room.saturating_sub(message.bytes.len());
        messages.push(message);
    }
    Ok(messages)
}

/// `struct msghdr`: name, length, vector, count (64-bit layout).
fn read_message(tid: i32, at: u64, flags: u64, cap: usize) -> std::io::Result<Message> {
    const MSGHDR: usize = 56;
    const IOVEC: usize = 16;
    let header = read_memory(tid, at, MSGHDR)?;
    let word = |at| word64(&header, at).ok_or(std::io::ErrorKind::UnexpectedEof);
    let (name, vector, count) = (word(0)?, word(16)?, word(24)?);
    let name_length = u64::from(word32(&header, 8).unwrap_or_default());
    let to = if name == 0 || name_length == 0 { None } else { Some(read_address(tid, name, name_length)?) };
    let count = usize::try_from(count.min(PARTS_CAP)).unwrap_or_default();
    let list = read_memory(tid, vector, count * IOVEC)?;
    if list.len() < count * IOVEC {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let (mut parts, mut length) = (Vec::new(), 0_u64);
    for part in list.chunks_exact(IOVEC) {
        let (Some(base), Some(size)) = (word64(part, 0), word64(part, 8)) else { break };
        parts.push((base, size));
        length = length.saturating_add(size);
    }
    let bytes = read_pieces(tid, &parts, cap)?;
    Ok(Message { to, bytes, length, flags: names::bit_names(uint(flags), names::MESSAGE) })
}

/// Decodes a `struct sockaddr` by its family and its length.
pub(super) fn decode_address(raw: &[u8]) -> Address {
    let family = raw.first_chunk().map(|family| u32::from(u16::from_ne_bytes(*family)));
    let port = raw.get(2..4).and_then(|port| Some(u16::from_be_bytes(port.try_into().ok()?)));
    let mut address = Address {
        family: family.map_or_else(|| "none".to_owned(), family_name),
        ip: None,
        port: None,
        path: None,
        resolved: None,
        text: None,
        stream: false,
        raw: Bytes::from(raw),
    };
    let number = |at| word32(raw, at).map(|word| word.to_string()).unwrap_or_default();
    match family {
        Some(1) => address.path = Some(unix_path(raw.get(2..).unwrap_or_default())),
        Some(2) => {
            address.port = port;
            address.ip =
                raw.get(4..8).and_then(|ip| <[u8; 4]>::try_from(ip).ok()).map(|ip| IpAddr::V4(Ipv4Addr::from(ip)));
        }
        Some(10) => {
            address.port = port;
            let ip = raw.get(8..24).and_then(|ip| <[u8; 16]>::try_from(ip).ok()).map(Ipv6Addr::from);
            // An IPv4-mapped address is the IPv4 address, whatever the socket's family.
            address.ip = ip.map(|ip| ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4));
        }
        // `struct sockaddr_nl`, `struct sockaddr_vm`, `struct sockaddr_ll`.
        Some(16) => address.text = Some(format!("port {} groups {}", number(4), number(8))),
        Some(40) => address.text = Some(format!("cid {} port {}", number(8), number(4))),
        Some(17) => address.text = Some(format!("interface {}", number(4))),
        _ => {}
    }
    address
}

/// A path ends at its first zero byte, an abstract name (it begins with one) at the length given.
fn unix_path(bytes: &[u8]) -> Bytes {
    match bytes.first() {
        Some(0) => Bytes::from(bytes),
        _ => Bytes::from(bytes.split(|byte| *byte == 0).next().unwrap_or_default()),
    }
}

/// The name of an address family, or its number.
fn family_name(family: u32) -> String {
    let known = names::FAMILY.iter().find(|(value, _)| *value == family);
    known.map_or_else(|| family.to_string(), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_decoded_by_length() {
        let inet = decode_address(&[2, 0, 0, 80, 192, 0, 2, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!((inet.ip, inet.port), (Some("192.0.2.7".parse().unwrap()), Some(80)));
        let short = decode_address(&[2, 0, 0]);
        assert_eq!((short.ip, short.port), (None, None));
        let named = decode_address(b"\x01\x00/run/x.sock\0garbage");
        assert_eq!(named.path, Some(Bytes::from("/run/x.sock")));
        let hidden = decode_address(b"\x01\x00\0name\0more");
        assert_eq!(hidden.path, Some(Bytes::from(&b"\0name\0more"[..])));
        let mut mapped = vec![10, 0, 1, 187, 0, 0, 0, 0];
        mapped.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1]);
        assert_eq!(decode_address(&mapped).ip, Some("127.0.0.1".parse().unwrap()));
    }
}
