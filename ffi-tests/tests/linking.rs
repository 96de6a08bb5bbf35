//! The README's hello.c, built the three ways that a program may find the library, takes what Rust has pushed.

use std::process::Command;

use ringfence::{Error, Queue, Segment, SegmentOptions};
use ringfence_ffi_tests::lab::{Lab, Linking, run_well, text};

fn hello(linking: Linking, name: &str) -> (Lab, std::path::PathBuf) {
    let lab = Lab::new(name);
    let program = lab.compile("../examples/c/hello.c", linking);
    let segment = Segment::create(lab.segment(), &SegmentOptions::new().size(16 << 20)).expect("a segment");
    Queue::<u64>::create(&segment, "tasks", 1024).expect("a queue").push(42).expect("room");
    assert_eq!(run_well(Command::new(&program).arg(lab.segment())), "task 42\n");
    assert_eq!(Segment::unlink(lab.segment()), Err(Error::Missing), "hello.c has unlinked it");
    (lab, program)
}

fn needed(program: &std::path::Path) -> bool {
    let output = Command::new("readelf").arg("-d").arg(program).output().expect("readelf");
    text(&output.stdout).lines().any(|line| line.contains("NEEDED") && line.contains("libringfence"))
}

#[test]
fn with_a_library_path() {
    let (_lab, program) = hello(Linking::Plain, "hello-plain");
    assert!(needed(&program));
}

#[test]
fn with_the_archive() {
    let (_lab, program) = hello(Linking::Static, "hello-static");
    assert!(!needed(&program));
}

#[test]
fn with_pkg_config() {
    let (_lab, program) = hello(Linking::PkgConfig, "hello-pkg-config");
    assert!(needed(&program));
}
