//! The word count example with workers killed at any time, beside the one that it kills itself.

mod common;

use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::thread::JoinHandle;
use std::time::Duration;

use common::chance::Chance;
use common::until;
use common::wordcount::{Folder, Run, children, expected, program, prose, runs, signal, text, wordcount};

#[test]
fn killing_any_workers_at_any_time_changes_nothing() {
    let mut chance = Chance::new(3);
    let folder = Folder::new("massacre");
    let prose = prose(400_000);
    let file = folder.file("prose", &prose);
    for _ in 0..chance.rounds {
        let workers = 2 + chance.index(4);
        let numbers = [workers.to_string(), (2000 + chance.below(6000)).to_string()];
        let mut args = vec!["--all", "--workers", &numbers[0], "--task-bytes", &numbers[1]];
        args.extend(["--no-kill", "--no-c"].into_iter().filter(|_| chance.below(3) == 0));
        // On a loaded machine it may be over before anybody is found to kill.
        let mut attempts = 0;
        while run_and_kill(&mut chance, &args, &file, &prose, workers) == 0 {
            attempts += 1;
            assert!(attempts < 10, "{args:?}: nobody was ever killed");
        }
    }
}

/// One run, some of whose workers are killed: how many.
fn run_and_kill(chance: &mut Chance, args: &[&str], file: &Path, prose: &[u8], workers: usize) -> usize {
    let mut run = Run::start(wordcount(args).arg(file).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let pid = run.pid();
    let (counts, said) = (reader(run.0.stdout.take()), reader(run.0.stderr.take()));
    until("workers", || workers_of(pid).len() >= workers || !runs(pid));
    let (mut killed, most) = (0, 1 + chance.index(6));
    while killed < most && runs(pid) {
        chance.pause(Duration::from_millis(5));
        let alive = workers_of(pid);
        if !alive.is_empty() {
            signal(alive[chance.index(alive.len())], libc::SIGKILL);
            killed += 1;
        }
    }
    let code = run.end().code();
    let (counts, said) = (counts.join().unwrap(), text(&said.join().unwrap()));
    assert_eq!(code, Some(0), "{args:?}: {said}");
    assert_eq!(text(&counts), expected(&[prose]), "{args:?}: {said}");
    chance.kills += killed + usize::from(said.contains("with SIGKILL"));
    chance.checked += text(prose).split_whitespace().count();
    killed
}

/// Reads it to its end meanwhile, so that nobody waits for us.
fn reader(from: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    let mut from = from.unwrap();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// Its workers that run; not the compiler, which is a child too.
fn workers_of(pid: i32) -> Vec<i32> {
    let ours = std::fs::canonicalize(program()).unwrap();
    let is_worker = |pid: &i32| {
        let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        program == ours || program.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"c_worker"))
    };
    children(pid).into_iter().filter(is_worker).collect()
}
