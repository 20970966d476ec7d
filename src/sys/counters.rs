//! Counters in a shared mapping of a file: they outlive the process that counts.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd as _;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// An array of 64-bit counters, native byte order, in a mapped file.
#[derive(Debug)]
pub struct Counters {
    start: NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: the mapping is only accessed through atomics.
unsafe impl Send for Counters {}

impl Counters {
    /// Makes room for `count` counters of zero in an empty file and maps it.
    ///
    /// # Errors
    /// What `posix_fallocate(3)` and `mmap(2)` answer.
    pub fn create(file: &File, count: usize) -> io::Result<Self> {
        let bytes =
            count.checked_mul(size_of::<AtomicU64>()).and_then(NonZeroUsize::new).ok_or(io::ErrorKind::InvalidInput)?;
        // Room on the disk for all of them: a page that could not be made later would be SIGBUS.
        let length = libc::off_t::try_from(bytes.get()).map_err(|_| io::ErrorKind::InvalidInput)?;
        nix::fcntl::posix_fallocate(file, 0, length)?;
        // SAFETY: a new shared mapping at an address of the kernel's choice touches no existing memory.
        let start = unsafe {
            mmap(None, bytes, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, file.as_fd(), 0)
        }?;
        Ok(Self { start: start.cast(), count })
    }

    /// Adds one to the counter at `at`. False if there is none.
    pub fn add(&self, at: usize) -> bool {
        self.at(at).map(|counter| counter.fetch_add(1, Ordering::Relaxed)).is_some()
    }

    /// The counter at `at`; 0 if there is none.
    pub fn get(&self, at: usize) -> u64 {
        self.at(at).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    fn at(&self, at: usize) -> Option<&AtomicU64> {
        if at >= self.count {
            return None;
        }
        // SAFETY: the mapping holds `count` counters, and `at` is less.
        let counter = unsafe { self.start.add(at) };
        // SAFETY: the counter is aligned (the mapping starts at a page) and mapped as long as `self` lives.
        Some(unsafe { counter.as_ref() })
    }
}

impl Drop for Counters {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, of this length, and no reference into it outlives `self`.
        let _ = unsafe { munmap(self.start.cast(), self.count * size_of::<AtomicU64>()) };
    }
}
