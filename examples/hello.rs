//! Hello through shared memory: `cargo run --example hello`, as often as you like, then `examples/c/hello.c`.

use ringfence::{LockError, Mutex, Queue, Segment, SegmentOptions, Value};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let segment = Segment::open_or_create("hello", &SegmentOptions::new().size(1 << 20))?;
    let visits = Value::<u64>::open_or_create(&segment, "visits", 0)?;
    let inbox = Queue::<u64>::open_or_create(&segment, "inbox", 16)?;
    let account = Mutex::<[i64; 2]>::open_or_create(&segment, "account", [100, 0])?;

    let visitor = visits.fetch_add(1) + 1;
    match account.lock() {
        Ok(mut sides) => *sides = [sides[0] - 1, sides[1] + 1],
        // Somebody was killed holding the lock. Now we hold it, and the data is that of the last commit.
        Err(LockError::OwnerDied(mut sides)) => {
            sides.make_consistent();
        }
        Err(error) => return Err(error.to_string().into()),
    }
    let sent = inbox.try_push(visitor).is_ok();
    println!("visitor {visitor}; {}", if sent { "hello.c will read it" } else { "the inbox is full" });
    Ok(())
}
