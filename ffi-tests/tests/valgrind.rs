//! The C and C++ programs under valgrind, without a finding. Slow, and valgrind may be absent: run with `--ignored`.

use std::process::Command;

use ringfence_ffi_tests::lab::{Lab, Linking, run, text};

#[test]
#[ignore = "slow: part of the long run"]
fn valgrind_finds_nothing() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("skipped: valgrind is not installed (apt-get install valgrind)");
        return;
    }
    let programs = [
        "../examples/c/hello.c",
        "c/segment.c",
        "c/mutex.c",
        "c/cell.c",
        "c/queue.c",
        "c/channel.c",
        "c/signal.c",
        "c/bad.c",
        "cpp/tour.cpp",
    ];
    let mut findings = Vec::new();
    for source in programs {
        let lab = Lab::new(&format!("valgrind-{}", source.replace('/', "-")));
        let program = lab.compile(source, Linking::Plain);
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--error-exitcode=99", "--leak-check=full", "--show-leak-kinds=definite,indirect", "-q"]);
        let output = run(valgrind.arg(program).arg(lab.segment()));
        if !output.status.success() || !output.stderr.is_empty() {
            findings.push(format!("{source}: {}\n{}", output.status, text(&output.stderr)));
        } else {
            println!("{source}: clean");
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}
