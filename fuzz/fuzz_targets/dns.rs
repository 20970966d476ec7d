#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sandbox_check::fuzzing::dns(bytes));
