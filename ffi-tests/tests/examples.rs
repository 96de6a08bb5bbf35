//! The small examples in C run, and print what those in Rust print.

#[path = "../../tests/common/examples.rs"]
mod examples;

use std::process::Command;

use ringfence_ffi_tests::lab::{Lab, Linking, run_well};

fn run(name: &str, judge: fn(&str)) {
    let lab = Lab::new(&format!("example-{name}"));
    let program = lab.compile(&format!("../examples/c/{name}.c"), Linking::Plain);
    judge(&run_well(&mut Command::new(program)));
}

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

#[test]
fn one_waits_for_an_event_and_another_gives_up() {
    run("event", examples::event);
}

#[test]
fn stage_2_waits_for_stage_1() {
    run("condition", examples::condition);
}

#[test]
fn a_pipeline_of_tasks_and_results() {
    run("pipeline", examples::pipeline);
}

#[test]
fn a_producer_and_a_consumer() {
    run("producer_consumer", examples::producer_consumer);
}

#[test]
fn two_ends_of_a_pipe() {
    run("pipe", examples::pipe);
}
