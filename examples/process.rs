//! `cargo run --example process --features process`: functions in processes of their own. What their parent sees of them before,
//! while and after they run; daemons; time-outs; exit codes; a struct with a method that runs elsewhere.

use std::io::{BufRead, BufReader, pipe};
use std::time::Duration;

use ringfence::process::{self, Process, ProcessError, Stdio};
use serde::{Deserialize, Serialize};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn wait_for_ever() {
    println!("{} waits", process::current_process().name);
    loop {
        std::thread::park();
    }
}

fn returns() {}

fn returns_a_value() -> i32 {
    1
}

fn exits_with_1() {
    std::process::exit(1);
}

fn panics() {
    panic!("there was an error");
}

fn introduce(number: u32) {
    println!("{} is number {number}", process::current_process().name);
}

/// A process of one's own kind: what it needs, and what it does.
#[derive(Serialize, Deserialize)]
struct Greeter {
    greeting: String,
    whom: Vec<String>,
}

impl Greeter {
    fn run(self) -> Vec<String> {
        self.whom.iter().map(|name| format!("{} {name}", self.greeting)).collect()
    }
}

ringfence::register!(wait_for_ever);
ringfence::register!(returns);
ringfence::register!(returns_a_value);
ringfence::register!(exits_with_1);
ringfence::register!(panics);
ringfence::register!(introduce);
ringfence::register!(Greeter::run as "Greeter::run");

fn main() -> Outcome {
    // Children of this program begin, and end, here.
    process::init();

    let (reader, writer) = pipe()?;
    let mut child = Process::new(wait_for_ever, ())?;
    child.set_name("patient")?.set_stdout(Stdio::Descriptor(writer.into()))?;
    let show = |when: &str, child: &Process| -> Outcome {
        println!("{when}: alive {}, exit code {:?}", child.is_alive()?, child.exit_code()?);
        Ok(())
    };
    show("before", &child)?;
    child.start()?;
    let mut said = String::new();
    BufReader::new(reader).read_line(&mut said)?;
    print!("{said}");
    show("during", &child)?;
    println!(
        "joined in 10 ms: {}",
        !matches!(child.join_timeout(Duration::from_millis(10)), Err(ProcessError::TimedOut))
    );
    println!("active: {:?}", process::active_children()?.iter().map(|child| &*child.name).collect::<Vec<_>>());
    child.terminate()?;
    child.join()?;
    show("after", &child)?;
    println!("active: {}", process::active_children()?.len());

    let mut five = [
        ("exits with 1", Process::new(exits_with_1, ())?),
        ("returns", Process::new(returns, ())?),
        // A value is a result, and no exit code.
        ("panics", Process::new(panics, ())?),
        ("is terminated", Process::new(wait_for_ever, ())?),
    ];
    let mut value = Process::new(returns_a_value, ())?;
    value.start()?;
    for (_, child) in &mut five {
        child.set_stdout(Stdio::Null)?.set_stderr(Stdio::Null)?.start()?;
    }
    five[3].1.terminate()?;
    for (what, child) in &mut five {
        child.join()?;
        println!("{what}: {:?}", child.exit_code()?);
        if let Err(ProcessError::Panicked(panic)) = child.result() {
            println!("it said: {}", panic.message);
        }
    }
    value.join()?;
    println!("returns a value: {:?}, and the value is {}", value.exit_code()?, value.result()?);

    for number in 0..5 {
        let mut child = Process::new(introduce, (number,))?;
        child.set_name(format!("worker-{number}"))?.start()?;
        child.join()?;
    }

    let greeter = Greeter { greeting: "hello".to_owned(), whom: vec!["ring".to_owned(), "fence".to_owned()] };
    let mut child = Process::new(Greeter::run, (greeter,))?;
    child.start()?;
    child.join()?;
    println!("{:?}", child.result()?);
    println!("a core at least: {}", process::cpu_count() >= 1);

    // Nobody joins these. The daemon would wait for ever: it is ended when `main` returns, and the other is waited for.
    let mut daemon = Process::new(wait_for_ever, ())?;
    daemon.set_daemon(true)?.set_stdout(Stdio::Null)?.start()?;
    let mut last = Process::new(introduce, (5,))?;
    last.set_name("worker-5")?.start()?;
    Ok(())
}
