//! What is wrong with the shape of a body that serde refused, all of it: the body is read once more beside the schema that
//! the OpenAPI document shows of it. Only bodies that are refused anyway are read so.
//!
//! Must not let anything through that the caller sent, except a name made of `[a-z_]` alone: what an answer says is made
//! from the schema.

use std::collections::{BTreeMap, BTreeSet};
use std::{fmt, slice};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use utoipa::openapi::schema::{AdditionalProperties, ArrayItems, KnownFormat, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{Object, RefOr, Schema};
use utoipa::{Number, ToSchema};

use crate::domain::invalid::{FieldError, Invalid};

/// A name longer than this, or with anything else in it, is not a field name of ours and not repeated.
const MAX_NAME: usize = 40;

/// So many wrong fields are named at once; a body of 64 KiB could have thousands.
pub(in crate::http) const MAX_ERRORS: usize = 100;

/// Whether a caller's name may be repeated.
pub(in crate::http) fn is_plain_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// A field that must be there and is not.
pub(in crate::http) fn required() -> Invalid {
    Invalid::new("required", "is required")
}

/// A field that is there more than once.
pub(in crate::http) fn duplicate() -> Invalid {
    Invalid::new("duplicate_field", "must be given once")
}

/// A field that none of `known` is.
pub(in crate::http) fn unknown<'a>(known: impl Iterator<Item = &'a str>) -> Invalid {
    Invalid::new("unknown_field", format!("is not known; expected {}", choice(known)))
}

/// A text that is none of the values that its schema lists.
pub(in crate::http) fn not_listed(schema: &RefOr<Schema>, text: &str) -> Option<Invalid> {
    match resolve(schema, &Named::new()).0 {
        Some(Schema::Object(object)) => not_in(object, text),
        _ => None,
    }
}

fn not_in(object: &Object, text: &str) -> Option<Invalid> {
    let known = object.enum_values.as_deref()?;
    let detail = || format!("must be {}", choice(known.iter().filter_map(Value::as_str)));
    (known.iter().all(|value| value != text)).then(|| Invalid::new("unknown_value", detail()))
}

/// A value that its type does not read, and no schema says why.
pub(in crate::http) fn unreadable() -> Invalid {
    Invalid::new("invalid_format", "is not in the right format")
}

fn choice<'a>(known: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = known.map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [one] => one.clone(),
        [one, other] => format!("{one} or {other}"),
        more => format!("one of {}", more.join(", ")),
    }
}

/// Everything about `text` that is not as the schema of `T` has it, in the order of the text; nothing where the schema is
/// looser than `T`.
///
/// # Errors
/// It is not JSON.
pub(super) fn errors<T: ToSchema>(text: &str) -> serde_json::Result<Vec<FieldError>> {
    let mut named = Vec::new();
    T::schemas(&mut named);
    let named = named.into_iter().collect();
    let mut errors = Vec::new();
    let mut json = serde_json::Deserializer::from_str(text);
    Reader::new(&T::schema(), &named, String::new(), &mut errors).deserialize(&mut json)?;
    json.end()?;
    Ok(errors)
}

/// The schemas that others refer to.
type Named = BTreeMap<String, RefOr<Schema>>;

/// Reads one value beside its schema and notes what is wrong. It refuses nothing itself, so the rest is read too.
struct Reader<'a> {
    /// `None` where the document does not say what is expected: anything will do.
    schema: Option<&'a Schema>,
    nullable: bool,
    named: &'a Named,
    /// Where the value stands (RFC 6901).
    pointer: String,
    errors: &'a mut Vec<FieldError>,
}

impl<'a> Reader<'a> {
    fn new(schema: &'a RefOr<Schema>, named: &'a Named, pointer: String, errors: &'a mut Vec<FieldError>) -> Self {
        let (schema, nullable) = resolve(schema, named);
        Self {
            schema,
            nullable,
            named,
            pointer,
            errors,
        }
    }

    /// The reader of what is inside; `step` is part of its pointer where it may be told.
    fn inside<'b>(&'b mut self, schema: &'b RefOr<Schema>, step: Option<&str>) -> Reader<'b> {
        Reader::new(schema, self.named, below(&self.pointer, step), self.errors)
    }

    fn note(&mut self, step: Option<&str>, invalid: Invalid) {
        let pointer = below(&self.pointer, step);
        let error = FieldError { pointer, invalid };
        if self.errors.len() < MAX_ERRORS && !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    /// Whether the value may be of the type `given`; notes that it may not.
    fn takes(&mut self, given: &Type) -> bool {
        let expected = self.schema.map(types).unwrap_or_default();
        let fits = expected.is_empty() || expected.contains(given) || (self.nullable && *given == Type::Null);
        if let (false, Some(wanted)) = (fits, expected.first()) {
            self.note(
                None,
                Invalid::new("wrong_type", format!("must be {}", in_words(wanted))),
            );
        }
        fits
    }

    fn take<E>(mut self, given: &Type) -> Result<(), E> {
        self.takes(given);
        Ok(())
    }

    fn take_integer<E>(mut self, value: i128) -> Result<(), E> {
        let Some(Schema::Object(object)) = self.schema.filter(|schema| types(schema).contains(&Type::Integer)) else {
            return self.take(&Type::Number);
        };
        let (least, most) = bounds(object);
        if !(least..=most).contains(&value) {
            let detail = format!("must be from {least} to {most}");
            self.note(None, Invalid::new("out_of_range", detail));
        }
        Ok(())
    }

    /// The value of a member that the schema does not know.
    fn read_unknown<'de, A: MapAccess<'de>>(
        &mut self,
        object: &'a Object,
        name: &str,
        members: &mut A,
    ) -> Result<(), A::Error> {
        let step = is_plain_name(name).then_some(name);
        match object.additional_properties.as_deref() {
            Some(AdditionalProperties::RefOr(schema)) => return members.next_value_seed(self.inside(schema, step)),
            Some(AdditionalProperties::FreeForm(false)) => {
                self.note(step, unknown(object.properties.keys().map(String::as_str)));
            }
            Some(AdditionalProperties::FreeForm(true)) | None => {}
        }
        members.next_value().map(|IgnoredAny| ())
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.take(&Type::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.take(&Type::Boolean)
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.take_integer(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.take_integer(value.into())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.take(&Type::Number)
    }

    fn visit_str<E>(mut self, text: &str) -> Result<(), E> {
        if let (true, Some(Schema::Object(object))) = (self.takes(&Type::String), self.schema)
            && let Some(invalid) = not_in(object, text)
        {
            self.note(None, invalid);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        if let (true, Some(Schema::Array(array))) = (self.takes(&Type::Array), self.schema) {
            let most = array.max_items.unwrap_or(usize::MAX);
            if let ArrayItems::RefOrSchema(schema) = &array.items {
                for index in 0..most {
                    let item = self.inside(schema, Some(&index.to_string()));
                    if items.next_element_seed(item)?.is_none() {
                        return Ok(());
                    }
                }
                if items.next_element::<IgnoredAny>()?.is_some() {
                    self.note(
                        None,
                        Invalid::new("out_of_range", format!("must have at most {most} items")),
                    );
                }
            }
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        let (true, Some(Schema::Object(object))) = (self.takes(&Type::Object), self.schema) else {
            while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        let mut given = BTreeSet::new();
        while let Some(name) = members.next_key::<String>()? {
            match object.properties.get(&name) {
                None => self.read_unknown(object, &name, &mut members)?,
                Some(schema) if !given.contains(&name) => {
                    members.next_value_seed(self.inside(schema, Some(&name)))?;
                    given.insert(name);
                }
                Some(_) => {
                    self.note(Some(&name), duplicate());
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        for name in object.required.iter().filter(|name| !given.contains(*name)) {
            self.note(Some(name), required());
        }
        Ok(())
    }
}

/// The schema behind a reference, or beside the `null` of an optional one; and whether there is that `null`.
fn resolve<'a>(schema: &'a RefOr<Schema>, named: &'a Named) -> (Option<&'a Schema>, bool) {
    let is_null = |choice: &RefOr<Schema>| matches!(choice, RefOr::T(schema) if *types(schema) == [Type::Null]);
    match schema {
        RefOr::Ref(reference) => {
            let name = reference.ref_location.rsplit('/').next().unwrap_or_default();
            named.get(name).map_or((None, false), |schema| resolve(schema, named))
        }
        RefOr::T(Schema::OneOf(choices)) => match choices.items.as_slice() {
            [null, schema] | [schema, null] if is_null(null) => (resolve(schema, named).0, true),
            _ => (None, false),
        },
        RefOr::T(Schema::AllOf(_) | Schema::AnyOf(_)) => (None, false),
        RefOr::T(schema) => (Some(schema), false),
    }
}

/// The types of JSON that a schema takes; none where it does not say.
fn types(schema: &Schema) -> &[Type] {
    let kind = match schema {
        Schema::Object(object) => &object.schema_type,
        Schema::Array(array) => &array.schema_type,
        _ => return &[],
    };
    match kind {
        SchemaType::Type(kind) => slice::from_ref(kind),
        SchemaType::Array(kinds) => kinds,
        SchemaType::AnyValue => &[],
    }
}

/// The least and the most of an integer: as declared, else what its format holds.
fn bounds(object: &Object) -> (i128, i128) {
    let declared = |bound: &Option<Number>| match bound {
        Some(Number::Int(bound)) => i128::try_from(*bound).ok(),
        Some(Number::UInt(bound)) => i128::try_from(*bound).ok(),
        Some(Number::Float(_)) | None => None,
    };
    let (least, most) = match object.format {
        Some(SchemaFormat::KnownFormat(KnownFormat::Int32)) => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN.into(), i64::MAX.into()),
    };
    (
        declared(&object.minimum).unwrap_or(least),
        declared(&object.maximum).unwrap_or(most),
    )
}

const fn in_words(kind: &Type) -> &'static str {
    match kind {
        Type::Object => "an object",
        Type::Array => "an array",
        Type::String => "a string",
        Type::Integer => "a whole number",
        Type::Number => "a number",
        Type::Boolean => "a boolean",
        Type::Null => "null",
    }
}

fn below(pointer: &str, step: Option<&str>) -> String {
    step.map_or_else(|| pointer.to_owned(), |step| format!("{pointer}/{step}"))
}
