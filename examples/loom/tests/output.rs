//! The board works for real.
#![cfg(not(ringfence_loom))]

use std::process::Command;

#[test]
fn the_jobs_are_done() {
    let output = Command::new(env!("CARGO_BIN_EXE_ringfence-example-loom")).output().expect("the example");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {out}{err}", output.status);
    assert_eq!(
        (out.as_ref(), err.as_ref()),
        ("one of two workers was killed, and the jobs are done, but perhaps one that it had taken\n", "")
    );
    let left = std::fs::read_dir("/dev/shm").expect("/dev/shm").filter_map(Result::ok);
    let ours = left.filter(|file| file.file_name().to_string_lossy().starts_with("ringfence.loom-example-"));
    assert_eq!(ours.count(), 0, "a segment is left behind");
}
