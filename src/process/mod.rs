//! Functions that other processes of the same program run.
//!
//! A process cannot be sent code, but the same program has the same functions: so a function is [registered](crate::register)
//! under a name, and the name travels.

mod catch;
mod function;
mod registry;

pub use catch::Panic;
pub use function::{BytesFunction, Function};
pub use registry::RegistryError;
#[doc(hidden)]
pub use registry::{Registration, inventory};
