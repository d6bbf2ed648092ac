//! What a model's configuration says, as JSON.
//!
//! In: the text of a configuration. Out: a tree, and its entries as numbers, text and lists, each with a complaint where it is of another
//! kind. Must not know: layers, weights.

use frit_ir::OpError;
use serde_json::{Map, Value};

/// Memory that a tree may take for each of its values, spare room of lists included.
const VALUE: usize = 128;

/// Reads a configuration from a file of `size` bytes.
///
/// # Errors
/// Invalid where it is no JSON object, or has more values than the size allows for.
pub(super) fn parse(text: &[u8], size: usize) -> Result<Value, OpError> {
    // Each value but the first stands behind one of these.
    let values = text.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count();
    if values.saturating_mul(VALUE) > size.saturating_mul(4).saturating_add(64 << 20) {
        return Err(OpError::invalid(format!("the configuration holds {values} values, which is more than the file's size allows for")));
    }
    let value: Value = serde_json::from_slice(text).map_err(|error| OpError::invalid(format!("the configuration is no JSON: {error}")))?;
    if value.is_object() { Ok(value) } else { Err(OpError::invalid("the configuration is no JSON object")) }
}

/// The entries of one layer.
#[derive(Clone, Copy)]
pub(crate) struct Config<'m> {
    map: Option<&'m Map<String, Value>>,
}

impl<'m> Config<'m> {
    /// The entries of an object; none of anything else.
    pub(super) fn new(value: &'m Value) -> Self {
        Self { map: value.as_object() }
    }

    /// An entry; nothing where it is left out or null.
    pub(crate) fn get(&self, name: &str) -> Option<&'m Value> {
        self.map?.get(name).filter(|value| !value.is_null())
    }

    fn wrong(name: &str, wanted: &str) -> OpError {
        OpError::invalid(format!("'{name}' is not {wanted}"))
    }

    /// Complains about an entry that is missing.
    pub(crate) fn missing(name: &str) -> OpError {
        OpError::invalid(format!("'{name}' is missing"))
    }

    /// An integer, if it is there.
    pub(crate) fn maybe_int(&self, name: &str) -> Result<Option<i64>, OpError> {
        self.get(name).map(|value| integer(value).ok_or_else(|| Self::wrong(name, "an integer"))).transpose()
    }

    /// An integer.
    pub(crate) fn int(&self, name: &str) -> Result<i64, OpError> {
        self.maybe_int(name)?.ok_or_else(|| Self::missing(name))
    }

    /// An integer above 0.
    pub(crate) fn count(&self, name: &str) -> Result<i64, OpError> {
        let count = self.int(name)?;
        if (1..1 << 31).contains(&count) { Ok(count) } else { Err(OpError::invalid(format!("'{name}' is {count}"))) }
    }

    /// A number.
    pub(crate) fn float(&self, name: &str, default: f64) -> Result<f64, OpError> {
        Ok(self.maybe_float(name)?.unwrap_or(default))
    }

    /// A number, if it is there. Old versions keep some as arrays.
    pub(crate) fn maybe_float(&self, name: &str) -> Result<Option<f64>, OpError> {
        self.get(name).map(|value| number(value).ok_or_else(|| Self::wrong(name, "a number"))).transpose()
    }

    /// A truth value.
    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool, OpError> {
        self.get(name).map_or(Ok(default), |value| value.as_bool().ok_or_else(|| Self::wrong(name, "true or false")))
    }

    /// Text, if it is there.
    pub(crate) fn maybe_text(&self, name: &str) -> Result<Option<&'m str>, OpError> {
        self.get(name).map(|value| value.as_str().ok_or_else(|| Self::wrong(name, "text"))).transpose()
    }

    /// Text.
    pub(crate) fn text(&self, name: &str, default: &'static str) -> Result<&'m str, OpError> {
        Ok(self.maybe_text(name)?.unwrap_or(default))
    }

    /// A list of integers, for which one may stand alone; if it is there.
    pub(crate) fn maybe_ints(&self, name: &str) -> Result<Option<Vec<i64>>, OpError> {
        self.get(name).map(|value| integers(value).ok_or_else(|| Self::wrong(name, "a list of integers"))).transpose()
    }

    /// One integer for each of `count` axes. One alone stands for all.
    pub(crate) fn per_axis(&self, name: &str, count: usize, default: i64) -> Result<Vec<i64>, OpError> {
        let list = self.maybe_ints(name)?.unwrap_or_else(|| vec![default]);
        match list.as_slice() {
            [one] => Ok(vec![*one; count]),
            many if many.len() == count => Ok(list),
            many => Err(OpError::invalid(format!("'{name}' has {} numbers, not {count}", many.len()))),
        }
    }

    /// As [`Config::per_axis`], each number above 0.
    pub(crate) fn counts(&self, name: &str, count: usize, default: i64) -> Result<Vec<i64>, OpError> {
        let list = self.per_axis(name, count, default)?;
        match list.iter().find(|n| !(1..1 << 31).contains(*n)) {
            Some(wrong) => Err(OpError::invalid(format!("'{name}' holds {wrong}"))),
            None => Ok(list),
        }
    }

    /// A list, if it is there.
    pub(crate) fn maybe_list(&self, name: &str) -> Result<Option<&'m [Value]>, OpError> {
        self.get(name).map(|value| items(value).ok_or_else(|| Self::wrong(name, "a list"))).transpose()
    }
}

/// An integer; a float that is one counts.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().filter(|x| x.fract() == 0.0 && x.abs() < 9e15).map(|x| x as i64))
}

/// A number, plain or as Keras keeps those of NumPy.
pub(crate) fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| match value.get("class_name")?.as_str()? {
        "__numpy__" => number(value.get("config")?.get("value")?),
        _ => None,
    }).or_else(|| number(value.get("value").filter(|_| value.get("type").is_some())?))
}

/// A list, also in the forms that Keras has for tuples.
pub(crate) fn items(value: &Value) -> Option<&[Value]> {
    if let Some(list) = value.as_array() {
        return Some(list);
    }
    match value.get("class_name")?.as_str()? {
        "__tuple__" => value.get("items").or_else(|| value.get("config")?.get("items"))?.as_array().map(Vec::as_slice),
        _ => None,
    }
}

/// A list of integers, or one alone.
pub(crate) fn integers(value: &Value) -> Option<Vec<i64>> {
    integer(value).map(|one| vec![one]).or_else(|| items(value)?.iter().map(integer).collect())
}
