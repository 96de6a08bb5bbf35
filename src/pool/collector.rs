//! The collector: the thread of a pool that receives what the workers send, and gives each answer to who waits for it.

use std::sync::Arc;
use std::time::Duration;

use super::answer;
use super::books::{Answers, Books, Phase};
use super::errors::Broken;
use crate::error::Error;
use crate::queue::RecvError;
use crate::sync::WaitAny;

/// Messages that are received at once.
const AT_ONCE: usize = 64;

/// Collects until the pool is over.
pub(super) fn collect(books: &Arc<Books>) {
    answer::collects(Arc::as_ptr(books).addr());
    loop {
        let received = receive(books);
        let mut damaged = false;
        let mut answers = Answers::new();
        let mut entries = books.entries();
        match received {
            Ok(messages) => messages.into_iter().for_each(|message| books.receive(&mut entries, message, &mut answers)),
            Err(error) => {
                books.give_up(&mut entries, Broken::Segment(error));
                damaged = true;
            }
        }
        if entries.phase.is_final() {
            let refusal = entries.phase.refusal();
            books.fail_all(&mut entries, &refusal, &mut answers);
        } else {
            books.refill(&mut entries, &mut answers);
        }
        let over = entries.crew_gone && entries.outstanding() == 0 && entries.phase != Phase::Open;
        drop(entries);
        for (sink, chunk) in answers {
            sink.answer(chunk);
        }
        if over {
            break;
        }
        if damaged {
            // No message comes any more, and the minder is ending the workers.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    books.entries().over = true;
    books.over.notify_all();
    // A worker in another language may wait for room.
    let _ = books.results.shutdown();
}

/// What the workers have sent; waits for it.
fn receive(books: &Books) -> Result<Vec<Vec<u8>>, Error> {
    if books.entries().congested {
        // Room comes without a message: from who reports a task done that was answered.
        let both = WaitAny::new([books.results.readable(), books.tasks.writable()])?;
        if both.wait().is_ok_and(|ready| !ready.contains(0)) {
            return Ok(Vec::new());
        }
    }
    match books.results.recv_many(AT_ONCE) {
        Ok(messages) => Ok(messages),
        Err(RecvError::Segment(error)) => Err(error),
        Err(RecvError::NoMemory { .. }) => Err(Error::NoMemory),
        Err(_) => Err(Error::Corrupted("the results of a pool")),
    }
}
