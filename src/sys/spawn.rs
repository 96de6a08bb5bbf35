//! Starting a program in a process of its own, its end, and signals to it.
//!
//! A child is known by its pid until it is reaped and by a pidfd for as long as somebody wants. Signals go through the pidfd: the
//! kernel gives the number of a reaped process to another one, and that must never be hit.

use core::ffi::CStr;
use core::mem::{self, MaybeUninit};
use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};

use super::nap::Deadline;
use crate::error::Error;

/// What happens to a descriptor in the child, in the order given.
#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    /// It stays open, under its own number, although it is closed in everything else that this process starts.
    Keep(BorrowedFd<'a>),
    /// It is there under this number. It must not be one of 0, 1 and 2 itself, see [`above_standard`].
    As(BorrowedFd<'a>, i32),
    /// Under this number there is `/dev/null`.
    Null(i32),
}

/// A child that runs.
#[derive(Debug)]
pub struct Spawned {
    /// Its pid. It is the child's until that is reaped.
    pub pid: u32,
    /// Polls readable from its end on. A pidfd, or, for a child that was gone before one could be had, what stands in for it.
    pub pidfd: OwnedFd,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// The error for one of the standard library's.
#[must_use]
pub fn os_error(error: &std::io::Error) -> Error {
    super::error(error.raw_os_error().unwrap_or(libc::EIO))
}

fn check(errno: i32) -> Result<(), Error> {
    if errno == 0 { Ok(()) } else { Err(super::error(errno)) }
}

/// What `posix_spawn` is told beside the program.
struct Orders {
    actions: libc::posix_spawn_file_actions_t,
    attributes: libc::posix_spawnattr_t,
}

impl Orders {
    fn new() -> Result<Self, Error> {
        let (mut actions, mut attributes) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: both calls fill in what they are pointed to, or fail.
        unsafe {
            check(libc::posix_spawn_file_actions_init(actions.as_mut_ptr()))?;
            if let Err(error) = check(libc::posix_spawnattr_init(attributes.as_mut_ptr())) {
                libc::posix_spawn_file_actions_destroy(actions.as_mut_ptr());
                return Err(error);
            }
            Ok(Self { actions: actions.assume_init(), attributes: attributes.assume_init() })
        }
    }

    fn add(&mut self, action: Action<'_>) -> Result<(), Error> {
        let actions = &raw mut self.actions;
        // SAFETY: initialised in `new`; the path is copied.
        check(unsafe {
            match action {
                // To its own number: that only takes close-on-exec off, in the child.
                Action::Keep(fd) => libc::posix_spawn_file_actions_adddup2(actions, fd.as_raw_fd(), fd.as_raw_fd()),
                Action::As(fd, number) => libc::posix_spawn_file_actions_adddup2(actions, fd.as_raw_fd(), number),
                Action::Null(number) => {
                    libc::posix_spawn_file_actions_addopen(actions, number, c"/dev/null".as_ptr(), libc::O_RDWR, 0)
                }
            }
        })
    }

    /// The signals of a child, as std's `Command` sets them: none is blocked, whatever the calling thread blocks, and SIGPIPE
    /// does what it does, which Rust's runtime ignores again if the child is of Rust. What else is ignored stays so, since
    /// `nohup` and shells without job control rest on it; and handlers do not survive exec. With `deaf` SIGINT is blocked, for who
    /// calls [`outlive_interrupts`].
    fn signals(&mut self, deaf: bool) -> Result<(), Error> {
        // SAFETY: plain C structs for which zero is valid, filled in by the calls; `attributes` was initialised in `new`.
        unsafe {
            let (mut none, mut pipe): (libc::sigset_t, libc::sigset_t) = (mem::zeroed(), mem::zeroed());
            libc::sigemptyset(&raw mut none);
            libc::sigemptyset(&raw mut pipe);
            libc::sigaddset(&raw mut pipe, libc::SIGPIPE);
            if deaf {
                libc::sigaddset(&raw mut none, libc::SIGINT);
            }
            check(libc::posix_spawnattr_setsigmask(&raw mut self.attributes, &raw const none))?;
            check(libc::posix_spawnattr_setsigdefault(&raw mut self.attributes, &raw const pipe))?;
            let flags = libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
            check(libc::posix_spawnattr_setflags(&raw mut self.attributes, flags as libc::c_short))
        }
    }
}

impl Drop for Orders {
    fn drop(&mut self) {
        // SAFETY: both were initialised in `new`, and are not used again.
        unsafe {
            libc::posix_spawn_file_actions_destroy(&raw mut self.actions);
            libc::posix_spawnattr_destroy(&raw mut self.attributes);
        }
    }
}

fn pointers(strings: &[CString]) -> Vec<*mut libc::c_char> {
    strings.iter().map(|string| string.as_ptr().cast_mut()).chain([core::ptr::null_mut()]).collect()
}

/// Starts `program`, looked up in `PATH` if it has no slash, `deaf` to SIGINT at first or not. If it fails there is no child.
pub fn spawn(
    program: &CStr,
    arguments: &[CString],
    environment: &[CString],
    actions: &[Action<'_>],
    deaf: bool,
) -> Result<Spawned, Error> {
    let mut orders = Orders::new()?;
    actions.iter().try_for_each(|action| orders.add(*action))?;
    orders.signals(deaf)?;
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    let mut pid = 0;
    // SAFETY: all strings end with NUL and all lists with a null pointer, and they outlive the call; it changes none of them.
    check(unsafe {
        libc::posix_spawnp(
            &raw mut pid,
            program.as_ptr(),
            &raw const orders.actions,
            &raw const orders.attributes,
            arguments.as_ptr(),
            environment.as_ptr(),
        )
    })?;
    let child = Pid::from_raw(pid).ok_or(Error::Os(libc::ESRCH))?;
    let opened = match rustix::process::pidfd_open(child, PidfdFlags::empty()) {
        // It has ended, and somebody else has reaped it: the kernel, where SIGCHLD is ignored.
        Err(Errno::SRCH) => rustix::event::eventfd(1, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK),
        opened => opened,
    };
    match opened {
        Ok(pidfd) => Ok(Spawned { pid: pid as u32, pidfd }),
        Err(errno) => {
            // A child that could not be asked for would be left behind.
            let _ = rustix::process::kill_process(child, Signal::KILL);
            while matches!(rustix::process::waitid(WaitId::Pid(child), WaitIdOptions::EXITED), Err(Errno::INTR)) {}
            Err(errno.into())
        }
    }
}

/// How a child ended, if it has. It is gone then: its number may be another's. `Error::Os(ECHILD)` if somebody else has
/// reaped it.
pub fn reap(pid: u32) -> Result<Option<Exit>, Error> {
    let pid = Pid::from_raw(pid as i32).ok_or(Error::Os(libc::ECHILD))?;
    loop {
        match rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(status) => {
                return Ok(status.map(|status| match status.exit_status() {
                    Some(code) => Exit::Code(code),
                    None => Exit::Signal(status.terminating_signal().unwrap_or(0)),
                }));
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Whether [`reap`] failed because somebody else has reaped the child.
#[must_use]
pub fn was_reaped_by_another(error: &Error) -> bool {
    *error == Error::Os(libc::ECHILD)
}

/// Waits until a descriptor can be read from; whether it can.
pub fn readable(fd: BorrowedFd<'_>, deadline: Deadline) -> Result<bool, Error> {
    loop {
        let left = deadline.left().and_then(|left| Timespec::try_from(left).ok());
        match rustix::event::poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], left.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Asks a process to end. One that has ended already is no error.
pub fn terminate(pidfd: BorrowedFd<'_>) -> Result<(), Error> {
    signal(pidfd, Signal::TERM)
}

/// Ends a process. One that has ended already is no error.
pub fn kill(pidfd: BorrowedFd<'_>) -> Result<(), Error> {
    signal(pidfd, Signal::KILL)
}

fn signal(pidfd: BorrowedFd<'_>, signal: Signal) -> Result<(), Error> {
    match rustix::process::pidfd_send_signal(pidfd, signal) {
        // EBADF: a stand-in.
        Ok(()) | Err(Errno::SRCH | Errno::BADF) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Sends SIGTERM to the calling process, to whichever of its threads takes it.
pub fn terminate_self() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::TERM);
}

/// Ends the calling process, and nothing can keep it.
pub fn kill_self() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
}

/// From here on SIGINT does nothing to this process, if it would have ended it; and the calling thread does not block it.
///
/// By a handler that does nothing, and not by ignoring it: what is ignored stays so over exec, and a program that this process
/// starts would not hear Ctrl-C. System calls that the signal comes into are restarted, as far as the kernel restarts any.
pub fn outlive_interrupts() -> Result<(), Error> {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: plain C structs for which zero is valid, filled in or read by the calls; the handler does nothing.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        let result = libc::sigaction(libc::SIGINT, core::ptr::null(), &raw mut action);
        if result == 0 && action.sa_sigaction == libc::SIG_DFL {
            action = mem::zeroed();
            action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_RESTART;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(libc::SIGINT, &raw const action, core::ptr::null_mut());
        }
        let mut interrupt: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut interrupt);
        libc::sigaddset(&raw mut interrupt, libc::SIGINT);
        check(libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const interrupt, core::ptr::null_mut()))
    }
}

/// A pidfd of another process.
pub fn pidfd(pid: u32) -> Result<OwnedFd, Error> {
    let pid = Pid::from_raw(pid as i32).ok_or(Error::Missing)?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// A descriptor of the same file that is none of the standard streams, and closed on exec. A dup2 in a child overwrites
/// what has the number, and with it what was to be put elsewhere.
pub fn above_standard(fd: OwnedFd) -> Result<OwnedFd, Error> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    Ok(rustix::io::fcntl_dupfd_cloexec(&fd, 3)?)
}

/// An empty file in memory, without a name, closed on exec.
pub fn memory_file(label: &str) -> Result<File, Error> {
    let fd = rustix::fs::memfd_create(label, rustix::fs::MemfdFlags::CLOEXEC)?;
    above_standard(fd).map(File::from)
}

/// Which file a descriptor is of: device and inode.
pub fn file_id(file: &File) -> Result<(u64, u64), Error> {
    let meta = file.metadata().map_err(|error| os_error(&error))?;
    Ok((meta.dev(), meta.ino()))
}

/// The descriptor of that number, if it is open and of that file. It is closed on exec from here on.
///
/// To be called once, for a descriptor that was [kept](Action::Keep) open for this process and that nothing else in it owns.
#[must_use]
pub fn inherited(number: i32, id: (u64, u64)) -> Option<File> {
    if number < 3 {
        return None;
    }
    // SAFETY: if it is open it stays so while this looks at it: nothing else in this process knows of it. If it is
    // not, the calls on it fail; and a file that is not the one that was meant is not closed.
    let file = mem::ManuallyDrop::new(unsafe { File::from_raw_fd(number) });
    if file_id(&file).ok()? != id {
        return None;
    }
    rustix::io::fcntl_setfd(file.as_fd(), rustix::io::FdFlags::CLOEXEC).ok()?;
    Some(mem::ManuallyDrop::into_inner(file))
}

/// Has `function` run when the process ends by `exit`, or returns from `main`. A signal or `_exit` does not run it.
pub fn at_exit(function: extern "C" fn()) -> Result<(), Error> {
    // SAFETY: the function is `extern "C"`, takes nothing, and lives as long as the program.
    if unsafe { libc::atexit(function) } == 0 { Ok(()) } else { Err(Error::NoMemory) }
}

/// The name of a signal; `None` if it has none.
#[must_use]
pub fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGVTALRM => "SIGVTALRM",
        libc::SIGPROF => "SIGPROF",
        libc::SIGIO => "SIGIO",
        libc::SIGPWR => "SIGPWR",
        libc::SIGSYS => "SIGSYS",
        _ => return None,
    })
}
