extern crate proc_macro;

use std::ffi::{CString, c_char, c_int, c_long, c_void};
use std::fs::{self, File};
use std::net::TcpStream;
use std::process::Command;

use proc_macro::TokenStream;

extern "C" {
    fn fork() -> c_int;
    fn _exit(code: c_int) -> !;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn unlink(path: *const c_char) -> c_int;
    fn waitpid(process: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn qsort(
        base: *mut c_void,
        count: usize,
        size: usize,
        compare: extern "C" fn(*const c_void, *const c_void) -> c_int,
    );
    fn pthread_create(
        thread: *mut u64,
        attributes: *const c_void,
        start: *const c_void,
        argument: *const c_char,
    ) -> c_int;
    fn pthread_join(thread: u64, result: *mut *mut c_void) -> c_int;
}

/// Where the files of this library would lie, if there were any.
fn mark(way: &str, number: usize) -> String {
    format!("/marked/{}/{way}/{number}", env!("CARGO_PKG_NAME"))
}

fn c_mark(way: &str, number: usize) -> CString {
    CString::new(mark(way, number)).unwrap()
}

extern "C" fn on_load() {
    for number in 0..NUMBERS {
        let _ = File::open(mark("constructor", number));
    }
}

#[used]
#[link_section = ".init_array"]
static ON_LOAD: extern "C" fn() = on_load;

static CURRENT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

extern "C" fn compare(_: *const c_void, _: *const c_void) -> c_int {
    let _ = File::open(mark("callback", CURRENT.load(std::sync::atomic::Ordering::Relaxed)));
    0
}

fn by_instruction(path: &CString) {
    const OPENAT: c_long = 257;
    unsafe {
        let _answer: c_long;
        std::arch::asm!("syscall", inlateout("rax") OPENAT => _answer, in("rdi") -100_isize, in("rsi") path.as_ptr(),
            in("rdx") 0, out("rcx") _, out("r11") _);
    }
}

#[proc_macro]
pub fn act(number: TokenStream) -> TokenStream {
    let number: usize = number.to_string().parse().unwrap();
    let _ = fs::read(mark("plain", number));
    let _ = fs::write(mark("write", number), "");
    let _ = fs::remove_file(mark("remove", number));
    let _ = TcpStream::connect(("127.0.0.1", PORT + u16::try_from(number).unwrap()));
    let _ = std::thread::spawn(move || File::open(mark("thread", number)).map(drop)).join();
    let inner = move || std::thread::spawn(move || File::open(mark("thread-of-a-thread", number)).map(drop)).join();
    let _ = std::thread::spawn(inner).join();
    let _ = Command::new("/bin/cat").arg(mark("program", number)).stderr(std::process::Stdio::null()).status();
    by_instruction(&c_mark("instruction", number));
    CURRENT.store(number, std::sync::atomic::Ordering::Relaxed);
    let mut two = [2_u8, 1];
    let (there, here) = (c_mark("copy", number), c_mark("start-routine", number));
    unsafe {
        qsort(two.as_mut_ptr().cast(), 2, 1, compare);
        match fork() {
            0 => {
                open(there.as_ptr(), 0);
                _exit(0);
            }
            child => waitpid(child, std::ptr::null_mut(), 0),
        };
        let mut thread = 0;
        if pthread_create(&mut thread, std::ptr::null(), unlink as *const c_void, here.as_ptr()) == 0 {
            pthread_join(thread, std::ptr::null_mut());
        }
        with_c(&c_mark("c", number));
    }
    helper::opens(&mark("dependency", number));
    TokenStream::new()
}
