//! Memory between two pages that nobody may touch, values that do harm, and a last word of whoever touches or hangs.

#![allow(dead_code)] // each test binary uses its part

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const PAGE: usize = 4096;

/// Shared memory that no access leaves unseen; mapped as long as the process.
pub struct Fenced {
    pub base: NonNull<u8>,
    pub len: usize,
}

// SAFETY: the memory is accessed by words, atomically, whichever thread does it.
unsafe impl Sync for Fenced {}

impl Fenced {
    /// `len` bytes: a whole number of pages.
    pub fn new(len: usize) -> Self {
        assert_eq!(len % PAGE, 0);
        // SAFETY: a fresh mapping aliases nothing, and the middle of it is ours to open.
        let base = unsafe {
            let kind = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
            let all = libc::mmap(std::ptr::null_mut(), len + 2 * PAGE, libc::PROT_NONE, kind, -1, 0);
            assert_ne!(all, libc::MAP_FAILED);
            let base = all.add(PAGE);
            assert_eq!(libc::mprotect(base, len, libc::PROT_READ | libc::PROT_WRITE), 0);
            base
        };
        Self { base: NonNull::new(base.cast()).unwrap(), len }
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at < self.len);
        // SAFETY: inside the mapping, aligned, and every access to it is atomic.
        unsafe { self.base.add(at).cast().as_ref() }
    }

    pub fn load(&self, at: usize) -> u64 {
        self.word(at).load(Ordering::Relaxed)
    }

    pub fn store(&self, at: usize, value: u64) {
        self.word(at).store(value, Ordering::Relaxed);
    }

    pub fn image(&self) -> Vec<u64> {
        (0..self.len).step_by(8).map(|at| self.load(at)).collect()
    }

    pub fn restore(&self, image: &[u64]) {
        (0..self.len).step_by(8).zip(image).for_each(|(at, word)| self.store(at, *word));
    }
}

/// What does most harm in the place of a word that was `old`: as a length, an offset, a capacity, an index with its lap, a
/// participant, a state; in the whole word or in either half of it.
pub fn harmful(old: u64, len: u64, heap: u64) -> Vec<u64> {
    let sign = 1 << 63;
    let mut values = vec![
        0,
        u64::MAX,
        sign,
        sign - 1,
        1 << 62,
        1 << 32,
        1 << 40,
        len,
        len - 128,
        len + 128,
        heap,
        heap - 128,
        !127,
        sign | 100,
        sign | 1 << 20,
        sign | u64::from(u32::MAX),
        old ^ sign,
        old ^ 1,
        old.wrapping_add(1),
        old.wrapping_sub(1),
        old.wrapping_add(8),
        old.wrapping_add(128),
        old.wrapping_sub(128),
    ];
    let (low, high) = (old & u64::from(u32::MAX), old >> 32);
    // The last ones: the dead participant 2, one beyond the table, the last number, with and without sleepers.
    for half in [0, 1, 3, u32::MAX, i32::MAX as u32, 1 << 31, 1 << 20, 2, 5, 0x1fff, 1 << 30 | 2, 3 << 30 | 2] {
        values.push(high << 32 | u64::from(half));
        values.push(u64::from(half) << 32 | low);
    }
    values.extend([high << 32 | (low + 1) & u64::from(u32::MAX), high.wrapping_add(1) << 32 | low]);
    values.retain(|value| *value != old);
    values.sort_unstable();
    values.dedup();
    values
}

/// Says stop when it goes.
pub struct Stop<'a>(pub &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// xorshift64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// `RINGFENCE_SEED`, or always the same; never 0, of which nothing else would come.
pub fn seed() -> u64 {
    std::env::var("RINGFENCE_SEED").map_or(88_172_645_463_325_252, |text| text.parse().expect("a number")).max(1)
}

static AT: AtomicU64 = AtomicU64::new(0);
static VALUE: AtomicU64 = AtomicU64::new(0);

/// Notes what was written last.
pub fn working_at(at: usize, value: u64) {
    AT.store(at as u64, Ordering::Relaxed);
    VALUE.store(value, Ordering::Relaxed);
}

/// Has this process say what was written last when it dies of an access that it must not make, or because it hangs.
pub fn report_signals() {
    extern "C" fn last_word(signal: libc::c_int) {
        let mut text = *b"died at offset 0x0000 of 0x0000000000000000\n";
        let mut hex = |end: usize, digits: usize, number: u64| {
            for digit in 0..digits {
                text[end - digit] = b"0123456789abcdef"[(number >> (4 * digit) & 15) as usize];
            }
        };
        hex(20, 4, AT.load(Ordering::Relaxed));
        hex(42, 16, VALUE.load(Ordering::Relaxed));
        // SAFETY: both are async-signal-safe; the text is live.
        unsafe {
            libc::write(2, text.as_ptr().cast(), text.len());
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
    }
    let handler = last_word as extern "C" fn(libc::c_int) as libc::sighandler_t;
    for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGALRM] {
        // SAFETY: the handler does what a handler may.
        assert_ne!(unsafe { libc::signal(signal, handler) }, libc::SIG_ERR);
    }
    // SAFETY: touches no memory. Longer than any of them takes on a slow machine: then it hangs.
    unsafe { libc::alarm(400) };
}
