//! Processes that run a function of this binary, or another program.

mod common;

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::process::{Command, exit};
use std::time::{Duration, Instant};

use common::{PATIENCE, Role, role, say, state_of, until};
use ringfence::process::{self, Process, ProcessError, ProcessInfo, RegistryError, Stdio};
use ringfence::{Error, Portable};

/// Where the children of these tests come to.
#[test]
fn child_entry() {
    init();
}

fn init() {
    process::init_test("child_entry");
}

#[test]
fn role_entry() {
    match role().as_ref().map(|(name, _)| name.as_str()) {
        Some("careless") => careless(),
        Some("forgetful") => forgetful(),
        Some("unlinked") => unlinked(),
        _ => {}
    }
}

fn square(x: u64) -> u64 {
    x * x
}

fn leave(code: i32) {
    exit(code);
}

fn fails(why: String) -> u64 {
    panic!("it fails: {why}");
}

fn hangs() {
    common::sleep_for_ever();
}

fn not_there() {}

/// Has no message: it nests too deep.
#[derive(serde::Serialize, serde::Deserialize)]
struct Nested(Option<Box<(Nested,)>>);

impl Nested {
    fn new(depth: u32) -> Self {
        (0..depth).fold(Self(None), |inner, _| Self(Some(Box::new((inner,)))))
    }
}

fn nested(depth: u32) -> Nested {
    Nested::new(depth)
}

fn depth_of(_: Nested) {}

ringfence::register!(square);
ringfence::register!(leave);
ringfence::register!(fails);
ringfence::register!(hangs);
ringfence::register!(nested);
ringfence::register!(depth_of);

fn started<R: Portable>(process: Result<Process<R>, ProcessError>) -> Process<R> {
    let mut process = process.unwrap();
    process.start().unwrap();
    process
}

/// To its end, which comes by itself.
fn ended<R: Portable>(process: Result<Process<R>, ProcessError>) -> Process<R> {
    let process = started(process);
    process.join_timeout(PATIENCE).unwrap();
    process
}

// semantics 173
#[test]
fn a_function_runs_in_another_process_and_its_result_comes_back() {
    init();
    let mut child = Process::new(square, (7,)).unwrap();
    assert_eq!((child.is_alive().unwrap(), child.exit_code().unwrap(), child.pid()), (false, None, None));
    child.start().unwrap();
    assert_ne!(child.pid().unwrap(), std::process::id());
    child.join().unwrap();
    assert_eq!((child.is_alive().unwrap(), child.exit_code().unwrap()), (false, Some(0)));
    assert_eq!(child.result().unwrap(), 49);
    assert!(matches!(child.result(), Err(ProcessError::ResultTaken)));
}

// semantics 46 and 174
#[test]
fn exit_codes() {
    init();
    for code in [0, 1, 3, 255, 256 + 4] {
        let mut child = ended(Process::new(leave, (code,)));
        assert_eq!(child.exit_code().unwrap(), Some(code % 256));
        assert!(matches!(child.result(), Err(ProcessError::Exited { code: left }) if left == code % 256));
    }
    let mut child = ended(Process::new(fails, ("often".to_owned(),)));
    assert_eq!(child.exit_code().unwrap(), Some(1));
    let Err(ProcessError::Panicked(panic)) = child.result() else { panic!("no panic") };
    assert_eq!(panic.message, "it fails: often");
    assert!(panic.location.starts_with(file!()), "{}", panic.location);
    assert!(panic.backtrace.contains("fails"), "{}", panic.backtrace);

    let mut child = started(Process::new(hangs, ()));
    assert_eq!((child.exit_code().unwrap(), child.is_alive().unwrap()), (None, true));
    assert!(matches!(child.result(), Err(ProcessError::StillRunning)));
    assert!(matches!(child.join_timeout(Duration::ZERO), Err(ProcessError::TimedOut)));
    child.terminate().unwrap();
    child.join().unwrap();
    assert_eq!(child.exit_code().unwrap(), Some(-libc::SIGTERM));
    assert!(matches!(child.result(), Err(ProcessError::Died { signal: libc::SIGTERM })));

    let mut child = started(Process::new(hangs, ()));
    child.kill().unwrap();
    child.join().unwrap();
    assert_eq!(child.exit_code().unwrap(), Some(-libc::SIGKILL));
    assert!(matches!(child.result(), Err(ProcessError::Died { signal: libc::SIGKILL })));
    // To whom the number belongs by now.
    child.kill().unwrap();
    child.terminate().unwrap();
    until("it is reaped", || state_of(child.pid().unwrap()).is_none());
}

// semantics 47 and 182
#[test]
fn each_thing_in_its_time() {
    init();
    let mut child = Process::new(hangs, ()).unwrap();
    assert_eq!(format!("{child:?}"), format!("<Process name={:?} initial>", child.name()));
    assert!(matches!(child.join(), Err(ProcessError::NotStarted)));
    assert!(matches!(child.result(), Err(ProcessError::NotStarted)));
    assert!(matches!(child.kill(), Err(ProcessError::NotStarted)));
    assert!(matches!(child.terminate(), Err(ProcessError::NotStarted)));
    assert!(matches!(child.sentinel(), Err(ProcessError::NotStarted)));
    assert!(matches!(child.add_argument("x"), Err(ProcessError::System(Error::InvalidArgument(_)))));
    child.set_name("patient").unwrap().set_daemon(true).unwrap();
    child.start().unwrap();
    let pid = child.pid().unwrap();
    assert_eq!(format!("{child:?}"), format!("<Process name=\"patient\" pid={pid} started daemon>"));
    assert!(matches!(child.start(), Err(ProcessError::AlreadyStarted)));
    assert!(matches!(child.set_name("late"), Err(ProcessError::AlreadyStarted)));
    assert!(matches!(child.set_daemon(false), Err(ProcessError::AlreadyStarted)));
    assert!(matches!(child.set_stdout(Stdio::Null), Err(ProcessError::AlreadyStarted)));
    assert!(matches!(child.set_env("A", "b"), Err(ProcessError::AlreadyStarted)));
    assert!(matches!(child.close(), Err(ProcessError::StillRunning)));
    for _ in 0..2 {
        assert!(matches!(child.join_timeout(Duration::ZERO), Err(ProcessError::TimedOut)));
        assert!(matches!(child.join_deadline(Instant::now()), Err(ProcessError::TimedOut)));
        assert!(matches!(child.join_timeout(Duration::from_millis(5)), Err(ProcessError::TimedOut)));
    }
    child.terminate().unwrap();
    for _ in 0..2 {
        child.join().unwrap();
        child.join_timeout(Duration::ZERO).unwrap();
    }
    assert_eq!(format!("{child:?}"), format!("<Process name=\"patient\" pid={pid} stopped[SIGTERM] daemon>"));
    for _ in 0..2 {
        child.close().unwrap();
        assert_eq!(format!("{child:?}"), "<Process name=\"patient\" closed daemon>");
        assert!(matches!(child.join(), Err(ProcessError::Closed)));
        assert!(matches!(child.is_alive(), Err(ProcessError::Closed)));
        assert!(matches!(child.exit_code(), Err(ProcessError::Closed)));
        assert!(matches!(child.result(), Err(ProcessError::Closed)));
        assert!(matches!(child.start(), Err(ProcessError::Closed)));
        assert!(matches!(child.kill(), Err(ProcessError::Closed)));
        assert_eq!(child.pid(), None);
    }
    let child = ended(Process::new(leave, (3,)));
    assert!(format!("{child:?}").ends_with(" stopped[3]>"), "{child:?}");
    let child = ended(Process::new(leave, (0,)));
    assert!(format!("{child:?}").ends_with(" stopped>"), "{child:?}");
}

// semantics 175
#[test]
fn what_cannot_be_told_or_answered() {
    init();
    let error = Process::new(not_there, ()).unwrap_err();
    let ProcessError::Registry(RegistryError::NotRegistered { function }) = error else { panic!("{error}") };
    assert!(function.ends_with("not_there"), "{function}");
    assert!(matches!(Process::new(depth_of, (Nested::new(200),)), Err(ProcessError::Encode(_))));
    let mut child = ended(Process::new(nested, (200,)));
    let error = child.result().err().unwrap();
    assert!(matches!(&error, ProcessError::NotEncoded(reason) if reason.contains("more than 128")), "{error}");
    assert_eq!(child.exit_code().unwrap(), Some(1));
    assert!(ended(Process::new(nested, (3,))).result().unwrap().0.is_some());
}

/// A mailbox as another program might leave it to this one, by the head of `src/process/mailbox.rs`; and how to say where it is.
struct Letter {
    file: File,
    outcome: u64,
}

impl Letter {
    fn new(function: &str, signature: &str, arguments: &[u8]) -> Self {
        // SAFETY: the name ends with NUL; a descriptor of our own that children get.
        let file = unsafe { File::from_raw_fd(libc::memfd_create(c"letter".as_ptr(), 0)) };
        let about = (Some((function, signature)), "forged", "", (false, false), "MainProcess", identity("self"));
        let about = rmp_serde::to_vec_named(&about).unwrap();
        let lengths = [0, about.len() as u64, arguments.len() as u64].map(u64::to_le_bytes).concat();
        let bytes = [b"rfchild\x01".as_slice(), &lengths, &about, arguments].concat();
        file.write_all_at(&bytes, 0).unwrap();
        Self { file, outcome: bytes.len() as u64 }
    }

    fn address(&self, inode: u64, parent: u64) -> String {
        format!("1,{},{},{inode},{parent}", self.file.as_raw_fd(), self.file.metadata().unwrap().dev())
    }

    fn inode(&self) -> u64 {
        self.file.metadata().unwrap().ino()
    }

    /// Has this program get it; its exit code, the kind of the outcome, and that.
    fn deliver(&self, address: &str) -> (Option<i32>, u8, Vec<u8>) {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_entry", "--nocapture", "--test-threads=1"])
            .env("RINGFENCE_CHILD", address)
            .status()
            .unwrap();
        let mut word = [0; 8];
        self.file.read_exact_at(&mut word, 8).unwrap();
        let kind = std::mem::take(&mut word[7]);
        let mut outcome = vec![0; u64::from_le_bytes(word) as usize];
        self.file.read_exact_at(&mut outcome, self.outcome).unwrap();
        (status.code(), kind, outcome)
    }
}

/// Pid and start time of a process in one number.
fn identity(pid: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let start: u64 = text[text.rfind(')').unwrap() + 1..].split_whitespace().nth(19).unwrap().parse().unwrap();
    let pid: u64 = text.split_whitespace().next().unwrap().parse().unwrap();
    pid | start << 22
}

// semantics 175
#[test]
fn a_function_that_the_child_has_otherwise_is_an_error() {
    let seven = rmp_serde::to_vec_named(&(7,)).unwrap();
    let deliver = |name: &str, signature: &str, arguments: &[u8]| {
        let letter = Letter::new(name, signature, arguments);
        letter.deliver(&letter.address(letter.inode(), identity("self")))
    };
    let signature = "fn((u64,)) -> u64";
    assert_eq!(deliver("square", signature, &seven), (Some(0), 1, vec![49]));
    let decode = |outcome: &[u8]| rmp_serde::from_slice::<(u8, Vec<String>)>(outcome).unwrap();
    let (code, kind, outcome) = deliver("cube", signature, &seven);
    assert_eq!((code, kind, decode(&outcome)), (Some(1), 3, (1, vec!["cube".to_owned()])));
    let (code, kind, outcome) = deliver("square", "fn((u32,)) -> u64", &seven);
    let texts = ["square", "fn((u32,)) -> u64", signature].map(str::to_owned).to_vec();
    assert_eq!((code, kind, decode(&outcome)), (Some(1), 3, (3, texts)));
    let (code, kind, outcome) = deliver("square", signature, &rmp_serde::to_vec_named(&("7",)).unwrap());
    assert_eq!((code, kind), (Some(1), 4));
    assert!(rmp_serde::from_slice::<String>(&outcome).unwrap().contains("cannot be decoded"));
}

// semantics 177
#[test]
fn what_was_meant_for_another_process_is_ignored() {
    let letter = Letter::new("square", "fn((u64,)) -> u64", &rmp_serde::to_vec_named(&(7,)).unwrap());
    let none = (Some(0), 0, vec![]);
    let me = identity("self");
    // Another file has the number, the parent is another, or nothing makes sense.
    assert_eq!(letter.deliver(&letter.address(letter.inode() + 1, me)), none);
    assert_eq!(letter.deliver(&letter.address(letter.inode(), identity("1"))), none);
    for nonsense in ["", "1", "1,2,3,4,5", "1,-1,0,0,0", "x", &letter.address(letter.inode(), me)[1..], "1,999,1,1,1"] {
        assert_eq!(letter.deliver(nonsense), none, "{nonsense}");
    }
    letter.file.write_all_at(b"R", 0).unwrap();
    assert_eq!(letter.deliver(&letter.address(letter.inode(), me)), none);
    letter.file.write_all_at(b"r", 0).unwrap();
    // A parent that is dead by now was the one: the same pid, another start.
    assert_eq!(letter.deliver(&letter.address(letter.inode(), me ^ 1 << 22)), (Some(0), 1, vec![49]));
}

fn careless() {
    let mut child = Process::new(square, (7,)).unwrap();
    assert!(matches!(child.start(), Err(ProcessError::InitMissing)));
    assert!(format!("{child:?}").ends_with(" initial>"));
    say("refused");
    // It may be tried again.
    init();
    child.start().unwrap();
    child.join().unwrap();
    assert_eq!(child.result().unwrap(), 49);
}

// semantics 176
#[test]
fn without_init_nothing_is_started() {
    let mut careless = Role::start("careless", &[]);
    careless.expect("refused");
    careless.finish();
}

/// A child comes here and forgets to ask what it is for.
#[test]
fn forgetful_entry() {
    if std::env::var_os("RINGFENCE_CHILD").is_some() {
        let refused = matches!(Process::new(square, (8,)).unwrap().start(), Err(ProcessError::InitMissing));
        // What it starts otherwise has the variable and the mailbox, and is not meant.
        let other = Command::new(std::env::current_exe().unwrap()).args(["--exact", "child_entry"]).status().unwrap();
        exit(if refused && other.success() { 7 } else { 8 });
    }
}

fn forgetful() {
    process::init_test("forgetful_entry");
    let mut child = ended(Process::new(square, (7,)));
    assert_eq!(child.exit_code().unwrap(), Some(7));
    assert!(matches!(child.result(), Err(ProcessError::Exited { code: 7 })));
}

// semantics 176 and 177
#[test]
fn a_child_that_has_lost_init_starts_nothing() {
    Role::start("forgetful", &[]).finish();
}

fn unlinked() {
    init();
    let own = std::env::current_exe().unwrap();
    std::fs::remove_file(&own).unwrap();
    std::fs::write(&own, "no program").unwrap();
    assert_eq!(ended(Process::new(square, (7,))).result().unwrap(), 49);
    std::fs::remove_file(&own).unwrap();
}

// semantics 173
#[test]
fn the_executable_may_be_gone_or_replaced() {
    let copy = std::env::temp_dir().join(format!("ringfence-test-unlinked-{}", std::process::id()));
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let status = Command::new(&copy)
        .args(["--exact", "role_entry", "--nocapture"])
        .env("RINGFENCE_TEST_ROLE", "unlinked")
        .status()
        .unwrap();
    let _ = std::fs::remove_file(&copy);
    assert!(status.success(), "{status}");
}

fn who_am_i() -> (ProcessInfoParts, String, u32, bool, String) {
    let ProcessInfo { name, pid, daemon, .. } = process::current_process();
    let parent = process::parent_process().unwrap();
    let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
    ((name, pid, daemon), parent.name.clone(), parent.pid, parent.is_alive(), comm)
}

type ProcessInfoParts = (String, u32, bool);

/// Its child's name, and that of a child with a name of its own.
fn nests() -> (String, String) {
    let mut child = ended(Process::new(who_am_i, ()));
    let ((name, ..), parent, pid, ..) = child.result().unwrap();
    assert_eq!((parent, pid), (process::current_process().name, std::process::id()));
    let mut other = Process::new(who_am_i, ()).unwrap();
    assert!(other.name().ends_with(":2"));
    other.set_name("other").unwrap();
    let mut other = ended(Ok(other));
    (name, other.result().unwrap().0.0)
}

ringfence::register!(who_am_i);
ringfence::register!(nests);

// semantics 182
#[test]
fn names() {
    init();
    let me = process::current_process();
    assert_eq!((me.name.as_str(), me.pid, me.daemon), ("MainProcess", std::process::id(), false));
    assert_eq!(process::parent_process(), None);
    let mut child = Process::new(who_am_i, ()).unwrap();
    child.set_daemon(true).unwrap();
    let number: u32 = child.name().strip_prefix("Process-").unwrap().parse().unwrap();
    assert!(number > 0);
    let mut child = ended(Ok(child));
    let ((name, pid, daemon), parent, parent_pid, alive, comm) = child.result().unwrap();
    assert_eq!((name.as_str(), Some(pid), daemon), (child.name(), child.pid(), true));
    assert_eq!((parent.as_str(), parent_pid, alive), ("MainProcess", me.pid, true));
    let program = std::env::args().next().unwrap();
    assert!(program.rsplit('/').next().unwrap().starts_with(comm.trim()), "{comm}");
    let mut child = ended(Process::new(nests, ()));
    let (nested, other) = child.result().unwrap();
    assert_eq!((nested, other.as_str()), (format!("{}:1", child.name()), "other"));
    assert!(process::cpu_count() >= 1);
}

// semantics 183
#[test]
fn the_living_children() {
    init();
    let child = started(Process::new(hangs, ()));
    let is_there = || process::active_children().unwrap().iter().any(|info| Some(info.pid) == child.pid());
    assert!(is_there());
    let infos = process::active_children().unwrap();
    let info = infos.iter().find(|info| Some(info.pid) == child.pid()).unwrap();
    assert_eq!((info.name.as_str(), info.daemon), (child.name(), false));
    child.kill().unwrap();
    // Seen there, and reaped, without anybody having joined it.
    until("it is not listed", || !is_there());
    assert_eq!(child.exit_code().unwrap(), Some(-libc::SIGKILL));
    // One whose handle is gone, too.
    let forgotten = started(Process::new(leave, (0,)));
    let pid = forgotten.pid().unwrap();
    drop(forgotten);
    until("it is reaped", || process::active_children().unwrap().iter().all(|info| info.pid != pid));
    assert_eq!(state_of(pid), None);
}

fn prints(how: String) -> u64 {
    print!("printed, ");
    eprint!("said");
    match how.as_str() {
        "exits" => exit(0),
        "panics" => panic!("now"),
        _ => std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap(),
    }
}

ringfence::register!(prints);

fn all(mut reader: PipeReader) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

// semantics 184
#[test]
fn standard_streams() {
    init();
    for how in ["returns", "exits", "panics"] {
        let (out, err, (input, mut to_input)) = (pipe().unwrap(), pipe().unwrap(), pipe().unwrap());
        let mut child = Process::new(prints, (how.to_owned(),)).unwrap();
        child.set_stdout(Stdio::Descriptor(out.1.into())).unwrap();
        child.set_stderr(Stdio::Descriptor(err.1.into())).unwrap();
        child.set_stdin(Stdio::Descriptor(input.into())).unwrap();
        let mut child = started(Ok(child));
        if how == "returns" {
            to_input.write_all(b"twelve bytes").unwrap();
        }
        drop(to_input);
        // Both end, so nobody else has got the other ends, and this process has closed its own.
        let (printed, said) = (all(out.0), all(err.0));
        // libtest has said something before, see `init_test`.
        assert!(printed.ends_with("printed, "), "{printed}");
        assert!(said.starts_with("said"), "{said}");
        child.join().unwrap();
        match how {
            "returns" => assert_eq!(child.result().unwrap(), 12),
            "exits" => assert!(matches!(child.result(), Err(ProcessError::Exited { code: 0 }))),
            _ => assert!(said.contains("now"), "{said}"),
        }
    }
    let mut child = Process::new(prints, ("nowhere".to_owned(),)).unwrap();
    child.set_stdin(Stdio::Null).unwrap().set_stdout(Stdio::Null).unwrap().set_stderr(Stdio::Null).unwrap();
    assert_eq!(ended(Ok(child)).result().unwrap(), 0);
}

fn writes_to(descriptor: i32) {
    // SAFETY: given to this process alone, under this number.
    let mut writer = unsafe { PipeWriter::from(OwnedFd::from_raw_fd(descriptor)) };
    writer.write_all(b"through").unwrap();
}

fn is_open(descriptor: i32) -> bool {
    std::path::Path::new(&format!("/proc/self/fd/{descriptor}")).exists()
}

ringfence::register!(writes_to);
ringfence::register!(is_open);

// semantics 184
#[test]
fn a_descriptor_for_one_child() {
    init();
    let (reader, writer) = pipe().unwrap();
    let number = writer.as_raw_fd();
    assert!(!ended(Process::new(is_open, (number,))).result().unwrap());
    let mut child = Process::new(writes_to, (number,)).unwrap();
    child.pass_descriptor(writer.into()).unwrap();
    let mut child = started(Ok(child));
    assert_eq!(all(reader), "through");
    child.join().unwrap();
    child.result().unwrap();
}

fn blocked_signals() -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap().trim().to_owned()
}

ringfence::register!(blocked_signals);

// semantics 185
#[test]
fn a_child_blocks_no_signals() {
    init();
    std::thread::spawn(|| {
        // SAFETY: changes the mask of this thread, which ends here.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
        }
        assert_ne!(blocked_signals(), "0000000000000000");
        assert_eq!(ended(Process::new(blocked_signals, ())).result().unwrap(), "0000000000000000");
    })
    .join()
    .unwrap();
}

// semantics 186
#[test]
fn any_program() {
    let mut child = Process::program("sh").unwrap();
    child.add_argument("-c").unwrap().add_argument("exit $HOW").unwrap();
    child.set_env("HOW", "2").unwrap().set_env("HOW", "3").unwrap();
    let mut child = ended(Ok(child));
    assert_eq!(child.exit_code().unwrap(), Some(3));
    assert!(matches!(child.result(), Err(ProcessError::Exited { code: 3 })));
    ended(Process::program("true")).result().unwrap();
    let mut child = started(Process::program("cat").map(|mut cat| {
        cat.set_stdin(Stdio::Descriptor(pipe().unwrap().0.into())).unwrap();
        cat
    }));
    child.join().unwrap();
    child.result().unwrap();
    let mut missing = Process::program("/no/such/program").unwrap();
    assert!(matches!(missing.start(), Err(ProcessError::System(Error::Missing))));
    assert!(format!("{missing:?}").ends_with(" initial>"));
    let mut nul = Process::program("true").unwrap();
    nul.add_argument("a\0b").unwrap();
    assert!(matches!(nul.start(), Err(ProcessError::System(Error::InvalidArgument(_)))));
}

/// A program that calls init without having been told a function.
#[test]
fn program_entry() {
    if std::env::var_os("RINGFENCE_CHILD").is_some() {
        init();
        let parent = process::parent_process().unwrap();
        println!("\n{} of {}", process::current_process().name, parent.pid);
    }
}

// semantics 186
#[test]
fn a_program_may_learn_its_name() {
    let (reader, writer) = pipe().unwrap();
    let mut child = Process::program(std::env::current_exe().unwrap()).unwrap();
    for argument in ["--exact", "program_entry", "--nocapture"] {
        child.add_argument(argument).unwrap();
    }
    child.set_name("told").unwrap().set_stdout(Stdio::Descriptor(writer.into())).unwrap();
    let child = started(Ok(child));
    let printed = all(reader);
    assert!(printed.lines().any(|line| line == format!("told of {}", std::process::id())), "{printed}");
    child.join().unwrap();
    assert_eq!(child.exit_code().unwrap(), Some(0));
}

#[test]
fn the_example_sees_its_children() {
    common::run_example("process", common::examples::process);
}
