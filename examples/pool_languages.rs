//! A pool whose workers are programs in other languages: each argument is the command of one, to which the name of the pool is
//! added.
//!
//! ```sh
//! cargo build --features process && cargo build --features process --example pool_languages
//! cc -std=c11 -Iinclude examples/c/worker.c -Ltarget/debug -lringfence -Wl,-rpath,$PWD/target/debug -o target/worker
//! target/debug/examples/pool_languages target/worker "python3 examples/python/worker.py target/debug/libringfence.so"
//! ```

use std::collections::BTreeSet;
use std::error::Error;
use std::process::Command;

use ringfence::pool::PoolOptions;
use ringfence::process;

/// The workers in other languages have it, too: they are given its arguments in MessagePack.
fn square(x: u16) -> u32 {
    u32::from(x) * u32::from(x)
}

ringfence::register!(square);

fn main() -> Result<(), Box<dyn Error>> {
    process::init();
    let commands: Vec<String> = std::env::args().skip(1).collect();
    let name = format!("example-pool-languages-{}", std::process::id());
    // No workers of its own: they come by the name.
    let pool = PoolOptions::new().workers(0).segment_name(&name).create()?;
    let mut workers = Vec::new();
    for command in &commands {
        let mut words = command.split_whitespace();
        let program = words.next().ok_or("an empty command")?;
        workers.push(Command::new(program).args(words).arg(&name).spawn()?);
    }
    if workers.is_empty() {
        println!("no workers: see the head of examples/pool_languages.rs");
        return Ok(());
    }

    // Until each language has answered: which worker takes a task is not said.
    let mut languages = BTreeSet::new();
    while languages.len() < commands.len() {
        let asked: Vec<_> =
            commands.iter().map(|_| pool.apply_bytes_async("language", b"")).collect::<Result<_, _>>()?;
        for answer in asked {
            languages.insert(String::from_utf8(answer.get()?)?);
        }
    }
    println!("workers in {}", languages.into_iter().collect::<Vec<_>>().join(" and "));

    let words = ["from", "rust", "to", "everybody"];
    let shouted: Vec<_> =
        words.iter().map(|word| pool.apply_bytes_async("shout", word.as_bytes())).collect::<Result<_, _>>()?;
    for (word, loud) in words.iter().zip(shouted) {
        println!("{word} -> {}", String::from_utf8(loud.get()?)?);
    }
    // Longer than the pool's queue takes: the worker reads it where it lies.
    let megabytes = vec![3; 5 << 20];
    let sum = pool.apply_bytes("sum", &megabytes)?;
    println!("{} bytes, sum {}", megabytes.len(), u64::from_le_bytes(sum.as_slice().try_into()?));
    println!("squares {:?}", pool.map_chunked(square, [3, 200, 300, u16::MAX], 2)?);
    for task in ["refuse", "nobody does this"] {
        println!("{task}: {}", pool.apply_bytes(task, b"").unwrap_err());
    }

    pool.close()?;
    pool.join()?;
    for mut worker in workers {
        println!("a worker ended with {}", worker.wait()?);
    }
    Ok(())
}
