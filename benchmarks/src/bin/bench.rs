//! `bench [SECTION..|all] [--quick] [--patient]`: see `benchmarks/README.md`.

use ringfence_benchmarks::table::Book;
use ringfence_benchmarks::{
    attach, barrier, broadcast, byte_ring, channel, condvar, event, hand_off, idle, limits, lock, messages, once,
    queue, ring, rwlock, semaphore, start, work_queue,
};

type Section = (&'static str, fn(&mut Book));

/// In the order of the table.
const SECTIONS: &[Section] = &[
    ("lock", lock::measure),
    ("semaphore", semaphore::measure),
    ("rwlock", rwlock::measure),
    ("event", event::measure),
    ("condvar", condvar::measure),
    ("barrier", barrier::measure),
    ("once", once::measure),
    ("queue", queue::measure),
    ("channel", channel::measure),
    ("work_queue", work_queue::measure),
    ("ring", ring::measure),
    ("records", byte_ring::measure),
    ("messages", messages::measure),
    ("hand_off", hand_off::measure),
    ("broadcast", broadcast::measure),
    ("blackboard", broadcast::blackboard),
    ("attach", attach::measure),
    ("start", start::measure),
    ("idle", idle::measure),
];

fn main() -> std::process::ExitCode {
    start::first();
    ringfence::process::init();
    let mut wanted = Vec::new();
    let (mut quick, mut patient) = (false, false);
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--patient" => patient = true,
            "--quick" => quick = true,
            "all" => wanted.clear(),
            section if SECTIONS.iter().any(|(name, _)| *name == section) => wanted.push(argument),
            _ => {
                let names: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
                eprintln!("usage: bench [{}|all].. [--quick] [--patient]", names.join("|"));
                return 2.into();
            }
        }
    }
    let mut book = Book::new(quick);
    if patient {
        book.patience = std::time::Duration::from_secs(60);
    }
    println!("one pause: {:.1} ns", limits::pause());
    limits::measure(&mut book);
    for (name, measure) in SECTIONS {
        if wanted.is_empty() || wanted.iter().any(|section| section == name) {
            measure(&mut book);
        }
    }
    book.summary();
    std::process::ExitCode::SUCCESS
}
