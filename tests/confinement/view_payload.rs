// A build script that tells what it sees. What differs from machine to machine is left out or named by a word.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};

fn told(part: &str, mut lines: Vec<String>) {
    lines.sort();
    lines.dedup();
    for (at, lines) in lines.chunks(25).enumerate() {
        tell(&format!("{part}#{at:03}"), lines.join("|"));
    }
}

/// Name, kind and mode of each entry of a folder.
fn listed(folder: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return vec![format!("({folder} cannot be listed)")];
    };
    let line = |entry: fs::DirEntry| {
        let meta = entry.metadata().unwrap();
        let kind = meta.file_type();
        let kind = match () {
            () if kind.is_dir() => "folder",
            () if kind.is_symlink() => "link",
            () if kind.is_char_device() => "device",
            () if kind.is_block_device() => "disk",
            () if kind.is_fifo() => "pipe",
            () if kind.is_socket() => "socket",
            () => "file",
        };
        format!("{folder}/{} {kind} {:o}", entry.file_name().to_string_lossy(), meta.permissions().mode() & 0o7777)
    };
    entries.map(|entry| line(entry.unwrap())).collect()
}

/// Without numbers, which are those of this run, and without the names of the toolchain and the index.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let rustc = std::env::var("RUSTC").unwrap();
    let toolchain = Path::new(&rustc).ancestors().nth(2).unwrap().display().to_string();
    let mut text = text.replace(&toolchain, "(toolchain)");
    if let Some((before, rest)) = text.split_once("index.") {
        let end = rest.find(|c| c == '/' || c == ' ').unwrap_or(rest.len());
        text = format!("{before}(index){}", &rest[end..]);
    }
    for c in text.chars() {
        if c.is_ascii_digit() {
            if !plain.ends_with('N') {
                plain.push('N');
            }
        } else {
            plain.push(c);
        }
    }
    plain
}

fn main() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let fields = [
        "Uid",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp",
        "Seccomp_filters",
        "SigBlk",
        "TracerPid",
        "NSpid",
        "Umask",
    ];
    let fit = |line: &&str| fields.iter().any(|field| line.split(':').next() == Some(*field));
    let status = status.lines().filter(fit).map(|line| line.replace('\t', " "));
    told(
        "status",
        status
            .map(|line| if line.starts_with("Uid") || line.starts_with("NSpid") { plain(&line) } else { line })
            .collect(),
    );

    let descriptors = (0..4096).filter(|fd| call(72, &[*fd, 1]).is_ok());
    told(
        "descriptors",
        descriptors
            .map(|fd| {
                let link = fs::read_link(format!("/proc/self/fd/{fd}")).unwrap_or_default();
                let flags = call(72, &[fd, 3]).unwrap();
                let kind = plain(&link.display().to_string());
                // The job server's two have whichever numbers are free.
                if fd > 2 { format!("others: {kind} flags {flags:o}") } else { format!("{fd}: {kind} flags {flags:o}") }
            })
            .collect(),
    );

    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let limited =
        ["Max processes", "Max core file size", "Max nice priority", "Max realtime priority", "Max file size"];
    told(
        "limits",
        limits
            .lines()
            .filter(|line| limited.iter().any(|name| line.starts_with(name)))
            .map(|line| {
                let words: Vec<_> = line.split_whitespace().collect();
                let same = words[words.len() - 3] == words[words.len() - 2]
                    || words[words.len() - 2] == words[words.len() - 1];
                let least = ["0", "1"].iter().find(|least| words.iter().filter(|word| *word == *least).count() >= 2);
                let least = least.map(|least| format!(", {least}")).unwrap_or_default();
                format!(
                    "{}: soft and hard {}{least}",
                    limited.iter().find(|name| line.starts_with(**name)).unwrap(),
                    if same { "the same" } else { "differ" }
                )
            })
            .collect(),
    );

    told(
        "environment",
        std::env::vars()
            .map(|(name, value)| {
                let fixed =
                    ["HOME", "PATH", "USER", "LOGNAME", "SHELL", "LANG", "TERM", "TZ", "CARGO_HOME", "RUSTUP_HOME"];
                if fixed.contains(&name.as_str()) { format!("{name}={}", plain(&value)) } else { name }
            })
            .filter(|name| !name.starts_with("CARGO_CFG_") && !name.starts_with("CARGO_PKG_"))
            .collect(),
    );

    // A system has its own folders below the root; which of those are links differs.
    let system = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/libx32"];
    told(
        "root",
        listed("/")
            .into_iter()
            .filter(|line| {
                !system.iter().any(|name| line.trim_start_matches('/').starts_with(&format!("{} ", &name[1..])))
            })
            .collect(),
    );
    for folder in
        ["/dev", "/sys", "/tmp", "/run", "/var", "/opt", "/home", "/workspace", "/boot", "/mnt", "/srv", "/root"]
    {
        told(folder, listed(folder));
    }
    let machine = [
        "alternatives",
        "ssl",
        "ca-certificates",
        "ld.so",
        "pki",
        "crypto-policies",
        "java",
        "perl",
        "localtime",
        "os-release",
    ];
    told("etc", listed("/etc").into_iter().filter(|line| !machine.iter().any(|name| line.contains(name))).collect());
    for file in ["passwd", "group", "hosts", "resolv.conf", "nsswitch.conf", "hostname", "os-release"] {
        let text = fs::read_to_string(format!("/etc/{file}")).unwrap_or_else(|error| error.to_string());
        if file != "os-release" {
            told(&format!("/etc/{file}"), text.lines().map(plain).collect());
        }
    }

    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    told(
        "mounts",
        mounts
            .lines()
            .map(|line| {
                let fields: Vec<_> = line.split(' ').collect();
                let kind = fields.iter().skip_while(|field| **field != "-").nth(1).unwrap();
                let options = fields[5]
                    .split(',')
                    .filter(|option| ["ro", "rw", "nosuid", "nodev"].contains(option))
                    .collect::<Vec<_>>()
                    .join(",");
                let at = plain(fields[4]);
                let is_system = system.contains(&at.as_str()) || at.starts_with("/etc/");
                let kind = if at.starts_with("/dev/") {
                    "device".to_owned()
                } else if ["tmpfs", "proc", "overlay"].contains(kind) && at != "/usr" {
                    kind.to_string()
                } else {
                    "the machine's".to_owned()
                };
                (is_system, format!("{at} {kind} {options}"))
            })
            .map(|(is_system, line)| {
                if is_system {
                    format!(
                        "(of the system) {}",
                        line.split_once(' ')
                            .unwrap()
                            .1
                            .replace("overlay", "the machine's")
                            .replace("tmpfs", "the machine's")
                    )
                } else {
                    line
                }
            })
            .collect(),
    );

    let processes = listed("/proc")
        .into_iter()
        .filter(|line| line.split(['/', ' ']).nth(2).is_some_and(|name| name.parse::<u32>().is_ok()));
    told("processes", processes.map(|line| plain(&line)).collect());
    told(
        "settings of the kernel that can be written",
        ["kernel", "fs", "net", "user", "vm"]
            .iter()
            .flat_map(|folder| {
                let entries = fs::read_dir(format!("/proc/sys/{folder}")).into_iter().flatten().flatten();
                entries
                    .map(|entry| entry.path())
                    .filter(|path| path.is_file() && open(path.display().to_string(), O_WRONLY, 0).is_ok())
                    .map(|path| path.display().to_string())
                    .collect::<Vec<_>>()
            })
            .chain(["(that was all)".to_owned()])
            .collect(),
    );
    told(
        "network",
        fs::read_to_string("/proc/self/net/dev")
            .unwrap_or_default()
            .lines()
            .filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()))
            .collect(),
    );
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    told(
        "priority",
        vec![
            format!("name of the machine {}", host.trim()),
            format!("nice -1: {:?}", call(141, &[0, 0, usize::MAX])),
            format!("real time: {:?}", call(144, &[0, 1, bytes(&1_u32.to_ne_bytes())])),
            format!("owner of /: {}", plain(&fs::metadata("/").unwrap().uid().to_string())),
        ],
    );
}
