//! How the C library's allocator keeps freed memory.

/// Gives memory back to the kernel soon after it was freed: few arenas, and large pieces always by themselves.
///
/// The GNU library keeps an arena for each of many threads, and after the first large piece that is freed it takes
/// larger and larger ones from them, mallopt(3): a run that reads an index would end with the peaks of all its threads
/// added up. Other libraries have no such settings and are left as they are.
pub fn give_back_soon() {
    #[cfg(target_env = "gnu")]
    {
        const ARENAS: libc::c_int = 2;
        const LARGE: libc::c_int = 128 * 1024;
        for (setting, value) in
            [(libc::M_ARENA_MAX, ARENAS), (libc::M_MMAP_THRESHOLD, LARGE), (libc::M_TRIM_THRESHOLD, LARGE)]
        {
            // SAFETY: takes two numbers and keeps no pointer; the answer says only whether the setting was taken.
            unsafe { libc::mallopt(setting, value) };
        }
    }
}
