//! The worker processes: starting, watching and ending them.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::args::WORKER;

/// What a worker is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Rust,
    C,
}

/// One worker process.
pub struct Worker {
    pub number: u32,
    pub language: Language,
    child: Child,
    pub alive: bool,
    /// Tasks whose result came from here and counted, and their bytes.
    pub tasks: u64,
    pub bytes: u64,
}

impl Worker {
    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: the process gets no chance to do anything about it.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()
    }
}

/// All workers, dead ones too: a number is never used twice.
pub struct Crew {
    pub workers: Vec<Worker>,
    /// The arguments that every worker gets: segment, and behind its number the message size and "twice".
    segment: String,
    part_bytes: String,
    twice: &'static str,
}

impl Crew {
    /// Nobody yet.
    pub fn new(segment: &str, part_bytes: usize, twice: bool) -> Self {
        let twice = if twice { "1" } else { "0" };
        Self { workers: Vec::new(), segment: segment.into(), part_bytes: part_bytes.to_string(), twice }
    }

    /// Starts a Rust worker: this very program again.
    pub fn start_rust(&mut self) -> io::Result<()> {
        let mut command = Command::new("/proc/self/exe");
        command.arg0("wordcount").arg(WORKER);
        self.start(command, Language::Rust)
    }

    /// Starts the C worker.
    pub fn start_c(&mut self, program: &OsStr) -> io::Result<()> {
        self.start(Command::new(program), Language::C)
    }

    fn start(&mut self, mut command: Command, language: Language) -> io::Result<()> {
        let number = self.workers.len() as u32;
        command.arg(&self.segment).arg(number.to_string()).arg(&self.part_bytes).arg(self.twice);
        command.stdin(Stdio::null()).stdout(Stdio::null()); // stdout is the parent's alone
        let parent = std::process::id();
        // SAFETY: the closure makes system calls only, so it may run between fork and exec.
        unsafe { command.pre_exec(move || end_with(parent)) };
        let child = command.spawn()?;
        self.workers.push(Worker { number, language, child, alive: true, tasks: 0, bytes: 0 });
        Ok(())
    }

    /// The workers that have ended since the last call, and how.
    pub fn ended(&mut self) -> Vec<(usize, ExitStatus)> {
        let mut ended = Vec::new();
        for (index, worker) in self.workers.iter_mut().enumerate().filter(|(_, worker)| worker.alive) {
            if let Ok(Some(status)) = worker.child.try_wait() {
                worker.alive = false;
                ended.push((index, status));
            }
        }
        ended
    }

    /// The workers that have not ended.
    pub fn living(&self) -> impl Iterator<Item = &Worker> {
        self.workers.iter().filter(|worker| worker.alive)
    }

    /// Waits for everybody to leave by themselves, and kills whoever does not within `patience`.
    pub fn dismiss(&mut self, patience: Duration) {
        let until = Instant::now() + patience;
        while self.living().next().is_some() && Instant::now() < until {
            if self.ended().is_empty() {
                std::thread::sleep(Duration::from_millis(1)); // waitpid has no time-out
            }
        }
        self.kill_all();
    }

    fn kill_all(&mut self) {
        for worker in self.workers.iter_mut().filter(|worker| worker.alive) {
            // It may be gone by now; wait tells the end either way.
            let _ = worker.child.kill();
            let _ = worker.child.wait();
            worker.alive = false;
        }
    }
}

/// However the parent ends, no worker outlives it.
impl Drop for Crew {
    fn drop(&mut self) {
        self.kill_all();
    }
}

/// In the child, before it becomes the worker: ask to be killed when the parent dies, and check that it has not yet.
fn end_with(parent: u32) -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes a signal number and touches no memory; getppid takes nothing.
    let (asked, now) = unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL), libc::getppid()) };
    if asked != 0 {
        return Err(io::Error::last_os_error());
    }
    if now as u32 != parent {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    Ok(())
}

/// An end in words.
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (_, Some(signal)) => format!("was killed by signal {signal}"),
        (Some(0), _) => "left early".into(),
        (Some(code), _) => format!("ended with status {code}"),
        (None, None) => "ended".into(),
    }
}
