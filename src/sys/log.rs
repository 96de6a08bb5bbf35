//! What happens to processes and to what they left, said to people: starts, ends, deaths, recoveries, second deliveries.
//!
//! Off at first; then an event costs one load, and there are none on the way of an operation. It goes to the standard error, or
//! to a function; with the feature `tracing` also, and independently, to whoever subscribes.

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

use crate::primitive::{AtomicPtr, AtomicU32, Ordering};

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LogLevel {
    /// Something cannot be done.
    Error = 1,
    /// A process died, or what it did is done again.
    Warning = 2,
    /// Processes start and end.
    Info = 3,
    /// What is of use to who looks for an error.
    Debug = 4,
}

/// The variable that turns it on from outside.
const VARIABLE: &str = "RINGFENCE_LOG";

const UNREAD: u32 = u32::MAX;

/// The greatest level that is told; 0 for none.
static LEVEL: AtomicU32 = AtomicU32::new(UNREAD);

/// A `fn(LogLevel, &str)`; null for the standard error.
static SINK: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

static NAME: OnceLock<String> = OnceLock::new();

impl LogLevel {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Error, Self::Warning, Self::Info, Self::Debug];

    /// Its name, in capitals.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Prints events of this level and of those that matter more to the standard error, one line each:
/// `[LEVEL/process-name] text`.
///
/// What is printed: processes that start and end, participants that were found dead and what was done about it, messages that are
/// delivered again; of a pool workers that end or are replaced, tasks that are begun again or fail with their worker, and that it
/// gives up. The texts are for people, and may change.
///
/// The variable `RINGFENCE_LOG`, one of `off`, `error`, `warning`, `info` and `debug`, does the same for a program that does not
/// call this, in any language; children inherit it. A call has precedence, in the process that makes it.
///
/// ```
/// ringfence::log_to_stderr(ringfence::LogLevel::Info);
/// ringfence::log_off();
/// ```
pub fn log_to_stderr(level: LogLevel) {
    SINK.store(core::ptr::null_mut(), Ordering::Release);
    LEVEL.store(level as u32, Ordering::Relaxed);
}

/// Hands the same events to a function, on the thread on which each happens, possibly to several at once. It must not use this
/// library, and should not take long.
///
/// ```
/// use ringfence::LogLevel;
///
/// fn keep(level: LogLevel, text: &str) {
///     eprintln!("{level}: {text}");
/// }
/// ringfence::set_log(LogLevel::Warning, keep);
/// # ringfence::log_off();
/// ```
pub fn set_log(level: LogLevel, sink: fn(LogLevel, &str)) {
    // Release: pairs with the Acquire in `tell`.
    SINK.store(sink as *mut (), Ordering::Release);
    LEVEL.store(level as u32, Ordering::Relaxed);
}

/// Tells nothing any more, whatever `RINGFENCE_LOG` says.
pub fn log_off() {
    LEVEL.store(0, Ordering::Relaxed);
}

/// Under which name this process tells. Once; `MainProcess` if nobody says.
pub fn set_process_name(name: &str) {
    let _ = NAME.set(name.to_owned());
}

/// Whether events of this level are told.
#[inline]
pub fn is_on(level: LogLevel) -> bool {
    // Relaxed: an event more or less while it is turned on or off.
    let most = match LEVEL.load(Ordering::Relaxed) {
        UNREAD => read(),
        most => most,
    };
    level as u32 <= most
}

#[cold]
fn read() -> u32 {
    let text = std::env::var_os(VARIABLE);
    let text = text.as_deref().map(|text| text.to_string_lossy().to_lowercase());
    let level = parse(text.as_deref().unwrap_or_default());
    if LEVEL.compare_exchange(UNREAD, level.unwrap_or(0), Ordering::Relaxed, Ordering::Relaxed).is_ok()
        && level.is_none()
    {
        print(&format!("ringfence: {VARIABLE} is off, error, warning, info or debug\n"));
    }
    LEVEL.load(Ordering::Relaxed)
}

fn parse(text: &str) -> Option<u32> {
    match text {
        "" | "off" => Some(0),
        "warn" => Some(LogLevel::Warning as u32),
        text => LogLevel::ALL.into_iter().find(|level| level.name().to_lowercase() == text).map(|level| level as u32),
    }
}

/// Tells of an event: here, if that is on, and to whoever subscribes.
pub fn tell(level: LogLevel, text: fmt::Arguments<'_>) {
    #[cfg(feature = "tracing")]
    match level {
        LogLevel::Error => tracing::error!("{text}"),
        LogLevel::Warning => tracing::warn!("{text}"),
        LogLevel::Info => tracing::info!("{text}"),
        LogLevel::Debug => tracing::debug!("{text}"),
    }
    tell_here(level, text);
}

/// The same where subscribers are told otherwise.
pub fn tell_here(level: LogLevel, text: fmt::Arguments<'_>) {
    if is_on(level) {
        hand_over(level, text);
    }
}

#[cold]
fn hand_over(level: LogLevel, text: fmt::Arguments<'_>) {
    let text = text.as_str().map_or_else(|| Cow::Owned(text.to_string()), Cow::Borrowed);
    // Acquire: pairs with the Release in `set_log`.
    let sink = SINK.load(Ordering::Acquire);
    if sink.is_null() {
        print(&format!("[{level}/{}] {text}\n", NAME.get().map_or("MainProcess", String::as_str)));
    } else {
        // SAFETY: what is not null there was a `fn(LogLevel, &str)`, which lives as long as the program.
        let sink: fn(LogLevel, &str) = unsafe { core::mem::transmute(sink) };
        sink(level, &text);
    }
}

/// One line by one call, so that those of several processes do not mix; and without the lock of the standard library's stream,
/// which a fork copies as it is.
fn print(line: &str) {
    let mut rest = line.as_bytes();
    while !rest.is_empty() {
        match rustix::io::write(std::io::stderr(), rest) {
            Ok(written) => rest = &rest[written..],
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_has_five_values() {
        let found = ["off", "error", "warning", "info", "debug", "", "warn", "loud", "1"].map(parse);
        assert_eq!(found, [Some(0), Some(1), Some(2), Some(3), Some(4), Some(0), Some(2), None, None]);
    }
}
