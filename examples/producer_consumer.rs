//! `cargo run --example producer_consumer`: one process pushes numbers into a queue with room for four and says how many it
//! holds, another pops them until the queue is shut down and empty. Before they start, what a call says that does not wait, or
//! not for ever.

mod common;

use std::time::Duration;

use ringfence::{PopError, PushError, Queue};

const ROOM: u64 = 4;
const ITEMS: u64 = 10;

fn main() -> common::Outcome {
    let (crew, worker) = common::join("producer-consumer")?;
    let queue = Queue::<u64>::open_or_create(&crew.segment, "numbers", ROOM as usize)?;
    match worker {
        None => {
            let soon = Duration::from_millis(10);
            let errors = (queue.try_pop(), queue.pop_timeout(soon));
            println!("nothing to pop: {}", errors == (Err(PopError::Empty), Err(PopError::TimedOut)));
            for number in 0..ROOM {
                queue.try_push(number)?;
            }
            // The number that was not pushed comes back.
            let errors = (queue.try_push(99), queue.push_timeout(99, soon));
            println!(
                "full with {}: {}",
                queue.len(),
                errors == (Err(PushError::Full(99)), Err(PushError::TimedOut(99)))
            );
            for mut worker in [crew.start(0)?, crew.start(1)?] {
                common::ended_well(worker.wait()?)?;
            }
            println!("empty at the end: {}", queue.is_empty());
        }
        Some(0) => {
            for number in ROOM..ITEMS {
                queue.push(number)?; // waits for room
                println!("pushed {number}, the queue holds {}", queue.len());
            }
            // No item has to tell the consumer that this was the last.
            queue.shutdown()?;
        }
        Some(_) => loop {
            match queue.pop() {
                Ok(number) => println!("popped {number}"),
                Err(PopError::Closed) => break println!("shut down and empty"),
                Err(error) => return Err(error.into()),
            }
        },
    }
    Ok(())
}
