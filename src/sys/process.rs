//! Who we are, and whether a process named by number still lives (for memory that has no file to lock).

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::error::Error;

/// A process by number: 22 bits of pid and 42 bits of start time (in clock ticks since boot), never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(pub u64);

const PID_BITS: u32 = 22;

impl Identity {
    /// The calling process.
    pub fn me() -> Result<Self, Error> {
        let Some((_, start)) = stat("self") else {
            // Told apart without a descriptor, since there may be none left.
            let mounted = fs::metadata("/proc/self/stat").is_ok();
            return Err(if mounted { Error::NoDescriptors } else { Error::NotSupported("/proc is not mounted") });
        };
        Ok(Self(u64::from(pid()) | start << PID_BITS))
    }

    /// The pid.
    pub fn pid(self) -> u32 {
        (self.0 & ((1 << PID_BITS) - 1)) as u32
    }

    /// Its start in clock ticks since boot.
    pub fn start_time(self) -> u64 {
        self.0 >> PID_BITS
    }

    /// Whether this very process still has a thread that can run. What cannot be told counts as alive.
    pub fn is_alive(self) -> bool {
        let pid = self.pid();
        match stat(&pid.to_string()) {
            Some((state, start)) => {
                let same = start << PID_BITS == self.0 & !((1 << PID_BITS) - 1);
                // A zombie leader may have living threads behind it.
                same && (!matches!(state, 'Z' | 'X') || has_other_threads(pid))
            }
            // Hidden from us, no descriptor left to read it with, or gone: only the last is a death. Pid 0 nobody has.
            None => rustix::process::Pid::from_raw(pid as i32)
                .is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH)),
        }
    }
}

/// The calling process, as others are told of it. Costs a dozen system calls to make.
#[derive(Clone, Debug)]
pub struct Me {
    /// Pid.
    pub pid: u32,
    /// Pid and start time, or why they cannot be told.
    pub identity: Result<Identity, Error>,
    /// Short name, NUL-padded.
    pub name: [u8; 16],
}

impl Me {
    /// Asks the kernel.
    pub fn new() -> Self {
        Self { pid: pid(), identity: Identity::me(), name: name() }
    }
}

/// The pid of the calling process.
pub fn pid() -> u32 {
    rustix::process::getpid().as_raw_nonzero().get() as u32
}

/// The pid of the calling process's parent; 0 if that is in a PID namespace that it cannot see.
pub fn parent() -> u32 {
    rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get() as u32)
}

/// The effective user.
pub fn euid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// A number for the PID namespace of the calling process; 0 if it cannot be told.
pub fn pid_namespace() -> u64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |meta| meta.ino())
}

/// The short name of the calling process: at most 16 bytes, NUL-padded.
fn name() -> [u8; 16] {
    let mut name = [0; 16];
    if let Ok(text) = fs::read("/proc/self/comm") {
        for (to, from) in name.iter_mut().zip(text.iter().take_while(|byte| **byte != b'\n')) {
            *to = *from;
        }
    }
    name
}

fn has_other_threads(pid: u32) -> bool {
    fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|tasks| tasks.count() > 1)
}

/// State letter and start time of a process.
fn stat(pid: &str) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything: the fields start behind the last ')'.
    let mut fields = text[text.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let start = fields.nth(18)?.parse().ok()?;
    Some((state, start))
}
