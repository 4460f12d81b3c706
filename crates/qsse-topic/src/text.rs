//! The standard traits of topics and patterns, which differ only in their names.

/// Implements comparing with text, printing, and borrowing as `str`.
macro_rules! text_traits {
    ($name:ident $(<$life:lifetime>)?) => {
        impl $(<$life>)? core::fmt::Display for $name $(<$life>)? {
            /// Prints the text. Width, fill and precision apply as for a `str`.
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl $(<$life>)? AsRef<str> for $name $(<$life>)? {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        /// `Hash`, `Eq` and `Ord` are those of the text, so a map can be queried with a `&str`.
        impl $(<$life>)? core::borrow::Borrow<str> for $name $(<$life>)? {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl $(<$life>)? PartialEq<str> for $name $(<$life>)? {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl $(<$life>)? PartialEq<&str> for $name $(<$life>)? {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }
    };
}

/// Implements parsing of the owned form.
macro_rules! parse_traits {
    ($name:ident, $error:ident) => {
        impl core::str::FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, $error> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = $error;

            fn try_from(text: &str) -> Result<Self, $error> {
                Self::new(text)
            }
        }

        impl TryFrom<alloc::string::String> for $name {
            type Error = $error;

            fn try_from(text: alloc::string::String) -> Result<Self, $error> {
                Self::new(text)
            }
        }
    };
}

pub(crate) use {parse_traits, text_traits};
