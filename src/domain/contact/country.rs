//! A country, by its ISO 3166-1 alpha-2 code. Knows no calling codes and no address formats.

use crate::domain::invalid::Invalid;

/// An officially assigned ISO 3166-1 alpha-2 code, in upper case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country([u8; 2]);

impl Country {
    /// Mainland China, where an order goes when it names no country.
    pub const CN: Self = Self(*b"CN");

    /// Reads a code. The list is that of the currency library, which has the 249 assigned ones.
    ///
    /// # Errors
    /// `unknown_country` for everything else, lower case and user-assigned codes included.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match text.trim().as_bytes() {
            &[a, b] if text.trim().parse::<iso_currency::Country>().is_ok() => Ok(Self([a, b])),
            _ => Err(Invalid::new(
                "unknown_country",
                "must be an ISO 3166-1 alpha-2 code in upper case, such as CN",
            )),
        }
    }

    /// The code: two upper-case letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Default for Country {
    fn default() -> Self {
        Self::CN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assigned_codes_are_read_and_nothing_else() {
        for code in ["CN", "US", "HK", "MO", "TW", "JP", "SS", "CW", "AQ", "ZW"] {
            assert_eq!(Country::parse(code).unwrap().as_str(), code);
        }
        for bad in ["", "C", "cn", "CHN", "ZZ", "XX", "EU", "UK", "中", "中国", "156"] {
            assert_eq!(Country::parse(bad).unwrap_err().code, "unknown_country", "{bad}");
        }
        assert_eq!(Country::default(), Country::CN);
    }
}
