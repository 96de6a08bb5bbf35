//! What can be called in another process.

use crate::typed::Portable;

/// A function whose arguments and result can travel: any `fn` item of up to eight of them, each [`Portable`].
///
/// `Args` is the tuple of the arguments: `(u64,)` for one, `()` for none. The type is that of the item itself, which
/// [`register!`](crate::register) has put under a name. A closure has no name, and a function pointer has lost it.
pub trait Function<Args>: Copy + Send + Sync + 'static {
    /// What it returns.
    type Output: Portable;

    /// Calls it here.
    fn call(self, args: Args) -> Self::Output;
}

macro_rules! functions {
    ($($argument:ident)*) => {
        impl<Item, Output, $($argument),*> Function<($($argument,)*)> for Item
        where
            Item: Fn($($argument),*) -> Output + Copy + Send + Sync + 'static,
            Output: Portable,
            $($argument: Portable,)*
        {
            type Output = Output;

            #[allow(non_snake_case)] // the arguments have the names of their types
            fn call(self, ($($argument,)*): ($($argument,)*)) -> Output {
                self($($argument),*)
            }
        }
        functions!(@shorter $($argument)*);
    };
    (@shorter) => {};
    (@shorter $first:ident $($rest:ident)*) => { functions!($($rest)*); };
}

functions!(A B C D E F G H);

/// A function of bytes: they are borrowed from where they lie, in shared memory, and not copied.
pub trait BytesFunction: Fn(&[u8]) -> Vec<u8> + Copy + Send + Sync + 'static {}

impl<F: Fn(&[u8]) -> Vec<u8> + Copy + Send + Sync + 'static> BytesFunction for F {}
