//! What the attacker is after on this machine, made by the test, and an oracle over it.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::attack;
use crate::table::Effect;

/// Files that anybody may read and write, sockets that anybody may talk to, and a process of our own.
pub struct Machine {
    folder: TempDir,
    tcp: TcpListener,
    udp: UdpSocket,
    named: UnixListener,
    datagram: UnixDatagram,
    abstracted: UnixListener,
    victim: Child,
    key: u32,
}

/// What the attacker reads and may not.
const SECRET: &str = "secret of the machine";
/// System V keys that nothing else has; each machine takes the next one.
static KEYS: AtomicU32 = AtomicU32::new(0);

impl Machine {
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("sandbox-check-machine-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let at = |name: &str| folder.path().join(name);
        let (named, datagram) = (UnixListener::bind(at("named")).unwrap(), UnixDatagram::bind(at("datagram")).unwrap());
        let name = format!("sandbox-check-machine-{}-{}", std::process::id(), folder.path().display());
        let abstracted = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
        let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        tcp.set_nonblocking(true).unwrap();
        udp.set_nonblocking(true).unwrap();
        named.set_nonblocking(true).unwrap();
        datagram.set_nonblocking(true).unwrap();
        abstracted.set_nonblocking(true).unwrap();
        let victim = Command::new("sleep").arg("600").spawn().unwrap();
        let key = std::process::id() * 64 + KEYS.fetch_add(1, Ordering::Relaxed) % 64;
        let machine = Self { folder, tcp, udp, named, datagram, abstracted, victim, key };
        machine.plant();
        assert!(machine.objects("make"), "no System V objects can be made");
        machine
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The files anew.
    pub fn plant(&self) {
        let (secret, open) = (self.path().join("secret"), self.path().join("open"));
        let _ = fs::remove_dir_all(&open);
        let _ = fs::remove_file(self.path().join("link"));
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(&secret, SECRET).unwrap();
        fs::write(open.join("victim"), "victim").unwrap();
        fs::set_permissions(open.join("victim"), fs::Permissions::from_mode(0o666)).unwrap();
        for socket in ["named", "datagram"] {
            fs::set_permissions(self.path().join(socket), fs::Permissions::from_mode(0o777)).unwrap();
        }
        symlink("secret", self.path().join("link")).unwrap();
    }

    /// What the attacker is told.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let at = |name: &str| self.path().join(name).display().to_string();
        vec![
            ("HOST_DIR", self.path().display().to_string()),
            ("HOST_TCP", self.tcp.local_addr().unwrap().port().to_string()),
            ("HOST_UDP", self.udp.local_addr().unwrap().port().to_string()),
            ("HOST_UNIX", at("named")),
            ("HOST_DATAGRAM", at("datagram")),
            ("HOST_ABSTRACT", self.abstract_name()),
            ("HOST_PID", self.victim.id().to_string()),
            ("HOST_SEGMENT", self.key.to_string()),
        ]
    }

    /// Makes or removes objects of System V.
    fn objects(&self, what: &str) -> bool {
        let mut attacker = Command::new(attack::outside());
        attacker.arg(format!("MACHINE/{what}")).env("HOST_SEGMENT", self.key.to_string());
        attacker.status().is_ok_and(|status| status.success())
    }

    fn abstract_name(&self) -> String {
        let address = self.abstracted.local_addr().unwrap();
        String::from_utf8_lossy(address.as_abstract_name().unwrap()).into_owned()
    }

    /// The state of the files: name, inode, owner, mode, size, change time, contents.
    pub fn files(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let (path, meta) = (entry.path(), entry.metadata().unwrap());
                if meta.is_dir() {
                    folders.push(path.clone());
                }
                let text = if meta.is_file() { fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
                let times = (meta.ctime(), meta.ctime_nsec(), meta.mtime(), meta.mtime_nsec());
                let what = (meta.ino(), meta.uid(), meta.gid(), meta.mode(), meta.size(), times, text);
                found.insert(format!("{} {what:?}", path.display()));
            }
        }
        found
    }

    /// What reached a socket since the last time, and whether the process still lives.
    pub fn heard(&mut self) -> BTreeSet<Effect> {
        std::thread::sleep(Duration::from_millis(2));
        let mut heard = BTreeSet::new();
        let mut note = |effect, error: Option<std::io::Error>| match error {
            None => drop(heard.insert(effect)),
            Some(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        };
        let mut buffer = [0; 16];
        // All that waits, so that the next look sees what is new.
        while let Ok((mut stream, _)) = self.tcp.accept() {
            // A connection that was opened and closed again is heard, too.
            let _ = std::io::Read::read(&mut stream, &mut buffer);
            note(Effect::Tcp, None);
        }
        while self.udp.recv(&mut buffer).is_ok() {
            note(Effect::Udp, None);
        }
        while self.datagram.recv(&mut buffer).is_ok() {
            note(Effect::Datagram, None);
        }
        while self.named.accept().is_ok() {
            note(Effect::Unix, None);
        }
        while self.abstracted.accept().is_ok() {
            note(Effect::Abstract, None);
        }
        note(Effect::Tcp, self.tcp.accept().err());
        assert_eq!(self.victim.try_wait().unwrap(), None, "the process that was to be attacked is gone");
        heard
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.objects("remove");
        let _ = self.victim.kill();
        let _ = self.victim.wait();
    }
}
