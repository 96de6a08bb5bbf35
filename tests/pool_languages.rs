//! Workers in C and in Python serve a pool of a Rust program, as the examples show.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ringfence::pool::{PoolOptions, TaskError};
use ringfence::{Segment, SegmentOptions, process};

/// Runs it, or says that it is missing.
fn has(program: &str) -> bool {
    let there = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !there {
        println!("skipped: {program} is not installed");
    }
    there
}

/// The shared library that cargo has built along with the example: of two, the one written last.
fn library(profile: &Path) -> PathBuf {
    let places = [profile.join("deps/libringfence.so"), profile.join("libringfence.so")];
    let found = places.into_iter().filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)));
    found.max_by_key(|(modified, _)| *modified).expect("the shared library").1
}

/// The worker in C.
fn compile(folder: &Path, library: &Path) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = folder.join("worker");
    let home = library.parent().unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-o"]).arg(&program).arg("-I");
    compiler.arg(root.join("include")).arg(root.join("examples/c/worker.c")).arg(library);
    compiler.arg(format!("-Wl,-rpath,{}", home.display()));
    let output = compiler.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

/// A folder that is gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(what: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringfence-{what}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

// semantics 198
#[test]
fn workers_in_c_and_python_serve_a_pool() {
    if !has("cc") || !has("python3") {
        return;
    }
    let parent = common::example("pool_languages");
    let library = library(parent.ancestors().nth(2).unwrap());
    let folder = Folder::new("pool-languages");
    let c = compile(&folder.0, &library);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/python/worker.py");
    let python = format!("python3 {} {}", script.display(), library.display());

    let child = Command::new(parent).arg(&c).arg(&python).stdout(Stdio::piped()).spawn().unwrap();
    let name = format!("example-pool-languages-{}", child.id());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "workers in C and Python\n\
         from -> FROM\n\
         rust -> RUST\n\
         to -> TO\n\
         everybody -> EVERYBODY\n\
         5242880 bytes, sum 15728640\n\
         squares [9, 40000, 90000, 4294836225]\n\
         refuse: I would rather not\n\
         nobody does this: the worker has no handler for \"nobody does this\"\n\
         a worker ended with exit status: 0\n\
         a worker ended with exit status: 0\n"
    );
    assert!(output.status.success() && common::listed(&name).is_empty());
}

// semantics 208
#[test]
fn what_a_worker_in_c_has_done_is_counted() {
    if !has("cc") {
        return;
    }
    let library = library(std::env::current_exe().unwrap().ancestors().nth(2).unwrap());
    let folder = Folder::new("pool-counted");
    let program = compile(&folder.0, &library);
    let name = common::Name::new("pool-counted");
    let pool = PoolOptions::new().workers(0).segment_name(&name.0).create().unwrap();
    let mut worker = Command::new(program).arg(&name.0).spawn().unwrap();
    for round in 1..4 {
        assert_eq!(pool.apply_bytes("shout", b"abc"), Ok(b"ABC".to_vec()));
        assert!(pool.apply_bytes("refuse", b"").is_err());
        let progress = pool.progress().unwrap();
        let [by] = &progress.workers[..] else { panic!("{progress:?}") };
        assert_eq!((by.name.as_str(), by.pid, by.alive, by.done), ("#1", None, true, 2 * round));
        assert_eq!((progress.done, progress.total, progress.done_by_others), (2 * round, 2 * round, 0));
    }
    pool.close().unwrap();
    pool.join().unwrap();
    assert!(worker.wait().unwrap().success());
}

#[test]
fn role_entry() {
    if let Some((_, arguments)) = common::role() {
        let _pool = PoolOptions::new().workers(0).segment_name(&arguments[0]).create().unwrap();
        common::say("made");
        common::sleep_for_ever();
    }
}

fn square(text: String) -> u32 {
    text.len() as u32
}

fn refuse() {}

fn shout(word: String) -> String {
    word
}

// In this program they take and return what the worker in C does not expect, or nothing can be decoded from.
ringfence::register!(square);
ringfence::register!(refuse);
ringfence::register!(shout);

#[test]
fn child_entry() {
    process::init_test("child_entry");
}

// semantics 210
#[test]
fn a_typed_call_that_a_worker_in_c_does_not_understand_fails_alone() {
    if !has("cc") {
        return;
    }
    let library = library(std::env::current_exe().unwrap().ancestors().nth(2).unwrap());
    let folder = Folder::new("pool-typed");
    let program = compile(&folder.0, &library);
    let name = common::Name::new("pool-typed");
    let pool = PoolOptions::new().workers(0).segment_name(&name.0).create().unwrap();
    let mut worker = Command::new(program).arg(&name.0).spawn().unwrap();
    // One chunk: no reply of the handler's touches that of the call before.
    let answers: Vec<_> = pool.imap_chunked(square, ["a", "b"].map(str::to_owned), 2).unwrap().collect();
    let said = "square takes a number of 16 bits";
    assert_eq!(answers.len(), 2);
    for answer in answers {
        assert!(matches!(&answer, Err(TaskError::Failed { reason }) if reason == said), "{answer:?}");
    }
    assert!(matches!(pool.apply(refuse, ()), Err(TaskError::Failed { .. })));
    // Capitals, but of an array with a text in it, not of a text.
    assert!(matches!(pool.apply(shout, ("x".repeat(300),)), Err(TaskError::Result { .. })));
    pool.close().unwrap();
    pool.join().unwrap();
    assert!(worker.wait().unwrap().success());
}

/// A pool of another process, under a name, and a worker in C that has come to it.
fn pool_with_a_worker_in_c(what: &str) -> Option<(common::Name, common::Role, Child)> {
    if !has("cc") {
        return None;
    }
    let library = library(std::env::current_exe().unwrap().ancestors().nth(2).unwrap());
    let folder = Folder::new(what);
    let program = compile(&folder.0, &library);
    let name = common::Name::new(what);
    let mut parent = common::Role::start("parent", &[&name.0]);
    parent.expect("made");
    let worker = Command::new(program).arg(&name.0).stderr(Stdio::piped()).spawn().unwrap();
    let segment = Segment::open(&name.0).unwrap();
    let joined = || segment.participants().iter().any(|info| info.pid == worker.id());
    common::until("the worker comes", joined);
    Some((name, parent, worker))
}

// semantics 197 and 198
#[test]
fn a_worker_in_c_ends_when_the_process_of_its_pool_is_killed() {
    let Some((name, parent, worker)) = pool_with_a_worker_in_c("pool-orphan") else { return };
    parent.kill();
    let output = worker.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), said.as_str()), (Some(1), "worker: the pool's process is gone\n"));
    assert!(common::listed(&name.0).is_empty());
}

// semantics 197
#[test]
fn a_worker_in_c_leaves_the_name_to_a_segment_that_was_made_since() {
    let Some((name, parent, worker)) = pool_with_a_worker_in_c("pool-successor") else { return };
    let pid = worker.id() as i32;
    // SAFETY: touches no memory; the worker is a child that was not waited for.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGSTOP) }, 0);
    common::until("the worker stops", || common::state_of(pid) == Some('T'));
    parent.kill();
    Segment::unlink(&name.0).unwrap();
    let successor = Segment::create(&name.0, &SegmentOptions::new()).unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGCONT) }, 0);
    assert_eq!(worker.wait_with_output().unwrap().status.code(), Some(1));
    assert_eq!(common::listed(&name.0).len(), 1);
    drop(successor);
}
