// A build script that runs, sends and drops bytes that the test knows. All of it is inert: `/bin/true` with a mark
// behind its end, scripts that say nothing, addresses of TEST-NET-1 and the loopback interface.

use std::net::{ToSocketAddrs as _, UdpSocket};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

fn marked(mark: &str) -> Vec<u8> {
    [fs::read("/bin/true").unwrap(), mark.as_bytes().to_vec()].concat()
}

fn write(path: &str, contents: &[u8]) {
    fs::write(path, contents).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Tells how a program ended: 0, or the errno of its start.
fn run(name: &str, command: &mut Command) {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    did(name, status);
}

fn main() {
    let (out, home, source) = (out_dir(), home(), std::env::var("CARGO_MANIFEST_DIR").unwrap());
    let at = |name: &str| format!("{out}/{name}");

    // Programs.
    write(&at("program"), &marked("program"));
    run("program", &mut Command::new(at("program")));
    write(&at("swapped"), &marked("before"));
    run("swapped-before", &mut Command::new(at("swapped")));
    write(&at("swapped"), &marked("after"));
    run("swapped-after", &mut Command::new(at("swapped")));
    for name in ["new\nline".to_owned(), "x".repeat(255), "..\u{202e}..".to_owned()] {
        write(&at(&name), &marked(&name));
        run("hostile", &mut Command::new(at(&name)));
    }
    run("system", &mut Command::new("/bin/true"));
    fs::write(at("read-by-text"), "# read\n").unwrap();
    run("text", Command::new("sh").args(["-c", "true", "sh", &at("read-by-text")]));

    // From memory, by each way to a descriptor.
    let memory = |mark: &str| {
        let fd = call(319, &[c("payload"), 0]).unwrap();
        let mut file = unsafe { File::from_raw_fd(fd as i32) };
        file.write_all(&marked(mark)).unwrap();
        // Readable only: a file that is open for writing does not run.
        let reading = open(format!("/proc/self/fd/{fd}"), 0, 0).unwrap();
        reading as usize
    };
    let fd = memory("by-self");
    run("memory-by-self", &mut Command::new(format!("/proc/self/fd/{fd}")));
    let fd = memory("by-dev-fd");
    run("memory-by-dev-fd", &mut Command::new(format!("/dev/fd/{fd}")));
    let fd = memory("by-link");
    symlink(format!("/proc/self/fd/{fd}"), at("link")).unwrap();
    run("memory-by-link", &mut Command::new(at("link")));
    let fd = memory("by-number");
    let own = fs::read_link("/proc/self").unwrap();
    run("memory-by-number", &mut Command::new(format!("/proc/{}/fd/{fd}", own.display())));
    let fd = memory("by-descriptor");
    let mut command = Command::new("unused");
    unsafe {
        command.pre_exec(move || {
            let none = bytes(&[0; 8]);
            let empty = c("");
            let errno = call(322, &[fd, empty, none, none, 0x1000]).unwrap_err();
            Err(io::Error::from_raw_os_error(errno))
        });
    }
    run("memory-by-descriptor", &mut command);
    write(&at("deleted"), &marked("deleted"));
    let file = File::open(at("deleted")).unwrap();
    let fd = call(32, &[file.as_raw_fd() as usize]).unwrap();
    fs::remove_file(at("deleted")).unwrap();
    run("deleted", &mut Command::new(format!("/proc/self/fd/{fd}")));

    // Scripts.
    write(&at("script"), b"#!/bin/sh\n# by itself\n");
    run("script", &mut Command::new(at("script")));
    write(&at("given.sh"), b"# given\n");
    run("given", Command::new("sh").args(["-e", &at("given.sh"), "x"]));
    write(&at("relative.sh"), b"# relative\n");
    write(&at("interpreter"), &marked("interpreter"));
    write(&at("names-it"), format!("#! {out}/interpreter x\n").as_bytes());
    run("names-it", &mut Command::new(at("names-it")));
    // The dynamic linker runs what it is given, and is itself named by each program.
    let linker = "/lib64/ld-linux-x86-64.so.2";
    write(&at("linked"), &marked("linked"));
    run("linked", &mut Command::new(linker).args(["--library-path", "/nowhere", &at("linked")]));
    write(&at("linker"), &[fs::read(linker).unwrap(), b"linker".to_vec()].concat());
    let own = format!("{}/l\0", std::env::var("TMPDIR").unwrap());
    fs::copy(at("linker"), own.trim_end_matches('\0')).unwrap();
    let mut program = marked("names-linker");
    let name = program.windows(linker.len()).position(|part| part == linker.as_bytes()).unwrap();
    assert!(own.len() <= linker.len());
    program[name..name + own.len()].copy_from_slice(own.as_bytes());
    write(&at("names-linker"), &program);
    run("names-linker", &mut Command::new(at("names-linker")));
    write(&at("argument"), &marked("argument"));
    write(&at("names-argument"), format!("#!{linker} {out}/argument\n").as_bytes());
    run("names-argument", &mut Command::new(at("names-argument")));
    run("relative", Command::new("sh").arg("relative.sh").current_dir(&out));
    run("of-the-archive", Command::new("sh").arg(format!("{source}/tool.sh")));
    fs::write(format!("{source}/changed.sh"), "# CHANGED\n").unwrap();
    run("changed", Command::new("sh").arg(format!("{source}/changed.sh")));

    // What is no program.
    tried("make-fifo", call(133, &[c(at("fifo")), 0o010_755, 0]));
    tried("fifo-mode", call(90, &[c(at("fifo")), 0o755]));
    run("fifo", &mut Command::new(at("fifo")));
    run("device", &mut Command::new("/dev/zero"));
    run("procfs", &mut Command::new("/proc/self/maps"));
    run("fifo-as-script", Command::new("busybox-is-not-needed").arg(at("fifo")));
    write(&at("huge"), b"");
    OpenOptions::new().write(true).open(at("huge")).unwrap().set_len(3 << 30).unwrap();
    run("huge", &mut Command::new(at("huge")));

    // Messages.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    did("send-address", socket.send_to(b"to an address", "192.0.2.1:9"));
    socket.connect("127.0.0.1:9").unwrap();
    did("send-connected", socket.send(b"connected"));
    did("lookup", ("secret.captured.invalid", 80).to_socket_addrs());
    let (one, mut other) = UnixStream::pair().unwrap();
    let reader = std::thread::spawn(move || io::copy(&mut other, &mut io::sink()));
    let long = vec![b'l'; 70_000];
    tried("send-long", call(44, &[one.as_raw_fd() as usize, bytes(&long), long.len(), 0x4000, 0, 0]));
    let parts: Vec<u8> =
        (0..40_u8).flat_map(|i| [bytes(&[b'a' + i % 26]).to_ne_bytes(), 1_usize.to_ne_bytes()].concat()).collect();
    let header = [0, 0, bytes(&parts), 40, 0, 0, 0].map(usize::to_ne_bytes).concat();
    tried("send-parts", call(46, &[one.as_raw_fd() as usize, bytes(&header), 0x4000]));
    drop(one);
    let _ = reader.join();

    // Files elsewhere.
    fs::create_dir_all(format!("{home}/.config/autostart")).unwrap();
    fs::write(format!("{home}/.config/autostart/x\ny"), "dropped").unwrap();
    fs::write(format!("{home}/written-twice"), "first").unwrap();
    fs::write(format!("{home}/written-twice"), "second").unwrap();
    fs::write(format!("{home}/removed"), "removed").unwrap();
    fs::remove_file(format!("{home}/removed")).unwrap();
    fs::write(format!("{home}/old-name"), "renamed").unwrap();
    fs::rename(format!("{home}/old-name"), format!("{home}/new-name")).unwrap();
    fs::write(format!("{home}/replaced"), "replaced").unwrap();
    fs::remove_file(format!("{home}/replaced")).unwrap();
    symlink("/etc/passwd", format!("{home}/replaced")).unwrap();
    fs::write(at("own-output"), "own").unwrap();
}
