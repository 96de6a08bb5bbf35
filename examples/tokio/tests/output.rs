//! The example runs, and says what it should.

use std::process::Command;

#[test]
fn it_says_what_it_should() {
    let output = Command::new(env!("CARGO_BIN_EXE_ringfence-example-tokio")).output().expect("the example");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let tasks: String = (1..=10).map(|task| format!("task {task}\n")).collect();
    assert!(output.status.success(), "{}: {out}{err}", output.status);
    assert_eq!((out.as_ref(), err.as_ref()), ((tasks + "the pusher is gone\n").as_str(), ""));
    let left = std::fs::read_dir("/dev/shm").expect("/dev/shm").filter_map(Result::ok);
    let ours = left.filter(|file| file.file_name().to_string_lossy().starts_with("ringfence.tokio-example-"));
    assert_eq!(ours.count(), 0, "a segment is left behind");
}
