//! Programs in C and C++ against the header and the library as cargo built it; each checks every call it makes.

use std::process::Command;

use ringfence_ffi_tests::lab::{Lab, Linking, run_well};

fn program(source: &str, name: &str, printed: &str) {
    let lab = Lab::new(name);
    let program = lab.compile(source, Linking::Plain);
    assert_eq!(run_well(Command::new(program).arg(lab.segment())), printed);
}

#[test]
fn segments_in_c() {
    program("c/segment.c", "segment", "segment: ok\n");
}

#[test]
fn mutexes_in_c() {
    program("c/mutex.c", "mutex", "mutex: ok\n");
}

#[test]
fn reentrant_mutexes_in_c() {
    program("c/reentrant_mutex.c", "reentrant-mutex", "reentrant mutex: ok\n");
}

#[test]
fn reader_writer_locks_in_c() {
    program("c/rwlock.c", "rwlock", "rwlock: ok\n");
}

#[test]
fn semaphores_in_c() {
    program("c/semaphore.c", "semaphore", "semaphore: ok\n");
}

#[test]
fn events_in_c() {
    program("c/event.c", "event", "event: ok\n");
}

#[test]
fn condition_variables_in_c() {
    program("c/condvar.c", "condvar", "condvar: ok\n");
}

#[test]
fn what_is_done_once_in_c() {
    program("c/once.c", "once", "once: ok\n");
}

#[test]
fn barriers_in_c() {
    program("c/barrier.c", "barrier", "barrier: ok\n");
}

#[test]
fn work_queues_in_c() {
    program("c/work_queue.c", "work-queue", "work queue: ok\n");
}

#[test]
fn values_and_arrays_in_c() {
    program("c/cell.c", "cell", "cell: ok\n");
}

#[test]
fn queues_in_c() {
    program("c/queue.c", "queue", "queue: ok\n");
}

#[test]
fn channels_in_c() {
    program("c/channel.c", "channel", "channel: ok\n");
}

#[test]
fn pipes_in_c() {
    program("c/pipe.c", "pipe", "pipe: ok\n");
}

#[test]
fn rings_for_two_in_c() {
    program("c/spsc.c", "spsc", "spsc: ok\n");
}

#[test]
fn rings_of_records_in_c() {
    program("c/byte_ring.c", "byte-ring", "byte_ring: ok\n");
}

#[test]
fn broadcasts_in_c() {
    program("c/broadcast.c", "broadcast", "broadcast: ok\n");
}

#[test]
fn blackboards_in_c() {
    program("c/blackboard.c", "blackboard", "blackboard: ok\n");
}

#[test]
fn waits_for_one_of_several_in_c() {
    program("c/wait_any.c", "wait-any", "wait_any: ok\n");
}

#[test]
fn the_log_in_c() {
    program("c/log.c", "log", "log: ok\n");
}

#[test]
fn descriptors_in_c() {
    program("c/ready_fd.c", "ready-fd", "ready_fd: ok\n");
}

#[test]
fn the_example_of_epoll() {
    let tasks: String = (1..=10).map(|task| format!("task {task}\n")).collect();
    program("../examples/c/epoll.c", "epoll", &(tasks + "the pusher is gone\n"));
}

#[test]
fn signals_in_c() {
    program("c/signal.c", "signal", "signal: ok\n");
}

#[test]
fn null_and_wild_values_are_refused() {
    program("c/bad.c", "bad", "bad: ok\n");
    program("c/bad_null.c", "bad-null", "bad_null: ok\n");
}

#[test]
fn a_tour_in_cpp() {
    program("cpp/tour.cpp", "tour", "100 tasks, sum 49995000\n");
}
