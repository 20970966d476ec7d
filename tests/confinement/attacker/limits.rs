// Limits of a process: each asks for one more than the sandbox gives by default.

/// Allows itself this much, now and later.
fn raise(resource: usize, bound: u64) -> Answer {
    call(160, &[resource, bytes(&[bound.to_ne_bytes(), bound.to_ne_bytes()].concat())])
}

fn limits(name: &str) -> Answer {
    match name {
        // What cargo and the compilers have on top of 4096.
        "RES-01/raise" => raise(6, 4096 + 512 + 1),
        "RES-05/raise" => raise(1, (4 << 30) + 1),
        // Five seconds later than the supervisor.
        "RES-06/raise" => raise(0, 7200 + 5 + 1),
        "RES-09/raise" => raise(7, 4096 + 1),
        "RES-10" => raise(4, 2),
        "RES-10/crash" => in_copy(|| {
            // SIGSEGV of a child's, in our own folder. 0x80: that a core was made, or that a helper took it.
            call(80, &[c(out_dir())])?;
            match call(57, &[])? {
                0 => call(62, &[call(39, &[])? as usize, 11]),
                child => {
                    let mut status = 0_i32;
                    call(61, &[child as usize, &mut status as *mut i32 as usize, 0, 0])?;
                    if status & 0x80 == 0 { Err(EPERM) } else { Ok(0) }
                }
            }
        }),
        "RES-10/helper" => in_copy(|| raise(4, 0)),
        // As many as a user may have on the whole machine.
        "RES-11/watches" => (0..100).try_fold(0, |_, _| call(294, &[0])),
        "RES-11/signals" => in_copy(|| {
            // Held back, so that they wait.
            call(14, &[0, bytes(&[0xff; 8]), 0, 8])?;
            let me = call(39, &[])? as usize;
            let info = bytes(&[&34_u32.to_ne_bytes()[..], &[0; 4], &(-1_i32).to_ne_bytes(), &[0; 116]].concat());
            (0..3000).try_fold(0, |_, _| call(129, &[me, 34, info]))
        }),
        "RES-12/nice" => call(141, &[0, 0, -5_isize as usize]),
        "RES-12/real-time" => in_copy(|| call(144, &[0, 1, bytes(&1_u32.to_ne_bytes())])),
        "RES-12/io" => in_copy(|| call(251, &[1, 0, 1 << 13])),
        "PR-15/capabilities" => {
            let mut sets = [0_u32; 6];
            call(125, &[bytes(&[0x2008_0522_u32.to_ne_bytes(), [0; 4]].concat()), sets.as_mut_ptr() as usize])?;
            // PR_CAPBSET_READ, up to the kernel's last one.
            let bounding = (0..64).map_while(|number| call(157, &[23, number, 0, 0, 0]).ok());
            if sets == [0; 6] && bounding.sum::<i64>() == 0 { Err(EPERM) } else { Ok(0) }
        }
        _ => Err(UNKNOWN),
    }
}
