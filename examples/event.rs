//! `cargo run --example event`: one process waits for an event as long as it takes, another for two seconds. The event is
//! set once the second has given up.

mod common;

use std::time::Duration;

use ringfence::{Event, Reset};

fn main() -> common::Outcome {
    let (crew, worker) = common::join("event")?;
    let event = Event::open_or_create(&crew.segment, "event", Reset::Manual)?;
    match worker {
        None => {
            let [mut patient, mut hasty] = [crew.start(0)?, crew.start(1)?];
            common::ended_well(hasty.wait()?)?;
            println!("the event is set");
            event.set()?;
            common::ended_well(patient.wait()?)?;
        }
        Some(0) => {
            event.wait()?;
            println!("waited as long as it took: {}", event.is_set()?);
        }
        Some(_) => println!("waited for two seconds: {}", event.wait_timeout(Duration::from_secs(2))?),
    }
    Ok(())
}
