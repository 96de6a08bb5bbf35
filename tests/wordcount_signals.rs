//! The word count example stopped, killed and blocked: it leaves nothing behind, or what the next run removes.

mod common;

use std::fs::{self, File};
use std::io::PipeReader;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::wordcount::{Folder, Run, counts_to, prose, runs, signal, wordcount};
use common::{is_root, skip, until};

/// One at a time: each run sweeps the names that another test may have left on purpose.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A count that takes long: a huge file of nothing. Ready when the segment is there, and workers that need no file of their own.
struct Long {
    run: Run,
    folder: Folder,
}

impl Long {
    fn start(name: &str) -> Self {
        let folder = Folder::new(name);
        let path = folder.file("huge", b"words ");
        File::options().write(true).open(&path).unwrap().set_len(200 << 30).unwrap();
        let mut command = wordcount(&["--no-kill", "--workers", "2"]);
        command.arg(&path).env("TMPDIR", &folder.0).stdout(Stdio::null()).stderr(Stdio::null());
        let run = Run::start(&mut command);
        until("it works", || run.segment().exists() && run.children().len() >= 2 && !temporary(&folder));
        Self { run, folder }
    }

    fn temporary(&self) -> bool {
        temporary(&self.folder)
    }
}

/// Whether a run has a temporary folder in that one.
fn temporary(folder: &Folder) -> bool {
    let entries = fs::read_dir(&folder.0).unwrap();
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("ringfence-wordcount-"))
}

#[test]
fn ctrl_c_and_its_kin_leave_nothing_behind() {
    let _alone = alone();
    let all = [("int", libc::SIGINT), ("term", libc::SIGTERM), ("hup", libc::SIGHUP), ("quit", libc::SIGQUIT)];
    for (name, number) in all {
        let mut long = Long::start(name);
        let workers = long.run.children();
        long.run.signal_all(number);
        assert_eq!(long.run.end().signal(), Some(number));
        until("no worker is left", || !workers.iter().any(|pid| runs(*pid)));
        assert!(!long.run.segment().exists(), "{name}");
        assert!(!long.temporary(), "{name}");
    }
}

#[test]
fn a_name_that_everybody_died_on_is_swept_by_the_next_run() {
    let _alone = alone();
    // Also by one that has nothing to count.
    for text in [&b"next"[..], b""] {
        let living = Long::start("living");
        let mut long = Long::start("group");
        long.run.kill_all();
        assert!(long.run.segment().exists(), "kill -9 leaves nobody to tidy up");
        let folder = Folder::new("next");
        let texts: &[&[u8]] = if text.is_empty() { &[] } else { &[text] };
        counts_to(wordcount(&[]).arg(folder.file("file", text)), texts);
        assert!(!long.run.segment().exists());
        assert!(living.run.segment().exists(), "what lives is left alone");
    }
}

#[test]
fn workers_do_not_outlive_their_parent() {
    let _alone = alone();
    let mut long = Long::start("orphans");
    let workers = long.run.children();
    signal(long.run.pid(), libc::SIGKILL);
    long.run.end();
    until("no worker is left", || !workers.iter().any(|pid| runs(*pid)));
    assert!(!long.temporary());
}

/// A run that stands in the compiler: one that is not there to compile.
struct Compiling {
    run: Run,
    compiler: i32,
}

impl Compiling {
    fn start(folder: &Folder) -> Self {
        let script = folder.file("cc", b"#!/bin/sh\nexec sleep 600\n");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
        let mut command = wordcount(&[]);
        command.arg(folder.file("text", b"text")).env("TMPDIR", &folder.0).env("CC", script);
        let run = Run::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        let mut compiler = 0;
        until("it compiles", || {
            compiler = run.children().first().copied().unwrap_or(0);
            fs::read(format!("/proc/{compiler}/cmdline")).is_ok_and(|line| line.starts_with(b"sleep\0"))
        });
        Self { run, compiler }
    }

    fn folder(&self, folder: &Folder) -> PathBuf {
        folder.0.join(format!("ringfence-wordcount-{}-0", self.run.pid()))
    }
}

/// The next run, with the same temporary folder.
fn next(folder: &Folder) {
    counts_to(wordcount(&[]).arg(folder.file("text", b"text")).env("TMPDIR", &folder.0), &[b"text"]);
}

#[test]
fn the_folder_of_a_run_killed_while_it_compiled_is_swept_by_the_next() {
    let _alone = alone();
    let folder = Folder::new("compiling");
    let [living, mut group, mut orphan] = [0; 3].map(|_| Compiling::start(&folder));
    group.run.kill_all();
    // The compiler alone goes on, and would write there.
    signal(orphan.run.pid(), libc::SIGKILL);
    orphan.run.end();
    assert!(group.folder(&folder).join("c_worker.c").exists(), "kill -9 leaves nobody to tidy up");
    next(&folder);
    assert!(!group.folder(&folder).exists());
    assert!(living.folder(&folder).join("c_worker.c").exists(), "what lives is left alone");
    assert!(orphan.folder(&folder).join("c_worker.c").exists(), "what lives is left alone");
    signal(orphan.compiler, libc::SIGKILL);
    until("the compiler is gone", || !runs(orphan.compiler));
    next(&folder);
    assert!(!orphan.folder(&folder).exists());
    assert!(living.folder(&folder).exists());
}

#[test]
fn only_folders_of_our_own_are_swept() {
    let _alone = alone();
    let folder = Folder::new("strangers");
    let make = |name: &str| {
        let path = folder.0.join(name);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("file"), b"file").unwrap();
        path
    };
    let nobodys = make("ringfence-wordcount-999999999-0");
    let kept =
        [make("treasure"), make("ringfence-wordcount-1"), make("ringfence-wordcount-x-0"), make("wordcount-1-0")];
    // A link to a folder, one inside a folder that is swept, and a file.
    symlink(&kept[0], folder.0.join("ringfence-wordcount-999999998-0")).unwrap();
    symlink(&kept[0], nobodys.join("link")).unwrap();
    folder.file("ringfence-wordcount-999999997-0", b"file");
    let mut strangers = Vec::new();
    if is_root() {
        let stranger = make("ringfence-wordcount-999999996-0");
        chown(&stranger, Some(65534), None).unwrap();
        strangers.push(stranger);
    } else {
        skip("only root may make another's folder");
    }
    next(&folder);
    assert!(!nobodys.exists());
    assert!(kept.iter().chain(&strangers).all(|path| path.join("file").exists()));
    assert!(fs::symlink_metadata(folder.0.join("ringfence-wordcount-999999998-0")).is_ok());
    assert!(folder.0.join("ringfence-wordcount-999999997-0").exists());
}

/// Whoever reads our output has stopped reading, and the pipe is full.
#[test]
fn ctrl_c_ends_a_run_that_waits_for_its_reader() {
    let _alone = alone();
    let folder = Folder::new("blocked");
    let file = folder.file("file", &prose(100_000));
    let (reader, writer) = std::io::pipe().unwrap();
    // SAFETY: a system call on a descriptor of ours.
    let room = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, 4096) };
    let mut command = wordcount(&["--all"]);
    let mut run = Run::start(command.arg(&file).env("TMPDIR", &folder.0).stdout(writer).stderr(Stdio::null()));
    // Less room than it has to say at once: when that is gone it is inside of a write.
    until("the pipe is full", || waiting(&reader) == room);
    assert!(run.0.try_wait().unwrap().is_none());
    run.signal_all(libc::SIGINT);
    assert_eq!(run.end().signal(), Some(libc::SIGINT));
    assert!(!run.segment().exists() && !temporary(&folder));
}

/// How many bytes wait in a pipe.
fn waiting(pipe: &PipeReader) -> i32 {
    let mut bytes = 0;
    // SAFETY: `bytes` is valid for the call.
    assert_eq!(unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &mut bytes) }, 0);
    bytes
}
