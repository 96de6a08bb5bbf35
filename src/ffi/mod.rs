//! # ringfence: shared-memory IPC that survives kill -9
//!
//! This header is all a C or C++ program needs to know; so does anything that calls C (Python's ctypes, cffi, bindgen):
//! no macro and no inline function is needed to use what is declared here.
//!
//! ## What it is
//!
//! A *segment* is a piece of memory that several processes map. It has a name (`/dev/shm/ringfence.NAME`), or travels as
//! a file descriptor. In it live *objects*, each with a name of its own: mutexes, values, arrays, queues, channels, broadcasts,
//! blackboards. A
//! process opens the segment, opens the objects by name, and works with them; processes written in Rust, C, C++ or
//! Python work on the same objects.
//!
//! ```c
//! #include <ringfence.h>
//! #include <stdio.h>
//!
//! int main(int argc, char **argv) {
//!     const char *name = argc > 1 ? argv[1] : "jobs";
//!     rf_segment *seg; rf_queue *tasks; rf_mutex *guard; uint64_t task;
//!     if (rf_segment_open(name, RF_CREATE, 16 << 20, NULL, &seg) < 0
//!         || rf_queue_open(seg, "tasks", RF_CREATE, sizeof task, _Alignof(uint64_t), NULL, 1024, &tasks) < 0
//!         || rf_mutex_open(seg, "guard", RF_CREATE, &guard) < 0)
//!         return fprintf(stderr, "hello: %s\n", rf_last_error()), 1;
//!     int got = rf_mutex_lock(guard, RF_FOREVER);
//!     if (got == RF_OWNER_DIED) rf_mutex_make_consistent(guard); // killed while it held it: repair first
//!     while (rf_queue_pop(tasks, &task, 0) == RF_OK) // each 42 from Rust; RF_FOREVER waits for one
//!         printf("task %llu\n", (unsigned long long)task);
//!     if (got >= 0) rf_mutex_unlock(guard);
//!     rf_mutex_close(guard); rf_queue_close(tasks); rf_segment_close(seg);
//!     return rf_segment_unlink(name) < 0;
//! }
//! ```
//!
//! Build it with `cc hello.c $(pkg-config --cflags --libs ringfence)`.
//!
//! ## What it promises
//!
//! SIGKILL of any process at any instruction, several one after another: the others go on, within a quarter of a second.
//! No message whose push or send has returned is lost, doubled or torn; nothing leaks for good; and whoever takes over a
//! lock that the dead held is told so (`RF_OWNER_DIED`). A message whose pop has taken it dies with the process that
//! took it.
//!
//! A stopped process (SIGSTOP, a debugger, swapping) is not a dead one: death is what the kernel says, never a time-out.
//!
//! ## Conventions
//!
//! - **Status.** A function that can fail returns an `int`: `RF_OK`, a positive status (done, with a remark), or a
//!   negative one (failed). See "Status codes and errors".
//! - **Out-parameters** are written only when the call did what it was asked; exceptions say so. They stand last, but for
//!   a time-out.
//! - **Handles.** Each open gives one handle, which belongs to the caller and is given back by the one `_close` of its
//!   type, once, when no other thread is using it. `_close(NULL)` does nothing. Closing a handle destroys nothing in the
//!   segment: the object stays for others and for later. An object's handle keeps the mapping; the order of closing is
//!   free.
//! - **Names** are NUL-terminated. Segments: 1 to 200 characters of `A-Z a-z 0-9 . _ -`. Objects: 1 to 63 bytes of UTF-8.
//! - **Flags** are those of `rf_flags`, or-ed. Without `RF_CREATE` an open finds what is there or fails with
//!   `RF_E_MISSING`; with it, it makes what is not there; with `RF_CREATE | RF_EXCL` it fails with `RF_E_EXISTS` if it is.
//! - **Time-outs** are `int64_t` nanoseconds on the monotonic clock: `RF_FOREVER` waits for ever, 0 and every other
//!   negative value tries once and does not wait.
//! - **Signals.** A wait goes on with its deadline after a signal handler ran; with a handle opened `RF_INTERRUPTIBLE` it
//!   returns `RF_E_INTERRUPTED` instead. That is told of a handler that ended a sleep. One that runs before the first sleep,
//!   or between two (a sleeper looks every 100 ms), ends nothing: who must not miss one has the handler set a flag, and
//!   waits in slices of a second.
//! - **Bad arguments.** NULL where something is needed, an unknown flag or enum value, a length beyond the address space:
//!   `RF_E_INVALID`, nothing done. A pointer that is neither NULL nor valid cannot be detected.
//! - **errno** is left as it was.
//!
//! ## Threads
//!
//! Every function may be called from any thread, at any time, on the same handle too: where a handle is `const` the call
//! excludes no other. What is not `const` (`_close`, and all calls of an end of a ring) needs the handle for itself. No function but `rf_status_str` may be
//! called from a signal handler.
//!
//! Locks belong to *threads*: the thread that locked unlocks. A thread that ends while holding a lock counts as dead for
//! that lock.
//!
//! ## Processes
//!
//! - **fork.** The child may use every handle of the parent, and becomes a participant of its own at its first call. It
//!   owns nothing: locks that the parent held at the fork are the parent's. The child's `_close` touches nothing of the
//!   parent's. A fork while another thread is in the middle of a call of ours is safe; a vfork child may call nothing.
//! - **exec** ends a participant as death does, and gives back what it held as owner died.
//! - **kill.** Nothing to do. Whoever needs what the dead held finds out by itself; `rf_segment_recover` makes it happen
//!   now.
//!
//! ## Caveats
//!
//! - Death is noticed when the address space is gone: a vfork child that has not called exec, a process that shares its
//!   memory (CLONE_VM) or a core dump that is being written delays it.
//! - Participants of a segment run as users who may write it, and trust each other not to be malicious. A faulty peer that
//!   writes garbage gets you `RF_E_CORRUPTED`, never a crash and never an endless loop, with two exceptions: a peer that
//!   forges a living owner can block waits without a time-out, and a peer that truncates the file of a named segment
//!   causes SIGBUS.
//! - A segment lives until it is unlinked. One whose processes all died stays in /dev/shm: the next `rf_segment_open`
//!   recovers it, or, if it was made with RF_UNLINK_WITH_LAST, `rf_segment_sweep` removes it.
//! - In a container /dev/shm is often limited to 64 MiB: a segment that does not fit is `RF_E_NO_SPACE` when it is made,
//!   never a crash later.

// The names are C's.
#![allow(non_camel_case_types)]

mod argument;
mod array;
mod barrier;
mod blackboard;
mod boundary;
mod broadcast;
mod byte_ring;
mod channel;
mod condvar;
mod convert;
mod element;
mod event;
mod flag;
mod listing;
mod log;
mod mutex;
mod once;
mod once_value;
mod opening;
mod pipe;
mod queue;
mod ready_fd;
mod reentrant_mutex;
mod rwlock;
mod segment;
mod semaphore;
mod spsc;
mod status;
mod value;
mod version;
mod wait_any;
mod work_queue;
mod worker;
