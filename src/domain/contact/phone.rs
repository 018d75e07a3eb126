//! A phone number that a courier can call: read once from what people type, kept as E.164 and as it is dialled at home.
//!
//! Only [`Phone::parse`] asks the phone library; a number that was sealed is not judged again by a newer list.

use std::fmt::Write as _;

use phonenumber::country::Source;
use phonenumber::metadata::DATABASE;
use phonenumber::{Mode, PhoneNumber};

use crate::domain::contact::{Country, corrupt};
use crate::domain::invalid::{Invalid, control_character};
use crate::privacy::{Pii, mask};

/// Digits of an E.164 number, its country code included. The shortest in use has seven (Niue).
const E164_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// A valid phone number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phone {
    e164: Pii<String>,
    national: Pii<String>,
}

impl Phone {
    /// Reads a number as people write it: spaces, dashes, brackets and full-width digits are tolerated, letters and
    /// extensions are not. Without `+` or `00` it is a number of `home`, the country the parcel goes to.
    ///
    /// # Errors
    /// `required`; `invalid_phone` when no such number can exist in its country.
    pub fn parse(text: &str, home: Country) -> Result<Self, Invalid> {
        let dialled = dialled(text)?;
        if let Some(mobile) = chinese_mobile(&dialled, home) {
            return Ok(Self::by_plan("+86", "", mobile, home == Country::CN));
        }
        if let Some(landline) = russian_landline(&dialled, home) {
            return Ok(Self::by_plan("+7", "8", landline, matches!(home.as_str(), "RU" | "KZ")));
        }
        known_number(&dialled, home)
            .and_then(|number| Self::from_library(&number, home))
            .ok_or_else(invalid)
    }

    /// Takes the texts of [`Self::e164`] and [`Self::national`] as they were sealed.
    ///
    /// # Errors
    /// `corrupt` when they cannot have come from a parsed number.
    pub fn restore(e164: String, national: String) -> Result<Self, Invalid> {
        let digits = national.strip_prefix('+').unwrap_or(&national);
        let alike =
            digits.len() >= 3 && digits.bytes().all(|b| b.is_ascii_digit()) && last4_of(digits) == last4_of(&e164);
        if !is_e164(&e164) || !alike {
            return Err(corrupt());
        }
        Ok(Self {
            e164: Pii::new(e164),
            national: Pii::new(national),
        })
    }

    /// `+` and digits: `+8613800138000`. The same person's number is the same text, however it was typed.
    pub fn e164(&self) -> &str {
        self.e164.expose()
    }

    /// As a courier of the country the parcel goes to prints and dials it. A number of that country: digits only, with
    /// its leading zero where it has one (`13800138000`, `075512345678`). A number from elsewhere: E.164, since its
    /// digits alone would ring at a stranger's.
    pub fn national(&self) -> String {
        self.national.expose().clone()
    }

    /// The first three and last two digits of [`Self::national`]: `138******00`.
    pub fn masked(&self) -> String {
        mask::phone(self.national.expose())
    }

    /// The last four digits, by which some couriers let one ask for a parcel. Personal data all the same.
    pub fn last4(&self) -> String {
        last4_of(self.e164()).to_owned()
    }

    /// A number that our own rules know: its country code, what is dialled before it at home, and its digits.
    fn by_plan(code: &str, trunk: &str, digits: &str, at_home: bool) -> Self {
        let e164 = format!("{code}{digits}");
        let national = if at_home {
            format!("{trunk}{digits}")
        } else {
            e164.clone()
        };
        Self {
            e164: Pii::new(e164),
            national: Pii::new(national),
        }
    }

    fn from_library(number: &PhoneNumber, home: Country) -> Option<Self> {
        let e164 = formatted(number, Mode::E164)?;
        let at_home = DATABASE
            .by_id(home.as_str())
            .is_some_and(|meta| meta.country_code() == number.code().value());
        let national = if at_home {
            formatted(number, Mode::National)?
                .chars()
                .filter(char::is_ascii_digit)
                .collect()
        } else {
            e164.clone()
        };
        is_e164(&e164).then(|| Self {
            e164: Pii::new(e164),
            national: Pii::new(national),
        })
    }
}

fn invalid() -> Invalid {
    Invalid::new(
        "invalid_phone",
        "must be a phone number that exists in its country; foreign ones begin with + and the country code",
    )
}

/// The digits, with `+` in front where the number is international.
fn dialled(text: &str) -> Result<String, Invalid> {
    let text = text.trim();
    if text.chars().any(char::is_control) {
        return Err(control_character());
    }
    if text.is_empty() {
        return Err(Invalid::new("required", "must not be empty"));
    }
    let mut dialled = String::with_capacity(text.len());
    for character in text.chars() {
        match half_width(character) {
            '+' if dialled.is_empty() => dialled.push('+'),
            digit if digit.is_ascii_digit() => dialled.push(digit),
            '-' | '.' | '/' | '(' | ')' => {}
            // The address books of some phones wrap a copied number in invisible marks of direction.
            '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}' => {}
            space if space.is_whitespace() => {}
            _ => return Err(invalid()),
        }
    }
    // What most of the world, China included, dials before a country code; nowhere does a national number begin so.
    Ok(match dialled.strip_prefix("00") {
        Some(abroad) => format!("+{abroad}"),
        None => dialled,
    })
}

/// Full-width forms and the many dashes, as ASCII.
fn half_width(character: char) -> char {
    match character {
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(character) - 0xFEE0).unwrap_or(character),
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{2500}' | '\u{30FC}' => '-',
        other => other,
    }
}

/// The eleven digits of a mobile number of mainland China. By our own rule, because the library's list refuses ranges
/// that are in use (146, 148, 149, parts of 174) and learns of new ones late: the national numbering plan gives every
/// `1[3-9]` to mobiles. It also spares the library for nearly every order.
fn chinese_mobile(dialled: &str, home: Country) -> Option<&str> {
    let national = match dialled.strip_prefix("+86") {
        Some(national) => national,
        None if home != Country::CN => return None,
        None if dialled.len() == 13 => dialled.strip_prefix("86")?,
        // Dialled from another city's landline.
        None if dialled.len() == 12 => dialled.strip_prefix('0')?,
        None => dialled,
    };
    let digits = national.as_bytes();
    let mobile = digits.len() == 11
        && digits.iter().all(u8::is_ascii_digit)
        && digits.first() == Some(&b'1')
        && digits.get(1).is_some_and(|second| (b'3'..=b'9').contains(second));
    mobile.then_some(national)
}

/// The ten digits of a Russian landline whose area code begins with 8 (812: Saint Petersburg). By our own rule, because
/// the library takes that 8 for the one dialled before long-distance calls and then finds the number too short.
fn russian_landline(dialled: &str, home: Country) -> Option<&str> {
    let national = match dialled.strip_prefix("+7") {
        Some(national) => national,
        None if home.as_str() != "RU" => return None,
        None if dialled.len() == 11 => dialled.strip_prefix(['7', '8'])?,
        None => dialled,
    };
    let digits = national.as_bytes();
    let landline = digits.len() == 10
        && digits.iter().all(u8::is_ascii_digit)
        && digits.first() == Some(&b'8')
        && digits.get(1).is_some_and(|second| (b'1'..=b'7').contains(second));
    landline.then_some(national)
}

/// A number that the library knows to be valid, and that belongs to a country (freephone `+800` and the like do not).
fn known_number(dialled: &str, home: Country) -> Option<PhoneNumber> {
    let international = dialled.starts_with('+');
    // With a country given, the library strips that country's trunk prefix from a foreign number too.
    let hint = if international {
        None
    } else {
        Some(home.as_str().parse().ok()?)
    };
    let number = phonenumber::parse(hint, dialled).ok()?;
    // For the same reason a foreign number behind a prefix other than 00 is not trusted.
    let trusted = international || number.code().source() != Source::Idd;
    let regions = DATABASE.region(&number.code().value()).unwrap_or_default();
    let of_a_country = !regions.is_empty() && !regions.contains(&"001");
    (trusted && of_a_country && number.extension().is_none() && number.is_valid()).then_some(number)
}

/// `None` where `Display` fails, which `to_string` would turn into a panic.
fn formatted(number: &PhoneNumber, mode: Mode) -> Option<String> {
    let mut text = String::new();
    write!(text, "{}", number.format().mode(mode)).ok()?;
    Some(text)
}

fn is_e164(text: &str) -> bool {
    text.strip_prefix('+')
        .is_some_and(|digits| E164_DIGITS.contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()))
}

fn last4_of(number: &str) -> &str {
    number.get(number.len().saturating_sub(4)..).unwrap_or_default()
}

#[cfg(test)]
mod tests;
