//! Honest packages pass: what builds in the wild do, told to the judge at once.

use super::codes::testing::found;
use crate::evidence::line::{Kind, ProgramFile, UnitKind};
use crate::evidence::testing::{
    CARGO_HOME, CONSUMER, DEPS, HOME, LogBuilder, OUT, REGISTRY, RUSTC, SCRIPT, SOURCE, TOOLCHAIN, UnitBuilder,
};
use crate::judge::{Severity, Verdict, judge};
use crate::policy::Policy;

const SHIM: &str = "/run/sandbox-check/shim";
const GCC: &str = "/usr/bin/x86_64-linux-gnu-gcc-13";
const CC1: &str = "/usr/libexec/gcc/x86_64-linux-gnu/13/cc1";
const LD: &str = "/usr/bin/x86_64-linux-gnu-ld.bfd";

/// What the Rust runtime and the C library open in every program.
fn starts(u: UnitBuilder) -> UnitBuilder {
    u.open("/etc/ld.so.cache")
        .open("/lib/x86_64-linux-gnu/libc.so.6")
        .open("/proc/self/maps")
        .open("/proc/self/cgroup")
        .open("/sys/fs/cgroup/cpu.max")
        .open("/sys/devices/system/cpu/online")
        .open("/proc/cpuinfo")
        .open("/proc/meminfo")
        .open("/dev/urandom")
        .open("/etc/passwd")
        .open("/etc/nsswitch.conf")
        .open("/etc/os-release")
        .write("/dev/null")
}

/// A bundled C library by the `cc` crate: ring, zstd-sys, libsqlite3-sys.
fn compiles_c(mut u: UnitBuilder) -> UnitBuilder {
    for i in 0..40 {
        let object = format!("{OUT}/{i:016x}-file.o");
        u = u
            .by(SCRIPT)
            .exec(ProgramFile::Absent, &[&format!("{CARGO_HOME}/bin/cc")], &[])
            .exec(ProgramFile::Absent, &["/usr/local/sbin/cc"], &[])
            .exec(ProgramFile::Elf, &[GCC, "-O3", "-c", "file.c"], &[])
            .by(GCC)
            .write("/tmp/u/ccAbCdEf.s")
            .exec(ProgramFile::Elf, &[CC1, "file.c"], &[SCRIPT])
            .by(CC1)
            .write("/tmp/u/ccAbCdEf.s")
            .open(format!("{SOURCE}/c/{i}.c").as_str())
            .by(GCC)
            .exec(ProgramFile::Elf, &["/usr/bin/x86_64-linux-gnu-as", "-o", &object], &[SCRIPT])
            .by("/usr/bin/x86_64-linux-gnu-as")
            .write(object.as_str())
            .path(Kind::FsMeta, "chmod", object.as_str(), &[])
            .by(GCC)
            .remove("/tmp/u/ccAbCdEf.s")
            .by(CC1);
        for j in 0..10 {
            u = u.open(format!("/usr/include/x86_64-linux-gnu/sys/{i}{j}.h").as_str());
        }
    }
    u.by(SCRIPT)
        .run(&["/usr/bin/x86_64-linux-gnu-ar", "cq", "libx.a"])
        .by("/usr/bin/x86_64-linux-gnu-ar")
        .write(format!("{OUT}/stXYZ").as_str())
        .link("rename", &format!("{OUT}/stXYZ"), &format!("{OUT}/libx.a"))
}

/// autocfg, rustversion, proc-macro2, anyhow: probes of the compiler.
fn probes_rustc(u: UnitBuilder) -> UnitBuilder {
    u.by(SCRIPT)
        .run(&[RUSTC, "--version"])
        .run(&[RUSTC, "-vV"])
        .run(&[RUSTC, "--print", "sysroot"])
        .run(&[RUSTC, "--crate-name", "probe0", "--out-dir", OUT, "-"])
        .by(RUSTC)
        .open(format!("{TOOLCHAIN}/lib/librustc_driver-1234567890abcdef.so").as_str())
        .list(&format!("{TOOLCHAIN}/lib/rustlib/x86_64-unknown-linux-gnu/lib"))
        .write(format!("{OUT}/probe0.ll").as_str())
        .remove(&format!("{OUT}/probe0.ll"))
        .by(SCRIPT)
        .open(format!("{SOURCE}/Cargo.toml").as_str())
        .open(format!("{SOURCE}/build.rs").as_str())
        .open(format!("{SOURCE}/build/probe.rs").as_str())
}

#[test]
fn builds_with_cc_autocfg_pkg_config_and_git_have_no_finding_above_low() {
    let log = LogBuilder::new()
        .build_script("u", |u| {
            let u = starts(u.by(SHIM).run(&[SCRIPT]).by(SCRIPT));
            let u = probes_rustc(compiles_c(u));
            u.by(SCRIPT)
                .run(&["/usr/bin/pkg-config", "--libs", "--cflags", "zlib"])
                .by("/usr/bin/pkg-config")
                .open("/usr/lib/x86_64-linux-gnu/pkgconfig/zlib.pc")
                .by(SCRIPT)
                .run(&["/usr/bin/git", "describe", "--always", "--dirty"])
                .by("/usr/bin/git")
                .open("/etc/gitconfig")
                .open(format!("{HOME}/.gitconfig").as_str())
                .open(format!("{HOME}/.config/git/config").as_str())
                .open(format!("{CONSUMER}/.git/HEAD").as_str())
                .write(format!("{CONSUMER}/.git/index.lock").as_str())
                .by(SCRIPT)
                .run(&["/usr/bin/cmake", "--build", "."])
                .by("/usr/bin/cmake")
                .operation(Kind::KernelSurface, "io_uring_setup", &[])
                .denied(38)
                .write(format!("{OUT}/build/CMakeCache.txt").as_str())
                .socket("AF_NETLINK", "SOCK_RAW", 0)
                .unix("/var/run/nscd/socket")
                .signal(15, 42)
        })
        .log();
    let judgement = judge(&log, &Policy::shipped());
    let above: Vec<_> =
        judgement.packages.iter().flat_map(|p| &p.findings).filter(|f| f.severity > Severity::Low).collect();
    assert!(above.is_empty(), "{above:#?}");
    assert_eq!(judgement.verdict, Verdict::Pass);
}

#[test]
fn a_c_build_alone_has_no_finding_at_all() {
    let log = LogBuilder::new()
        .build_script("u", |u| probes_rustc(compiles_c(starts(u.by(SHIM).run(&[SCRIPT]).by(SCRIPT)))))
        .log();
    assert_eq!(found(&log), Vec::<String>::new());
}

#[test]
fn autotools_that_compile_and_run_their_tests_have_no_finding() {
    let test = format!("{OUT}/conftest");
    let log = LogBuilder::new()
        .build_script("u", |u| {
            u.by(SHIM)
                .run(&[SCRIPT])
                .by(SCRIPT)
                .run(&["/bin/sh", &format!("{SOURCE}/jemalloc/configure")])
                .by("/usr/bin/dash")
                .write("/dev/null")
                .exec(ProgramFile::Elf, &["/usr/bin/sed", "s/x/y/"], &[SCRIPT])
                .exec(ProgramFile::Elf, &["/usr/bin/hostname"], &[SCRIPT])
                .exec(ProgramFile::Elf, &[GCC, "-o", "conftest", "conftest.c"], &[SCRIPT])
                .by(LD)
                .write(test.as_str())
                .by("/usr/bin/dash")
                .exec(ProgramFile::Elf, &[&test], &[SCRIPT])
                .write(format!("{OUT}/config.status").as_str())
                .exec(ProgramFile::Script, &[&format!("{OUT}/config.status")], &[SCRIPT])
                .by("/usr/bin/file")
                .operation(Kind::Blind, "seccomp", &["SECCOMP_SET_MODE_FILTER"])
                .by(SCRIPT)
                .run(&["/usr/bin/make", "-j", "2"])
                .by("/usr/bin/make")
                .exec(ProgramFile::Elf, &["/bin/sh", "-c", "mkdir -p include && cp a include"], &[SCRIPT])
                .by("/usr/bin/mkdir")
                .mkdir(HOME)
                .mkdir(&format!("{OUT}/include"))
        })
        .log();
    assert_eq!(found(&log), ["blinding info seccomp SECCOMP_SET_MODE_FILTER"]);
}

#[test]
fn rustc_units_read_dependencies_and_link_without_a_finding() {
    let log = LogBuilder::new()
        .proc_macro(&["Serialize"])
        .dependency("syn", false)
        .rustc(UnitKind::CompileProcMacro, |u| {
            let u = starts(u.by(SHIM).run(&[RUSTC, "--crate-name", "subject"]).by(RUSTC));
            u.open(format!("{SOURCE}/src/lib.rs").as_str())
                .open(format!("{REGISTRY}/syn-2.0.0/src/lib.rs").as_str())
                .open(format!("{DEPS}/libsyn-0011223344556677.rmeta").as_str())
                .list(DEPS)
                .write("/home/dev/orders-service/target/debug/deps/.subject/libsubject-1.rmeta")
                .write("/tmp/r/rustcAbC/lib.rmeta")
                .signal(10, 7)
                .exec(ProgramFile::Absent, &[&format!("{CARGO_HOME}/bin/cc")], &[])
                .exec(ProgramFile::Elf, &[GCC, "-o", "libsubject.so"], &[])
                .by(GCC)
                .exec(ProgramFile::Elf, &["/usr/libexec/gcc/x86_64-linux-gnu/13/collect2"], &[RUSTC])
                .by("/usr/libexec/gcc/x86_64-linux-gnu/13/collect2")
                .exec(ProgramFile::Elf, &[LD], &[GCC, RUSTC])
                .by(LD)
                .write("/home/dev/orders-service/target/debug/deps/.subject/libsubject-1.so")
        })
        .rustc(UnitKind::CompileConsumer, |u| {
            u.by(SHIM)
                .run(&[RUSTC])
                .by(RUSTC)
                .open(format!("{CONSUMER}/src/main.rs").as_str())
                .open(format!("{CONSUMER}/Cargo.toml").as_str())
                .list(&format!("{CONSUMER}/src"))
        })
        .driven()
        .log();
    assert_eq!(found(&log), Vec::<String>::new());
    assert_eq!(judge(&log, &Policy::shipped()).verdict, Verdict::Pass);
}

#[test]
fn our_own_proof_that_the_layers_hold_is_not_judged() {
    let log = LogBuilder::new()
        .build_script("u", |u| u)
        .unit(UnitKind::SelfTest, None, "/run/sandbox-check/shim", Vec::new(), |u| {
            u.open(format!("{HOME}/.ssh/id_ed25519").as_str()).connect("192.0.2.1", 80).operation(
                Kind::KernelSurface,
                "io_uring_setup",
                &[],
            )
        })
        .log();
    assert_eq!(found(&log), Vec::<String>::new());
}

#[test]
fn nested_cargo_and_its_locks_are_low_at_most() {
    let log = LogBuilder::new()
        .build_script("u", |u| {
            u.run(&[&format!("{TOOLCHAIN}/bin/cargo"), "metadata"])
                .by(&format!("{TOOLCHAIN}/bin/cargo"))
                .open(format!("{CARGO_HOME}/config.toml").as_str())
                .open(format!("{CARGO_HOME}/credentials.toml").as_str())
                .open(format!("{CONSUMER}/Cargo.toml").as_str())
                .path(Kind::FsWrite, "openat", format!("{CARGO_HOME}/.package-cache").as_str(), &["O_RDWR", "O_CREAT"])
        })
        .log();
    assert_eq!(found(&log), ["config-read low ~/.cargo/config.toml"]);
}
