//! What the integration tests share: names that vanish, and children of the test's own binary.
#![allow(dead_code)] // each test binary uses its part

pub mod accounts;
pub mod chance;
pub mod event;
pub mod examples;
pub mod wordcount;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use ringfence::{LockError, Mutex, Segment, SegmentOptions};

/// A segment name of this test alone, unlinked when dropped, also when the test fails.
pub struct Name(pub String);

impl Name {
    pub fn new(what: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self(format!("test-{what}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    pub fn create(&self, options: &SegmentOptions) -> Segment {
        Segment::create(&self.0, options).unwrap()
    }

    pub fn path(&self) -> PathBuf {
        format!("/dev/shm/ringfence.{}", self.0).into()
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path());
    }
}

/// An example of that name, built as this test was.
pub fn example(name: &str) -> PathBuf {
    // target/<profile>/deps/<test>-<hash>
    let profile = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--locked", "--quiet", "--example", name]);
    // With other features the library would be built once more.
    let all = [
        ("serde", cfg!(feature = "serde")),
        ("process", cfg!(feature = "process")),
        ("tracing", cfg!(feature = "tracing")),
    ];
    for (feature, _) in all.iter().filter(|(_, on)| *on) {
        cargo.args(["--features", feature]);
    }
    if profile.file_name() == Some(OsStr::new("release")) {
        cargo.arg("--release");
    }
    cargo.arg("--target-dir").arg(profile.parent().unwrap());
    assert!(cargo.status().unwrap().success());
    profile.join("examples").join(name)
}

/// Runs a small example, whose segments begin with its name, and has what it prints judged.
pub fn run_example(name: &str, judge: fn(&str)) {
    let child = Command::new(example(name)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let run = format!("example-{}-{}", name.replace('_', "-"), child.id());
    let output = child.wait_with_output().unwrap();
    let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.is_empty(), "{}: {printed}{said}", output.status);
    judge(&printed);
    assert!(listed(&run).is_empty(), "a segment is left behind");
    assert!(!std::env::temp_dir().join(run).exists());
}

/// Options for a segment that takes little.
pub fn small() -> SegmentOptions {
    SegmentOptions::new().size(4096).participants(4).objects(2)
}

/// The names of segments that start like that.
pub fn listed(start: &str) -> Vec<String> {
    let all = Segment::list().unwrap();
    all.into_iter().map(|info| info.name).filter(|name| name.starts_with(start)).collect()
}

/// A child process that runs one role of this test binary. Killed and reaped when dropped.
pub struct Role {
    pub child: Child,
    output: BufReader<std::process::ChildStdout>,
}

/// The role this process was started for, with its arguments.
pub fn role() -> Option<(String, Vec<String>)> {
    let text = std::env::var("RINGFENCE_TEST_ROLE").ok()?;
    // Also if the test is killed, so that nobody waits for our end of its output.
    die_with_parent();
    let mut parts = text.split('\u{1f}').map(str::to_owned);
    Some((parts.next()?, parts.collect()))
}

impl Role {
    /// Starts `role` with `arguments` in a new process. The binary must have a test called `role_entry`.
    pub fn start(role: &str, arguments: &[&str]) -> Self {
        let mut text = vec![role];
        text.extend(arguments);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "role_entry", "--nocapture", "--test-threads=1"])
            .env("RINGFENCE_TEST_ROLE", text.join("\u{1f}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Waits for a line that ends with `word` (the test harness may have written before it on the same line).
    pub fn expect(&mut self, word: &str) {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the child ended before it said {word:?}: {seen}");
            if line.trim_end().ends_with(word) {
                return;
            }
            seen.push_str(&line);
        }
    }

    /// Waits for a line with `prefix` and gives the number behind it.
    pub fn number(&mut self, prefix: &str) -> i32 {
        self.said(prefix).trim().parse().unwrap()
    }

    /// Waits for a line with `prefix` and gives what is behind it.
    pub fn said(&mut self, prefix: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the child ended before it said {prefix:?}");
            if let Some((_, rest)) = line.trim_end().split_once(prefix) {
                return rest.to_owned();
            }
        }
    }

    /// Says a line to the child.
    pub fn tell(&mut self, word: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{word}").unwrap();
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: kill of a child that has not been reaped touches nobody else.
        assert_eq!(unsafe { libc::kill(self.pid(), signal) }, 0);
    }

    /// Stops it, wherever it is: from here on it does nothing.
    pub fn stop(&self) {
        self.signal(libc::SIGSTOP);
        let tasks = || std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let stands = |task: &str| state_of(format!("{}/task/{task}", self.pid())) == Some('T');
        until("all its threads stand", || tasks().all(|task| stands(task.unwrap().file_name().to_str().unwrap())));
    }

    /// Lets it go on after a stop.
    pub fn go_on(&self) {
        self.signal(libc::SIGCONT);
    }

    /// The thread that plays the role sleeps on a word. (The main thread does so anyway, until the other one ends.)
    pub fn falls_asleep(&self) {
        until("its sleep", || {
            std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap().any(|task| {
                let read = |what| std::fs::read_to_string(task.as_ref().unwrap().path().join(what)).unwrap_or_default();
                read("comm").trim() == "role_entry" && read("wchan").contains("futex")
            })
        });
    }

    /// Kills and reaps it.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for a peaceful end.
    pub fn finish(mut self) {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the child failed ({status}): {rest}");
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In a child: says `word` to the parent.
pub fn say(word: &str) {
    println!("{word}");
    std::io::stdout().flush().unwrap();
}

/// In a child: waits for the parent to say something; the end of its input ends the child.
pub fn hear() -> String {
    let mut line = String::new();
    if std::io::stdin().read_line(&mut line).unwrap() == 0 {
        std::process::exit(0);
    }
    line.trim_end().to_owned()
}

/// How long a test waits for something that must happen before it fails: no bound that is promised, but so long that it is
/// no loaded machine that was slow.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// Waits until `happened` is true; panics after [`PATIENCE`].
pub fn until(what: &str, mut happened: impl FnMut() -> bool) {
    until_it_stands_still(what, || (happened(), ()));
}

/// The same for what takes its time: panics when nothing has moved for [`PATIENCE`]. `look` says whether it has happened,
/// and how far it has come.
pub fn until_it_stands_still<P: PartialEq>(what: &str, mut look: impl FnMut() -> (bool, P)) {
    let (mut since, mut before) = (std::time::Instant::now(), None);
    loop {
        let (happened, so_far) = look();
        if happened {
            return;
        }
        let so_far = Some(so_far);
        if before != so_far {
            (since, before) = (std::time::Instant::now(), so_far);
        }
        assert!(since.elapsed() < PATIENCE, "waited too long: {what}");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Whether all threads of a child are gone: its leader may be a zombie before the others have let go of what they hold.
pub fn has_ended(child: i32) -> bool {
    // SAFETY: zero is a valid value of every field.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is valid for the call, which leaves the child to be waited for.
    assert_eq!(unsafe { libc::waitid(libc::P_PID, child as libc::id_t, &mut info, options) }, 0);
    // SAFETY: the call has filled it in, or left it zero.
    unsafe { info.si_pid() == child }
}

/// The state letter of a process or thread (`pid` or `pid/task/tid`); `None` if there is none.
pub fn state_of(pid: impl std::fmt::Display) -> Option<char> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text[text.rfind(')')? + 1..].trim_start().chars().next()
}

/// Whether the test may do what only root may.
pub fn is_root() -> bool {
    // SAFETY: takes nothing, cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// The offsets of a segment's parts, by docs/layout.md, from and to.
pub struct Parts {
    pub slots: Vec<(u64, u64)>,
    pub bitmaps: Vec<(u64, u64)>,
    pub entries: Vec<(u64, u64)>,
    pub heap: u64,
}

impl Parts {
    pub fn of(participants: u64, objects: u64) -> Self {
        let bitmap = objects.div_ceil(64) * 8;
        let mut parts = Self { slots: Vec::new(), bitmaps: Vec::new(), entries: Vec::new(), heap: 256 };
        for pair in 0..participants.max(objects) {
            if pair < participants {
                parts.slots.push((parts.heap, parts.heap + 64));
                parts.bitmaps.push((parts.heap + 64, parts.heap + 64 + bitmap));
                parts.heap += (64 + bitmap).next_multiple_of(128);
            }
            if pair < objects {
                parts.entries.push((parts.heap, parts.heap + 256));
                parts.heap += 256;
            }
        }
        parts
    }
}

/// Has this process die with its parent, so that a failed test leaves nobody behind.
pub fn die_with_parent() {
    // SAFETY: changes a flag of this process only.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// Forks; the child runs `child` and ends without running anything else of this program.
pub fn fork(child: impl FnOnce()) -> i32 {
    // SAFETY: the child runs on with the forking thread alone, and leaves through _exit.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        run_child(child);
    }
    pid
}

/// Forks by the bare system call, so that no `pthread_atfork` handler runs.
pub fn raw_fork(child: impl FnOnce()) -> i32 {
    // SAFETY: as fork(2), without the C library's knowledge: the child only does what the tests here do.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) } as i32;
    assert!(pid >= 0);
    if pid == 0 {
        run_child(child);
    }
    pid
}

fn run_child(child: impl FnOnce()) -> ! {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
    // SAFETY: ends the process.
    unsafe { libc::_exit(i32::from(outcome.is_err())) }
}

/// Reaps a child; its exit code, or minus the signal that killed it.
pub fn reap(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: `status` is valid for the call.
    let reaped = unsafe { libc::waitpid(pid, &mut status, 0) };
    assert_eq!(reaped, pid);
    if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -libc::WTERMSIG(status) }
}

/// Kills any process or, if negative, group. It need not be there.
pub fn kill(pid: i32) {
    // SAFETY: touches no memory.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Shared anonymous memory of this process and its forked children.
pub struct Memory {
    pub base: std::ptr::NonNull<u8>,
    pub len: usize,
}

impl Memory {
    pub fn new(len: usize) -> Self {
        // SAFETY: a fresh mapping aliases nothing.
        let base = unsafe {
            let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
            libc::mmap(std::ptr::null_mut(), len, access, kind, -1, 0)
        };
        assert_ne!(base, libc::MAP_FAILED);
        Self { base: std::ptr::NonNull::new(base.cast()).unwrap(), len }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`; whoever uses it must have dropped its handles.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// Locks for ever; gives the mutex back when the process ends, one way or another.
pub fn hold(mutex: &Mutex<u64>) {
    std::mem::forget(mutex.lock().unwrap());
}

/// Sleeps until killed; whatever goes wrong with the test, not for long.
pub fn sleep_for_ever() -> ! {
    // SAFETY: touches no memory.
    unsafe { libc::alarm(300) };
    loop {
        std::thread::park();
    }
}

/// Locks what a dead owner held, is told so, and makes it consistent.
pub fn told(mutex: &Mutex<u64>) {
    let Err(LockError::OwnerDied(mut guard)) = mutex.lock_timeout(PATIENCE) else { panic!("not told") };
    assert!(guard.make_consistent());
}

/// Somebody alive holds it.
pub fn refused(mutex: &Mutex<u64>) {
    assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
}

/// A bitwise copy, for a forked child that drops what it inherited and then ends without dropping it again.
pub fn unsafe_copy<T>(value: &T) -> T {
    // SAFETY: the child leaves through _exit, so each copy is dropped once in its process.
    unsafe { std::ptr::read(value) }
}

/// Closes every descriptor but the standard ones.
pub fn close_all_descriptors() {
    // SAFETY: what is closed is not used again, as the test promises.
    assert_eq!(unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) }, 0);
}

/// Lets this process have no more descriptors than it has; `false` if that cannot be set.
pub fn no_more_descriptors(spare: u64) -> bool {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    // Descriptors may have gaps: the limit is on numbers, so fill up to the highest.
    let highest = open.map(|file| file.unwrap().file_name().to_str().unwrap().parse::<u64>().unwrap()).max().unwrap();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        use std::os::fd::IntoRawFd;
        if file.into_raw_fd() as u64 >= highest {
            break;
        }
    }
    let limit = libc::rlimit { rlim_cur: highest + 1 + spare, rlim_max: highest + 1 + spare };
    // SAFETY: `limit` is valid for the call.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) == 0 }
}

/// Says why a test was skipped, past the harness, which keeps what passing tests print; `scripts/steps/unit` counts it.
pub fn skip(why: &str) {
    // A line of its own: the harness may have begun one.
    let _ = writeln!(std::io::stderr(), "\nskipped: {why}");
}
