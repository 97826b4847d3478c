//! Walks the parsed file: typed access to its tables and values, every fault noted with its place.

use std::borrow::Cow;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    fault::{Place, Wrong},
    near,
    report::{At, Completeness, Report, Setting, Spot},
};
use crate::model::{prefix, trace::Ratio};

/// A table whose keys are taken out one by one; what is left in the end is unknown.
pub(super) struct Table<'a> {
    spot: Spot,
    entries: Vec<(&'a Spanned<Cow<'a, str>>, &'a Spanned<DeValue<'a>>)>,
    known: Vec<&'static str>,
    report: &'a Report<'a>,
}

/// One value, not yet understood.
pub(super) struct Value<'a> {
    spot: Spot,
    raw: &'a DeValue<'a>,
    report: &'a Report<'a>,
}

// === impl Table ===

impl<'a> Table<'a> {
    /// The whole file.
    pub(super) fn root(table: &'a DeTable<'a>, report: &'a Report<'a>) -> Self {
        Self::new(Spot::new(Place::File, ""), table, report)
    }

    fn new(spot: Spot, table: &'a DeTable<'a>, report: &'a Report<'a>) -> Self {
        Self { spot, entries: table.iter().collect(), known: Vec::new(), report }
    }

    fn empty(spot: Spot, report: &'a Report<'a>) -> Self {
        Self { spot, entries: Vec::new(), known: Vec::new(), report }
    }

    /// The key `name`, understood by `read`, which notes the fault itself where it answers `None`.
    pub(super) fn key<T>(&mut self, name: &'static str, read: impl FnOnce(&Value<'a>) -> Option<T>) -> Setting<T> {
        let Some(value) = self.take(name) else { return Setting::Absent };
        match read(&value) {
            Some(read) => Setting::Given(At { value: read, spot: value.spot }),
            None => Setting::Faulty,
        }
    }

    /// The table `name`; an empty one where there is none.
    pub(super) fn table(&mut self, name: &'static str) -> Self {
        match self.take(name) {
            Some(value) => value.table().unwrap_or_else(|| Table::empty(value.spot, self.report)),
            None => Table::empty(Spot::new(Place::Default, self.path(name)), self.report),
        }
    }

    /// The array of tables `name`.
    pub(super) fn tables(&mut self, name: &'static str) -> Vec<Self> {
        let Some(value) = self.take(name) else { return Vec::new() };
        let Some(items) = value.raw.as_array() else {
            value.fault(Wrong::new("expected an array of tables").hint(format!("write [[{}]]", value.spot.key)));
            return Vec::new();
        };
        value.items_of(items).iter().filter_map(Value::table).collect()
    }

    /// Notes that the key `name` has to be there. Says nothing when broken syntax may have swallowed it.
    pub(super) fn missing(&self, name: &str, hint: &str) {
        if self.report.completeness() == Completeness::Whole {
            let spot = Spot::new(self.spot.place, self.path(name));
            self.report.fault(&spot, Wrong::new("missing").hint(hint));
        }
    }

    /// Notes a fault of the table as a whole.
    pub(super) fn fault(&self, wrong: Wrong) {
        self.report.fault(&self.spot, wrong);
    }

    /// Whether every key has been taken out.
    pub(super) fn is_read(&self) -> bool {
        self.entries.is_empty()
    }

    /// Everything that was not asked for is unknown.
    pub(super) fn finish(self) {
        for (key, _) in &self.entries {
            let spot = Spot::new(self.report.place(key.span().start), self.path(&shown(key.get_ref())));
            let hint = match near::nearest(key.get_ref(), &self.known) {
                Some(name) => format!("did you mean {name}?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            self.report.fault(&spot, Wrong::new("unknown key").hint(hint));
        }
    }

    fn take(&mut self, name: &'static str) -> Option<Value<'a>> {
        self.known.push(name);
        let at = self.entries.iter().position(|(key, _)| key.get_ref() == name)?;
        let (_, value) = self.entries.swap_remove(at);
        let spot = Spot::new(self.report.place(value.span().start), self.path(name));
        Some(Value { spot, raw: value.get_ref(), report: self.report })
    }

    fn path(&self, name: &str) -> String {
        match self.spot.key.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }
}

// === impl Value ===

impl<'a> Value<'a> {
    pub(super) fn fault(&self, wrong: Wrong) {
        self.report.fault(&self.spot, wrong);
    }

    fn expected(&self, what: &str) {
        self.fault(Wrong::new(format!("expected {what}, found {}", self.kind())));
    }

    /// The same with how it is written.
    pub(super) fn expected_as(&self, what: &str, hint: &str) {
        self.fault(Wrong::new(format!("expected {what}, found {}", self.kind())).hint(hint));
    }

    fn kind(&self) -> &'static str {
        match self.raw {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        }
    }

    /// A string that `parse` understands; `what` names it with its article, such as "a duration".
    pub(super) fn text<T>(&self, what: &str, parse: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
        let Some(text) = self.raw.as_str() else {
            let expected = format!("{what} in quotes");
            match what {
                "a duration" => self.expected_as(&expected, "such as \"25s\""),
                "a size" => self.expected_as(&expected, "such as \"64KiB\""),
                _ => self.expected(&expected),
            }
            return None;
        };
        parse(text).map_err(|wrong| self.fault(wrong)).ok()
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        self.text(&one_of(words), |text| word(text, words))
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        let value = self.raw.as_bool();
        if value.is_none() {
            self.expected("true or false");
        }
        value
    }

    /// A user's id on this machine.
    pub(super) fn user_id(&self) -> Option<u32> {
        let integer = self.raw.as_integer();
        let id = integer.and_then(|integer| u32::from_str_radix(integer.as_str(), integer.radix()).ok());
        if id.is_none() {
            self.fault(Wrong::new("expected a user's id, a number").hint("id -u NAME tells it"));
        }
        id
    }

    /// A whole number of at least 1.
    pub(super) fn count(&self) -> Option<usize> {
        let Some(integer) = self.raw.as_integer() else {
            self.expected("a whole number");
            return None;
        };
        match usize::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(count) if count > 0 => Some(count),
            _ => {
                self.fault(Wrong::new("expected a whole number of at least 1"));
                None
            }
        }
    }

    /// A number from 0 to 1.
    pub(super) fn ratio(&self) -> Option<Ratio> {
        let number = match self.raw {
            DeValue::Float(float) => float.as_str().parse().ok(),
            DeValue::Integer(integer) => integer.as_str().parse().ok(),
            _ => None,
        };
        let ratio = number.and_then(Ratio::new);
        if ratio.is_none() {
            self.fault(Wrong::new("expected a number from 0 to 1").hint("0.1 is every tenth"));
        }
        ratio
    }

    /// A table with names of the operator's choice, each of whose values `read` understands.
    pub(super) fn named<T>(&self, read: impl Fn(&str, &Value<'a>) -> Option<T>) -> Option<Vec<T>> {
        let Some(table) = self.raw.as_table() else {
            self.expected("a table");
            return None;
        };
        let read: Vec<_> = table
            .iter()
            .map(|(name, value)| {
                let key = format!("{}.{}", self.spot.key, shown(name.get_ref()));
                let spot = Spot::new(self.report.place(value.span().start), key);
                read(name.get_ref(), &Value { spot, raw: value.get_ref(), report: self.report })
            })
            .collect();
        read.into_iter().collect()
    }

    /// An array whose items `read` understands. One bad item spoils the list, but all bad items are noted.
    pub(super) fn list<T>(&self, what: &str, read: impl FnMut(&Value<'a>) -> Option<T>) -> Option<Vec<T>> {
        let Some(items) = self.raw.as_array() else {
            let expected = format!("an array of {what}");
            match self.raw.as_str().filter(|_| what != "user ids").and_then(written_list) {
                Some(list) => self.expected_as(&expected, &list),
                None => self.expected(&expected),
            }
            return None;
        };
        let read: Vec<_> = self.items_of(items).iter().map(read).collect();
        read.into_iter().collect()
    }

    /// The items of an array; the value itself where it is none.
    pub(super) fn items(&self) -> Vec<Value<'a>> {
        match self.raw.as_array() {
            Some(items) => self.items_of(items),
            None => vec![Value { spot: self.spot.clone(), raw: self.raw, report: self.report }],
        }
    }

    fn items_of(&self, items: &'a [Spanned<DeValue<'a>>]) -> Vec<Value<'a>> {
        let item = |(at, value): (usize, &'a Spanned<DeValue<'a>>)| {
            let spot = Spot::new(self.report.place(value.span().start), format!("{}[{at}]", self.spot.key));
            Value { spot, raw: value.get_ref(), report: self.report }
        };
        items.iter().enumerate().map(item).collect()
    }

    /// Whether it is a table, which some keys take besides a string.
    pub(super) fn is_table(&self) -> bool {
        self.raw.is_table()
    }

    pub(super) fn is_text(&self) -> bool {
        self.raw.is_str()
    }

    /// Whether it is exactly this string.
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.raw.as_str() == Some(word)
    }

    /// A table.
    pub(super) fn table(&self) -> Option<Table<'a>> {
        let Some(table) = self.raw.as_table() else {
            self.expected("a table");
            return None;
        };
        Some(Table::new(self.spot.clone(), table, self.report))
    }

    pub(super) fn spot(&self) -> &Spot {
        &self.spot
    }
}

/// The meaning of `text`, one of `words`.
pub(super) fn word<T: Copy>(text: &str, words: &[(&'static str, T)]) -> Result<T, Wrong> {
    if let Some(&(_, meaning)) = words.iter().find(|(name, _)| *name == text) {
        return Ok(meaning);
    }
    let names: Vec<_> = words.iter().map(|&(name, _)| name).collect();
    let wrong = Wrong::new(format!("expected {}", one_of(words)));
    Err(match near::nearest(text, &names) {
        Some(name) => wrong.hint(format!("did you mean \"{name}\"?")),
        None => wrong,
    })
}

/// How a list of one text is written, where the text may be shown.
fn written_list(text: &str) -> Option<String> {
    let is_plain = !text.contains(['"', '\\']) && !text.contains(char::is_control) && !prefix::holds_credential(text);
    is_plain.then(|| format!("write [\"{text}\"]"))
}

fn one_of<T>(words: &[(&'static str, T)]) -> String {
    let names: Vec<_> = words.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    names.join(" or ")
}

/// A key as a message may show it: escaped, and not at all when somebody wrote a credential where a name belongs.
fn shown(key: &str) -> String {
    if prefix::holds_credential(key) {
        "(a credential in the place of a key; not shown)".to_owned()
    } else {
        key.escape_debug().to_string()
    }
}
