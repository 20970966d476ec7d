// A build script that runs and drops more files than are kept, and sends more messages than are listed.

fn main() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;
    let (out, home) = (out_dir(), home());
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    for i in 0..300 {
        let _ = socket.send_to(format!("message {i}").as_bytes(), "192.0.2.1:9");
    }
    for i in 0..70 {
        let path = format!("{out}/script-{i}");
        fs::write(&path, format!("#!/bin/true\n{i}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let _ = Command::new(&path).status();
        fs::write(format!("{home}/flood-{i}"), format!("dropped {i}")).unwrap();
    }
}
