//! Map and reduce, with the values of equal keys brought together in between.

use std::collections::BTreeMap;

use super::errors::TaskError;
use super::handle::Pool;
use crate::process::Function;
use crate::typed::Portable;

impl Pool {
    /// Calls `map` for each input, brings the values of equal keys together, and calls `reduce` once for each key: with the key
    /// and all its values, in the order of the inputs and within each as `map` gave them. The results are in the order of the keys.
    ///
    /// Both functions run in the workers; the pairs come together here, so what `map` has combined already is not sent. Inputs are
    /// taken as results come, as in [`imap`](Self::imap), one call to a task.
    ///
    /// ```no_run
    /// use ringfence::pool::Pool;
    /// use ringfence::process;
    ///
    /// fn lengths(text: String) -> Vec<(usize, u64)> {
    ///     text.split_whitespace().map(|word| (word.len(), 1)).collect()
    /// }
    ///
    /// fn sum(length: usize, counts: Vec<u64>) -> (usize, u64) {
    ///     (length, counts.iter().sum())
    /// }
    ///
    /// ringfence::register!(lengths);
    /// ringfence::register!(sum);
    ///
    /// fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     process::init();
    ///     let pool = Pool::new(2)?;
    ///     let texts = ["to be or not", "to be"].map(str::to_owned);
    ///     assert_eq!(pool.map_reduce(texts, lengths, sum)?, [(2, 5), (3, 1)]);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// The first error of a `map`, in the order of the inputs, and then nothing is reduced; or the first of a `reduce`, in the
    /// order of the keys.
    pub fn map_reduce<I, K, V, M, R>(
        &self,
        inputs: impl IntoIterator<Item = I>,
        map: M,
        reduce: R,
    ) -> Result<Vec<R::Output>, TaskError>
    where
        I: Portable,
        K: Portable + Ord,
        V: Portable,
        M: Function<(I,), Output = Vec<(K, V)>>,
        R: Function<(K, Vec<V>)>,
    {
        let mut values: BTreeMap<K, Vec<V>> = BTreeMap::new();
        for pairs in self.imap(map, inputs)? {
            for (key, value) in pairs? {
                values.entry(key).or_default().push(value);
            }
        }
        self.starmap(reduce, values)
    }
}
