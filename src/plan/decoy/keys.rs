//! Keys: ssh and gpg.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::super::persona::Persona;
use super::super::random::Random;
use super::Plot;
use crate::evidence::line::DecoyClass;

pub(super) fn plant(plot: &mut Plot<'_>, persona: &Persona, random: &mut Random) {
    let comment = format!("{}@{}", persona.user, persona.machine);
    let (private, public) = ed25519_pair(&comment, random);
    plot.secret(".ssh/id_ed25519", private);
    plot.open(".ssh/id_ed25519.pub", DecoyClass::Config, format!("{public}\n"));
    plot.secret(".ssh/id_rsa", rsa_key(random));
    let (_, colleague) = ed25519_pair(&format!("deploy@ci.{}", persona.domain), random);
    plot.open(".ssh/authorized_keys", DecoyClass::Config, format!("{public}\n{colleague}\n"));
    let (user, domain) = (&persona.user, &persona.domain);
    let config = format!(
        "Host *\n    AddKeysToAgent yes\n    ServerAliveInterval 60\n\nHost bastion\n    HostName bastion.{domain}\n    \
         User {user}\n    IdentityFile ~/.ssh/id_ed25519\n\nHost orders-*\n    HostName %h.prod.{domain}\n    User \
         deploy\n    ProxyJump bastion\n    IdentityFile ~/.ssh/id_rsa\n",
    );
    plot.open(".ssh/config", DecoyClass::Config, config);
    let hosts: Vec<String> = ["github.com", "gitlab.com"]
        .into_iter()
        .map(str::to_owned)
        .chain([format!("bastion.{domain}"), format!("git.{domain}")])
        .map(|host| format!("{host} ssh-ed25519 {}\n", BASE64_STANDARD.encode(public_blob(&random.bytes(32)))))
        .collect();
    plot.open(".ssh/known_hosts", DecoyClass::Config, hosts.concat());
    gpg(plot, persona, random);
}

/// A private key file and the line of its public half, in OpenSSH's form.
fn ed25519_pair(comment: &str, random: &mut Random) -> (String, String) {
    let (public, seed, check) = (random.bytes(32), random.bytes(32), random.bytes(4));
    let blob = public_blob(&public);
    let mut inner = [check.as_slice(), &check].concat();
    for part in [b"ssh-ed25519".as_slice(), &public, &[seed.as_slice(), &public].concat(), comment.as_bytes()] {
        put_string(&mut inner, part);
    }
    // Padded with 1, 2, 3 … to the block size.
    inner.extend((1..=7_u8).take((8 - inner.len() % 8) % 8));
    let mut file = b"openssh-key-v1\0".to_vec();
    for part in [b"none".as_slice(), b"none", b""] {
        put_string(&mut file, part);
    }
    file.extend_from_slice(&1_u32.to_be_bytes());
    put_string(&mut file, &blob);
    put_string(&mut file, &inner);
    (armour("OPENSSH PRIVATE KEY", &file, 70), format!("ssh-ed25519 {} {comment}", BASE64_STANDARD.encode(blob)))
}

fn public_blob(public: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    put_string(&mut blob, b"ssh-ed25519");
    put_string(&mut blob, public);
    blob
}

fn put_string(out: &mut Vec<u8>, part: &[u8]) {
    out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(part);
}

/// The outer form of a PKCS#1 key of 2048 bits around random bytes.
fn rsa_key(random: &mut Random) -> String {
    let mut der = vec![0x30, 0x82, 0x04, 0xa4, 0x02, 0x01, 0x00, 0x02, 0x82, 0x01, 0x01, 0x00];
    der.extend(random.bytes(256));
    der.extend([0x02, 0x03, 0x01, 0x00, 0x01, 0x02, 0x82, 0x01, 0x00]);
    der.extend(random.bytes(915));
    armour("RSA PRIVATE KEY", &der, 64)
}

fn armour(label: &str, bytes: &[u8], width: usize) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in BASE64_STANDARD.encode(bytes).as_bytes().chunks(width) {
        text.extend(line.iter().map(|&byte| char::from(byte)));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

fn gpg(plot: &mut Plot<'_>, persona: &Persona, random: &mut Random) {
    for _ in 0..2 {
        let grip = random.text(40, b"0123456789ABCDEF");
        let (q, d) = (random.text(64, b"0123456789ABCDEF"), random.text(64, b"0123456789ABCDEF"));
        let key = format!(
            "Created: 20250311T091204\nKey: (private-key (ecc (curve Ed25519)(flags eddsa)(q #40{q}#)\n  (d #{d}#)))\n",
        );
        plot.secret(&format!(".gnupg/private-keys-v1.d/{grip}.key"), key);
    }
    let mut keybox = vec![0, 0, 0, 32, 1, 1, 0, 2];
    keybox.extend(b"KBXf\0\0\0\0");
    keybox.extend(random.bytes(1_184));
    plot.secret(".gnupg/pubring.kbx", keybox);
    plot.secret(".gnupg/trustdb.gpg", [vec![1, b'g', b'p', b'g', 3, 3, 1, 5], random.bytes(1_192)].concat());
    plot.open(".gnupg/gpg.conf", DecoyClass::Config, "keyid-format 0xlong\nwith-fingerprint\n");
    plot.open(".password-store/.gpg-id", DecoyClass::Config, format!("{}\n", persona.email));
    for name in ["work/vpn", "work/grafana", "private/bank", "private/mail"] {
        plot.secret(&format!(".password-store/{name}.gpg"), [vec![0x84, 0x5e, 0x03], random.bytes(320)].concat());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_has_openssh_s_form() {
        let (private, public) = ed25519_pair("dev@x", &mut Random::from_seed([5; 32]));
        let body: String = private.lines().filter(|line| !line.starts_with('-')).collect();
        let bytes = BASE64_STANDARD.decode(body).unwrap();
        assert!(bytes.starts_with(b"openssh-key-v1\0\0\0\0\x04none\0\0\0\x04none"));
        assert_eq!((bytes.len() - 15 - 8 - 8 - 4 - 4 - 4 - 51 - 4) % 8, 0, "the private part is padded to 8 bytes");
        assert!(public.starts_with("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI"), "{public}");
        assert!(private.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA"), "{private}");
    }

    #[test]
    fn an_rsa_key_looks_like_one() {
        let key = rsa_key(&mut Random::from_seed([5; 32]));
        assert!(key.starts_with("-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA"), "{key}");
    }
}
