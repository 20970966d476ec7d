// What every payload begins with: raw system calls, and a way to tell what came of them.
#![allow(dead_code, unused_imports)]

use std::ffi::{CString, c_int, c_long};
use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::path::{Path, PathBuf};

extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn __errno_location() -> *mut c_int;
}

/// A system call by number: its result, or errno.
fn call(number: i64, args: &[usize]) -> Result<i64, i32> {
    let arg = |at: usize| args.get(at).copied().unwrap_or(0);
    let result = unsafe { syscall(number, arg(0), arg(1), arg(2), arg(3), arg(4), arg(5)) };
    if result < 0 { Err(unsafe { *__errno_location() }) } else { Ok(result) }
}

/// A zero-terminated copy that is never freed, so that its address can be passed.
fn c(text: impl AsRef<[u8]>) -> usize {
    CString::new(text.as_ref()).unwrap().into_raw() as usize
}

/// The address of a copy that is never freed.
fn bytes(bytes: &[u8]) -> usize {
    Box::leak(bytes.to_vec().into_boxed_slice()).as_mut_ptr() as usize
}

/// Tells a value: the record of this open is the message.
fn tell(name: &str, value: impl Display) {
    let _ = File::open(format!("/probe/{name}={value}"));
}

/// Tells what came of a call: 0, or errno.
fn tried(name: &str, result: Result<i64, i32>) -> Option<i64> {
    tell(name, result.err().unwrap_or(0));
    result.ok()
}

/// As `tried`, for what the standard library answers.
fn did<T>(name: &str, result: io::Result<T>) -> Option<T> {
    tell(name, result.as_ref().err().map_or(0, |error| error.raw_os_error().unwrap_or(-1)));
    result.ok()
}

fn open(path: impl AsRef<[u8]>, flags: usize, mode: usize) -> Result<i64, i32> {
    call(2, &[c(path), flags, mode])
}

fn out_dir() -> String {
    std::env::var("OUT_DIR").unwrap()
}

fn home() -> String {
    std::env::var("HOME").unwrap()
}

const AT_FDCWD: usize = -100_isize as usize;
const O_WRONLY: usize = 0o1;
const O_RDWR: usize = 0o2;
const O_CREAT: usize = 0o100;
const O_EXCL: usize = 0o200;
const O_TRUNC: usize = 0o1000;
const O_NONBLOCK: usize = 0o4000;
const O_DIRECTORY: usize = 0o200_000;
const O_NOFOLLOW: usize = 0o400_000;
const O_PATH: usize = 0o10_000_000;
const O_TMPFILE: usize = 0o20_200_000;
