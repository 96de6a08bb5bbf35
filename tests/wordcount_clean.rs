//! The README's first command, in a fresh clone: nothing built yet, so nothing old can stand in for what is missing.

use std::path::PathBuf;
use std::process::Command;

/// A build folder of its own, gone afterwards.
struct Target(PathBuf);

impl Drop for Target {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_c_worker_takes_part_in_the_first_run_of_all() {
    let target = Target(std::env::temp_dir().join(format!("ringfence-test-clean-{}", std::process::id())));
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["run", "--locked", "--quiet", "--release", "--features", "process", "--example", "wordcount"])
        .env("CARGO_TARGET_DIR", &target.0)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    assert!(said.contains("check: equal"), "{said}{errors}");
    assert!(said.contains("with SIGKILL"), "{said}{errors}");

    let chosen = std::env::var("CC").unwrap_or_default();
    let mut compilers = [chosen.as_str(), "cc", "gcc", "clang"].into_iter().filter(|name| !name.is_empty());
    if compilers.any(|name| Command::new(name).arg("--version").output().is_ok()) {
        assert!(said.contains("workers: C "), "{said}{errors}");
    } else {
        assert!(errors.contains("going on without a C worker: no C compiler found"), "{said}{errors}");
    }
}
