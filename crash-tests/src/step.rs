//! The victim: a forked process that runs one operation instruction by instruction, and dies where it is told to.
//!
//! ```text
//!  fork -> PTRACE_TRACEME -> setup -> [marker] -> operation, one instruction a step -> (finished) -> parked
//!                                                     |  after k steps
//!                                                     v
//!                                                  SIGKILL
//! ```
//!
//! A system call is one step: the kernel's part of it either happened or did not, except where the victim blocks in it,
//! which is a place to be killed at too ([`Stop::Blocked`]). The victim says that it has finished through shared memory,
//! which costs the tracer nothing to look at. Programs linked with `-z now` (Rust's default) resolve no symbols lazily,
//! and the vDSO is stepped through like any code.
//!
//! Single-stepping an LL/SC loop never ends, so this is for x86-64 (and for LSE atomics on aarch64, untested).

use std::time::{Duration, Instant};

use crate::os::{Child, Ended, LIMIT, state};

/// Where a victim is after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Before its next instruction.
    Trapped,
    /// Asleep in a system call.
    Blocked,
    /// Ended, or about to: a crash of its own.
    Gone(Ended),
    /// Neither stopped nor asleep within the limit.
    Runaway,
}

/// How a walk of some steps ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// All steps are done, the operation is not.
    Reached,
    /// The operation finished first.
    Finished,
    /// The operation sleeps in a system call.
    Blocked,
    /// The victim crashed or ran away.
    Lost(Stop),
}

/// What a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// One instruction, or one system call.
    Instruction,
    /// To the next border of a system call: before it, then after it.
    SystemCall,
}

/// A traced process.
#[derive(Debug)]
pub struct Victim {
    child: Child,
    steps: u64,
}

impl Victim {
    /// Forks `body`, which calls [`marker`] where stepping begins. Returns when it has.
    pub fn fork(body: impl FnOnce()) -> Result<Self, Stop> {
        arm_ticks();
        let child = Child::fork(|| {
            // SAFETY: asks to be traced by the parent.
            unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
            body();
        });
        let mut victim = Self { child, steps: 0 };
        match victim.arrive() {
            Stop::Trapped => {
                // SAFETY: the child is in a trace stop.
                unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, victim.child.pid(), 0, libc::PTRACE_O_EXITKILL) };
                Ok(victim)
            }
            stop => Err(stop),
        }
    }

    /// One instruction, or one system call.
    pub fn step(&mut self) -> Stop {
        // SAFETY: the child is in a trace stop.
        let gone = unsafe { libc::ptrace(libc::PTRACE_SINGLESTEP, self.child.pid(), 0, 0) } != 0;
        if gone {
            return Stop::Gone(self.child.wait(LIMIT).unwrap_or(Ended::Signal(0)));
        }
        self.steps += 1;
        self.arrive()
    }

    /// Runs at full speed to the border of the next system call, entering or leaving.
    pub fn to_syscall(&mut self) -> Stop {
        // SAFETY: the child is in a trace stop.
        if unsafe { libc::ptrace(libc::PTRACE_SYSCALL, self.child.pid(), 0, 0) } != 0 {
            return Stop::Gone(self.child.wait(LIMIT).unwrap_or(Ended::Signal(0)));
        }
        self.steps += 1;
        self.arrive()
    }

    /// Waits until it stops again, after it was [`Stop::Blocked`].
    pub fn awaken(&mut self, limit: Duration) -> Stop {
        let end = Instant::now() + limit;
        loop {
            match self.arrive() {
                Stop::Blocked if Instant::now() < end => {}
                stop => return stop,
            }
        }
    }

    /// Steps until `done` says so, at most `steps` times.
    pub fn walk(&mut self, unit: Unit, steps: u64, done: impl Fn() -> bool) -> Walk {
        for _ in 0..steps {
            if done() {
                return Walk::Finished;
            }
            let stop = match unit {
                Unit::Instruction => self.step(),
                Unit::SystemCall => self.to_syscall(),
            };
            match stop {
                Stop::Trapped => {}
                // Its last system call is the one it parks in.
                Stop::Blocked if done() => return Walk::Finished,
                Stop::Blocked => return Walk::Blocked,
                stop => return Walk::Lost(stop),
            }
        }
        if done() { Walk::Finished } else { Walk::Reached }
    }

    /// How many steps it has made.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Its process number.
    pub fn pid(&self) -> libc::pid_t {
        self.child.pid()
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(mut self) {
        self.child.kill();
    }

    fn arrive(&mut self) -> Stop {
        let begun = Instant::now();
        loop {
            let mut status = 0;
            // SAFETY: `status` is live, the pid an unreaped child of ours.
            let pid = unsafe { libc::waitpid(self.child.pid(), &mut status, libc::__WALL) };
            if pid == self.child.pid() {
                return match self.child.note(status) {
                    Some(ended) => Stop::Gone(ended),
                    None if libc::WSTOPSIG(status) == libc::SIGTRAP => Stop::Trapped,
                    None => Stop::Gone(Ended::Signal(libc::WSTOPSIG(status))),
                };
            }
            // A tick interrupted the wait: the victim has not stopped for a while. Asleep, or merely slow?
            if asleep(self.child.pid()) {
                return Stop::Blocked;
            }
            if begun.elapsed() > LIMIT {
                return Stop::Runaway;
            }
        }
    }
}

/// Asleep at three looks in a row, so that a short nap of the kernel's own does not count.
fn asleep(pid: libc::pid_t) -> bool {
    (0..3).all(|look| {
        if look > 0 {
            std::thread::sleep(Duration::from_micros(50));
        }
        state(pid) == b'S'
    })
}

/// Where the tracer takes over. Called by the victim right before the operation.
#[inline(always)]
pub fn marker() {
    // SAFETY: a breakpoint trap, which the tracer takes; the instruction after it is the next to run.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        core::arch::asm!("int3", options(nomem, nostack));
    }
    // SAFETY: the same by way of the C library.
    #[cfg(not(target_arch = "x86_64"))]
    unsafe {
        libc::raise(libc::SIGTRAP);
    }
}

/// A tick every 2 ms interrupts the tracer's `waitpid`, so that it notices a victim that does not stop. Children do
/// not inherit the timer.
fn arm_ticks() {
    extern "C" fn tick(_: i32) {}
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let period = libc::timeval { tv_sec: 0, tv_usec: 2000 };
        let timer = libc::itimerval { it_interval: period, it_value: period };
        // SAFETY: the handler does nothing; without SA_RESTART it makes waitpid return.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = tick as extern "C" fn(i32) as libc::sighandler_t;
            libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut());
            libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut());
        }
    });
}
