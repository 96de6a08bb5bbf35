//! `bench [lock|event|condvar|queue|channel|attach|idle|all] [--quick] [--patient]`: see `benchmarks/README.md`.

use ringfence_benchmarks::table::Book;
use ringfence_benchmarks::{attach, channel, condvar, event, idle, limits, lock, queue, rwlock, semaphore};

const USAGE: &str = "usage: bench [lock|event|condvar|queue|channel|attach|idle|all] [--quick] [--patient]";

fn main() -> std::process::ExitCode {
    let mut what = String::from("all");
    let (mut quick, mut patient) = (false, false);
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--patient" => patient = true,
            "--quick" => quick = true,
            "lock" | "event" | "condvar" | "queue" | "channel" | "attach" | "idle" | "all" => what = argument,
            _ => {
                eprintln!("{USAGE}");
                return 2.into();
            }
        }
    }
    let mut book = Book::new(quick);
    if patient {
        book.patience = std::time::Duration::from_secs(60);
    }
    let wanted = |name: &str| what == "all" || what == name;
    println!("one pause: {:.1} ns", limits::pause());
    limits::measure(&mut book);
    if wanted("lock") {
        lock::measure(&mut book);
        semaphore::measure(&mut book);
        rwlock::measure(&mut book);
    }
    if wanted("event") {
        event::measure(&mut book);
    }
    if wanted("lock") || wanted("condvar") {
        condvar::measure(&mut book);
    }
    if wanted("queue") {
        queue::measure(&mut book);
    }
    if wanted("channel") {
        channel::measure(&mut book);
    }
    if wanted("attach") {
        attach::measure(&mut book);
    }
    if wanted("idle") {
        idle::measure(&mut book);
    }
    book.summary();
    std::process::ExitCode::SUCCESS
}
