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
//! A step costs some 15 µs on a virtual machine, so that a walk of thousands, made anew for every k, takes most of a
//! run. A [`Path`] is the way that one walk took. Where nobody else runs, the next one goes the same way, and to be killed
//! at k it [jumps](Victim::jump): it runs at full speed into a breakpoint of the processor, and walks the rest.
//!
//! Single-stepping an LL/SC loop never ends, so this is for x86-64 (and for LSE atomics on aarch64, untested).

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::os::{Child, Ended, LIMIT, Patience, state};

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
    /// It left the path it was to jump along.
    Astray,
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
    way: Option<Vec<u64>>,
}

/// Where each step of a walk began.
#[derive(Debug)]
pub struct Path {
    steps: Vec<u64>,
    /// The steps that began at an address, in order. Repeated string instructions are not in it: to step is to trap in
    /// each round, and a breakpoint is not.
    visits: HashMap<u64, Vec<usize>>,
}

impl Path {
    fn new(steps: Vec<u64>) -> Self {
        let repeated: HashSet<u64> = steps.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        let mut visits: HashMap<u64, Vec<usize>> = HashMap::new();
        // Where it begins, a breakpoint would or would not trap at once.
        for (step, &at) in steps.iter().enumerate().filter(|(_, at)| **at != steps[0] && !repeated.contains(at)) {
            visits.entry(at).or_default().push(step);
        }
        Self { steps, visits }
    }

    /// How many steps it is long.
    pub fn len(&self) -> u64 {
        self.steps.len() as u64
    }

    /// Whether there was nothing to walk.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The cheapest way to `k`: the address to stop at, how often, and the steps from there on.
    fn jump_to(&self, k: usize) -> Option<(u64, usize, usize)> {
        let nearest = (k.saturating_sub(64)..=k).rev().filter_map(|step| {
            let at = *self.steps.get(step)?;
            let hits = self.visits.get(&at)?.binary_search(&step).ok()? + 1;
            Some((at, hits, k - step))
        });
        nearest.min_by_key(|(_, hits, rest)| hits + rest).filter(|(_, hits, rest)| hits + rest + 4 < k)
    }
}

impl Victim {
    /// Forks `body`, which calls [`marker`] where stepping begins. Returns when it has.
    pub fn fork(body: impl FnOnce()) -> Result<Self, Stop> {
        arm_ticks();
        let child = Child::fork(|| {
            // SAFETY: asks to be traced by the parent.
            unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
            crate::heap::begin();
            body();
        });
        let mut victim = Self { child, steps: 0, way: None };
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
        if self.way.is_some() {
            let at = self.at();
            self.way.iter_mut().for_each(|way| way.push(at));
        }
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

    /// Waits until it stops again, after it was [`Stop::Blocked`]. Where it still sleeps after a second somebody else was
    /// woken: nothing is concluded from that, so a loaded machine may take its time.
    pub fn awaken(&mut self) -> Stop {
        let end = Instant::now() + Duration::from_secs(1);
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

    /// From now on, remembers where it goes.
    pub fn record(&mut self) {
        self.way = Some(vec![]);
    }

    /// The way it went since [`record`](Self::record).
    pub fn path(&mut self) -> Option<Path> {
        self.way.take().map(Path::new)
    }

    /// Goes `k` steps along a path, most of them at full speed. `false` if it went another way: nothing is known then of
    /// where it is.
    pub fn jump(&mut self, path: &Path, k: u64) -> bool {
        let k = k as usize;
        let (hits, rest) = match path.jump_to(k) {
            Some((at, hits, rest)) if self.set_breakpoint(Some(at)) => {
                let stopped = (0..hits).all(|_| self.proceed() == Stop::Trapped && self.at() == at);
                if !(stopped && self.set_breakpoint(None)) {
                    return false;
                }
                (hits, rest)
            }
            _ => (0, k),
        };
        debug_assert!(hits <= k);
        let walked = (0..rest).all(|_| self.step() == Stop::Trapped);
        self.steps += (k - rest) as u64;
        walked && path.steps.get(k).is_none_or(|&at| self.at() == at)
    }

    fn proceed(&mut self) -> Stop {
        // SAFETY: the child is in a trace stop.
        if unsafe { libc::ptrace(libc::PTRACE_CONT, self.child.pid(), 0, 0) } != 0 {
            return Stop::Gone(self.child.wait(LIMIT).unwrap_or(Ended::Signal(0)));
        }
        self.arrive()
    }

    /// The address of its next instruction.
    #[cfg(target_arch = "x86_64")]
    pub fn at(&self) -> u64 {
        let offset = std::mem::offset_of!(libc::user, regs) + std::mem::offset_of!(libc::user_regs_struct, rip);
        // SAFETY: reads a register of a child in a trace stop.
        unsafe { libc::ptrace(libc::PTRACE_PEEKUSER, self.child.pid(), offset, 0) }.cast_unsigned()
    }

    /// Elsewhere all steps are single ones.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn at(&self) -> u64 {
        0
    }

    /// The bytes of its next instruction, and of what follows.
    pub fn code(&self) -> u64 {
        // SAFETY: reads the memory of a child in a trace stop.
        unsafe { libc::ptrace(libc::PTRACE_PEEKTEXT, self.child.pid(), self.at(), 0) }.cast_unsigned()
    }

    /// Sets or clears the one breakpoint, on the execution of an instruction.
    #[cfg(target_arch = "x86_64")]
    fn set_breakpoint(&self, at: Option<u64>) -> bool {
        const CONTROL: usize = 7;
        let poke = |register: usize, value: u64| {
            let offset = std::mem::offset_of!(libc::user, u_debugreg) + 8 * register;
            // SAFETY: writes a debug register of a child in a trace stop; the kernel checks the value.
            unsafe { libc::ptrace(libc::PTRACE_POKEUSER, self.child.pid(), offset, value) == 0 }
        };
        at.is_none_or(|at| poke(0, at)) && poke(CONTROL, at.is_some().into())
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn set_breakpoint(&self, _: Option<u64>) -> bool {
        false
    }

    /// How many steps it has made.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Its process number.
    pub fn pid(&self) -> libc::pid_t {
        self.child.pid()
    }

    /// Lets it go on by itself, untraced.
    pub fn release(&self) {
        // SAFETY: the child is in a trace stop.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.child.pid(), 0, 0) };
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(mut self) {
        self.child.kill();
    }

    fn arrive(&mut self) -> Stop {
        let mut patience = Patience::new(LIMIT);
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
            if patience.left().is_zero() {
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
    static ARMED_IN: AtomicI32 = AtomicI32::new(0);
    // SAFETY: no preconditions.
    let me = unsafe { libc::getpid() };
    if ARMED_IN.swap(me, Relaxed) != me {
        let period = libc::timeval { tv_sec: 0, tv_usec: 2000 };
        let timer = libc::itimerval { it_interval: period, it_value: period };
        // SAFETY: the handler does nothing; without SA_RESTART it makes waitpid return.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = tick as extern "C" fn(i32) as libc::sighandler_t;
            libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut());
            libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut());
        }
    }
}
