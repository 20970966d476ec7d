// Every object with every flag, by each call that opens. Inside, reads go on and writes are made on behalf; outside, both
// are the kernel's. Nobody should be able to tell.

const OBJECTS: &[&str] = &[
    "file",
    "read-only",
    "closed",
    "folder",
    "closed-folder",
    "to-file",
    "to-folder",
    "to-nothing",
    "to-itself",
    "pipe",
    "socket",
    "missing",
    "missing/below",
    "file/below",
    "folder/",
    "file/",
    "folder/../file",
    "folder/inside",
    "to-folder/inside",
    "descriptor",
    "empty",
    "null",
];

/// What may stand beside the mode of access.
const FLAGS: &[(&str, usize)] = &[
    ("", 0),
    ("creat", O_CREAT),
    ("creat excl", O_CREAT | O_EXCL),
    ("excl", O_EXCL),
    ("trunc", O_TRUNC),
    ("creat trunc", O_CREAT | O_TRUNC),
    ("append", 0o2000),
    ("creat append", O_CREAT | 0o2000),
    ("nofollow", O_NOFOLLOW),
    ("creat nofollow", O_CREAT | O_NOFOLLOW),
    ("directory", O_DIRECTORY),
    ("creat directory", O_CREAT | O_DIRECTORY),
    ("cloexec", 0o2_000_000),
    ("creat cloexec", O_CREAT | 0o2_000_000),
    ("path", O_PATH),
    ("path nofollow", O_PATH | O_NOFOLLOW),
    ("tmpfile", O_TMPFILE),
    ("tmpfile excl", O_TMPFILE | O_EXCL),
    ("sync", 0o4_010_000),
    ("dsync", 0o10_000),
    ("noatime", 0o1_000_000),
    ("noctty", 0o400),
    ("async", 0o20_000),
    ("largefile", 0o100_000),
    ("unknown", 0x4000_0000),
];

/// How openat2(2) may walk.
const RESOLVES: &[(&str, usize)] = &[
    ("no-xdev", 1),
    ("no-magiclinks", 2),
    ("no-symlinks", 4),
    ("beneath", 8),
    ("in-root", 16),
    ("beneath in-root", 24),
    ("no-symlinks beneath", 12),
    ("in-root no-magiclinks", 18),
    ("unknown", 64),
];

/// The objects anew, in an empty folder.
fn lay_out(folder: &str) {
    let _ = call(90, &[c(format!("{folder}/closed-folder")), 0o700]);
    let _ = fs::remove_dir_all(folder);
    fs::create_dir(folder).unwrap();
    let at = |name: &str| format!("{folder}/{name}");
    for (name, mode) in [("file", 0o644), ("read-only", 0o444), ("closed", 0)] {
        fs::write(at(name), "contents").unwrap();
        call(90, &[c(at(name)), mode]).unwrap();
    }
    for name in ["folder", "closed-folder"] {
        fs::create_dir(at(name)).unwrap();
    }
    fs::write(at("folder/inside"), "inside").unwrap();
    call(90, &[c(at("closed-folder")), 0]).unwrap();
    for (name, to) in
        [("to-file", "file"), ("to-folder", "folder"), ("to-nothing", "nothing"), ("to-itself", "to-itself")]
    {
        std::os::unix::fs::symlink(to, at(name)).unwrap();
    }
    call(133, &[c(at("pipe")), 0o010_600, 0]).unwrap();
    drop(std::os::unix::net::UnixListener::bind(at("socket")).unwrap());
}

/// What an open gave: errno, or what the descriptor is; and what became of the name.
fn tried_open(number: i64, folder: &str, object: &str, flags: usize, resolve: usize) -> String {
    let held = File::open(format!("{folder}/file")).unwrap();
    let path = match object {
        "descriptor" => format!("/proc/self/fd/{}", held.as_raw_fd()),
        "empty" => String::new(),
        "null" => "/dev/null".to_owned(),
        _ => format!("{folder}/{object}"),
    };
    let base = open(folder, O_PATH | O_DIRECTORY, 0).unwrap() as usize;
    let relative = if path.starts_with(folder) { path[folder.len() + 1..].to_owned() } else { path.clone() };
    let how = bytes(
        &[flags as u64, if flags & O_CREAT != 0 || flags & O_TMPFILE == O_TMPFILE { 0o640 } else { 0 }, resolve as u64]
            .map(u64::to_ne_bytes)
            .concat(),
    );
    let opened = match number {
        2 => call(2, &[c(&path), flags, 0o640]),
        85 => call(85, &[c(&path), 0o640]),
        257 => call(257, &[base, c(&relative), flags, 0o640]),
        _ => call(437, &[base, c(&relative), how, 24]),
    };
    let after = |name: &str| {
        fs::symlink_metadata(format!("{folder}/{name}"))
            .map_or("-".to_owned(), |meta| format!("{:o}", std::os::unix::fs::MetadataExt::mode(&meta)))
    };
    let told = match opened {
        Err(errno) => format!("e{errno}"),
        Ok(fd) => {
            let fd = fd as usize;
            let mut stat = [0_u64; 18];
            let _ = call(5, &[fd, stat.as_mut_ptr() as usize]);
            let (mode, size) = (stat[3] as u32, stat[6]);
            let size = if mode & 0o170_000 == 0o100_000 { size.to_string() } else { "-".to_owned() };
            let status = call(72, &[fd, 3]).unwrap_or(-1);
            let closes = call(72, &[fd, 1]).unwrap_or(-1);
            let reads =
                if mode & 0o170_000 == 0o100_000 { outcome(call(0, &[fd, bytes(&[0; 8]), 1])) } else { "-".to_owned() };
            let writes =
                if mode & 0o170_000 == 0o100_000 { outcome(call(1, &[fd, c("x"), 1])) } else { "-".to_owned() };
            let _ = call(3, &[fd]);
            format!("{mode:o}.{size}.{status:o}.{closes}.r{reads}.w{writes}")
        }
    };
    let _ = call(3, &[base]);
    format!("{told}.{}", after(object))
}

fn opens(name: &str) -> Answer {
    if !["OPENS", "WALKS"].contains(&name) {
        return Err(UNKNOWN);
    }
    // Root may open what is closed. As in the sandbox, the one who tries is somebody else.
    let folder = format!("{}/opens", out_dir());
    if call(107, &[]) == Ok(0) {
        std::os::unix::fs::chown(out_dir(), Some(64_000), Some(64_000)).unwrap();
        call(116, &[0, 0])?;
        call(119, &[64_000; 3])?;
        call(117, &[64_000; 3])?;
    }
    // umask(2)
    call(95, &[0o027])?;
    let lines = if name == "OPENS" { by_flags(&folder) } else { by_walks(&folder) };
    if is_inside() {
        for (at, lines) in lines.chunks(40).enumerate() {
            tell(&format!("{name}#{at:04}"), lines.join("|").replace('/', "\\"));
        }
    } else {
        println!("{}", lines.join("\n"));
    }
    Ok(0)
}

/// Every object with every flag, by every call.
fn by_flags(folder: &str) -> Vec<String> {
    let (mut lines, mut is_changed) = (Vec::new(), true);
    for object in OBJECTS {
        for (number, way) in [(2, "open"), (257, "openat"), (437, "openat2"), (85, "creat")] {
            for access in 0..4 {
                for (text, flags) in FLAGS {
                    let is_pipe = *object == "pipe";
                    // Who opens a pipe that nobody else has waits.
                    let flags = flags | access | if is_pipe { O_NONBLOCK } else { 0 };
                    if number == 85 && (is_pipe || access > 0 || !text.is_empty()) {
                        continue;
                    }
                    if is_changed {
                        lay_out(folder);
                    }
                    let came = tried_open(number, folder, object, flags, 0);
                    // What failed or only read has changed nothing.
                    is_changed =
                        !came.starts_with('e') && (access > 0 || number == 85 || flags & (O_CREAT | O_TRUNC) != 0);
                    lines.push(format!("{way} {object} {access} {text}: {came}"));
                }
            }
        }
    }
    lines
}

/// Every object with every way to walk.
fn by_walks(folder: &str) -> Vec<String> {
    let (mut lines, mut is_changed) = (Vec::new(), true);
    // Who opens a pipe that nobody else has waits.
    for object in OBJECTS.iter().filter(|object| **object != "pipe") {
        for (text, resolve) in RESOLVES {
            for (way, flags) in [
                ("read", 0),
                ("write", O_WRONLY),
                ("make", O_RDWR | O_CREAT),
                ("path", O_PATH),
                ("last", O_RDWR | O_NOFOLLOW),
            ] {
                if is_changed {
                    lay_out(folder);
                }
                let came = tried_open(437, folder, object, flags, *resolve);
                is_changed = !came.starts_with('e') && flags & (O_WRONLY | O_RDWR) != 0;
                lines.push(format!("{way} {object} {text}: {came}"));
            }
        }
    }
    lines
}
