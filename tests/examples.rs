//! The small examples run, print what they should, and leave nothing behind.

mod common;

use common::{examples, run_example};

fn run(name: &str, judge: fn(&str)) {
    run_example(name, judge);
}

// semantics 1
#[test]
fn a_bank_balance() {
    run("bank", examples::bank);
}

#[test]
fn ten_processes_print_under_a_lock() {
    run("lock", examples::lock);
}

#[test]
fn two_processes_append_to_a_file_under_a_lock() {
    run("append", examples::append);
}

#[test]
fn ten_workers_share_a_pool_of_three() {
    run("active_pool", examples::active_pool);
}

// semantics 15
#[test]
fn one_waits_for_an_event_and_another_gives_up() {
    run("event", examples::event);
}

// semantics 12
#[test]
fn stage_2_waits_for_stage_1() {
    run("condition", examples::condition);
}

// semantics 30
#[test]
fn a_pipeline_of_tasks_and_results() {
    run("pipeline", examples::pipeline);
}

// semantics 22 and 28
#[test]
fn a_producer_and_a_consumer() {
    run("producer_consumer", examples::producer_consumer);
}

// semantics 33, 34, 35, 36 and 155
#[test]
fn two_ends_of_a_pipe() {
    run("pipe", examples::pipe);
}
