//! `cargo run --example pipe`: a pipe to a process that sends back what it gets, both ways, and one from a process that is
//! killed, one way. Messages keep their borders, the empty one and one longer than the pipe's ring included; when the last copy
//! of the other end is gone, a reader is at the end of file, and a writer has a broken pipe.

mod common;

use std::time::Duration;

use ringfence::{End, Pipe, RecvError, SendError};

const RING: usize = 4096;

fn main() -> common::Outcome {
    let (crew, worker) = common::join("pipe")?;
    let segment = &crew.segment;
    match worker {
        None => {
            let talk = Pipe::open_or_create(segment, "talk", End::First, RING)?;
            let mut answering = crew.start(0)?;
            println!("something there before we ask: {}", talk.poll(Some(Duration::ZERO))?);
            for message in [&b"hello"[..], b"", &[7; 1 << 20]] {
                talk.send(message)?;
                let there = talk.poll(None)?; // takes nothing
                println!("sent {} bytes, the same came back: {}", message.len(), there && talk.recv()? == message);
            }
            drop(talk);
            common::ended_well(answering.wait()?)?;

            // The first end of a one-way pipe receives. Until somebody has come to the other one, it waits.
            let news = Pipe::open_or_create_one_way(segment, "news", End::First, RING)?;
            let mut writing = crew.start(1)?;
            println!("news: {}", String::from_utf8(news.recv()?)?);
            writing.kill()?;
            // What it sent comes first.
            let end = std::iter::repeat_with(|| news.recv()).find_map(Result::err);
            println!("end of file after a kill: {}", end == Some(RecvError::EndOfFile));
            writing.wait()?;

            let (reader, writer) = Pipe::one_way(segment, "unread", RING)?;
            drop(reader);
            println!("a broken pipe without a reader: {}", writer.send(b"anybody?") == Err(SendError::BrokenPipe));
        }
        Some(0) => {
            let talk = Pipe::open(segment, "talk", End::Second)?;
            loop {
                match talk.recv() {
                    Ok(message) => talk.send(&message)?,
                    Err(RecvError::EndOfFile) => break println!("end of file after a close"),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Some(_) => {
            let news = Pipe::open(segment, "news", End::Second)?;
            loop {
                news.send(b"still alive")?; // until it is killed
            }
        }
    }
    Ok(())
}
