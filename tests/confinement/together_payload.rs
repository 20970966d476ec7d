// One of two: leaves what can be attacked, waits for the other, and attacks it.

use std::net::UdpSocket;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::{Duration, Instant};

/// Folders of build scripts lie side by side.
fn theirs(other: &str) -> Option<PathBuf> {
    let build = Path::new(&out_dir()).ancestors().nth(2).unwrap().to_owned();
    let mut folders = fs::read_dir(build).ok()?.flatten().map(|entry| entry.path().join("out"));
    folders.find(|path| {
        path.parent().unwrap().file_name().unwrap().to_string_lossy().starts_with(other) && path.join("ready").exists()
    })
}

fn main() {
    let name = std::env::var("CARGO_PKG_NAME").unwrap();
    let other = if name == "left" { "right" } else { "left" };
    let tell_of = |what: &str, result: Result<i64, i32>| tell(&format!("{name}-{what}"), result.err().unwrap_or(0));
    let io_of = |what: &str, result: io::Result<()>| {
        tell(&format!("{name}-{what}"), result.err().map_or(0, |error| error.raw_os_error().unwrap_or(-1)))
    };
    let out = out_dir();
    let (named, udp) = (UnixListener::bind(format!("{out}/socket")).unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let abstracted = UnixListener::bind_addr(&SocketAddr::from_abstract_name(format!("unit-{name}")).unwrap()).unwrap();
    let key = |name: &str| if name == "left" { 0x1eff } else { 0x716e };
    call(29, &[key(&name), 4096, 0o1666]).unwrap();
    let tmp = std::env::var("TMPDIR").unwrap();
    fs::write(format!("{tmp}/private"), "x").unwrap();
    fs::write(format!("{out}/port"), udp.local_addr().unwrap().port().to_string()).unwrap();
    fs::write(format!("{out}/tmp"), &tmp).unwrap();
    // The last: from now on the other may come.
    fs::write(format!("{out}/ready"), "x").unwrap();
    let start = Instant::now();
    let theirs = loop {
        if let Some(folder) = theirs(other) {
            break Some(folder.display().to_string());
        }
        if start.elapsed() > Duration::from_secs(20) {
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    tell_of("meeting", if theirs.is_some() { Ok(0) } else { Err(110) });
    let Some(theirs) = theirs else { return };
    let read = |file: &str| fs::read_to_string(format!("{theirs}/{file}"));
    io_of("reads-out", read("ready").map(drop));
    io_of("writes-out", OpenOptions::new().write(true).open(format!("{theirs}/ready")).map(drop));
    io_of("makes-in-out", File::create(format!("{theirs}/evil")).map(drop));
    let their_tmp = read("tmp").unwrap();
    io_of("tmp", fs::read_dir(&their_tmp).map(drop));
    io_of("tmp-write", File::create(format!("{their_tmp}/evil")).map(drop));
    // Whoever is not of the unit has no number: process 1 and 2 are our own, and we start none.
    let others = (3..3000).filter(|pid| *pid != std::process::id() as usize);
    let alive = others.clone().filter(|pid| call(434, &[*pid, 0]).is_ok()).count();
    tell_of("signal", if alive == 0 { Err(3) } else { Ok(0) });
    tell_of("trace", call(101, &[0x4206, 3, 0, 0]));
    // /proc counts in the sandbox's namespace, and shows us ourselves.
    let shown = fs::read_link("/proc/self").unwrap().display().to_string();
    let memory = others
        .filter(|pid| pid.to_string() != shown)
        .map(|pid| open(format!("/proc/{pid}/environ"), 0, 0))
        .find(Result::is_ok);
    tell_of("memory", memory.unwrap_or(Err(2)));
    io_of(
        "abstract",
        UnixStream::connect_addr(&SocketAddr::from_abstract_name(format!("unit-{other}")).unwrap()).map(drop),
    );
    tell_of("segment", call(29, &[key(other), 4096, 0]));
    io_of("tcp", std::net::TcpStream::connect(("127.0.0.1", read("port").unwrap().parse::<u16>().unwrap())).map(drop));
    io_of("named", UnixStream::connect(format!("{theirs}/socket")).map(drop));
    tell_of("lock", open(format!("{theirs}/ready"), 0, 0).and_then(|fd| call(73, &[fd as usize, 2 | 4])));
    io_of("datagram", udp.send_to(b"x", ("127.0.0.1", read("port").unwrap().parse::<u16>().unwrap())).map(drop));
    // The other may still be at it.
    fs::write(format!("{out}/done"), "x").unwrap();
    let start = Instant::now();
    while !Path::new(&format!("{theirs}/done")).exists() && start.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(5));
    }
    drop((named, abstracted));
}
