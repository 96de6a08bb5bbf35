//! From before a process is started to its first instruction in user code, against the bare posix_spawn of the same binary.

use std::ffi::CString;
use std::io::{Read, Write, pipe};
use std::os::fd::AsRawFd;

use ringfence::process::Process;

use crate::crew::nanoseconds;
use crate::table::{Book, Demand, Sample, contestant};

const OURS: &str = "ringfence Process, a function";
const DAEMON: &str = "  the same, a daemon";
const BARE: &str = "posix_spawn of the same binary";

/// Starts in a round.
const STARTS: usize = 60;

/// What tells a child of the bare contestant that it is one.
const VARIABLE: &std::ffi::CStr = c"RINGFENCE_BENCH_NOW=1";

fn now() -> u64 {
    nanoseconds()
}

ringfence::register!(now as "bench.now");

/// First thing in `main`: in a child of the bare contestant, says the time on its standard output and ends.
pub fn first() {
    if std::env::var_os("RINGFENCE_BENCH_NOW").is_some() {
        let now = nanoseconds();
        let _ = std::io::stdout().write_all(&now.to_le_bytes());
        std::process::exit(0);
    }
}

/// The median of the starts of a round, in microseconds.
fn median(mut start: impl FnMut() -> u64) -> Sample {
    let mut took: Vec<u64> = (0..STARTS).map(|_| start()).collect();
    took.sort_unstable();
    Sample::from(took[STARTS / 2] as f64 / 1e3)
}

fn ours(daemon: bool) -> u64 {
    let mut child = Process::new(now, ()).expect("it is registered");
    child.set_daemon(daemon).expect("it is not started");
    let before = nanoseconds();
    child.start().expect("a process");
    child.join().expect("our child");
    child.result().expect("the time") - before
}

fn bare() -> u64 {
    let (mut reader, writer) = pipe().expect("a pipe");
    let program = CString::new("/proc/self/exe").expect("no NUL");
    let mut pid = 0;
    let before;
    // SAFETY: the lists end with null pointers and the strings with NUL; the actions are made and unmade around the call.
    unsafe {
        let mut actions = std::mem::zeroed();
        assert_eq!(libc::posix_spawn_file_actions_init(&raw mut actions), 0);
        assert_eq!(libc::posix_spawn_file_actions_adddup2(&raw mut actions, writer.as_raw_fd(), 1), 0);
        let arguments = [program.as_ptr().cast_mut(), std::ptr::null_mut()];
        let environment = [VARIABLE.as_ptr().cast_mut(), std::ptr::null_mut()];
        before = nanoseconds();
        let failed = libc::posix_spawn(
            &raw mut pid,
            program.as_ptr(),
            &raw const actions,
            std::ptr::null(),
            arguments.as_ptr(),
            environment.as_ptr(),
        );
        assert_eq!(failed, 0, "posix_spawn");
        libc::posix_spawn_file_actions_destroy(&raw mut actions);
    }
    drop(writer);
    let mut time = [0; 8];
    reader.read_exact(&mut time).expect("the time");
    // SAFETY: our own child, not yet waited for; no status is asked for.
    assert_eq!(unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) }, pid);
    u64::from_le_bytes(time) - before
}

/// Runs the race.
pub fn measure(book: &mut Book) {
    let contestants = vec![
        contestant(OURS, || median(|| ours(false))),
        contestant(DAEMON, || median(|| ours(true))),
        contestant(BARE, || median(bare)),
    ];
    book.close_race("start of a process, to its first instruction", "us", contestants)
        .against(OURS, &[BARE], Demand::AtMost(1.3))
        .against(DAEMON, &[BARE], Demand::Shown);
}
