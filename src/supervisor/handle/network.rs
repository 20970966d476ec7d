//! Sockets: what is created, connected, bound and sent.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::socket::{SockType, getsockopt, sockopt};
use nix::unistd::Pid;

use super::{Handler, Record};
use crate::evidence::Bytes;
use crate::evidence::line::{Address, ArgState, Kind, Object, Outcome};
use crate::sandbox::table::{self, Layer, Row};
use crate::supervisor::caller::{self, uint};
use crate::supervisor::decode::Decoded;
use crate::supervisor::reply::{Continue, Reply};
use crate::supervisor::units::Unit;
use crate::supervisor::{dns, open, sockets};
use crate::sys::process::descriptor_of;
use crate::sys::seccomp::Notification;

impl Handler<'_> {
    pub(super) fn socket(&mut self, unit: &Unit, notification: &Notification, row: Row) -> io::Result<Reply> {
        let [family, kind, protocol, ..] = notification.args;
        let object = sockets::socket_object(notification);
        if let Some(errno) = table::refuse_socket(uint(family), uint(kind), uint(protocol)) {
            return self.constant(unit, notification, row.kind, errno, object);
        }
        let record = Record { kind: row.kind, outcome: Outcome::Allowed, errno: None, state: ArgState::Exact, object };
        self.record(unit, notification, record)?;
        Ok(Reply::Continue(Continue(Layer::NetworkNamespace)))
    }

    pub(super) fn connects(
        &mut self,
        unit: &mut Unit,
        notification: &Notification,
        mut decoded: Decoded,
    ) -> io::Result<()> {
        let mut errno = None;
        if let Object::Address(address) = &mut decoded.object {
            address.stream = address.is_resolver() && self.is_stream(notification);
            if let Some(socket) = self.socket_of(notification) {
                unit.connects(socket, address);
            }
            errno = self.nobody_there(notification, address);
        }
        let record = Record {
            kind: Kind::NetConnect,
            outcome: Outcome::Allowed,
            errno,
            state: decoded.state,
            object: decoded.object,
        };
        self.record(unit, notification, record)
    }

    /// The kernel's name of the socket that a call is on, whatever number its descriptor has.
    fn socket_of(&self, notification: &Notification) -> Option<PathBuf> {
        self.procfs.descriptor(notification.tid, caller::int(notification.args[0]))
    }

    /// True if the socket that a call is on is one of TCP. Advisory: the caller can put another one in its place.
    fn is_stream(&self, notification: &Notification) -> bool {
        let process = self.procfs.process(notification.tid).unwrap_or(notification.tid);
        descriptor_of(Pid::from_raw(process), caller::int(notification.args[0]))
            .ok()
            .and_then(|socket| getsockopt(&socket, sockopt::SockType).ok())
            .is_some_and(|kind| kind == SockType::Stream)
    }

    /// ENOENT if the address is the path of a unix socket that is not there.
    fn nobody_there(&self, notification: &Notification, address: &Address) -> Option<i32> {
        let path = address
            .path
            .as_ref()
            .map(|path| path.0.as_slice())
            .filter(|path| path.first().is_some_and(|first| *first != 0))?;
        let base = self.procfs.open_base(notification.tid, None).ok()?;
        (open::object(path, Some(&base), true).err() == Some(Errno::ENOENT)).then_some(libc::ENOENT)
    }

    /// A listen is about the address that its socket was bound to last.
    pub(super) fn listens(
        &mut self,
        unit: &mut Unit,
        notification: &Notification,
        kind: Kind,
        decoded: Decoded,
    ) -> io::Result<()> {
        let socket = self.socket_of(notification);
        let object = match (&decoded.object, socket) {
            (Object::Address(address), Some(socket)) => {
                unit.binds(socket, address);
                decoded.object
            }
            (Object::Address(_), None) => decoded.object,
            (_, socket) => {
                let bound = socket.and_then(|socket| unit.bound.get(&socket).cloned());
                bound.map_or(Object::None, Object::Address)
            }
        };
        self.record_allowed(unit, notification, kind, ArgState::Snapshot, object)
    }

    /// Messages: a question to a name server is recorded as what it asks, an address of its own as a send.
    pub(super) fn sends(&mut self, unit: &mut Unit, notification: &Notification, decoded: Decoded) -> io::Result<()> {
        let connected = self.socket_of(notification).and_then(|socket| unit.connected.get(&socket).cloned());
        let (mut attempts, mut is_plain) = (0_u64, decoded.messages.is_empty());
        for message in decoded.messages {
            let mut attempt = None;
            let server = message.to.clone().or_else(|| connected.clone());
            let questions = match &server {
                Some(server) if server.port.is_some() => dns::questions(&message.bytes),
                _ => Vec::new(),
            };
            let asks = !questions.is_empty();
            for (name, qtype) in questions {
                let server = server.clone().unwrap_or_else(|| sockets::decode_address(&[]));
                if server.is_resolver() {
                    self.asked.push(name.clone());
                }
                let object = Object::Question { name: Bytes(name), qtype, server };
                self.record_allowed(unit, notification, Kind::DnsQuery, decoded.state, object)?;
                attempt = attempt.or(self.evidence.last_seq());
                attempts += 1;
            }
            match message.object() {
                Some(object) if !(asks && message.to.as_ref().is_some_and(Address::is_resolver)) => {
                    self.record_allowed(unit, notification, Kind::NetSend, decoded.state, object)?;
                    attempt = attempt.or(self.evidence.last_seq());
                    attempts += 1;
                }
                _ if asks => {}
                _ => is_plain = true,
            }
            self.capturer().sent(unit, attempt, server.as_ref(), (&message.bytes, message.length))?;
        }
        if is_plain {
            // On a connected socket, whose connect stands already.
            self.evidence.count("connected-send");
            attempts += 1;
        }
        // The call itself is counted as one.
        (1..attempts).for_each(|_| self.evidence.received());
        Ok(())
    }
}
