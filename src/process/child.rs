//! Which process this is: the first one, or one that was started to run a function.

use std::fmt;
use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;

use super::children::{self, GRACE};
use super::mailbox::{About, Failure, Mailbox, Outcome};
use super::registry::{self, CallError};
use crate::error::Error;
use crate::sys::bridge;
use crate::sys::log::{self, LogLevel};
use crate::sys::nap::Deadline;
use crate::sys::process::{self, Identity};
use crate::sys::spawn;

/// Where a child of this program comes to [`enter`].
#[derive(Debug)]
pub(super) enum Entry {
    /// In `main`.
    Main,
    /// In the test of that name, of libtest's.
    Test(String),
}

static ENTRY: OnceLock<Entry> = OnceLock::new();

/// Where a child will come to; none if `init` was not called, so that a child would run `main` all over.
pub(super) fn entry() -> Option<&'static Entry> {
    ENTRY.get()
}

/// What this process was told when it was started.
static TOLD: OnceLock<About> = OnceLock::new();

/// That; `None` in the first process.
pub(super) fn told() -> Option<&'static About> {
    TOLD.get()
}

/// Lets this program start processes of itself: the first line of `main`, before anything else is done.
///
/// In a process that [`Process::start`](crate::process::Process::start) has started it runs the function, on the main thread, and
/// never returns: the process ends with it. In any other process it returns at once. Whatever stands before it is done by each
/// child, too.
///
/// Without it `start` fails, also in a child whose `main` has lost it: no program starts itself without end.
///
/// A program that another one starts as [`Process::program`](crate::process::Process::program) may call it, too: it returns,
/// and from there on [`current_process`] knows the name it was given, and a daemon ends with its parent.
///
/// If the function returns the exit code is 0. If it panics, the panic is printed as any other, and the code is 1; so it is if this
/// program has no such function, or if its result cannot be encoded. The standard output is flushed in each case.
///
/// ```no_run
/// use ringfence::process::{self, Process};
///
/// fn square(x: u64) -> u64 {
///     x * x
/// }
/// ringfence::register!(square);
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     process::init();
///     let mut child = Process::new(square, (7,))?;
///     child.start()?;
///     child.join()?;
///     assert_eq!(child.result()?, 49);
///     Ok(())
/// }
/// ```
pub fn init() {
    enter(Entry::Main);
}

/// The same for a test binary, whose `main` is libtest's: called from a test of that name, which does nothing else, and first
/// thing in each test that starts processes.
///
/// `name` is the path of that test within its binary, as libtest prints it. Children are this binary, told to run that test alone
/// (`NAME --exact --nocapture --test-threads=1`); libtest runs it on a thread of its own, and prints a line or two to the
/// standard output before. A test binary with `harness = false` has a `main` of its own: use [`init`].
///
/// ```no_run
/// use ringfence::process::{self, Process};
///
/// fn square(x: u64) -> u64 {
///     x * x
/// }
/// ringfence::register!(square);
///
/// #[test]
/// fn child_entry() {
///     process::init_test("child_entry");
/// }
///
/// #[test]
/// fn seven_squared() {
///     process::init_test("child_entry");
///     let mut child = Process::new(square, (7,)).unwrap();
///     child.start().unwrap();
///     child.join().unwrap();
///     assert_eq!(child.result().unwrap(), 49);
/// }
/// ```
pub fn init_test(name: &str) {
    enter(Entry::Test(name.to_owned()));
}

fn enter(entry: Entry) {
    if ENTRY.set(entry).is_ok()
        && let Some(mailbox) = Mailbox::of_this_process()
    {
        begin(&mailbox);
    }
}

/// Runs what the mailbox says and ends this process; returns only if it names no function.
fn begin(mailbox: &Mailbox) {
    let about = match mailbox.about() {
        Ok(about) => TOLD.get_or_init(|| about),
        Err(failure) => fail(failure),
    };
    log::set_process_name(&about.name);
    // It was started as /proc/self/exe, and would be called "exe" in every list.
    if let Some(program) = std::env::args_os().next().as_deref().and_then(|path| path.to_str()?.rsplit('/').next()) {
        let _ = fs::write("/proc/self/comm", program);
    }
    if about.daemon
        && !about.worker
        && let Err(error) = end_with(Identity(about.parent), || ())
    {
        fail(Failure::System(error));
    }
    let Some((name, signature)) = &about.function else { return };
    log::tell(LogLevel::Info, format_args!("runs {name}"));
    let outcome = match registry::named(name, signature) {
        Err(error) => Outcome::Refused(error),
        Ok(function) => match mailbox.arguments().map(|arguments| function.call(&arguments)) {
            Ok(Ok(result)) => Outcome::Returned(result),
            Ok(Err(CallError::Panicked(panic))) => Outcome::Panicked(panic),
            Ok(Err(CallError::Arguments(error))) => Outcome::Arguments(error.to_string()),
            Ok(Err(CallError::Result(error))) => Outcome::Unencodable(error.to_string()),
            Err(failure) => fail(failure),
        },
    };
    let code = i32::from(!matches!(outcome, Outcome::Returned(_)));
    if let Err(failure) = mailbox.leave(outcome) {
        // What is shorter may have room.
        let _ = mailbox.leave(Outcome::Unwritten(failure.to_string()));
        fail(failure);
    }
    log::tell(LogLevel::Info, format_args!("ends with exit code {code}"));
    std::process::exit(code);
}

fn fail(failure: Failure) -> ! {
    // Where nothing can be written, either: it is no panic, whose exit code is another.
    let _ = writeln!(std::io::stderr(), "ringfence: this process cannot do what it was started for: {failure}");
    std::process::exit(1);
}

/// Sees to it that this process ends when its parent does, however that comes about.
///
/// Not by `PR_SET_PDEATHSIG`: that is sent when the *thread* ends that started the child, and a parent may well start a process
/// from a thread that it does not keep.
fn end_with(parent: Identity, last_will: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let pidfd = match spawn::pidfd(parent.pid()) {
        Ok(pidfd) => Some(pidfd),
        // ESRCH: it is dead and reaped already.
        Err(Error::Os(_)) if !parent.is_alive() => None,
        Err(error) => return Err(error),
    };
    // Asked after the pidfd is there: if it is our parent still, the pidfd is of it and not of a later process with its pid.
    let pidfd = pidfd.filter(|_| process::parent() == parent.pid());
    let watch = move || {
        if let Some(pidfd) = pidfd {
            wait_for(&pidfd);
        }
        last_will();
        spawn::terminate_self();
        std::thread::sleep(GRACE);
        spawn::kill_self();
    };
    bridge::spawn("ringfence-parent", watch).map(drop)
}

/// For a worker of a pool, first thing: SIGINT does not end it, but the end of its parent does, and before that `last_will` is done.
///
/// Ctrl-C is sent to parent and workers alike. If it ended them all at once, nobody would be left to take away what has a name.
pub(crate) fn outlive(last_will: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    if let Some(about) = TOLD.get() {
        end_with(Identity(about.parent), last_will)?;
    }
    spawn::outlive_interrupts()
}

fn wait_for(pidfd: &OwnedFd) {
    while !matches!(spawn::readable(pidfd.as_fd(), Deadline::Forever), Ok(true)) {
        // No memory for a poll, at worst.
        std::thread::yield_now();
    }
}

/// The name of the first process of a program.
const MAIN: &str = "MainProcess";

/// A process of this program, as it is named.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// Its name: `MainProcess` for the first one.
    pub name: String,
    /// Its pid.
    pub pid: u32,
    /// Whether it ends with its parent.
    pub daemon: bool,
}

/// The process that started this one.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParentProcess {
    /// Its name: `MainProcess` for the first one.
    pub name: String,
    /// Its pid.
    pub pid: u32,
    identity: Identity,
}

impl ParentProcess {
    /// Whether that very process lives. It may have ended: only daemons end with it.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.identity.is_alive()
    }
}

impl fmt::Debug for ParentProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParentProcess").field("name", &self.name).field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// The calling process. One that was forked by other means has the name of the one that it was forked from.
#[must_use]
pub fn current_process() -> ProcessInfo {
    let told = told();
    ProcessInfo {
        name: told.map_or(MAIN, |about| &about.name).to_owned(),
        pid: process::pid(),
        daemon: told.is_some_and(|about| about.daemon),
    }
}

/// The process that started the calling one; `None` in the first process of the program.
#[must_use]
pub fn parent_process() -> Option<ParentProcess> {
    let about = told()?;
    let identity = Identity(about.parent);
    Some(ParentProcess { name: about.parent_name.clone(), pid: identity.pid(), identity })
}

/// The children of the calling process that have not ended, in the order in which they were started. Those that have are
/// reaped; their handles still know how they ended.
///
/// # Errors
/// [`Error::NoMemory`], [`Error::NoDescriptors`], [`Error::NotSupported`] without `/proc`: from the first call in a process.
pub fn active_children() -> Result<Vec<ProcessInfo>, Error> {
    let children = children::book()?.active();
    Ok(children
        .iter()
        .map(|child| ProcessInfo { name: child.name.clone(), pid: child.pid, daemon: child.daemon })
        .collect())
}

/// How many processes can run at the same time: the cores that this process may use, by its affinity and, as far as they are
/// whole cores, by the quota of its control group. 1 if it cannot be told.
#[must_use]
pub fn cpu_count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
