//! Makes many calls of one sort between two opens that are recorded: the evidence tells when these were.

use std::fs::{self, File};
use std::path::PathBuf;

/// `scripts/bench` knows it, too.
const CALLS: u32 = 2000;

fn main() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    let own = out.join("own");
    fs::write(&own, "").expect("it is ours");
    measure("nothing", |_| {});
    // Continued and counted.
    measure("system", |_| drop(File::open("/usr/bin/env")));
    measure("missing header", |_| drop(File::open("/usr/include/there/is/none.h")));
    measure("own source", |_| drop(File::open("build.rs")));
    measure("own", |_| drop(File::open(&own)));
    // Continued and recorded: all of them are one line.
    measure("elsewhere", |_| drop(File::open("/bench/elsewhere")));
    // Opened on behalf and recorded, the same file and new ones.
    measure("write", |_| drop(File::create(&own)));
    measure("write new", |at| drop(File::create(out.join(at.to_string()))));
}

fn measure(what: &str, call: impl Fn(u32)) {
    drop(File::open(format!("/bench/{what}/begins")));
    (0..CALLS).for_each(call);
    drop(File::open(format!("/bench/{what}/ends")));
}
