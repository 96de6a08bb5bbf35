//! Functions that other processes of the same program run.
//!
//! A process cannot be sent code, but the same program has the same functions: so a function is [registered](crate::register)
//! under a name, and the name travels. A [`Process`] is the program again, told to run one of them.
//!
//! ```no_run
//! use ringfence::process::{self, Process};
//!
//! fn greet(name: String) -> String {
//!     format!("hello {name}, I am {}", process::current_process().name)
//! }
//! ringfence::register!(greet);
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     process::init(); // first: in a child this runs the function, and does not return
//!     let mut child = Process::new(greet, ("world".to_owned(),))?;
//!     child.start()?;
//!     child.join()?;
//!     println!("{}", child.result()?);
//!     Ok(())
//! }
//! ```

mod catch;
mod child;
mod children;
mod errors;
mod function;
mod handle;
mod mailbox;
mod registry;

pub use catch::Panic;
pub(crate) use child::outlive;
pub use child::{
    ParentProcess, ProcessInfo, active_children, cpu_count, current_process, init, init_test, parent_process,
};
pub use errors::ProcessError;
pub use function::{BytesFunction, Function};
pub use handle::{Process, Stdio};
pub use registry::RegistryError;
pub(crate) use registry::{BYTES, CallError, named, of as registered};
#[doc(hidden)]
pub use registry::{Registration, inventory};
