//! What a section of the settings is: fields with a type, a default, a unit and a
//! check, declared once with `section!`. Reading, `--dump-config` and the reference
//! page (`./x codegen` parses the declarations as text) all come from there.

use core::fmt::Display;

use super::reader::Reader;
use super::value::{Setting, Shown};

/// A table of the settings file.
pub(crate) trait Section: Default {
    /// Its name; empty for what stands outside of all tables.
    const TABLE: &'static str;
    /// What it is for.
    const ABOUT: &'static str;

    /// Reads it; what is wrong is noted with `reader`, and the default stands for it.
    fn read(reader: &mut Reader) -> Self;

    /// Every field as it stands, in the order of declaration.
    fn fields(&self) -> Vec<Field>;
}

/// One setting as it stands.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) key: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) shown: Shown,
    pub(crate) default: Shown,
}

/// Declares a section:
///
/// ```text
/// section! {
///     /// What it is for.
///     Name "table" {
///         /// What it means.
///         key: Type = default, "unit", check;
///     }
/// }
/// ```
///
/// A default that is no literal is followed by `=> "as shown"`. Checks are
/// `anything`, `at_least(n)`, `within(from, to)`, `one_of(words)`, or any other
/// function from a reference to what would be right, when the value is not.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $name:ident $table:literal {
            $(
                $(#[doc = $doc:literal])+
                $field:ident : $type:ty = $default:expr $(=> $shown:literal)?, $unit:literal, $check:expr;
            )*
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $crate::config::section::Section for $name {
            const TABLE: &'static str = $table;
            const ABOUT: &'static str = concat!($($about, "\n"),+);

            fn read(reader: &mut $crate::config::reader::Reader) -> Self {
                let default = Self::default();
                Self { $( $field: reader.read($table, stringify!($field), default.$field, $check), )* }
            }

            fn fields(&self) -> Vec<$crate::config::section::Field> {
                let default = Self::default();
                vec![ $(
                    $crate::config::section::field(
                        stringify!($field),
                        concat!($($doc, "\n"),+),
                        $unit,
                        &self.$field,
                        &default.$field,
                    ),
                )* ]
            }
        }
    };
}
pub(crate) use section;

pub(crate) fn field<T: Setting>(
    key: &'static str,
    doc: &'static str,
    unit: &'static str,
    value: &T,
    default: &T,
) -> Field {
    Field { key, doc, unit, shown: value.shown(), default: default.shown() }
}

/// Whatever the type can hold.
pub(crate) fn anything<T>(_: &T) -> Option<String> {
    None
}

/// `min` or more.
pub(crate) fn at_least<T: PartialOrd + Display>(min: T) -> impl Fn(&T) -> Option<String> {
    move |value| (*value < min).then(|| format!("at least {min}"))
}

/// `min` or more, where it is set.
pub(crate) fn at_least_if_set<T: PartialOrd + Display>(
    min: T,
) -> impl Fn(&Option<T>) -> Option<String> {
    move |value| value.as_ref().is_some_and(|it| *it < min).then(|| format!("at least {min}"))
}

/// From `min` to `max`, both included.
pub(crate) fn within<T: PartialOrd + Display>(min: T, max: T) -> impl Fn(&T) -> Option<String> {
    move |value| (*value < min || *value > max).then(|| format!("{min} to {max}"))
}

/// One of these words.
pub(crate) fn one_of(words: &'static [&'static str]) -> impl Fn(&String) -> Option<String> {
    move |value| (!words.contains(&value.as_str())).then(|| words.join(", "))
}
