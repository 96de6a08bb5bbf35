//! `cargo run --release -p ringfence-crash-tests --bin crash-rig -- --full`: the crash rig, in full or in part.

use ringfence_crash_tests::jobs::default_jobs;
use ringfence_crash_tests::os::supervise;
use ringfence_crash_tests::scenario::Options;
use ringfence_crash_tests::{catalogue, run};

const USAGE: &str = "\
crash-rig [--full | --points N] [--stride N] [--offset N] [--only TEXT] [--jobs N] [--list]
  --full       every kill point (a part, where others run beside more than 1000 instructions, and of several victims)
  --points N   about N kill points a scenario (default 60)
  --stride N   kill after every N-th instruction only
  --offset N   and begin with the N-th
  --only TEXT  only scenarios whose name contains TEXT
  --jobs N     scenarios at the same time (default: as many as processors)
  --list       the names of all scenarios";

fn main() {
    let mut options = Options::sample(60);
    let mut only = None;
    let mut jobs = default_jobs();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse().ok()).unwrap_or_else(|| usage());
        match argument.as_str() {
            "--full" => options.budget = None,
            "--points" => options.budget = Some(number()),
            "--stride" => options.stride = number().max(1),
            "--offset" => options.offset = number(),
            "--jobs" => jobs = number() as usize,
            "--only" => only = Some(arguments.next().unwrap_or_else(|| usage())),
            "--list" => {
                catalogue().iter().for_each(|scenario| println!("{}", scenario.name));
                return;
            }
            _ => usage(),
        }
    }
    supervise(|| {
        let (passed, failed) = run(&options, only.as_deref(), jobs);
        i32::from(failed > 0 || passed == 0)
    });
}

fn usage() -> ! {
    eprintln!("{USAGE}");
    std::process::exit(2)
}
