//! Where a parcel goes. Field by field as couriers want it; whether the place exists is the courier's to say.

use crate::domain::contact::{Country, corrupt, stored_text};
use crate::domain::invalid::{FieldErrors, Invalid, bounded_text};
use crate::privacy::{Pii, mask};

/// Characters of province, city, district and street together, at most; what every supported courier takes.
const MAX: usize = 100;

/// An address as it stands in a body, nothing checked.
#[derive(Clone, Copy)]
pub struct AddressParts<'a> {
    /// Province or state.
    pub province: &'a str,
    /// City; of a municipality the same as the province.
    pub city: &'a str,
    /// District or county. Empty is as good as absent.
    pub district: Option<&'a str>,
    /// Street, building and room.
    pub street: &'a str,
    /// Postal code. Empty is as good as absent.
    pub postal_code: Option<&'a str>,
    /// ISO 3166-1 alpha-2; China when absent.
    pub country: Option<&'a str>,
}

impl AddressParts<'_> {
    /// The country that is named, or the default.
    pub(super) fn country(&self) -> Result<Country, Invalid> {
        self.country.map_or(Ok(Country::default()), Country::parse)
    }
}

/// A whole address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    province: Pii<String>,
    city: Pii<String>,
    district: Option<Pii<String>>,
    street: Pii<String>,
    postal_code: Option<Pii<String>>,
    country: Country,
}

impl Address {
    /// Reads an address and collects what is wrong with it under `<pointer_prefix>/province` and so on: `required`,
    /// `control_character`, `too_long` (all parts together, at `street`), `invalid_format`, `unknown_country`.
    pub fn parse(parts: &AddressParts<'_>, pointer_prefix: &str, errors: &mut FieldErrors) -> Option<Self> {
        let at = |field: &str| format!("{pointer_prefix}/{field}");
        let line = |text| bounded_text(text, 1, usize::MAX);
        let province = errors.take(at("province"), line(parts.province));
        let city = errors.take(at("city"), line(parts.city));
        let district = errors.take(at("district"), present(parts.district).map(line).transpose());
        let street = errors.take(at("street"), line(parts.street));
        let lines = [
            province.as_ref(),
            city.as_ref(),
            district.as_ref().and_then(Option::as_ref),
            street.as_ref(),
        ];
        let length: usize = lines.into_iter().flatten().map(|line| line.chars().count()).sum();
        if length > MAX {
            let detail = format!("province, city, district and street must have at most {MAX} characters together");
            errors.push(at("street"), Invalid::new("too_long", detail));
        }
        let country = parts.country();
        let postal_code = present(parts.postal_code).map(|code| postal_code(code, country.as_ref().ok().copied()));
        let postal_code = errors.take(at("postal_code"), postal_code.transpose());
        let country = errors.take(at("country"), country);
        let address = Self {
            province: Pii::new(province?),
            city: Pii::new(city?),
            district: district?.map(Pii::new),
            street: Pii::new(street?),
            postal_code: postal_code?.map(Pii::new),
            country: country?,
        };
        (length <= MAX).then_some(address)
    }

    /// Takes an address that was parsed before it was sealed.
    ///
    /// # Errors
    /// `corrupt` when it cannot have been.
    pub fn restore(parts: &AddressParts<'_>) -> Result<Self, Invalid> {
        let optional = |text: Option<&str>| text.map(|text| stored_text(text.to_owned())).transpose();
        Ok(Self {
            province: stored_text(parts.province.to_owned())?,
            city: stored_text(parts.city.to_owned())?,
            district: optional(parts.district)?,
            street: stored_text(parts.street.to_owned())?,
            postal_code: optional(parts.postal_code)?,
            country: parts.country().map_err(|_| corrupt())?,
        })
    }

    /// Province or state.
    pub fn province(&self) -> &str {
        self.province.expose()
    }

    /// City; of a municipality the same as the province.
    pub fn city(&self) -> &str {
        self.city.expose()
    }

    /// District or county.
    pub fn district(&self) -> Option<&str> {
        self.district.as_ref().map(|district| district.expose().as_str())
    }

    /// Street, building and room.
    pub fn street(&self) -> &str {
        self.street.expose()
    }

    /// Postal code: six digits in China.
    pub fn postal_code(&self) -> Option<&str> {
        self.postal_code.as_ref().map(|code| code.expose().as_str())
    }

    /// Country.
    pub fn country(&self) -> Country {
        self.country
    }

    /// Province, city and district, without the street: `广东省深圳市南山区`.
    pub fn masked(&self) -> String {
        mask::region(self.province(), self.city(), self.district())
    }
}

/// Forms send an empty text for what was left out.
fn present(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.trim().is_empty())
}

/// `country` is `None` where it was refused itself; then only what holds everywhere is asked for.
fn postal_code(text: &str, country: Option<Country>) -> Result<String, Invalid> {
    let code = bounded_text(text, 1, 16)?;
    let well_formed = if country == Some(Country::CN) {
        code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit())
    } else {
        code.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b' ' || b == b'-')
    };
    if !well_formed {
        return Err(Invalid::new(
            "invalid_format",
            "must be six digits in China, elsewhere letters, digits, spaces and dashes",
        ));
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: AddressParts<'_> = AddressParts {
        province: "广东省",
        city: "深圳市",
        district: Some("南山区"),
        street: "科技中二路软件园一期7-305",
        postal_code: Some("518057"),
        country: Some("CN"),
    };

    fn refusals(parts: &AddressParts<'_>) -> Vec<(String, &'static str)> {
        let mut errors = FieldErrors::new();
        let parsed = Address::parse(parts, "/recipient", &mut errors);
        let refusals: Vec<_> = errors
            .into_vec()
            .into_iter()
            .map(|error| (error.pointer, error.invalid.code))
            .collect();
        assert_eq!(
            parsed.is_some(),
            refusals.is_empty(),
            "an address is read exactly when nothing is refused"
        );
        refusals
    }

    #[test]
    fn an_address_is_read_trimmed_and_restored_as_it_was() {
        let spaced = AddressParts {
            city: " 深圳市 ",
            district: Some(" "),
            postal_code: Some(""),
            country: None,
            ..HERE
        };
        let address = Address::parse(&spaced, "", &mut FieldErrors::new()).unwrap();
        assert_eq!(
            (address.city(), address.district(), address.postal_code()),
            ("深圳市", None, None)
        );
        assert_eq!(
            (address.country(), address.masked().as_str()),
            (Country::CN, "广东省深圳市")
        );
        let address = Address::parse(&HERE, "", &mut FieldErrors::new()).unwrap();
        assert_eq!(Address::restore(&HERE), Ok(address));
    }

    #[test]
    fn everything_wrong_with_an_address_is_said_at_once() {
        let bad = AddressParts {
            province: "",
            city: "深\n圳",
            district: Some("\u{7}"),
            street: "  ",
            postal_code: Some("5180571"),
            country: Some("ZZ"),
        };
        let expected = [
            ("province", "required"),
            ("city", "control_character"),
            ("district", "control_character"),
        ];
        let expected = expected
            .into_iter()
            .chain([("street", "required"), ("country", "unknown_country")]);
        let expected: Vec<_> = expected
            .map(|(field, code)| (format!("/recipient/{field}"), code))
            .collect();
        assert_eq!(refusals(&bad), expected);
    }

    #[test]
    fn all_lines_together_have_at_most_a_hundred_characters() {
        let fits = "路".repeat(100 - 9);
        assert_eq!(refusals(&AddressParts { street: &fits, ..HERE }), []);
        let long = "路".repeat(100 - 8);
        let too_long = vec![("/recipient/street".to_owned(), "too_long")];
        assert_eq!(refusals(&AddressParts { street: &long, ..HERE }), too_long);
        assert_eq!(
            refusals(&AddressParts {
                province: &long,
                ..HERE
            }),
            too_long
        );
    }

    #[test]
    fn a_postal_code_has_the_form_of_its_country() {
        let with = |code, country| {
            refusals(&AddressParts {
                postal_code: Some(code),
                country: Some(country),
                ..HERE
            })
        };
        for (code, country) in [
            ("518057", "CN"),
            ("94043", "US"),
            ("SW1A 1AA", "GB"),
            ("160-0022", "JP"),
        ] {
            assert_eq!(with(code, country), [], "{code}");
        }
        for (code, country) in [
            ("51805", "CN"),
            ("51805a", "CN"),
            ("５１８０５７", "CN"),
            ("94043!", "US"),
        ] {
            assert_eq!(
                with(code, country),
                [("/recipient/postal_code".to_owned(), "invalid_format")],
                "{code}"
            );
        }
        assert_eq!(
            with("12345678901234567", "US"),
            [("/recipient/postal_code".to_owned(), "too_long")]
        );
    }

    #[test]
    fn debug_shows_nothing_of_the_address() {
        let shown = format!("{:?}", Address::restore(&HERE).unwrap());
        assert!(
            !shown.contains("广东") && !shown.contains("305") && !shown.contains("518057"),
            "{shown}"
        );
    }
}
