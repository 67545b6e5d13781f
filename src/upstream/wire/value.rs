//! The values in a row, and the reasons to refuse them.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Number as JsonNumber;
use serde_json::value::RawValue;

use super::fault::Fault;

/// Why reading stopped, unless the JSON text is at fault: serde's own messages may quote the body.
pub(super) type Reason = Cell<Option<Fault>>;

/// Records why reading stops; the error itself carries no information.
pub(super) fn fail<E: Error>(reason: &Reason, what: &'static str) -> E {
    reason.set(Some(Fault::Malformed(what)));
    E::custom(what)
}

/// The value that [`text`] reads.
#[derive(Default)]
pub(super) struct Text<'a>(pub(super) Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|json| Self(text(json)))
    }
}

/// The name of a field. A name with half a surrogate pair is not a text and matches no known name: it becomes empty.
pub(super) struct Name<'de>(pub(super) Cow<'de, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|json| Self(text(json).unwrap_or_default()))
    }
}

/// Most bytes of a site's name; longer ones are cut between characters, and names that are then equal are namesakes.
const MAX_NAME: usize = 256;
/// Most bytes of an entity. A cut one could be mistaken for another, so a longer one is refused.
const MOST_OF_ENTITY: usize = 256;

/// Returns `json` as text if it is a text or a number; anything else counts as none, and so does an empty text, or one with half a
/// surrogate pair.
pub(super) fn text(json: &RawValue) -> Option<Cow<'_, str>> {
    let json = json.get();
    let text = match json
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        Some(plain) if !plain.contains('\\') => Cow::Borrowed(plain),
        Some(_) => Cow::Owned(serde_json::from_str(json).ok()?),
        None => {
            let number: JsonNumber = serde_json::from_str(json).ok()?;
            // 36655.0 is the same entity as 36655, and Rust writes floats without a fraction that way.
            let float = number.as_f64().filter(|_| number.is_f64());
            Cow::Owned(float.map_or_else(|| number.to_string(), |float| float.to_string()))
        }
    };
    Some(text).filter(|text| !text.is_empty())
}

/// Cuts `name` to [`MAX_NAME`].
pub(super) fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_NAME)]
}

/// Cuts and trims `name`; `None` if nothing is left.
pub(super) fn name_of(name: &str) -> Option<&str> {
    Some(cut(name).trim()).filter(|name| !name.is_empty())
}

/// Reads a site's name, cut to [`MAX_NAME`].
pub(super) fn site_name(json: &RawValue) -> Option<Cow<'_, str>> {
    Some(match text(json)? {
        Cow::Borrowed(text) => Cow::Borrowed(cut(text)),
        Cow::Owned(text) => Cow::Owned(cut(&text).to_owned()),
    })
}

/// Reads an entity, if there is one.
pub(super) fn entity<'a, E: Error>(
    json: &'a RawValue,
    reason: &Reason,
) -> Result<Option<Cow<'a, str>>, E> {
    let entity = text(json);
    if entity.as_ref().is_some_and(|it| it.len() > MOST_OF_ENTITY) {
        return Err(fail(reason, "an entity's id is longer than 256 bytes"));
    }
    Ok(entity)
}

/// The largest trusted figure: beyond it, readers of JSON do not hold whole numbers exactly (RFC 8259 section 6).
const MOST: f64 = 9_007_199_254_740_991.0;

/// A figure: finite and not negative, or `null`, which is NaN here.
pub(super) struct Number<'a>(pub(super) &'a Reason);

impl Number<'_> {
    fn within<E: Error>(&self, value: f64) -> Result<f64, E> {
        if value > MOST {
            self.0.set(Some(Fault::FigureTooLarge));
            return Err(E::custom("a figure is too large"));
        }
        Ok(value)
    }

    fn refuse<E: Error>(&self) -> E {
        fail(self.0, "a figure is not a finite, non-negative number")
    }
}

impl<'de> DeserializeSeed<'de> for Number<'_> {
    type Value = f64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<f64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Number<'_> {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a figure")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<f64, E> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a JSON number means the nearest float"
        )]
        let value = value as f64;
        self.within(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<f64, E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(self.refuse()),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<f64, E> {
        if value.is_finite() && value >= 0.0 {
            // The sign of a negative zero has no meaning.
            self.within(value.abs())
        } else {
            Err(self.refuse())
        }
    }

    fn visit_unit<E: Error>(self) -> Result<f64, E> {
        Ok(f64::NAN)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<f64, E> {
        Err(self.refuse())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<f64, E> {
        Err(self.refuse())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<f64, A::Error> {
        Err(self.refuse())
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<f64, A::Error> {
        Err(self.refuse())
    }
}
