//! Processes that are killed, and parents that end one way or another: what becomes of results and of children.

mod common;

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use common::chance::Chance;
use common::{PATIENCE, Role, reap, role, state_of, until};
use ringfence::Portable;
use ringfence::pool::{Broken, Pool, PoolOptions, TaskError};
use ringfence::process::{self, Process, ProcessError, Stdio};

#[test]
fn child_entry() {
    init();
}

fn init() {
    process::init_test("child_entry");
}

#[test]
fn role_entry() {
    if role().is_some_and(|(name, _)| name == "ignores-sigchld") {
        ignores_sigchld();
    }
}

fn started<R: Portable>(process: Result<Process<R>, ProcessError>) -> Process<R> {
    let mut process = process.unwrap();
    process.start().unwrap();
    process
}

/// The write end of a pipe that was passed to this process.
fn writer(number: i32) -> PipeWriter {
    // SAFETY: given to this process alone, under this number.
    unsafe { PipeWriter::from(OwnedFd::from_raw_fd(number)) }
}

/// A started process that gets the write end of a pipe, whose number is its argument, and the read end.
fn with_pipe<R: Portable>(
    make: impl FnOnce(i32) -> Result<Process<R>, ProcessError>,
) -> (Process<R>, BufReader<PipeReader>) {
    let (reader, writer) = pipe().unwrap();
    let mut child = make(writer.as_raw_fd()).unwrap();
    child.pass_descriptor(writer.into()).unwrap();
    (started(Ok(child)), BufReader::new(reader))
}

fn line(reader: &mut BufReader<PipeReader>) -> String {
    let mut line = String::new();
    assert!(reader.read_line(&mut line).unwrap() > 0, "it ended before it said anything");
    line.trim_end().to_owned()
}

fn gone(pid: i32) -> bool {
    // Whoever inherits orphans may not be quick to reap them.
    matches!(state_of(pid), None | Some('Z' | 'X'))
}

fn hangs() {
    common::sleep_for_ever();
}

fn says_and_hangs(number: i32) {
    writeln!(writer(number), "running").unwrap();
    common::sleep_for_ever();
}

const LONG: usize = 1 << 20;

fn long() -> String {
    "x".repeat(LONG)
}

/// Its result does not fit into what it may write to a file, and to try is its death, or an error if it ignores the signal.
fn cut_short(ignore: bool) -> String {
    let limit = libc::rlimit { rlim_cur: 4 * 4096, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: changes this process only.
    unsafe {
        libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit);
        libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 });
        libc::signal(libc::SIGXFSZ, if ignore { libc::SIG_IGN } else { libc::SIG_DFL });
    }
    long()
}

extern "C" fn late() {
    let number = std::env::var("LATE").unwrap().parse().unwrap();
    writeln!(writer(number), "late").unwrap();
    common::sleep_for_ever();
}

/// Its result is complete when `late` runs.
fn lingers(number: i32) -> String {
    // SAFETY: nobody reads the environment meanwhile; the function is `extern "C"` and takes nothing.
    unsafe {
        std::env::set_var("LATE", number.to_string());
        libc::atexit(late);
    }
    long()
}

ringfence::register!(hangs);
ringfence::register!(says_and_hangs);
ringfence::register!(long);
ringfence::register!(cut_short);
ringfence::register!(lingers);

// semantics 178
#[test]
fn killed_before_or_in_its_function() {
    init();
    for _ in 0..20 {
        let mut child = started(Process::new(hangs, ()));
        child.kill().unwrap();
        child.join().unwrap();
        assert!(matches!(child.result(), Err(ProcessError::Died { signal: libc::SIGKILL })));
    }
    let (mut child, mut reader) = with_pipe(|number| Process::new(says_and_hangs, (number,)));
    assert_eq!(line(&mut reader), "running");
    child.kill().unwrap();
    child.join().unwrap();
    assert!(matches!(child.result(), Err(ProcessError::Died { signal: libc::SIGKILL })));
}

// semantics 178
#[test]
fn killed_while_it_leaves_its_result() {
    init();
    let mut child = started(Process::new(cut_short, (false,)));
    child.join().unwrap();
    let error = child.result().unwrap_err();
    assert!(matches!(error, ProcessError::Died { signal: libc::SIGXFSZ }), "{error:?}");
    let mut child = started(Process::new(cut_short, (true,)));
    child.join().unwrap();
    assert!(matches!(child.result(), Err(ProcessError::NotWritten(_))));
    assert_eq!(child.exit_code().unwrap(), Some(1));
}

// semantics 178
#[test]
fn killed_after_it_has_left_its_result() {
    init();
    let (mut child, mut reader) = with_pipe(|number| Process::new(lingers, (number,)));
    assert_eq!(line(&mut reader), "late");
    child.kill().unwrap();
    child.join().unwrap();
    assert_eq!(child.exit_code().unwrap(), Some(-libc::SIGKILL));
    assert_eq!(child.result().unwrap(), long());
}

// semantics 178
#[test]
fn killed_at_random() {
    init();
    let mut chance = Chance::new(40);
    // About as long as a child takes.
    let whole = std::time::Instant::now();
    started(Process::new(long, ())).join().unwrap();
    let whole = whole.elapsed() * 2;
    for _ in 0..chance.rounds {
        let mut child = started(Process::new(long, ()));
        chance.pause(whole);
        child.kill().unwrap();
        child.join().unwrap();
        match child.result() {
            Ok(result) => assert!(result == long()),
            Err(ProcessError::Died { signal: libc::SIGKILL }) => chance.kills += 1,
            Err(error) => panic!("{error}"),
        }
        chance.checked += 1;
    }
}

/// A value whose own code panics: as `how` says, while it is encoded, behind a part that was, or when it is dropped.
#[derive(Debug, serde::Deserialize)]
struct Brittle {
    how: String,
}

impl serde::Serialize for Brittle {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut fields = serializer.serialize_struct("Brittle", 1)?;
        fields.serialize_field("how", &self.how)?;
        assert!(self.how != "encoded", "not to be encoded");
        fields.end()
    }
}

impl Drop for Brittle {
    fn drop(&mut self) {
        assert!(self.how != "dropped", "not to be dropped");
    }
}

/// A value that can be sent and not received.
#[derive(serde::Serialize)]
struct Undecodable;

impl<'de> serde::Deserialize<'de> for Undecodable {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("not to be decoded");
    }
}

fn brittle(how: String) -> Brittle {
    Brittle { how }
}

fn takes(_: Undecodable) -> Brittle {
    brittle(String::new())
}

ringfence::register!(brittle);
ringfence::register!(takes);

// semantics 174
#[test]
fn a_panic_around_a_function_is_one_of_the_function() {
    init();
    let children = ["encoded", "dropped"].map(|how| (how, Process::new(brittle, (how.to_owned(),))));
    for (how, child) in children.into_iter().chain([("decoded", Process::new(takes, (Undecodable,)))]) {
        let mut child = started(child);
        child.join().unwrap();
        assert_eq!(child.exit_code().unwrap(), Some(1), "{how}");
        match child.result() {
            Err(ProcessError::Panicked(panic)) => {
                assert_eq!(panic.message, format!("not to be {how}"));
                assert!(panic.location.starts_with(file!()) && panic.backtrace.contains("process_ends"), "{panic:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

// semantics 51
#[test]
fn a_panic_around_a_task_is_one_of_the_task() {
    init();
    let pool = Pool::new(1).unwrap();
    let said = |result: Result<Brittle, TaskError>| match result {
        Ok(brittle) => brittle.how.clone(),
        Err(TaskError::Panicked(panic)) => panic.message,
        Err(other) => panic!("{other:?}"),
    };
    // In one chunk: what was encoded before the panic is not taken for the next one's.
    let how = ["whole", "encoded", "dropped", "also whole"].map(str::to_owned);
    let results: Vec<_> = pool.imap_chunked(brittle, how, 4).unwrap().map(said).collect();
    assert_eq!(results, ["whole", "not to be encoded", "not to be dropped", "also whole"]);
    assert_eq!(said(pool.apply(takes, (Undecodable,))), "not to be decoded");
    assert_eq!(pool.tally().unwrap().deaths, 0);
    // An initializer is called in the same way.
    let pool = PoolOptions::new().workers(1).initializer(takes, (Undecodable,)).create().unwrap();
    match pool.apply(long, ()) {
        Err(TaskError::Broken(Broken::Initializer { error, .. })) => {
            assert_eq!(said(Err(*error)), "not to be decoded");
        }
        other => panic!("{other:?}"),
    }
}

/// Starts a daemon that hangs and another child that waits for the end of its input, says both pids, and goes on as told.
fn middle(number: i32, then: String) {
    let mut daemon = Process::new(hangs, ()).unwrap();
    daemon.set_daemon(true).unwrap();
    // Started by a thread that does not stay: the daemon is the process's child.
    let daemon = std::thread::spawn(move || started(Ok(daemon))).join().unwrap();
    let other = started(Process::program("cat"));
    let mut writer = writer(number);
    writeln!(writer, "{}", daemon.pid().unwrap()).unwrap();
    writeln!(writer, "{}", other.pid().unwrap()).unwrap();
    match then.as_str() {
        "returns" => {}
        "forks" => {
            // A fork that ends by `exit` sees to nobody's children.
            // SAFETY: the child calls exit at once.
            let fork = unsafe { libc::fork() };
            if fork == 0 {
                // SAFETY: ends the child.
                unsafe { libc::exit(0) };
            }
            assert_eq!(reap(fork), 0);
            assert!(daemon.is_alive().unwrap() && other.is_alive().unwrap());
            writeln!(writer, "alive").unwrap();
        }
        "aborts" => {
            // SAFETY: changes a limit of this process: no core is written, for which its end would wait.
            unsafe { libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 }) };
            std::process::abort()
        }
        _ => common::sleep_for_ever(),
    }
}

ringfence::register!(middle);

/// A process in the middle, the pids of its daemon and its other child, and what keeps the other alive.
fn family(then: &str) -> (Process<()>, BufReader<PipeReader>, [i32; 2], PipeWriter) {
    init();
    let (input, keeps_alive) = pipe().unwrap();
    let (reader, writer) = pipe().unwrap();
    let mut child = Process::new(middle, (writer.as_raw_fd(), then.to_owned())).unwrap();
    child.pass_descriptor(writer.into()).unwrap().set_stdin(Stdio::Descriptor(input.into())).unwrap();
    child.set_stdout(Stdio::Null).unwrap();
    let (child, mut reader) = (started(Ok(child)), BufReader::new(reader));
    let pids = [0; 2].map(|_| line(&mut reader).parse().unwrap());
    (child, reader, pids, keeps_alive)
}

// semantics 49 and 179
#[test]
fn at_a_normal_end_daemons_are_ended_and_others_waited_for() {
    let (mut middle, mut reader, [daemon, other], keeps_alive) = family("returns");
    // The daemon has ended before the one in the middle has, and the other keeps that one.
    until("the daemon has ended", || gone(daemon));
    assert!(!gone(other) && middle.is_alive().unwrap());
    drop(keeps_alive);
    middle.join_timeout(PATIENCE).unwrap();
    assert_eq!(state_of(other), None, "it was not waited for");
    middle.result().unwrap();
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
}

// semantics 49 and 179
#[test]
fn when_the_parent_is_killed_daemons_end_and_others_live_on() {
    for then in ["hangs", "aborts"] {
        let (middle, _, [daemon, other], keeps_alive) = family(then);
        if then == "hangs" {
            // The thread that started the daemon has ended, and the daemon has not.
            assert!(!gone(daemon));
            middle.kill().unwrap();
        }
        middle.join_timeout(PATIENCE).unwrap();
        until("the daemon has ended", || gone(daemon));
        assert!(!gone(other));
        drop(keeps_alive);
        until("the other has ended", || gone(other));
    }
}

// semantics 180
#[test]
fn a_forked_child_ends_nobody() {
    let (middle, mut reader, [daemon, _], keeps_alive) = family("forks");
    assert_eq!(line(&mut reader), "alive");
    drop(keeps_alive);
    middle.join_timeout(PATIENCE).unwrap();
    assert!(gone(daemon));
}

fn starts_one() -> bool {
    matches!(Process::new(hangs, ()).unwrap().start(), Err(ProcessError::DaemonHasNoChildren))
}

ringfence::register!(starts_one);

// semantics 49
#[test]
fn a_daemon_has_no_children() {
    init();
    let mut child = Process::new(starts_one, ()).unwrap();
    child.set_daemon(true).unwrap();
    let mut child = started(Ok(child));
    child.join_timeout(PATIENCE).unwrap();
    assert!(child.result().unwrap());
}

fn deaf(number: i32) {
    // SAFETY: changes a disposition of this process.
    unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
    writeln!(writer(number), "deaf").unwrap();
    common::sleep_for_ever();
}

/// Has a deaf daemon, and says its pid; then returns, or waits for its own end.
fn has_a_deaf_one(number: i32, returns: bool) {
    let (reader, to) = pipe().unwrap();
    let mut daemon = Process::new(deaf, (to.as_raw_fd(),)).unwrap();
    daemon.pass_descriptor(to.into()).unwrap().set_daemon(true).unwrap();
    daemon.start().unwrap();
    assert_eq!(line(&mut BufReader::new(reader)), "deaf");
    writeln!(writer(number), "{}", daemon.pid().unwrap()).unwrap();
    if !returns {
        common::sleep_for_ever();
    }
}

ringfence::register!(deaf);
ringfence::register!(has_a_deaf_one);

// semantics 179
#[test]
fn a_daemon_that_ignores_sigterm_is_killed() {
    init();
    let families = [true, false].map(|returns| with_pipe(|number| Process::new(has_a_deaf_one, (number, returns))));
    let daemons = families.map(|(middle, mut reader)| {
        let daemon: i32 = line(&mut reader).parse().unwrap();
        (middle, daemon)
    });
    daemons[1].0.kill().unwrap();
    for (middle, daemon) in daemons {
        middle.join_timeout(PATIENCE).unwrap();
        until("the daemon has ended", || gone(daemon));
    }
}

// semantics 48 and 180
#[test]
fn only_the_parent_may_ask() {
    init();
    let mut child = started(Process::new(hangs, ()));
    let fork = common::fork(|| {
        assert!(matches!(child.join(), Err(ProcessError::NotParent)));
        assert!(matches!(child.join_timeout(Duration::ZERO), Err(ProcessError::NotParent)));
        assert!(matches!(child.is_alive(), Err(ProcessError::NotParent)));
        assert!(matches!(child.exit_code(), Err(ProcessError::NotParent)));
        assert!(matches!(child.kill(), Err(ProcessError::NotParent)));
        assert!(matches!(child.terminate(), Err(ProcessError::NotParent)));
        assert!(matches!(child.result(), Err(ProcessError::NotParent)));
        assert!(matches!(child.close(), Err(ProcessError::NotParent)));
        assert!(matches!(child.set_name("theirs"), Err(ProcessError::NotParent)));
        assert!(format!("{child:?}").ends_with(" unknown>"));
        assert!(process::active_children().unwrap().is_empty());
        // It has children of its own.
        let mut own = Process::new(long, ()).unwrap();
        own.start().unwrap();
        own.join().unwrap();
        assert!(own.result().is_ok());
    });
    assert_eq!(reap(fork), 0);
    // Stopped is alive.
    // SAFETY: a child of ours that has not been reaped.
    unsafe { libc::kill(child.pid().unwrap() as i32, libc::SIGSTOP) };
    until("it stands", || state_of(child.pid().unwrap()) == Some('T'));
    assert!(child.is_alive().unwrap());
    assert_eq!(child.exit_code().unwrap(), None);
    child.kill().unwrap();
    child.join().unwrap();
}

fn polls(child: &Process<()>, milliseconds: i32) -> bool {
    let mut poll = libc::pollfd { fd: child.sentinel().unwrap().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, valid for the call.
    let ready = unsafe { libc::poll(&raw mut poll, 1, milliseconds) };
    assert!(ready >= 0);
    ready == 1
}

// semantics 181
#[test]
fn a_descriptor_tells_of_the_end() {
    init();
    let child = started(Process::new(hangs, ()));
    assert!(!polls(&child, 0));
    child.kill().unwrap();
    assert!(polls(&child, PATIENCE.as_millis() as i32));
    child.join_timeout(Duration::ZERO).unwrap();
    assert!(polls(&child, 0), "it stays so");
}

#[test]
fn ctrl_c_entry() {
    if std::env::var_os("RINGFENCE_TEST_ROLE").is_none() {
        return;
    }
    process::init_test("child_entry");
    let mut daemon = Process::new(hangs, ()).unwrap();
    daemon.set_daemon(true).unwrap();
    let children = [started(Ok(daemon)), started(Process::new(hangs, ()))];
    children.iter().for_each(|child| println!("pid {}", child.pid().unwrap()));
    children[1].join().unwrap();
}

// semantics 188
#[test]
fn ctrl_c_ends_parent_and_children() {
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ctrl_c_entry", "--nocapture"])
        .env("RINGFENCE_TEST_ROLE", "ctrl-c")
        .stdout(std::process::Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let mut pid = || loop {
        let line = lines.next().expect("it ended before it said anything").unwrap();
        if let Some((_, pid)) = line.split_once("pid ") {
            return pid.parse::<i32>().unwrap();
        }
    };
    let children = [pid(), pid()];
    // SAFETY: the group of a child of ours that has not been reaped.
    assert_eq!(unsafe { libc::kill(-(parent.id() as i32), libc::SIGINT) }, 0);
    let status = parent.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGINT));
    children.iter().for_each(|child| until("a child has ended", || gone(*child)));
}

fn answer() -> u64 {
    42
}

ringfence::register!(answer);

/// To its end, which comes by itself.
fn ended<R: Portable>(process: Result<Process<R>, ProcessError>) -> Process<R> {
    let process = started(process);
    process.join_timeout(PATIENCE).unwrap();
    process
}

/// This process and its children to be.
fn on_one_processor() {
    // SAFETY: a set of bits that lives as long as the calls; they change where this process runs.
    unsafe {
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(libc::sched_getcpu() as usize, &mut one);
        libc::sched_setaffinity(0, size_of_val(&one), &raw const one);
    }
}

fn ignores_sigchld() {
    init();
    // SAFETY: changes a disposition of this process, which does nothing else.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    let mut child = ended(Process::new(answer, ()));
    assert!(!child.is_alive().unwrap());
    assert!(matches!(child.exit_code(), Err(ProcessError::Lost)));
    child.kill().unwrap();
    assert_eq!(child.result().unwrap(), 42);
    let mut child = started(Process::new(hangs, ()));
    child.kill().unwrap();
    child.join().unwrap();
    assert!(matches!(child.result(), Err(ProcessError::Lost)));
    assert!(format!("{child:?}").ends_with(" stopped[unknown]>"));
    // Gone before its parent has seen more of it than its number, many of them where both have one processor.
    on_one_processor();
    for _ in 0..200 {
        let child = ended(Process::program("true"));
        assert!(matches!(child.exit_code(), Err(ProcessError::Lost)));
        child.terminate().unwrap();
    }
}

// semantics 187
#[test]
fn somebody_else_reaps_it() {
    Role::start("ignores-sigchld", &[]).finish();
}
