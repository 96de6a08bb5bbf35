//! The gate's share of the crash rig: a sample of the kill points of every scenario, and every negative control.
//!
//! A program of its own (no test harness): victims are forked, and a fork wants a single thread.

use ringfence_crash_tests::jobs::default_jobs;
use ringfence_crash_tests::os::supervise;
use ringfence_crash_tests::run;
use ringfence_crash_tests::scenario::Options;

fn main() {
    supervise(|| {
        let (passed, failed) = run(&Options::sample(12), None, default_jobs());
        i32::from(failed > 0 || passed == 0)
    });
}
