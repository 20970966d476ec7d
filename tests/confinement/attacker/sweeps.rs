// Sweeps: not one call but all of a kind, told in one text each.

/// What calls with a number would do that no test can come back from: they are not swept but tried one by one elsewhere.
const ENDS: &[i64] = &[
    15, 34, 56, 57, 58, 59, 60, 61, 130, 231, 247,
    322, // rt_sigreturn, pause, makers and ends of processes, rt_sigsuspend
    23, 270, 7, 271, 232, 281, 441, 202, 449, 455, 35, 230, // waits: select, poll, epoll, futex, sleeps
    435, // clone3
];

fn outcome(answer: Answer) -> String {
    answer.err().map_or("0".to_owned(), |errno| errno.to_string())
}

/// Each number in a process of its own, since some end or change the one that calls them. `noise` is put on top.
fn swept(mut act: impl FnMut(i64) -> Answer, numbers: impl IntoIterator<Item = i64>) -> String {
    let mut told = Vec::new();
    for number in numbers {
        let answer = in_copy(|| {
            // Whoever waits, waits no longer than a second.
            let _ = call(37, &[1]);
            act(number)
        });
        told.push(format!("{number}:{}", outcome(answer)));
    }
    told.join(" ")
}

/// Bad addresses and descriptors, so that what gets through does nothing.
const NOTHING: [usize; 6] = [usize::MAX; 6];

fn sweeps(name: &str) -> Answer {
    let numbers = || (0..1024_i64).filter(|number| !ENDS.contains(number));
    // Any call: its number and registers in hexadecimal.
    if let Some(registers) = name.strip_prefix("CALL/") {
        let words: Vec<usize> = registers.split('.').map(|word| usize::from_str_radix(word, 16).unwrap()).collect();
        return in_copy(|| call(words[0] as i64, &words[1..]));
    }
    let told = match name {
        "SWEEP/native" => swept(|number| call(number, &NOTHING), numbers()),
        "SWEEP/x32" => swept(|number| call(number | 0x4000_0000, &NOTHING), 0..1024),
        "SWEEP/32" => swept(|number| foreign(number as i32, usize::MAX), 0..1024),
        "SWEEP/sockets" => {
            let mut told = Vec::new();
            for family in 0..50 {
                for kind in 0..16 {
                    for protocol in [0, 1, 6, 17, 132, 255, 262] {
                        for flags in [0, 0o2_004_000] {
                            let answer = close_again(call(41, &[family, kind | flags, protocol]));
                            told.push(format!("{family}.{kind}.{protocol}:{}", outcome(answer)));
                        }
                    }
                }
            }
            told.sort();
            told.dedup();
            told.join(" ")
        }
        "SWEEP/pairs" => {
            let pair = |family| outcome(call(53, &[family, STREAM, 0, bytes(&[0; 8])]));
            (0..50).map(|family| format!("{family}:{}", pair(family))).collect::<Vec<_>>().join(" ")
        }
        _ => return Err(UNKNOWN),
    };
    // A path has an end.
    let words: Vec<_> = told.split(' ').collect();
    for (at, part) in words.chunks(200).enumerate() {
        tell(&format!("{name}#{at}"), part.join(" "));
    }
    Ok(0)
}
