//! The fields of a record, read and written one by one, so that a fault can name its field and never shows its value.

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value};

use crate::{
    model::{GrantId, Origin, Secret, TenantId, Timestamp, Version},
    store::{
        backend::{Key, Revision},
        era::{EraId, Found},
        seal::{Beside, Place, SealFault, Sealed, Sealer},
    },
};

/// The only format there is so far.
const FORMAT: u64 = 1;

/// Where a record was found before the store travelled. It comes to a record that is long sealed.
const FOUND: &str = "found";

/// Sealed nothing, in a record that has no secret: only who has the key can have written what stands beside it.
const MARK: &str = "mark";

/// A row, as what is sealed is bound to it.
#[derive(Clone, Copy)]
pub(super) struct Home<'a> {
    pub(super) kind: &'a str,
    pub(super) name: &'a str,
}

/// What is wrong with which field of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Fault {
    pub(in crate::store) field: String,
    pub(in crate::store) what: What,
}

/// What can be wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum What {
    /// Not there, or not what belongs there; the text says what does.
    Expected(&'static str),
    /// There, and should not be.
    Unexpected,
    /// It does not open.
    Sealed(SealFault),
}

/// The fields of a record that is being read. Each is taken out once; what is left in the end does not belong there.
pub(super) struct Reader {
    fields: Map<String, Value>,
    /// The field that this object is the value of, with a dot behind it.
    inside: &'static str,
    /// All plain fields, as they were before any was taken out.
    beside: Beside,
    /// Where the record was found before the store travelled, if it was written back.
    pub(super) found: Option<Found>,
}

/// The fields of a record that is being written.
pub(super) struct Writer(Map<String, Value>);

/// A record to which nothing can be added: what is sealed in it is bound to all of it.
pub(super) struct Whole(Map<String, Value>);

// === impl Reader ===

impl Reader {
    /// Reads the outermost object and its format number.
    pub(super) fn new(bytes: &[u8]) -> Result<Self, Fault> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => {
                let mut reader = Self { beside: beside(&fields), fields, inside: "", found: None };
                if reader.number("format")? != FORMAT {
                    return Err(reader.fault("format", "1"));
                }
                if let Some(mut found) = reader.object(FOUND, "found.")? {
                    let (era, revision) = (found.era("era")?, Revision(found.number("revision")?));
                    found.end()?;
                    reader.found = Some(Found { era, revision });
                }
                Ok(reader)
            }
            _ => Err(Fault { field: "(whole)".into(), what: What::Expected("a JSON object") }),
        }
    }

    /// The object that is the value of `field`; `inside` is its name with a dot.
    pub(super) fn object(&mut self, field: &str, inside: &'static str) -> Result<Option<Self>, Fault> {
        match self.fields.remove(field) {
            None => Ok(None),
            Some(Value::Object(fields)) => Ok(Some(Self { beside: beside(&fields), fields, inside, found: None })),
            Some(_) => Err(self.fault(field, "an object")),
        }
    }

    pub(super) fn optional_text(&mut self, field: &str) -> Result<Option<String>, Fault> {
        match self.fields.remove(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.fault(field, "a text")),
        }
    }

    pub(super) fn text(&mut self, field: &str) -> Result<String, Fault> {
        self.optional_text(field)?.ok_or_else(|| self.fault(field, "a text"))
    }

    pub(super) fn flag(&mut self, field: &str) -> Result<bool, Fault> {
        self.fields.remove(field).and_then(|value| value.as_bool()).ok_or_else(|| self.fault(field, "true or false"))
    }

    pub(super) fn texts(&mut self, field: &str) -> Result<Vec<String>, Fault> {
        let text = |value: Value| if let Value::String(text) = value { Some(text) } else { None };
        let texts = match self.fields.remove(field) {
            Some(Value::Array(values)) => values.into_iter().map(text).collect(),
            _ => None,
        };
        texts.ok_or_else(|| self.fault(field, "an array of texts"))
    }

    pub(super) fn number(&mut self, field: &str) -> Result<u64, Fault> {
        self.fields.remove(field).and_then(|value| value.as_u64()).ok_or_else(|| self.fault(field, "a whole number"))
    }

    pub(super) fn optional_time(&mut self, field: &str) -> Result<Option<Timestamp>, Fault> {
        match self.fields.remove(field) {
            None => Ok(None),
            Some(value) => match value.as_i64() {
                Some(millis) => Ok(Some(Timestamp::from_millis(millis))),
                None => Err(self.fault(field, "milliseconds since 1970")),
            },
        }
    }

    pub(super) fn time(&mut self, field: &str) -> Result<Timestamp, Fault> {
        self.optional_time(field)?.ok_or_else(|| self.fault(field, "milliseconds since 1970"))
    }

    pub(super) fn grant_id(&mut self, field: &str) -> Result<GrantId, Fault> {
        self.parsed(field, "32 hexadecimal digits", |text| text.parse().ok())
    }

    pub(super) fn optional_grant_id(&mut self, field: &str) -> Result<Option<GrantId>, Fault> {
        if self.has(field) { self.grant_id(field).map(Some) } else { Ok(None) }
    }

    pub(super) fn tenant(&mut self, field: &str) -> Result<TenantId, Fault> {
        self.parsed(field, "a tenant's name", |text| text.parse().ok())
    }

    pub(super) fn era(&mut self, field: &str) -> Result<EraId, Fault> {
        self.parsed(field, "32 hexadecimal digits", |text| text.parse().ok())
    }

    pub(super) fn optional_era(&mut self, field: &str) -> Result<Option<EraId>, Fault> {
        if self.has(field) { self.era(field).map(Some) } else { Ok(None) }
    }

    pub(super) fn origin(&mut self, field: &str) -> Result<Origin, Fault> {
        self.parsed(field, "an origin, https or on loopback", |text| text.parse().ok())
    }

    pub(super) fn version(&mut self, field: &str) -> Result<Version, Fault> {
        self.number(field).map(Version::from_stored)
    }

    pub(super) fn sealed(&mut self, field: &str) -> Result<Sealed, Fault> {
        self.parsed(field, "base64", Sealed::from_text)
    }

    pub(super) fn optional_sealed(&mut self, field: &str) -> Result<Option<Sealed>, Fault> {
        if self.has(field) { self.sealed(field).map(Some) } else { Ok(None) }
    }

    /// What a sealed field of this object is sealed beside.
    pub(super) fn beside(&self) -> Beside {
        self.beside
    }

    /// Takes out the mark of a record without secrets, and refuses a record that says anything else than when it was
    /// marked.
    pub(super) fn marked(&mut self, sealer: &Sealer, home: Home<'_>) -> Result<(), Fault> {
        let mark = self.sealed(MARK)?;
        home.open(sealer, MARK, self.beside, &mark).map(drop)
    }

    /// A text that `parse` turns into something else; `expected` says what such a text looks like.
    pub(super) fn parsed<T>(
        &mut self,
        field: &str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Fault> {
        let text = self.text(field)?;
        parse(&text).ok_or_else(|| self.fault(field, expected))
    }

    /// Whether `field` is there, and has not been taken out.
    pub(super) fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// Every field has been taken out.
    pub(super) fn end(self) -> Result<(), Fault> {
        match self.fields.keys().next() {
            None => Ok(()),
            Some(field) => Err(Fault { field: format!("{}{field}", self.inside), what: What::Unexpected }),
        }
    }

    pub(super) fn fault(&self, field: &str, expected: &'static str) -> Fault {
        Fault { field: format!("{}{field}", self.inside), what: What::Expected(expected) }
    }
}

// === impl Writer ===

impl Writer {
    /// A record of the only format.
    pub(super) fn new() -> Self {
        Self::inner().with("format", FORMAT)
    }

    /// An object inside a record.
    pub(super) fn inner() -> Self {
        Self(Map::new())
    }

    /// The fields of a record that was written before.
    pub(super) fn again(bytes: &[u8]) -> Self {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => Self(fields),
            _ => Self::new(),
        }
    }

    pub(super) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0.insert(field.into(), value.into());
        self
    }

    /// Leaves the field out where there is no value.
    pub(super) fn with_some(self, field: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(field, value),
            None => self,
        }
    }

    pub(super) fn with_time(self, field: &str, time: Timestamp) -> Self {
        self.with(field, time.millis())
    }

    /// Seals `secrets` beside all the fields that are there by now.
    pub(super) fn sealed<'a>(
        mut self,
        sealer: &Sealer,
        Home { kind, name }: Home<'_>,
        secrets: impl IntoIterator<Item = (&'a str, &'a Secret)> + Clone,
    ) -> Whole {
        for (field, _) in secrets.clone() {
            self = self.with(field, Value::Null);
        }
        let beside = beside(&self.0);
        for (field, secret) in secrets {
            self = self.with(field, sealer.seal(Place { kind, name, field, beside }, secret).to_text());
        }
        Whole(self.0)
    }

    /// The same for a record that has no secret.
    pub(super) fn marked(self, sealer: &Sealer, home: Home<'_>) -> Whole {
        self.sealed(sealer, home, [(MARK, &Secret::new(""))])
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        Value::Object(self.0).to_string().into_bytes()
    }
}

impl From<Writer> for Value {
    fn from(writer: Writer) -> Self {
        Self::Object(writer.0)
    }
}

// === impl Whole ===

impl Whole {
    pub(super) fn bytes(self) -> Vec<u8> {
        Value::Object(self.0).to_string().into_bytes()
    }
}

impl From<Whole> for Value {
    fn from(whole: Whole) -> Self {
        Self::Object(whole.0)
    }
}

/// A digest of what is plain in an object, and of which fields are sealed. The same before and after they are: a value
/// that is to be sealed is null.
pub(super) fn beside(fields: &Map<String, Value>) -> Beside {
    let plain = fields.iter().filter(|(field, _)| *field != FOUND).map(|(field, value)| {
        let is_sealed = value.as_str().is_some_and(|text| sealed_text(text).is_some());
        (field.as_str(), if is_sealed { &Value::Null } else { value })
    });
    let plain: BTreeMap<&str, &Value> = plain.collect();
    #[allow(clippy::expect_used, reason = "texts, numbers and what is made of them have a form in JSON")]
    Beside::of(&serde_json::to_vec(&plain).expect("JSON"))
}

/// What is sealed is told by its looks: no other text of a record is base64 that long, let alone with the format's byte
/// in front.
pub(super) fn sealed_text(text: &str) -> Option<Sealed> {
    // Most texts are told without being decoded: the shortest sealed value has 49 bytes, and the format stands in front.
    if text.len() < 66 || !text.starts_with('A') {
        return None;
    }
    Sealed::from_text(text).filter(|sealed| sealed.key().is_some())
}

// === impl Home ===

impl Home<'_> {
    pub(super) fn open(self, sealer: &Sealer, field: &str, beside: Beside, sealed: &Sealed) -> Result<Secret, Fault> {
        let place = Place { kind: self.kind, name: self.name, field, beside };
        sealer.open(place, sealed).map_err(|fault| Fault { field: field.into(), what: What::Sealed(fault) })
    }
}

impl<'a> From<&'a Key> for Home<'a> {
    fn from(key: &'a Key) -> Self {
        Self { kind: key.kind.as_str(), name: &key.name }
    }
}

// === impl Fault ===

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            What::Expected(expected) => write!(f, "{}: expected {expected}", self.field),
            What::Unexpected => write!(f, "{}: this version knows no such field", self.field),
            What::Sealed(fault) => write!(f, "{}: {fault}", self.field),
        }
    }
}
