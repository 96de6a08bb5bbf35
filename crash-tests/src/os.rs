//! Processes, shared pages and clocks: the rig's hold on the operating system.
//!
//! Two rules keep the machine clean whatever fails. Every child asks the kernel to be killed with its parent, and is
//! killed and reaped when its [`Child`] is dropped. The whole rig runs in a child of its own ([`supervise`]), whose
//! parent removes what it left in `/dev/shm` even if it was killed itself.

use std::mem::size_of;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// No single wait of the rig is longer than this; what takes longer is stuck.
pub const LIMIT: Duration = Duration::from_secs(4);

/// Nanoseconds of the monotonic clock, the same in every process.
pub fn now_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a live timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// How long somebody is still waited for. A look after a long while counts as a short one: then the whole machine stood still,
/// and those who are waited for with it.
#[derive(Debug)]
pub struct Patience {
    left: Duration,
    seen: Instant,
}

impl Patience {
    /// No single look counts more.
    const LOOK: Duration = Duration::from_millis(50);

    /// So long.
    pub fn new(limit: Duration) -> Self {
        Self { left: limit, seen: Instant::now() }
    }

    /// What is left.
    pub fn left(&mut self) -> Duration {
        let now = Instant::now();
        self.left = self.left.saturating_sub((now - self.seen).min(Self::LOOK));
        self.seen = now;
        self.left
    }
}

/// A door between processes: shut when zeroed, opened once.
#[repr(transparent)]
#[derive(Debug)]
pub struct Gate(AtomicU32);

impl Gate {
    /// Opens it for all who wait and will wait.
    pub fn open(&self) {
        self.0.store(1, Ordering::Release);
        // SAFETY: FUTEX_WAKE only takes the address.
        unsafe { libc::syscall(libc::SYS_futex, self.0.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }

    /// Waits until it is open; `false` if that takes longer than `limit`.
    pub fn pass(&self, limit: Duration) -> bool {
        let mut patience = Patience::new(limit);
        while !self.is_open() {
            let left = patience.left().min(Patience::LOOK);
            if left.is_zero() {
                return false;
            }
            let time = libc::timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            // SAFETY: the word and the time-out are live; EAGAIN, EINTR and ETIMEDOUT all lead to another look.
            unsafe { libc::syscall(libc::SYS_futex, self.0.as_ptr(), libc::FUTEX_WAIT, 0, &raw const time) };
        }
        true
    }
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It called exit.
    Exit(i32),
    /// A signal killed it.
    Signal(i32),
}

/// A forked process; killed and reaped when dropped.
#[derive(Debug)]
pub struct Child {
    pid: libc::pid_t,
    ended: Option<Ended>,
}

impl Child {
    /// Runs `body` in a forked child, which exits with 0, or with 101 if `body` panics.
    pub fn fork(body: impl FnOnce()) -> Self {
        // SAFETY: the rig is single-threaded, so the child may go on as an ordinary process.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork failed: {}", std::io::Error::last_os_error());
        if pid > 0 {
            return Self { pid, ended: None };
        }
        // SAFETY: plain system calls. `_exit`, since the parent's exit handlers and destructors are not ours to run.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            let clean = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_ok();
            libc::_exit(if clean { 0 } else { 101 })
        }
    }

    /// Its process number.
    pub fn pid(&self) -> libc::pid_t {
        self.pid
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<Ended> {
        self.reap(libc::WNOHANG)
    }

    /// Waits until it ends by itself; `None` if that takes longer than `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<Ended> {
        let mut patience = Patience::new(limit);
        let mut nap = Duration::from_micros(50);
        loop {
            if let Some(ended) = self.ended() {
                return Some(ended);
            }
            if patience.left().is_zero() {
                return None;
            }
            std::thread::sleep(nap);
            nap = (nap * 2).min(Duration::from_millis(5));
        }
    }

    /// Stops it with SIGSTOP; when this returns it stands.
    pub fn stop(&self) {
        self.signal(libc::SIGSTOP);
        let end = Instant::now() + LIMIT;
        while state(self.pid) != b'T' && Instant::now() < end {
            std::thread::yield_now();
        }
    }

    /// Lets it go on after [`stop`](Self::stop).
    pub fn go_on(&self) {
        self.signal(libc::SIGCONT);
    }

    fn signal(&self, signal: i32) {
        if self.ended.is_none() {
            // SAFETY: the pid is ours and not reaped yet, so it cannot have been given to another process.
            unsafe { libc::kill(self.pid, signal) };
        }
    }

    /// Kills it with SIGKILL and waits until the kernel has taken it apart.
    pub fn kill(&mut self) {
        if self.ended.is_none() {
            self.signal(libc::SIGKILL);
            while self.reap(0).is_none() {}
        }
    }

    /// Notes a status that `waitpid` gave for this child. `None` if it says that the child merely stopped.
    pub(crate) fn note(&mut self, status: i32) -> Option<Ended> {
        if libc::WIFEXITED(status) {
            self.ended = Some(Ended::Exit(libc::WEXITSTATUS(status)));
        } else if libc::WIFSIGNALED(status) {
            self.ended = Some(Ended::Signal(libc::WTERMSIG(status)));
        }
        self.ended
    }

    fn reap(&mut self, flags: i32) -> Option<Ended> {
        if self.ended.is_some() {
            return self.ended;
        }
        let mut status = 0;
        // SAFETY: `status` is live; the pid is an unreaped child of ours.
        match unsafe { libc::waitpid(self.pid, &mut status, flags | libc::__WALL) } {
            0 => None,
            pid if pid == self.pid => self.note(status),
            _ if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => None,
            _ => {
                self.ended = Some(Ended::Signal(0));
                self.ended
            }
        }
    }

    /// Waits until it sleeps in the kernel, `steady` looks long; `false` if it does not within `limit`.
    pub fn settles(&mut self, limit: Duration) -> bool {
        let mut patience = Patience::new(limit);
        let mut asleep = 0;
        while asleep < 3 {
            if patience.left().is_zero() || self.ended().is_some() {
                return false;
            }
            asleep = if sleeps_in(self.pid, libc::SYS_futex) { asleep + 1 } else { 0 };
            std::thread::sleep(Duration::from_micros(50));
        }
        true
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The child of a child, which outlives it, and becomes ours then; killed and reaped when dropped.
#[derive(Debug)]
pub struct Orphan(libc::pid_t);

impl Orphan {
    /// Runs `body` in a forked child that does not die with its parent. Its process number, for [`of`](Self::of).
    pub fn fork(body: impl FnOnce()) -> libc::pid_t {
        // SAFETY: the rig is single-threaded, so the child may go on as an ordinary process.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork failed: {}", std::io::Error::last_os_error());
        if pid == 0 {
            let clean = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_ok();
            // SAFETY: as in `Child::fork`.
            unsafe { libc::_exit(if clean { 0 } else { 101 }) }
        }
        pid
    }

    /// The one of that number.
    pub fn of(pid: libc::pid_t) -> Self {
        // Anything else is a group.
        assert!(pid > 0, "there is no such child");
        Self(pid)
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        // SAFETY: it is unreaped: its parent does not wait for it, and we have not.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            // Interrupted by the tracer's ticks. It is not ours while its parent lives: a point that is not staged.
            while libc::waitpid(self.0, std::ptr::null_mut(), libc::__WALL) < 0
                && std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted
            {}
        }
    }
}

/// The state letter of a process in `/proc/<pid>/stat`: `S` sleeps, `R` runs, `t` is stopped by its tracer.
pub fn state(pid: libc::pid_t) -> u8 {
    let line = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = line.iter().rposition(|&byte| byte == b')').unwrap_or(0);
    line.get(after_name + 2).copied().unwrap_or(b'?')
}

/// Whether a process sleeps in this system call. Where `/proc/<pid>/syscall` is closed to us, any sleep counts.
pub fn sleeps_in(pid: libc::pid_t, call: libc::c_long) -> bool {
    if state(pid) != b'S' {
        return false;
    }
    match std::fs::read_to_string(format!("/proc/{pid}/syscall")) {
        Ok(line) => line.split(' ').next().and_then(|n| n.parse().ok()) == Some(call),
        Err(_) => true,
    }
}

/// Zeroed memory that this process and its children share, as a `T` for which all zeros is valid.
///
/// # Safety
/// Zeroed bytes are a valid `T`, and whatever of it changes is atomic.
pub unsafe fn share<T>() -> &'static T {
    let len = size_of::<T>();
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a fresh anonymous mapping, never unmapped; the caller vouches for the zeroed `T`.
    unsafe {
        let page = libc::mmap(std::ptr::null_mut(), len, prot, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1, 0);
        assert!(page != libc::MAP_FAILED, "no memory for the board");
        &*page.cast::<T>()
    }
}

/// The names that this run gives to segments start with this; what is left of them is removed by [`supervise`].
pub fn name_prefix() -> String {
    // SAFETY: no preconditions. The supervisor's child is the rig itself, and its parent stays the same.
    let run = std::env::var(RUN).unwrap_or_else(|_| unsafe { libc::getpid() }.to_string());
    format!("rig-{run}-")
}

const RUN: &str = "RINGFENCE_RIG_RUN";

/// Makes this process one of several that play scenarios: with names of its own, and its own orphans.
pub fn become_worker(job: usize) {
    let run = std::env::var(RUN).unwrap_or_default();
    // SAFETY: single-threaded; the orphans of a killed process group become children of this process, which reaps them.
    unsafe {
        std::env::set_var(RUN, format!("{run}-{job}"));
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
    }
}

/// Runs the rig in a child and removes its segments afterwards, whatever became of it. Exits with its code.
pub fn supervise(rig: impl FnOnce() -> i32) -> ! {
    // SAFETY: single-threaded here: nobody reads the environment or handles signals at the same time.
    unsafe {
        std::env::set_var(RUN, libc::getpid().to_string());
        libc::signal(libc::SIGINT, libc::SIG_IGN); // the child dies of Ctrl-C; we stay to tidy up
    }
    sweep_dead_runs();
    let mut child = Child::fork(|| {
        // SAFETY: as above.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(rig)).unwrap_or(101);
        let _ = std::io::Write::flush(&mut std::io::stdout());
        // SAFETY: ends this child.
        unsafe { libc::_exit(code) };
    });
    let ended = loop {
        if let Some(ended) = child.reap(0) {
            break ended;
        }
    };
    remove_segments(&name_prefix());
    std::process::exit(match ended {
        Ended::Exit(code) => code,
        Ended::Signal(signal) => {
            eprintln!("the rig was killed by signal {signal}");
            128 + signal
        }
    })
}

/// Removes every segment whose name starts with `prefix`. Returns how many there were.
pub fn remove_segments(prefix: &str) -> usize {
    shm_names().filter(|name| name.starts_with(&format!("ringfence.{prefix}"))).map(|name| remove(&name)).count()
}

/// The names in `/dev/shm`.
pub fn shm_names() -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir("/dev/shm").into_iter().flatten();
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok())
}

fn remove(name: &str) {
    let _ = std::fs::remove_file(format!("/dev/shm/{name}"));
}

/// A run that was itself killed with its supervisor left its names behind.
fn sweep_dead_runs() {
    for name in shm_names() {
        let run = name.strip_prefix("ringfence.rig-").and_then(|rest| rest.split('-').next());
        if let Some(pid) = run.and_then(|run| run.parse::<i32>().ok())
            && state(pid) == b'?'
        {
            remove(&name);
        }
    }
}
