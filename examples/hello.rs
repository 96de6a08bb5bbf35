//! `cargo run --example hello`, as often as you like, then `examples/c/hello.c`.

use ringfence::{LockError, Mutex, Queue, Segment, SegmentOptions, Value};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seg = Segment::open_or_create("jobs", &SegmentOptions::new().size(16 << 20))?;
    let tasks = Queue::<u64>::open_or_create(&seg, "tasks", 1024)?;
    let state = Mutex::<[u64; 2]>::open_or_create(&seg, "state", [0, 0])?;
    let total = Value::<u64>::open_or_create(&seg, "total", 0)?;
    tasks.push(42)?; // waits for room; also try_push, push_timeout, push_deadline
    match state.lock() {
        Ok(mut s) => s[0] += 1, // committed when the guard goes
        // Somebody was killed holding it. Now it is ours, and we are told.
        Err(LockError::OwnerDied(mut s)) => {
            s[1] += 1;
            s.make_consistent();
        }
        Err(e) => return Err(e.to_string().into()),
    }
    println!("{} pushed so far; hello.c takes them", total.fetch_add(1) + 1);
    Ok(())
}
