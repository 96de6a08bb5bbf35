//! [`Process`]: a function in a process of its own, from the side of the one that starts it.

use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::child::{self, Entry, current_process};
use super::children::{self, Book, Child, End};
use super::errors::ProcessError;
use super::function::Function;
use super::mailbox::{About, Mailbox, Outcome, VARIABLE};
use super::registry;
use crate::error::Error;
use crate::sys::fork;
use crate::sys::log::{self, LogLevel};
use crate::sys::nap::Deadline;
use crate::sys::spawn::{self, Action, Exit, signal_name};
use crate::typed::{Portable, codec};

/// What a standard stream of a child is.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stdio {
    /// That of this process.
    Inherit,
    /// `/dev/null`.
    Null,
    /// This descriptor: a file, an end of a pipe, a socket.
    Descriptor(OwnedFd),
}

/// What a process is to run.
#[derive(Debug)]
enum Task {
    /// A function of this program, by name and signature, and its encoded arguments.
    Function { name: &'static str, signature: &'static str, arguments: Vec<u8> },
    /// Another program.
    Program { path: OsString, arguments: Vec<OsString> },
}

#[derive(Debug)]
enum State {
    Initial,
    Started(Arc<Child>),
    Closed,
}

/// A process that runs a [registered](crate::register) function of this program, or any program.
///
/// It is made, then started, joined, and asked for its result. A function runs in a new process of the same executable: nothing
/// is forked, so it does not matter what other threads do, and the child has nothing of this process but its arguments, its
/// environment and its standard streams. [`init`](crate::process::init) has to be the first line of `main`.
///
/// Only the process that made it may start, join and ask it; in a forked child each call is [`ProcessError::NotParent`].
///
/// # Ends
/// If the child is killed at whatever moment, [`join`](Self::join) returns and [`result`](Self::result) is
/// [`ProcessError::Died`], unless the result was complete.
///
/// Dropping the handle leaves the child as it is. When this process ends normally (`main` returns, or `exit`), it first sends
/// SIGTERM to those of its children that are daemons, SIGKILL to those of them that have not ended 5 s later, and waits for all
/// children. If it is killed, or leaves by `_exit`, daemons get SIGTERM and 5 s later SIGKILL from a thread of their own that
/// watches it; other children live on.
///
/// # Examples
/// ```no_run
/// use ringfence::process::{self, Process};
///
/// fn divide(a: i64, b: i64) -> i64 {
///     a / b
/// }
/// ringfence::register!(divide);
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     process::init();
///     let mut good = Process::new(divide, (7, 2))?;
///     let mut bad = Process::new(divide, (7, 0))?;
///     for child in [&mut good, &mut bad] {
///         child.start()?;
///         child.join()?;
///     }
///     assert_eq!((good.exit_code()?, good.result()?), (Some(0), 3));
///     // "attempt to divide by zero", with its place and the way there.
///     println!("{:?} {}", bad.exit_code()?, bad.result().unwrap_err());
///     Ok(())
/// }
/// ```
#[must_use = "a process that is not started does nothing"]
pub struct Process<R = ()> {
    /// Empty once it has been started.
    task: Option<Task>,
    name: String,
    number: String,
    daemon: bool,
    worker: bool,
    environment: Vec<(OsString, OsString)>,
    streams: [Stdio; 3],
    descriptors: Vec<OwnedFd>,
    state: State,
    /// Of a function that was started, until the result was taken.
    mailbox: Option<Mailbox>,
    taken: bool,
    /// Which process it belongs to.
    generation: u64,
    result: PhantomData<fn() -> R>,
}

impl<R: Portable> Process<R> {
    /// A process that will call `function` with `arguments`, a tuple: `(7,)` for one, `()` for none.
    ///
    /// # Errors
    /// [`ProcessError::Registry`] if the function is not registered, [`ProcessError::Encode`] if an argument has no message,
    /// [`ProcessError::System`].
    pub fn new<F, Args>(function: F, arguments: Args) -> Result<Self, ProcessError>
    where
        F: Function<Args, Output = R>,
        Args: Portable,
    {
        let registration = registry::of(function)?;
        let arguments = codec::encode(&arguments)?;
        Self::of(Task::Function { name: registration.name(), signature: registration.signature(), arguments })
    }

    /// What the function has returned. It is handed over once.
    ///
    /// A result that was complete when the child was killed, or left by `exit`, counts. For a [program](Self::program) it is `()`
    /// if the exit code is 0.
    ///
    /// # Errors
    /// [`ProcessError::NotStarted`], [`ProcessError::StillRunning`], [`ProcessError::ResultTaken`]; [`ProcessError::Panicked`],
    /// [`ProcessError::Died`] and [`ProcessError::Exited`] for a child that has none; [`ProcessError::Registry`],
    /// [`ProcessError::Arguments`], [`ProcessError::NotEncoded`], [`ProcessError::NotWritten`], [`ProcessError::Decode`],
    /// [`ProcessError::Corrupted`], [`ProcessError::Lost`], [`ProcessError::NotParent`], [`ProcessError::Closed`],
    /// [`ProcessError::System`].
    pub fn result(&mut self) -> Result<R, ProcessError> {
        let end = self.child()?.end()?.ok_or(ProcessError::StillRunning)?;
        if self.taken {
            return Err(ProcessError::ResultTaken);
        }
        // Out of a child's hands: whatever is in it now stays so.
        let outcome = match &self.mailbox {
            Some(mailbox) => mailbox.outcome()?,
            None if end == End::Known(Exit::Code(0)) => {
                Some(Outcome::Returned(codec::encode(&()).map_err(ProcessError::Encode)?))
            }
            None => None,
        };
        let result = match outcome {
            Some(Outcome::Returned(result)) => codec::decode(result).map_err(ProcessError::Decode)?,
            Some(Outcome::Panicked(panic)) => return Err(ProcessError::Panicked(panic)),
            Some(Outcome::Refused(error)) => return Err(ProcessError::Registry(error)),
            Some(Outcome::Arguments(reason)) => return Err(ProcessError::Arguments(reason)),
            Some(Outcome::Unencodable(reason)) => return Err(ProcessError::NotEncoded(reason)),
            Some(Outcome::Unwritten(reason)) => return Err(ProcessError::NotWritten(reason)),
            None => {
                return Err(match end {
                    End::Known(Exit::Code(code)) => ProcessError::Exited { code },
                    End::Known(Exit::Signal(signal)) => ProcessError::Died { signal },
                    End::Lost => ProcessError::Lost,
                });
            }
        };
        (self.taken, self.mailbox) = (true, None);
        Ok(result)
    }
}

impl Process<()> {
    /// A process that will run another program, found in `PATH` if it has no slash.
    ///
    /// It takes part in shared memory by names or descriptors that it is told. As a [daemon](Self::set_daemon) it ends at the normal
    /// end of this process; to end also when this one is killed it has to call [`init`](crate::process::init) itself.
    ///
    /// # Errors
    /// [`ProcessError::System`].
    pub fn program(path: impl AsRef<OsStr>) -> Result<Self, ProcessError> {
        Self::of(Task::Program { path: path.as_ref().to_owned(), arguments: Vec::new() })
    }

    /// Adds an argument for the program.
    ///
    /// # Errors
    /// [`ProcessError::AlreadyStarted`], [`ProcessError::Closed`], [`ProcessError::NotParent`]; [`ProcessError::System`] with
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if it runs a function.
    pub fn add_argument(&mut self, argument: impl AsRef<OsStr>) -> Result<&mut Self, ProcessError> {
        self.initial()?;
        match &mut self.task {
            Some(Task::Program { arguments, .. }) => arguments.push(argument.as_ref().to_owned()),
            _ => return Err(Error::InvalidArgument("a function has its arguments from the start").into()),
        }
        Ok(self)
    }
}

impl<R> Process<R> {
    fn of(task: Task) -> Result<Self, ProcessError> {
        let count = children::book()?.number();
        let number = match child::told() {
            Some(about) if !about.number.is_empty() => format!("{}:{count}", about.number),
            _ => count.to_string(),
        };
        Ok(Self {
            task: Some(task),
            name: format!("Process-{number}"),
            number,
            daemon: false,
            worker: false,
            environment: Vec::new(),
            streams: [Stdio::Inherit, Stdio::Inherit, Stdio::Inherit],
            descriptors: Vec::new(),
            state: State::Initial,
            mailbox: None,
            taken: false,
            generation: fork::generation()?,
            result: PhantomData,
        })
    }

    /// The process has to be the one that made the handle.
    fn ours(&self) -> Result<(), ProcessError> {
        if fork::generation()? == self.generation { Ok(()) } else { Err(ProcessError::NotParent) }
    }

    fn initial(&self) -> Result<(), ProcessError> {
        self.ours()?;
        match self.state {
            State::Initial => Ok(()),
            State::Started(_) => Err(ProcessError::AlreadyStarted),
            State::Closed => Err(ProcessError::Closed),
        }
    }

    fn child(&self) -> Result<&Arc<Child>, ProcessError> {
        self.ours()?;
        match &self.state {
            State::Initial => Err(ProcessError::NotStarted),
            State::Started(child) => Ok(child),
            State::Closed => Err(ProcessError::Closed),
        }
    }

    /// Its name, for people: `Process-N`, or what [`set_name`](Self::set_name) has made of it. A child of `Process-2` is
    /// `Process-2:1`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives it another name.
    ///
    /// # Errors
    /// [`ProcessError::AlreadyStarted`], [`ProcessError::Closed`], [`ProcessError::NotParent`], [`ProcessError::System`].
    pub fn set_name(&mut self, name: impl Into<String>) -> Result<&mut Self, ProcessError> {
        self.initial()?;
        self.name = name.into();
        Ok(self)
    }

    /// Whether it ends with this process.
    #[must_use]
    pub fn is_daemon(&self) -> bool {
        self.daemon
    }

    /// Whether it ends with this process: see [above](Self). A daemon may not start processes itself.
    ///
    /// # Errors
    /// As [`set_name`](Self::set_name).
    pub fn set_daemon(&mut self, daemon: bool) -> Result<&mut Self, ProcessError> {
        self.initial()?;
        self.daemon = daemon;
        Ok(self)
    }

    /// For a pool: the function calls [`outlive`](super::outlive), and until then SIGINT is kept from it.
    pub(crate) fn set_worker(&mut self) -> Result<&mut Self, ProcessError> {
        self.initial()?;
        self.worker = true;
        Ok(self)
    }

    /// What its standard input is. [`Stdio::Inherit`] if it is not said.
    ///
    /// # Errors
    /// As [`set_name`](Self::set_name).
    pub fn set_stdin(&mut self, stream: Stdio) -> Result<&mut Self, ProcessError> {
        self.set_stream(0, stream)
    }

    /// What its standard output is.
    ///
    /// # Errors
    /// As [`set_name`](Self::set_name).
    pub fn set_stdout(&mut self, stream: Stdio) -> Result<&mut Self, ProcessError> {
        self.set_stream(1, stream)
    }

    /// What its standard error is.
    ///
    /// # Errors
    /// As [`set_name`](Self::set_name).
    pub fn set_stderr(&mut self, stream: Stdio) -> Result<&mut Self, ProcessError> {
        self.set_stream(2, stream)
    }

    fn set_stream(&mut self, number: usize, stream: Stdio) -> Result<&mut Self, ProcessError> {
        self.initial()?;
        self.streams[number] = match stream {
            Stdio::Descriptor(fd) => Stdio::Descriptor(spawn::above_standard(fd)?),
            other => other,
        };
        Ok(self)
    }

    /// Adds a variable to its environment, which is else that of this process.
    ///
    /// # Errors
    /// As [`set_name`](Self::set_name).
    pub fn set_env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Result<&mut Self, ProcessError> {
        self.initial()?;
        self.environment.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        Ok(self)
    }

    /// Has a descriptor be open in the child under the same number, which the child is to be told: as an argument, for instance.
    /// Nothing else that this process starts gets it, if it is closed on exec, as those of the standard library are.
    ///
    /// # Errors
    /// As [`set_name`](Self::set_name); [`Error::InvalidArgument`](crate::Error::InvalidArgument) for 0, 1 and 2.
    pub fn pass_descriptor(&mut self, descriptor: OwnedFd) -> Result<&mut Self, ProcessError> {
        self.initial()?;
        if descriptor.as_raw_fd() < 3 {
            return Err(
                Error::InvalidArgument("0, 1 and 2 are the standard streams, which have calls of their own").into()
            );
        }
        self.descriptors.push(descriptor);
        Ok(self)
    }

    /// Starts it. If that fails there is no child, and it may be tried again.
    ///
    /// # Errors
    /// [`ProcessError::InitMissing`], [`ProcessError::DaemonHasNoChildren`], [`ProcessError::AlreadyStarted`],
    /// [`ProcessError::Closed`], [`ProcessError::NotParent`], [`ProcessError::System`].
    pub fn start(&mut self) -> Result<(), ProcessError> {
        self.initial()?;
        let me = current_process();
        if me.daemon {
            return Err(ProcessError::DaemonHasNoChildren);
        }
        let task = self.task.as_ref().ok_or(ProcessError::AlreadyStarted)?;
        let (path, arguments, function, bytes): (&OsStr, Vec<CString>, _, &[u8]) = match task {
            Task::Function { name, signature, arguments } => {
                let entry = child::entry().ok_or(ProcessError::InitMissing)?;
                let function = Some(((*name).to_owned(), (*signature).to_owned()));
                // The executable itself, also if its name has gone or is another's by now.
                (OsStr::new("/proc/self/exe"), this_program(entry)?, function, arguments)
            }
            Task::Program { path, arguments } => {
                let arguments = [path].into_iter().chain(arguments).map(|text| c_string(text.as_bytes()));
                (path, arguments.collect::<Result<_, _>>()?, None, &[])
            }
        };
        let book = children::book()?;
        // Children that nobody asks for any more are reaped now and then.
        book.active();
        children::watch_over_the_end()?;
        let about = About {
            function,
            name: self.name.clone(),
            number: self.number.clone(),
            daemon: self.daemon,
            worker: self.worker,
            parent_name: me.name,
            parent: book.identity.0,
        };
        let mailbox = Mailbox::new(about, bytes)?;
        let environment = self.environment(&mailbox, book)?;
        let mut actions = vec![Action::Keep(mailbox.as_fd())];
        for (number, stream) in (0..).zip(&self.streams) {
            match stream {
                Stdio::Inherit => {}
                Stdio::Null => actions.push(Action::Null(number)),
                Stdio::Descriptor(fd) => actions.push(Action::As(fd.as_fd(), number)),
            }
        }
        actions.extend(self.descriptors.iter().map(|fd| Action::Keep(fd.as_fd())));
        let spawned = spawn::spawn(&c_string(path.as_bytes())?, &arguments, &environment, &actions, self.worker)?;
        log::tell(LogLevel::Info, format_args!("{} is started: process {}", self.name, spawned.pid));
        self.state = State::Started(book.add(spawned, self.name.clone(), self.daemon));
        if let Some(Task::Function { .. }) = self.task.take() {
            self.mailbox = Some(mailbox);
        }
        // What was for the child is closed here, so that the end of a pipe is told.
        self.streams = [Stdio::Inherit, Stdio::Inherit, Stdio::Inherit];
        self.descriptors.clear();
        Ok(())
    }

    /// `KEY=value`, each key once.
    fn environment(&self, mailbox: &Mailbox, book: &Book) -> Result<Vec<CString>, ProcessError> {
        let address = (OsString::from(VARIABLE), OsString::from(mailbox.address(book.identity)?));
        let own = || self.environment.iter().rev().chain([&address]);
        let mut all: Vec<(OsString, OsString)> =
            std::env::vars_os().filter(|(key, _)| !own().any(|(other, _)| other == key)).collect();
        let mut seen: Vec<&OsString> = Vec::new();
        for (key, value) in own().filter(|(key, _)| *key != VARIABLE).chain([&address]) {
            if !seen.contains(&key) {
                seen.push(key);
                all.push((key.clone(), value.clone()));
            }
        }
        all.into_iter()
            .map(|(key, value)| {
                let mut text = key.into_vec();
                text.push(b'=');
                text.extend(value.into_vec());
                c_string(&text)
            })
            .collect()
    }

    /// Its pid, from its start on. Once it has ended and was joined or asked, another process may have that number.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match &self.state {
            State::Started(child) => Some(child.pid),
            State::Initial | State::Closed => None,
        }
    }

    /// Whether it runs. A stopped process is alive. One that was not started is not.
    ///
    /// # Errors
    /// [`ProcessError::Closed`], [`ProcessError::NotParent`], [`ProcessError::System`].
    pub fn is_alive(&self) -> Result<bool, ProcessError> {
        match self.child() {
            Ok(child) => Ok(child.end()?.is_none()),
            Err(ProcessError::NotStarted) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// How it ended: its exit code, or minus the signal that ended it. `None` if it has not, or was not started.
    ///
    /// # Errors
    /// [`ProcessError::Lost`], [`ProcessError::Closed`], [`ProcessError::NotParent`], [`ProcessError::System`].
    pub fn exit_code(&self) -> Result<Option<i32>, ProcessError> {
        match self.child() {
            Ok(child) => match child.end()? {
                None => Ok(None),
                Some(End::Known(Exit::Code(code))) => Ok(Some(code)),
                Some(End::Known(Exit::Signal(signal))) => Ok(Some(-signal)),
                Some(End::Lost) => Err(ProcessError::Lost),
            },
            Err(ProcessError::NotStarted) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn join_until(&self, deadline: Deadline) -> Result<(), ProcessError> {
        self.child()?.wait(deadline)?.map(drop).ok_or(ProcessError::TimedOut)
    }

    /// Waits for its end, however it comes. Any number of threads may, and again when it has ended.
    ///
    /// # Errors
    /// [`ProcessError::NotStarted`], [`ProcessError::Closed`], [`ProcessError::NotParent`], [`ProcessError::System`].
    pub fn join(&self) -> Result<(), ProcessError> {
        self.join_until(Deadline::Forever)
    }

    /// Waits for its end for at most `timeout`; zero does not wait.
    ///
    /// # Errors
    /// [`ProcessError::TimedOut`], and those of [`join`](Self::join).
    pub fn join_timeout(&self, timeout: Duration) -> Result<(), ProcessError> {
        self.join_until(Deadline::after(timeout))
    }

    /// Waits for its end until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`ProcessError::TimedOut`], and those of [`join`](Self::join).
    pub fn join_deadline(&self, deadline: Instant) -> Result<(), ProcessError> {
        self.join_until(Deadline::At(deadline))
    }

    /// Asks it to end, by SIGTERM. Nothing happens if it has ended. What it has started goes on.
    ///
    /// # Errors
    /// [`ProcessError::NotStarted`], [`ProcessError::Closed`], [`ProcessError::NotParent`]; [`ProcessError::System`] if it has
    /// become another user's.
    pub fn terminate(&self) -> Result<(), ProcessError> {
        Ok(self.child()?.terminate()?)
    }

    /// Ends it, by SIGKILL.
    ///
    /// # Errors
    /// As [`terminate`](Self::terminate).
    pub fn kill(&self) -> Result<(), ProcessError> {
        Ok(self.child()?.kill()?)
    }

    /// A descriptor that polls readable from its end on, for `poll`, `epoll` and what is built on them. It is a pidfd.
    ///
    /// # Errors
    /// [`ProcessError::NotStarted`], [`ProcessError::Closed`], [`ProcessError::NotParent`], [`ProcessError::System`].
    pub fn sentinel(&self) -> Result<BorrowedFd<'_>, ProcessError> {
        Ok(self.child()?.as_fd())
    }

    /// Gives back what it holds, its result too. It cannot be used afterwards; closing again is no error.
    ///
    /// # Errors
    /// [`ProcessError::StillRunning`], [`ProcessError::NotParent`], [`ProcessError::System`].
    pub fn close(&mut self) -> Result<(), ProcessError> {
        match self.child() {
            Ok(child) if child.end()?.is_none() => return Err(ProcessError::StillRunning),
            Ok(_) | Err(ProcessError::NotStarted | ProcessError::Closed) => {}
            Err(error) => return Err(error),
        }
        (self.state, self.task, self.mailbox) = (State::Closed, None, None);
        self.streams = [Stdio::Inherit, Stdio::Inherit, Stdio::Inherit];
        self.descriptors.clear();
        Ok(())
    }
}

impl<R> fmt::Debug for Process<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Process name={:?}", self.name)?;
        if let Some(pid) = self.pid() {
            write!(f, " pid={pid}")?;
        }
        match self.child() {
            Err(ProcessError::NotStarted) => f.write_str(" initial")?,
            Err(ProcessError::Closed) => f.write_str(" closed")?,
            Err(_) => f.write_str(" unknown")?,
            Ok(child) => match child.end() {
                Ok(None) => f.write_str(" started")?,
                Ok(Some(End::Known(Exit::Code(0)))) => f.write_str(" stopped")?,
                Ok(Some(End::Known(Exit::Code(code)))) => write!(f, " stopped[{code}]")?,
                Ok(Some(End::Known(Exit::Signal(signal)))) => match signal_name(signal) {
                    Some(name) => write!(f, " stopped[{name}]")?,
                    None => write!(f, " stopped[signal {signal}]")?,
                },
                Ok(Some(End::Lost)) => f.write_str(" stopped[unknown]")?,
                Err(_) => f.write_str(" unknown")?,
            },
        }
        f.write_str(if self.daemon { " daemon>" } else { ">" })
    }
}

fn c_string(text: &[u8]) -> Result<CString, ProcessError> {
    CString::new(text).map_err(|_| Error::InvalidArgument("an argument or a variable has a NUL in it").into())
}

/// The arguments that bring a child of this program to its entry.
fn this_program(entry: &Entry) -> Result<Vec<CString>, ProcessError> {
    let mut own = std::env::args_os();
    let arguments: Vec<OsString> = match entry {
        Entry::Main => own.collect(),
        Entry::Test(name) => own
            .next()
            .into_iter()
            .chain([name, "--exact", "--nocapture", "--test-threads=1"].map(OsString::from))
            .collect(),
    };
    arguments.iter().map(|argument| c_string(argument.as_bytes())).collect()
}
