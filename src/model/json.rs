//! JSON objects from outside, which may hold secrets: read without ever repeating a value.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, error::Category};

use super::{Secret, prefix};

/// An object whose members are still to be understood: in their order, repeated ones too.
pub struct Object(Vec<(String, Value)>);

/// Why an object is not what it should be. Names the field, never its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Empty where the object as a whole is meant.
    field: String,
    what: String,
}

/// What is wrong with a field that nobody knows.
pub const UNKNOWN_FIELD: &str = "unknown field";

// === impl Object ===

impl Object {
    /// One without members.
    pub const fn empty() -> Self {
        Self(Vec::new())
    }

    /// Reads a text that is one object and nothing else.
    pub fn parse(text: &[u8]) -> Result<Self, Fault> {
        // serde_json's own messages repeat values; only what kind of mistake it was, and where, may be told.
        serde_json::from_slice(text).map_err(|error| match error.classify() {
            Category::Data => Fault::whole("not a JSON object"),
            Category::Eof => Fault::whole("the JSON object does not end"),
            Category::Syntax | Category::Io => Fault::whole(format!("not JSON (column {})", error.column())),
        })
    }

    /// The values of these fields, each under one of its names; null counts as absent. Any other field is a fault, and
    /// so is one that is given twice.
    pub fn fields<const N: usize>(self, names: [&[&str]; N]) -> Result<[Option<Value>; N], Fault> {
        let mut values = [const { None }; N];
        for (name, value) in self.0 {
            let known = names.iter().position(|names| names.contains(&name.as_str()));
            let Some(field) = known.and_then(|at| values.get_mut(at)) else {
                return Err(Fault::field(&shown(&name), UNKNOWN_FIELD));
            };
            if !value.is_null() && field.replace(value).is_some() {
                return Err(Fault::field(&name, "given twice"));
            }
        }
        Ok(values)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Walk;

        impl<'de> Visitor<'de> for Walk {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }

        deserializer.deserialize_map(Walk)
    }
}

/// Shows no member.
impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").finish_non_exhaustive()
    }
}

/// A text that is not empty.
pub fn text(field: &str, value: Option<Value>) -> Result<Option<String>, Fault> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Err(Fault::field(field, "empty; write null for nothing")),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Fault::field(field, "not a string")),
    }
}

/// A token that `is_fit` for where it goes.
pub fn secret(field: &str, value: Option<Value>, is_fit: fn(&Secret) -> bool) -> Result<Option<Secret>, Fault> {
    let secret = text(field, value)?.map(Secret::new);
    match &secret {
        Some(secret) if !is_fit(secret) => Err(Fault::field(field, "holds a character that no token has")),
        _ => Ok(secret),
    }
}

/// A field's name, unless it looks like a value in the wrong place.
fn shown(name: &str) -> String {
    let is_name = name.len() <= 32 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_name && !name.starts_with(prefix::ANY) { name.to_owned() } else { "(a name that is not shown)".to_owned() }
}

// === impl Fault ===

impl Fault {
    /// A fault of the object as a whole.
    pub fn whole(what: impl Into<String>) -> Self {
        Self { field: String::new(), what: what.into() }
    }

    /// A fault of one field.
    pub fn field(field: &str, what: impl fmt::Display) -> Self {
        Self { field: field.to_owned(), what: what.to_string() }
    }

    /// A field that has to be there and is not.
    pub fn missing(field: &str) -> Self {
        Self::field(field, "missing")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.what),
            field => write!(f, "{field}: {}", self.what),
        }
    }
}

impl std::error::Error for Fault {}
