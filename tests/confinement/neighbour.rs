// Another unit: a file, a segment of shared memory, sockets, and a process that tries to stay.

fn main() {
    fs::write(format!("{}/made", out_dir()), "theirs").unwrap();
    call(29, &[0x5c5c, 4096, 0o1666]).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(format!("{}/socket", out_dir())).unwrap();
    std::mem::forget(socket);
    println!("cargo::metadata=OUT={}", out_dir());
}
