// The kernel's surface: calls that no build needs, other tables of calls, terminals.
// Bad descriptors and addresses stand where a call that got through would do something.

/// A call by the table of the 32-bit architecture.
fn foreign(number: i32, first: usize) -> Answer {
    let answer: i32;
    unsafe {
        // rbx belongs to the compiler.
        core::arch::asm!(
            "push rbx", "mov ebx, {first:e}", "int 0x80", "pop rbx",
            first = in(reg) first, inlateout("eax") number => answer, in("ecx") 0, in("edx") 0,
        );
    }
    if answer < 0 { Err(-answer) } else { Ok(i64::from(answer)) }
}

/// A string below 4 GiB, where a 32-bit call can name it.
fn low(text: &str) -> usize {
    let page = call(9, &[0x1000_0000, 4096, 3, 0x100_022, usize::MAX, 0]).unwrap_or(0) as usize;
    if page == 0x1000_0000 {
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), page as *mut u8, text.len()) };
    }
    page
}

/// getpid by the table of the 32-bit architecture, from code of 32 bits that enters the kernel by these bytes.
fn by_32_bit_code(enters: [u8; 2]) -> Answer {
    let page = low("");
    let at = |offset: usize| ((page + offset) as u32).to_le_bytes();
    let to = |from: usize| (0x100_i32 - from as i32).to_le_bytes();
    // All that a caller keeps; the stack's address at 0x100; a far return to 32 bits at 0x40.
    let mut code = vec![0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57, 0x48, 0x89, 0x25];
    code.extend(to(code.len() + 4));
    code.extend([&[0x6a, 0x23, 0x68][..], &at(0x40), &[0x48, 0xcb]].concat());
    code.resize(0x40, 0x90);
    // A stack that code of 32 bits can name, eax = 20, ebx = 0; a far jump back to 64 bits at 0x80.
    code.extend(
        [&[0xbc][..], &at(0x800), &[0xb8, 20, 0, 0, 0, 0x31, 0xdb], &enters, &[0xea], &at(0x80), &[0x33, 0]].concat(),
    );
    code.resize(0x80, 0x90);
    code.extend([0x48, 0x8b, 0x25]);
    code.extend(to(code.len() + 4));
    code.extend([0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3]);
    unsafe { std::ptr::copy_nonoverlapping(code.as_ptr(), page as *mut u8, code.len()) };
    call(10, &[page, 4096, 7])?;
    let run: extern "C" fn() -> i32 = unsafe { std::mem::transmute(page) };
    match run() {
        answer if answer < 0 => Err(-answer),
        answer => Ok(i64::from(answer)),
    }
}

/// Jumps into the page of old calls, with room for an answer.
fn legacy(address: usize) -> Answer {
    let mut time = [0_i64; 2];
    let entry: extern "C" fn(*mut i64, usize) -> i64 = unsafe { std::mem::transmute(address) };
    match entry(time.as_mut_ptr(), 0) {
        0 if time[0] > 0 => Ok(0),
        _ => Err(UNPREPARED),
    }
}

fn terminal(operation: usize) -> Answer {
    // Standard input is /dev/null: ENOTTY is the answer of a kernel that was asked.
    call(16, &[0, operation, bytes(&[0; 64])])
}

fn kernel(name: &str) -> Answer {
    match name {
        "KS-01/getpid" => foreign(20, 0),
        "KS-01/open" => foreign(5, low("/etc/passwd\0")),
        "KS-01/execve" => foreign(11, low("/nowhere-at-all\0")),
        "KS-01/socketcall" => foreign(102, 0),
        "KS-01/mode" => by_32_bit_code([0xcd, 0x80]),
        "KS-01/syscall" => by_32_bit_code([0x0f, 0x05]),
        "KS-01/sysenter" => by_32_bit_code([0x0f, 0x34]),
        "KS-02/getpid" => call(0x4000_0000 + 39, &[]),
        "KS-02/open" => call(0x4000_0000 + 2, &[c("/etc/passwd"), 0, 0]),
        "KS-02/execve" => call(0x4000_0000 + 520, &[c("/nowhere-at-all"), 0, 0]),
        "KS-03/unknown" => call(1000, &[]),
        "KS-03/top" => call(471, &[usize::MAX; 6]),
        "KS-03/uretprobe" => call(335, &[]),
        "KS-03/uprobe" => call(336, &[]),
        "KS-05/setup" => close_again(call(425, &[1, bytes(&[0; 120])])),
        "KS-05/enter" => call(426, &[usize::MAX, 1, 0, 0, 0, 0]),
        "KS-05/register" => call(427, &[usize::MAX, 0, 0, 0]),
        "KS-07/bpf" => call(321, &[0, bytes(&[0; 120]), 0]),
        "KS-07/perf" => close_again(call(298, &[bytes(&software_clock()), 0, usize::MAX, usize::MAX, 0])),
        "KS-07/userfaultfd" => close_again(call(323, &[1])),
        "KS-08/read" => call(250, &[11, -3_isize as usize, bytes(&[0; 64]), 64, 0]),
        "KS-08/add" => call(248, &[c("user"), c("probe"), c("x"), 1, -3_isize as usize]),
        "KS-08/request" => call(249, &[c("user"), c("probe"), 0, -3_isize as usize]),
        "KS-08/parent" => call(250, &[18, 0, 0, 0, 0]),
        "KS-09/kexec" => call(246, &[0, 0, 0, 0x10]),
        "KS-09/kexec_file" => call(320, &[usize::MAX, usize::MAX, 0, 0, 0]),
        "KS-09/module" => call(175, &[0, 0, c("")]),
        "KS-09/finit" => call(313, &[usize::MAX, c(""), 0]),
        "KS-09/delete" => call(176, &[c("nowhere_at_all"), 0x800]),
        "KS-09/iopl" => call(172, &[3]),
        "KS-09/ioperm" => call(173, &[0x80, 1, 1]),
        "KS-09/reboot" => call(169, &[0, 0, 0, 0]),
        "KS-09/swapon" => call(167, &[c("/nowhere-at-all"), 0]),
        "KS-09/acct" => call(163, &[c("/nowhere-at-all")]),
        "KS-09/quotactl" => call(179, &[0, c("/nowhere-at-all"), 0, 0]),
        "KS-09/syslog" => call(103, &[10, 0, 0]),
        "KS-09/settimeofday" => call(164, &[0, 1, 0]),
        "KS-09/clock_settime" => call(227, &[0, 1]),
        "KS-09/adjtimex" => call(159, &[bytes(&[0; 256])]),
        "KS-09/sethostname" => call(170, &[c("probe"), 5]),
        "KS-09/vhangup" => in_copy(|| call(153, &[])),
        "KS-10/ldt" => call(154, &[0, bytes(&[0; 64]), 64]),
        "KS-10/uselib" => call(134, &[c("/nowhere-at-all")]),
        "KS-10/thread_area" => call(211, &[bytes(&[0; 32])]),
        "KS-10/map-vdso" => call(158, &[0x2003, 0]),
        // gettimeofday, then what no entry is.
        "KS-11" => legacy(0xffff_ffff_ff60_0000),
        "KS-11/elsewhere" => legacy(0xffff_ffff_ff60_0e00),
        "KS-12" => terminal(0x5412),
        "KS-12/own" => close_again(open("/dev/tty", O_RDWR, 0)),
        "KS-13" => terminal(0xdead_beef_0000_5412),
        "KS-14/linux" => terminal(0x541c),
        "KS-14/discipline" => terminal(0x5423),
        "KS-14/console" => terminal(0x541d),
        "KS-14/mode" => terminal(0x5602),
        "KS-15/layers" => in_copy(|| {
            call(157, &[38, 1, 0, 0, 0])?;
            for _ in 0..16 {
                // Handles the making of sockets, and grants nothing.
                let ruleset = call(444, &[bytes(&[&(1_u64 << 9).to_ne_bytes()[..], &[0; 16]].concat()), 24, 0])?;
                call(446, &[ruleset as usize, 0])?;
            }
            Ok(0)
        }),
        "KS-15/mute" => in_copy(|| {
            call(157, &[38, 1, 0, 0, 0])?;
            // LANDLOCK_RESTRICT_SELF_LOG_SUBDOMAINS_OFF without a ruleset.
            call(446, &[usize::MAX, 4])
        }),
        "KS-16" => call(101, &[0x420c, 1, 0, 0]),
        "KS-17" => call(317, &[1, 0, bytes(&[0; 16])]),
        "RES-11" => {
            let context = bytes(&[0; 8]);
            // As many as the machine has for all.
            call(206, &[1 << 15, context])
        }
        "KS-18/clocks" => call(305, &[0, bytes(&[0; 256])]),
        "KS-18/pages" => call(279, &[0, 0, 0, 0, 0, 0]),
        // FS_IOC_ADD_ENCRYPTION_KEY, FS_IOC_REMOVE_ENCRYPTION_KEY: they ask for no right to write.
        "KS-18/add-key" => {
            open(variable("RUSTC"), 0, 0).and_then(|fd| call(16, &[fd as usize, 0xc050_6617, bytes(&[0; 80])]))
        }
        "KS-18/remove-key" => {
            open(variable("RUSTC"), 0, 0).and_then(|fd| call(16, &[fd as usize, 0xc040_6618, bytes(&[0; 64])]))
        }
        "KS-18/flags" => {
            let fd = open(own("flags"), O_RDWR, 0)?;
            // FS_IOC_SETFLAGS: no dump.
            call(16, &[fd as usize, 0x4008_6602, bytes(&0x40_u64.to_ne_bytes())])
        }
        _ => Err(UNKNOWN),
    }
}

/// `struct perf_event_attr` of a counter in software.
fn software_clock() -> Vec<u8> {
    let mut attributes = vec![0; 128];
    attributes[0] = 1;
    attributes[4] = 128;
    attributes
}
