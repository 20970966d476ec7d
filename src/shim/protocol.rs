//! The messages between a shim and the supervisor.
//!
//! One datagram each, over a private channel: the shim makes a socket pair and
//! sends one end over the shared hand-off socket ([`KNOCK`]). Then, in order:
//!
//! | from | message | descriptor |
//! |---|---|---|
//! | shim | [`Request`]: what it is about to run | |
//! | supervisor | [`Reply`]: the plan, or a refusal | the unit's Landlock ruleset |
//! | shim | [`DRIVER_INPUT`] and [`DRIVER_OUTPUT`], for a driver | a pipe's end |
//! | the unit's helper | [`LISTENER`] | the listener |
//! | supervisor | [`GO`]: the listener is watched | |
//! | shim | [`OUTPUT_FULL`], if the unit printed more than it may | |
//! | shim | [`BOOTSTRAP`], if a build script set that variable | |
//! | shim | [`End`]: how it ended | |
//!
//! Integers are little endian, byte strings have a 32-bit length in front.

use alloc::vec::Vec;

/// The only message on the shared socket; brings the channel's other end.
pub const KNOCK: &[u8] = b"knock";
/// Brings the listener.
pub const LISTENER: &[u8] = b"listener";
/// The unit may run.
pub const GO: &[u8] = b"go";
/// The unit printed more than it may; the rest is thrown away.
pub const OUTPUT_FULL: &[u8] = b"output";
/// A build script set `RUSTC_BOOTSTRAP`; the value follows.
pub const BOOTSTRAP: &[u8] = b"bootstrap=";
/// Brings the writing end of a driver's standard input.
pub const DRIVER_INPUT: &[u8] = b"input";
/// Brings the reading end of a driver's standard output.
pub const DRIVER_OUTPUT: &[u8] = b"output-of-driver";
/// No message is longer (bytes).
pub const LIMIT: usize = 160 * 1024;

/// What the shim is about to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// rustc, as cargo's wrapper.
    Rustc,
    /// A build script in whose place the shim lies.
    BuildScript,
    /// Our own proof.
    SelfTest,
    /// A server that expands macros, once cargo has ended.
    Driver,
    /// The same while cargo runs, when the supervisor finds the time for it.
    EarlyDriver,
}

/// What the shim asks for. A driver's request has no more than its role: the supervisor chooses. Nothing of it is believed without a check: all
/// but `role` and `exe` comes from cargo's arguments or environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What will run.
    pub role: Role,
    /// The shim's own path, as the kernel tells it.
    pub exe: Vec<u8>,
    /// rustc: `--crate-name`.
    pub crate_name: Vec<u8>,
    /// rustc: the first `-C extra-filename`.
    pub extra: Vec<u8>,
    /// rustc: `--out-dir`. Build script: `OUT_DIR`, which cargo sets last for it.
    pub out_dir: Vec<u8>,
    /// rustc: the first `--crate-type`.
    pub crate_type: Vec<u8>,
    /// rustc: the source file.
    pub source: Vec<u8>,
}

/// The supervisor's answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Run it like this.
    Plan(Plan),
    /// Do not run it; the text says why.
    Refused(Vec<u8>),
}

/// How to run a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The absolute path of the program.
    pub program: Vec<u8>,
    /// rustc: the folder to write to instead of `--out-dir`. Empty otherwise.
    pub private_out: Vec<u8>,
    /// The unit's `TMPDIR`, already made, removed by the shim.
    pub tmp: Vec<u8>,
    /// The filter with a listener, an array of `struct sock_filter`.
    pub filter: Vec<u8>,
    /// Flags of `seccomp(2)` for it.
    pub filter_flags: u32,
    /// Bytes that the unit may print.
    pub output_limit: u64,
    /// The unit's processes start no other while the sandbox has so many (`RLIMIT_NPROC`).
    pub processes: u64,
    /// True if a build script that sets `RUSTC_BOOTSTRAP` fails, as it does under a stable cargo.
    pub refuses_bootstrap: bool,
}

/// How a unit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Its wait status (wait(2)).
    pub status: i32,
    /// Processes that were still alive a second later and were killed.
    pub left: u32,
    /// Those of them that had a session of their own.
    pub detached: u32,
    /// Messages about files that the compiler did not write; not passed on.
    pub forged: u32,
    /// Files that cargo asked for and that are not there although the compiler ended as if all were well.
    pub missing: Vec<Vec<u8>>,
    /// File names in the private folder that cargo did not ask for.
    pub refused: Vec<Vec<u8>>,
}

impl Request {
    /// The datagram.
    pub fn encode(&self) -> Vec<u8> {
        let role = match self.role {
            Role::Rustc => 1,
            Role::BuildScript => 2,
            Role::SelfTest => 3,
            Role::Driver => 4,
            Role::EarlyDriver => 5,
        };
        let mut out = Writer(Vec::new());
        out.byte(role);
        for field in [&self.exe, &self.crate_name, &self.extra, &self.out_dir, &self.crate_type, &self.source] {
            out.bytes(field);
        }
        out.0
    }

    /// Reads a datagram; `None` if it is not one of these.
    pub fn decode(datagram: &[u8]) -> Option<Self> {
        let mut input = Reader(datagram);
        let role = match input.byte()? {
            1 => Role::Rustc,
            2 => Role::BuildScript,
            3 => Role::SelfTest,
            4 => Role::Driver,
            5 => Role::EarlyDriver,
            _ => return None,
        };
        let request = Self {
            role,
            exe: input.bytes()?,
            crate_name: input.bytes()?,
            extra: input.bytes()?,
            out_dir: input.bytes()?,
            crate_type: input.bytes()?,
            source: input.bytes()?,
        };
        input.end(request)
    }
}

impl Reply {
    /// The datagram.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::new());
        match self {
            Self::Plan(plan) => {
                out.byte(1);
                out.number(plan.filter_flags);
                out.long_number(plan.output_limit);
                out.long_number(plan.processes);
                out.byte(u8::from(plan.refuses_bootstrap));
                for field in [&plan.program, &plan.private_out, &plan.tmp, &plan.filter] {
                    out.bytes(field);
                }
            }
            Self::Refused(why) => {
                out.byte(2);
                out.bytes(why);
            }
        }
        out.0
    }

    /// Reads a datagram; `None` if it is not one of these.
    pub fn decode(datagram: &[u8]) -> Option<Self> {
        let mut input = Reader(datagram);
        let reply = match input.byte()? {
            1 => Self::Plan(Plan {
                filter_flags: input.number()?,
                output_limit: input.long_number()?,
                processes: input.long_number()?,
                refuses_bootstrap: input.byte()? != 0,
                program: input.bytes()?,
                private_out: input.bytes()?,
                tmp: input.bytes()?,
                filter: input.bytes()?,
            }),
            2 => Self::Refused(input.bytes()?),
            _ => return None,
        };
        input.end(reply)
    }
}

impl End {
    /// The datagram. Of very many names, as many as fit.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::new());
        for number in [u32::from_le_bytes(self.status.to_le_bytes()), self.left, self.detached, self.forged] {
            out.number(number);
        }
        out.number(u32::try_from(self.missing.len()).unwrap_or(u32::MAX));
        for name in self.missing.iter().chain(&self.refused) {
            if out.0.len() + 4 + name.len() > LIMIT {
                break;
            }
            out.bytes(name);
        }
        out.0
    }

    /// Reads a datagram; `None` if it is not one of these.
    pub fn decode(datagram: &[u8]) -> Option<Self> {
        let mut input = Reader(datagram);
        let status = i32::from_le_bytes(input.number()?.to_le_bytes());
        let left = input.number()?;
        let detached = input.number()?;
        let forged = input.number()?;
        let count = input.number()?;
        let missing = (0..count).map(|_| input.bytes()).collect::<Option<_>>()?;
        let mut refused = Vec::new();
        while !input.0.is_empty() {
            refused.push(input.bytes()?);
        }
        Some(Self { status, left, detached, forged, missing, refused })
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn number(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn long_number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(bytes);
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*first))
    }

    fn long_number(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*first))
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.number()?).ok()?;
        let (first, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(first.to_vec())
    }

    fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_reads_back_what_was_written() {
        let request = Request {
            role: Role::Rustc,
            exe: b"/x/shim".to_vec(),
            crate_name: b"serde".to_vec(),
            extra: b"-0123".to_vec(),
            out_dir: b"/t/deps".to_vec(),
            crate_type: b"lib".to_vec(),
            source: b"/s/lib.rs".to_vec(),
        };
        assert_eq!(Request::decode(&request.encode()), Some(request));
        let plan = Plan {
            program: b"p".to_vec(),
            private_out: Vec::new(),
            tmp: b"t".to_vec(),
            filter: [7; 16].to_vec(),
            filter_flags: 8,
            output_limit: 1 << 40,
            processes: 4096,
            refuses_bootstrap: true,
        };
        assert_eq!(Reply::decode(&Reply::Plan(plan.clone()).encode()), Some(Reply::Plan(plan)));
        let refused = [b"a".to_vec(), Vec::new()].to_vec();
        let end = End { status: -1, left: 2, detached: 1, forged: 3, missing: [b"libx.so".to_vec()].to_vec(), refused };
        assert_eq!(End::decode(&end.encode()), Some(end.clone()));
        let many = End { refused: alloc::vec![alloc::vec![b'x'; 255]; 4096], ..end };
        let told = End::decode(&many.encode()).unwrap();
        assert!(many.encode().len() <= LIMIT && told.refused.len() > 500, "{}", told.refused.len());
        assert_eq!((told.status, told.missing), (many.status, many.missing));
    }

    #[test]
    fn a_cut_or_lengthened_message_is_refused() {
        let whole = Reply::Refused(b"no".to_vec()).encode();
        for length in 0..whole.len() {
            assert_eq!(Reply::decode(&whole[..length]), None);
        }
        let mut longer = whole;
        longer.push(0);
        assert_eq!(Reply::decode(&longer), None);
    }
}
