//! The functions of this program that other processes may be told to run, by name.
//!
//! Each [`register!`](crate::register) is a constant that the linker collects (crate `inventory`): every process of the program
//! has the same ones, whatever it has run so far. A function is found by the type of its item, which is its own: addresses
//! are not, since equal functions may be merged. What travels is the name and the text of the signature, so that a program
//! built otherwise is an error and not a wrong decoding.

use std::any::{TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

pub use inventory;

use super::catch::{Panic, catch};
use super::function::{BytesFunction, Function};
use crate::typed::{DecodeError, EncodeError, Portable, codec};

/// A function under its name.
#[doc(hidden)]
pub struct Registration {
    name: &'static str,
    place: &'static str,
    item: fn() -> TypeId,
    signature: fn() -> &'static str,
    call: Call,
}

/// The call of one function, by the bytes of its arguments to those of its result, which are appended.
#[doc(hidden)]
pub type Call = fn(&[u8], &mut Vec<u8>) -> Result<(), CallError>;

inventory::collect!(Registration);

/// Why a call has no result.
#[doc(hidden)]
#[derive(Debug)]
pub enum CallError {
    /// The bytes are no arguments of this function.
    Arguments(DecodeError),
    /// It panicked.
    Panicked(Panic),
    /// What it returned has no message.
    Result(EncodeError),
}

impl Registration {
    /// For `register!`: `call` is a closure that captures nothing and calls [`typed`](Self::typed).
    pub const fn new<F: Function<Args>, Args>(name: &'static str, place: &'static str, _: F, call: Call) -> Self {
        Self { name, place, item: TypeId::of::<F>, signature: type_name::<fn(Args) -> F::Output>, call }
    }

    /// For `register_bytes!`, as [`new`](Self::new).
    pub const fn of_bytes<F: BytesFunction>(name: &'static str, place: &'static str, _: F, call: Call) -> Self {
        Self { name, place, item: TypeId::of::<F>, signature: || BYTES, call }
    }

    /// Decodes, calls, encodes. All of that is the user's code, whose panics are caught; then nothing is appended.
    pub fn typed<F: Function<Args>, Args: Portable>(
        function: F,
        arguments: &[u8],
        result: &mut Vec<u8>,
    ) -> Result<(), CallError> {
        let start = result.len();
        let called = catch(|| {
            let arguments = codec::decode_slice(arguments).map_err(CallError::Arguments)?;
            let value = function.call(arguments);
            codec::encode_into(&value, result).map_err(CallError::Result)
        });
        let called = called.unwrap_or_else(|panic| Err(CallError::Panicked(panic)));
        if called.is_err() {
            // Of a value that panics, or fails, in the middle of its encoding.
            result.truncate(start);
        }
        called
    }

    /// Calls.
    pub fn bytes<F: BytesFunction>(function: F, argument: &[u8], result: &mut Vec<u8>) -> Result<(), CallError> {
        let bytes = catch(|| function(argument)).map_err(CallError::Panicked)?;
        if result.is_empty() {
            *result = bytes;
        } else {
            result.extend_from_slice(&bytes);
        }
        Ok(())
    }

    /// The name it travels under.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// What it takes and gives, for people and to compare.
    pub(crate) fn signature(&self) -> &'static str {
        (self.signature)()
    }

    /// Runs it on encoded arguments.
    pub(crate) fn call(&self, arguments: &[u8]) -> Result<Vec<u8>, CallError> {
        let mut result = Vec::new();
        self.call_into(arguments, &mut result)?;
        Ok(result)
    }

    /// The same; the result is appended, and nothing if there is none.
    pub(crate) fn call_into(&self, arguments: &[u8], result: &mut Vec<u8>) -> Result<(), CallError> {
        (self.call)(arguments, result)
    }
}

/// The signature of a function of bytes.
pub(crate) const BYTES: &str = "bytes";

/// A function that cannot be told to another process, or that this one was told and does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistryError {
    /// No `register!` names it.
    NotRegistered {
        /// Its path.
        function: String,
    },
    /// No function of this program has the name.
    Unknown {
        /// It.
        name: String,
    },
    /// Two have the same name.
    Duplicate {
        /// It.
        name: String,
        /// Where one and the other was registered: `file:line`.
        places: [String; 2],
    },
    /// The function of that name takes or returns something else.
    Mismatch {
        /// The name.
        name: String,
        /// What the caller has.
        expected: String,
        /// What is registered here.
        found: String,
    },
}

impl RegistryError {
    /// To travel: which it is, and its texts in the order in which they are declared.
    pub(super) fn into_parts(self) -> (u8, Vec<String>) {
        match self {
            Self::NotRegistered { function } => (0, vec![function]),
            Self::Unknown { name } => (1, vec![name]),
            Self::Duplicate { name, places: [one, other] } => (2, vec![name, one, other]),
            Self::Mismatch { name, expected, found } => (3, vec![name, expected, found]),
        }
    }

    /// Back from what travelled.
    pub(super) fn from_parts((which, texts): (u8, Vec<String>)) -> Option<Self> {
        let mut texts = texts.into_iter();
        let mut next = || texts.next();
        Some(match which {
            0 => Self::NotRegistered { function: next()? },
            1 => Self::Unknown { name: next()? },
            2 => Self::Duplicate { name: next()?, places: [next()?, next()?] },
            3 => Self::Mismatch { name: next()?, expected: next()?, found: next()? },
            _ => return None,
        })
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRegistered { function } => {
                write!(f, "`{function}` is not registered: write `ringfence::register!` with it, in this program")
            }
            Self::Unknown { name } => write!(f, "no function of this program is registered as \"{name}\""),
            Self::Duplicate { name, places: [one, other] } => {
                write!(f, "two functions are registered as \"{name}\", at {one} and at {other}: give one another name")
            }
            Self::Mismatch { name, expected, found } => {
                write!(f, "\"{name}\" is `{found}` in this program, and `{expected}` was asked for")
            }
        }
    }
}

impl std::error::Error for RegistryError {}

/// All registrations, by item and by name.
struct Registry {
    by_item: HashMap<TypeId, &'static Registration>,
    by_name: HashMap<&'static str, &'static Registration>,
    /// Names that are taken twice: whoever asks for one is told, and nobody else.
    duplicate: HashMap<&'static str, [&'static str; 2]>,
}

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| Registry::new(inventory::iter::<Registration>()))
}

impl Registry {
    fn new(all: impl IntoIterator<Item = &'static Registration>) -> Self {
        let mut registry = Self { by_item: HashMap::new(), by_name: HashMap::new(), duplicate: HashMap::new() };
        for registration in all {
            registry.by_item.insert((registration.item)(), registration);
            if let Some(other) = registry.by_name.insert(registration.name, registration) {
                registry.duplicate.insert(registration.name, [other.place, registration.place]);
            }
        }
        registry
    }

    fn unique(&self, registration: &'static Registration) -> Result<&'static Registration, RegistryError> {
        match self.duplicate.get(registration.name) {
            None => Ok(registration),
            Some(places) => {
                Err(RegistryError::Duplicate { name: registration.name.to_owned(), places: places.map(str::to_owned) })
            }
        }
    }
}

/// The registration of a function item.
pub(crate) fn of<F: 'static>(_: F) -> Result<&'static Registration, RegistryError> {
    match registry().by_item.get(&TypeId::of::<F>()) {
        Some(registration) => registry().unique(registration),
        None => Err(RegistryError::NotRegistered { function: type_name::<F>().to_owned() }),
    }
}

/// The function of that name, if it has that signature.
pub(crate) fn named(name: &str, signature: &str) -> Result<&'static Registration, RegistryError> {
    let found = registry().by_name.get(name).ok_or_else(|| RegistryError::Unknown { name: name.to_owned() })?;
    let found = registry().unique(found)?;
    if found.signature() != signature {
        return Err(RegistryError::Mismatch {
            name: name.to_owned(),
            expected: signature.to_owned(),
            found: found.signature().to_owned(),
        });
    }
    Ok(found)
}

/// Puts functions under a name, so that other processes of this program can be told to run them.
///
/// Once for each function, anywhere in the program (or in a library it uses), outside of any function. The name is the
/// function's own, or the one given; it has to be the only one in the program.
///
/// ```
/// fn square(x: u64) -> u64 {
///     x * x
/// }
///
/// fn shout(text: String, times: usize) -> String {
///     text.to_uppercase().repeat(times)
/// }
///
/// ringfence::register!(square);
/// ringfence::register!(shout as "text.shout");
/// ```
///
/// What it takes and returns is any type that serde can encode and decode. See [`Function`](crate::process::Function).
#[macro_export]
macro_rules! register {
    ($function:ident) => {
        $crate::register!($function as stringify!($function));
    };
    ($function:path as $name:expr) => {
        $crate::process::inventory::submit! {
            $crate::process::Registration::new(
                $name,
                concat!(file!(), ":", line!()),
                $function,
                |arguments, result| $crate::process::Registration::typed($function, arguments, result),
            )
        }
    };
}

/// As [`register!`](crate::register), for a function of bytes, `fn(&[u8]) -> Vec<u8>`: nothing is encoded, and the argument is
/// borrowed from shared memory.
///
/// ```
/// fn sum(bytes: &[u8]) -> Vec<u8> {
///     bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>().to_le_bytes().to_vec()
/// }
///
/// ringfence::register_bytes!(sum);
/// ```
#[macro_export]
macro_rules! register_bytes {
    ($function:ident) => {
        $crate::register_bytes!($function as stringify!($function));
    };
    ($function:path as $name:expr) => {
        $crate::process::inventory::submit! {
            $crate::process::Registration::of_bytes(
                $name,
                concat!(file!(), ":", line!()),
                $function,
                |argument, result| $crate::process::Registration::bytes($function, argument, result),
            )
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(a: u64, b: u64) -> u64 {
        a.checked_add(b).expect("room for the sum")
    }

    fn length(bytes: &[u8]) -> Vec<u8> {
        vec![bytes.len() as u8]
    }

    fn one() {}

    fn two() {}

    fn nobody() {}

    register!(add);
    register_bytes!(length as "test.length");
    register!(one as "same");
    register!(two as "same");

    #[test]
    fn a_function_is_found_by_its_item_and_by_its_name() {
        let found = of(add).unwrap();
        assert_eq!((found.name(), found.signature()), ("add", "fn((u64, u64)) -> u64"));
        let there = named(found.name(), found.signature()).unwrap();
        let sum = there.call(&codec::encode(&(3_u64, 4_u64)).unwrap()).unwrap();
        assert_eq!(codec::decode_slice::<u64>(&sum).unwrap(), 7);

        assert!(matches!(there.call(&codec::encode(&(3_u64,)).unwrap()), Err(CallError::Arguments(_))));
        match there.call(&codec::encode(&(u64::MAX, 1_u64)).unwrap()) {
            Err(CallError::Panicked(panic)) => assert_eq!(panic.message, "room for the sum"),
            other => panic!("{other:?}"),
        }

        let found = of(length).unwrap();
        assert_eq!((found.name(), found.call(b"four").unwrap()), ("test.length", vec![4]));
    }

    #[test]
    fn what_is_not_there_once_is_said() {
        let path = concat!(module_path!(), "::nobody");
        assert_eq!(of(nobody).err(), Some(RegistryError::NotRegistered { function: path.to_owned() }));
        assert!(matches!(of(|| ()).err(), Some(RegistryError::NotRegistered { .. })));
        assert_eq!(named("x", "fn(()) -> ()").err(), Some(RegistryError::Unknown { name: "x".to_owned() }));
        match of(two).err() {
            Some(RegistryError::Duplicate { name, places }) => {
                assert_eq!(name, "same");
                assert!(places.iter().all(|place| place.starts_with(file!())) && places[0] != places[1], "{places:?}");
            }
            other => panic!("{other:?}"),
        }
        let mismatch = named("add", "fn((u32,)) -> u64").err().unwrap();
        assert_eq!(
            mismatch.to_string(),
            "\"add\" is `fn((u64, u64)) -> u64` in this program, and `fn((u32,)) -> u64` was asked for"
        );
    }
}
