//! hello.c, built the three ways that a program may find the library.

use std::process::Command;

use ringfence_ffi_tests::lab::{Lab, Linking, run_well, text};

fn hello(linking: Linking, name: &str) -> (Lab, std::path::PathBuf) {
    let lab = Lab::new(name);
    let program = lab.compile("c/hello.c", linking);
    assert_eq!(run_well(Command::new(&program).arg(lab.segment())), "hello 42 from ringfence 0.1.0\n");
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
