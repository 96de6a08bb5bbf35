//! What runs in a worker of the pool's own: functions of this program, by their names.

use crate::error::Error;
use crate::process::{CallError, Panic, Registration, named};
use crate::segment::Segment;
use crate::sys::nap::Deadline;

use super::wire::{Outcome, ResultKind, Task, push_part};
use super::worker::{Desk, Failure, Reply};

/// A function and the encoded arguments that it is called with before the first task: name, signature, arguments.
pub(super) type Initializer = (String, String, Vec<u8>);

/// Runs the initializer, says so, and serves the pool.
pub(super) fn serve(
    segment: Segment,
    number: u32,
    most: Option<u64>,
    initializer: Option<Initializer>,
) -> Result<(), Error> {
    let desk = Desk::open(segment)?.numbered(number);
    if let Some((name, signature, arguments)) = initializer {
        let failure = match named(&name, &signature).map(|function| function.call(&arguments)) {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(failure(error)),
            Err(error) => Some((Outcome::NoFunction, error.to_string().into_bytes())),
        };
        if let Some((outcome, payload)) = failure {
            return desk.tell(ResultKind::NotReady, outcome, &payload);
        }
    }
    desk.tell(ResultKind::Ready, Outcome::Done, b"")?;
    let mut functions = Functions { last: None };
    desk.serve(most, Deadline::Forever, false, |task, payload, reply| functions.run(task, payload, reply)).map(drop)
}

/// The functions of this program.
struct Functions {
    /// The one that was called last: looking it up takes longer than comparing its name.
    last: Option<(String, String, &'static Registration)>,
}

impl Functions {
    fn run(&mut self, task: &Task<'_>, payload: &[u8], reply: &mut Reply) {
        let known =
            self.last.as_ref().filter(|(name, signature, _)| (&**name, &**signature) == (task.name, task.signature));
        let function = match known {
            Some((_, _, function)) => *function,
            None => match named(task.name, task.signature) {
                Ok(function) => {
                    self.last = Some((task.name.to_owned(), task.signature.to_owned(), function));
                    function
                }
                Err(error) => return reply.set(Outcome::NoFunction, error.to_string().as_bytes()),
            },
        };
        reply.run(task, payload, |arguments, result| function.call_into(arguments, result).map_err(failure));
    }
}

fn failure(error: CallError) -> Failure {
    match error {
        CallError::Arguments(error) => (Outcome::BadArguments, error.to_string().into_bytes()),
        CallError::Result(error) => (Outcome::NotEncodable, error.to_string().into_bytes()),
        CallError::Panicked(panic) => (Outcome::Panicked, parts(&panic)),
    }
}

fn parts(panic: &Panic) -> Vec<u8> {
    let mut parts = Vec::new();
    for text in [&panic.message, &panic.location, &panic.backtrace] {
        let _ = push_part(&mut parts, text.as_bytes());
    }
    parts
}
