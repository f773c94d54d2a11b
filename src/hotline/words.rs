//! Closed sets of words: what a record says and a metric's label may be.

/// An enum without data whose variants each have one word, and a list of them all.
///
/// The word is both the serde form and the metrics' label, so the two can never differ.
macro_rules! closed_set {
    ($(#[$about:meta])* pub enum $set:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $set {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $set {
            /// All of them, in the order of their indices.
            pub const ALL: &'static [$set] = &[$($set::$variant),+];

            /// The word in records, labels and logs.
            pub const fn name(self) -> &'static str {
                match self {
                    $($set::$variant => $word,)+
                }
            }

            /// Its place in [`Self::ALL`].
            pub const fn index(self) -> usize {
                self as usize
            }
        }
    };
}

pub(crate) use closed_set;
