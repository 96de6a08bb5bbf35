//! Models of the board: every interleaving within the bound, a death at every step.
//!
//! `RUSTFLAGS='--cfg ringfence_loom' cargo test --release -p ringfence-example-loom --target-dir target/loom`
#![cfg(ringfence_loom)]

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use loom::thread;
use ringfence::model::{at_every_step, run_until};
use ringfence::{Segment, SegmentOptions};
use ringfence_example_loom::{Board, Job, Outcome};

type Take = fn(&Board) -> Outcome<Option<Job>>;
type Post = fn(&Board, Job) -> Outcome<bool>;

/// Explores `model` with at most `bound` preemptions an execution: most errors need two.
fn explore(bound: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(bound);
    builder.check(model);
}

fn board() -> Arc<Board> {
    let segment = Segment::anonymous(&SegmentOptions::new().participants(4)).unwrap();
    Arc::new(Board::open(&segment).unwrap())
}

/// Two processes take a job each, a third one posts two.
fn two_take(take: Take) {
    explore(2, move || {
        let board = board();
        let takers = [0, 1].map(|_| {
            let board = board.clone();
            thread::spawn(move || take(&board).unwrap().unwrap())
        });
        assert!(board.post(Job::new(1)).unwrap());
        assert!(board.post(Job::new(2)).unwrap());
        let mut taken = takers.map(|taker| taker.join().unwrap());
        taken.sort_by_key(|job| job.number);
        assert_eq!(taken, [Job::new(1), Job::new(2)]);
    });
}

#[test]
fn each_job_is_taken_once() {
    two_take(Board::take);
}

#[test]
#[ignore = "hangs, as it should: see below"]
fn broken_take() {
    two_take(Board::look_and_then_lock);
}

#[test]
fn the_model_finds_a_look_without_the_lock() {
    must_fail("broken_take", "deadlock");
}

/// A process that posts a job is killed at each of its steps in turn, while another one waits for a job.
fn poster_dies(post: Post) {
    let told = Arc::new(AtomicUsize::new(0));
    let count = told.clone();
    let steps = at_every_step(move |step| {
        let told = count.clone();
        explore(2, move || {
            let board = board();
            let takes = board.clone();
            let taker = thread::spawn(move || takes.take().unwrap().unwrap());
            let posted = run_until(step, || post(&board, Job::new(1)).unwrap());
            if posted.is_none() {
                // Somebody else comes by, who learns of the death if the victim had the lock.
                told.fetch_add(board.deaths().unwrap() as usize, SeqCst);
                // If the victim's job is on the board, the taker must not sleep beside it. If not, it waits for another.
                if board.is_empty() {
                    assert!(board.post(Job::new(2)).unwrap());
                }
            }
            let taken = taker.join().unwrap();
            assert!(taken.is_whole());
            assert!(taken.number == 1 || taken.number == 2 && posted.is_none(), "{posted:?}, but {taken:?}");
        });
    });
    assert!(steps > 10, "a post has more than {steps} steps");
    assert!(told.load(SeqCst) > 0, "nobody was told that the victim died with the lock");
}

#[test]
fn a_poster_may_die_at_any_step() {
    poster_dies(Board::post);
}

#[test]
#[ignore = "hangs, as it should: see below"]
fn broken_post() {
    poster_dies(Board::post_and_then_lock);
}

#[test]
fn the_model_finds_a_death_that_nobody_is_told_of() {
    must_fail("broken_post", "deadlock");
}

/// Runs the ignored test `name` of this binary in a process of its own, as a deadlock ends it, and checks what it says.
fn must_fail(name: &str, what: &str) {
    let this = std::env::current_exe().unwrap();
    let output = Command::new(this).args(["--exact", name, "--ignored", "--nocapture"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{name} passed: the model does not see what it should");
    assert!(said.contains(what), "{name} failed for another reason:\n{said}");
}
