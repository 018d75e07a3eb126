//! What may be shown of a person by default, to the minima of GB/T 41833: at least one character of the name, six
//! digits of the phone number, and the street and room of the address are hidden. By characters, never by bytes.
//!
//! Pure functions that cannot fail: whatever they are given, at least the minimum is hidden. Masks are made on
//! reading and never stored. Nothing here may learn the street: [`region`] is not given it.

use std::iter::repeat_n;

/// Digits of a phone number that are hidden, at least.
const PHONE_HIDDEN: usize = 6;
/// Digits of a phone number that are shown at most, at the start and at the end.
const PHONE_SHOWN: (usize, usize) = (3, 2);
/// Characters of a tracking number that are hidden, at least, and the stars that stand for them, however many they are.
const TRACKING_HIDDEN: usize = 4;
/// Characters of a tracking number that are shown at most, at the start and at the end.
const TRACKING_SHOWN: (usize, usize) = (2, 4);

/// The first character, and a star for each other one: `张*`, `欧***`. A name of one character is hidden whole.
pub fn name(name: &str) -> String {
    let hidden = name.chars().count().saturating_sub(1);
    if hidden == 0 {
        return String::from("*");
    }
    name.chars().take(1).chain(repeat_n('*', hidden)).collect()
}

/// The first three and last two digits: `138******00`. Short numbers show fewer, from the start first, so that six
/// digits stay hidden; one of six digits or fewer is hidden whole. What is not a digit (`+`, dashes) is left out.
pub fn phone(number: &str) -> String {
    let digits: Vec<char> = number.chars().filter(char::is_ascii_digit).collect();
    keep_ends(&digits, PHONE_SHOWN, PHONE_HIDDEN, |hidden| hidden.max(PHONE_HIDDEN))
}

/// The first two and last four characters: `SF****0001`. Short numbers show fewer, from the start first, so that four
/// characters stay hidden.
pub fn tracking(number: &str) -> String {
    let characters: Vec<char> = number.trim().chars().collect();
    keep_ends(&characters, TRACKING_SHOWN, TRACKING_HIDDEN, |_| TRACKING_HIDDEN)
}

/// Province, city and district as one writes them in the country's language: `广东省深圳市南山区`, `California, Palo Alto`.
/// A part that repeats the one before it (the municipalities: `北京市`, `北京市`) is said once.
pub fn region(province: &str, city: &str, district: Option<&str>) -> String {
    let mut parts: Vec<&str> = [province, city, district.unwrap_or_default()]
        .into_iter()
        .map(str::trim)
        .collect();
    parts.retain(|part| !part.is_empty());
    parts.dedup();
    let unspaced = parts.iter().all(|part| part.chars().any(is_written_without_spaces));
    parts.join(if unspaced { "" } else { ", " })
}

/// Shows at most `shown` characters at the two ends while `hidden_at_least` stay hidden; `stars` says how many stars
/// stand for how many hidden ones.
fn keep_ends(text: &[char], shown: (usize, usize), hidden_at_least: usize, stars: fn(usize) -> usize) -> String {
    let budget = text.len().saturating_sub(hidden_at_least);
    let tail = shown.1.min(budget);
    let head = shown.0.min(budget - tail);
    let hidden = text.len() - head - tail;
    let stars = repeat_n('*', stars(hidden));
    text.iter()
        .copied()
        .take(head)
        .chain(stars)
        .chain(text.iter().copied().skip(head + hidden))
        .collect()
}

/// Han and kana. Korean is written with spaces.
fn is_written_without_spaces(character: char) -> bool {
    matches!(u32::from(character),
        0x3005..=0x3007 | 0x3040..=0x30FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x3FFFF)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_keeps_its_first_character_and_one_of_one_character_keeps_none() {
        for (whole, masked) in [
            ("张三", "张*"),
            ("欧阳娜娜", "欧***"),
            ("张", "*"),
            ("", "*"),
            ("𠮷田", "𠮷*"),
            ("Ann", "A**"),
        ] {
            assert_eq!(name(whole), masked);
        }
    }

    #[test]
    fn a_phone_number_keeps_three_and_two_digits_where_six_stay_hidden() {
        for (whole, masked) in [
            ("13800138000", "138******00"),
            ("+86 138-0013-8000", "861********00"),
            ("075512345678", "075*******78"),
            ("2025550123", "20******23"),
            ("51234567", "******67"),
            ("123456", "******"),
            ("110", "******"),
            ("", "******"),
            ("１３８００１３８０００", "******"),
        ] {
            assert_eq!(phone(whole), masked);
        }
    }

    #[test]
    fn a_tracking_number_keeps_two_and_four_characters_where_four_stay_hidden() {
        for (whole, masked) in [
            ("SF1234560001", "SF****0001"),
            ("SF12340001", "SF****0001"),
            ("SF1230001", "S****0001"),
            ("12345678", "****5678"),
            ("12345", "****5"),
            ("1234", "****"),
            ("", "****"),
        ] {
            assert_eq!(tracking(whole), masked);
        }
    }

    #[test]
    fn a_region_is_joined_as_its_language_is_written() {
        assert_eq!(region("广东省", "深圳市", Some("南山区")), "广东省深圳市南山区");
        assert_eq!(region("北京市", "北京市", Some("海淀区")), "北京市海淀区");
        assert_eq!(region("广东省", "东莞市", None), "广东省东莞市");
        assert_eq!(region("東京都", "新宿区", Some("")), "東京都新宿区");
        assert_eq!(region("California", "Palo Alto", None), "California, Palo Alto");
        assert_eq!(
            region("서울특별시", "강남구", Some("역삼동")),
            "서울특별시, 강남구, 역삼동"
        );
        assert_eq!(region("", "", None), "");
    }

    /// Any text, and texts that look like numbers.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[0-9]{0,16}",
            "[+]?[0-9 ()-]{0,20}",
            "[A-Z]{0,3}[0-9]{0,15}",
            "[张王李欧阳娜𠮷]{0,6}"
        ]
    }

    proptest! {
        #[test]
        fn at_least_one_character_of_every_name_is_hidden(whole in text()) {
            let masked = name(&whole);
            let (all, shown) = (whole.chars().count(), masked.chars().take_while(|c| *c != '*').count());
            prop_assert!(shown <= 1 && (all == 0 || shown < all));
            prop_assert!(masked.chars().skip(1).all(|c| c == '*'), "only the first may show");
            prop_assert_eq!(masked.chars().count(), all.max(1));
        }

        #[test]
        fn at_least_six_digits_of_every_phone_number_are_hidden(whole in text()) {
            let digits: String = whole.chars().filter(char::is_ascii_digit).collect();
            let masked = phone(&whole);
            let head: String = masked.chars().take_while(|c| *c != '*').collect();
            let tail: String = masked.chars().skip(head.len()).skip_while(|c| *c == '*').collect();
            prop_assert!(masked.chars().all(|c| c == '*' || c.is_ascii_digit()));
            prop_assert!(masked.matches('*').count() >= 6);
            prop_assert!(head.len() <= 3 && tail.len() <= 2 && digits.starts_with(&head) && digits.ends_with(&tail));
            prop_assert!(head.len() + tail.len() == 0 || digits.len() - head.len() - tail.len() >= 6);
        }

        #[test]
        fn at_least_four_characters_of_every_tracking_number_are_hidden(whole in "[A-Z0-9张-]{0,24}") {
            let masked = tracking(&whole);
            let (head, tail) = masked.split_once("****").unwrap();
            prop_assert!(head.chars().count() <= 2 && tail.chars().count() <= 4);
            prop_assert!(whole.starts_with(head) && whole.ends_with(tail));
            let shown = head.chars().count() + tail.chars().count();
            prop_assert!(shown == 0 || whole.chars().count() >= shown + 4);
        }

        #[test]
        fn a_region_holds_nothing_but_its_parts(province in any::<String>(), city in any::<String>(), district in any::<Option<String>>()) {
            let masked = region(&province, &city, district.as_deref());
            let mut given: Vec<char> = format!("{province}{city}{}, , ", district.unwrap_or_default()).chars().collect();
            for character in masked.chars() {
                let at = given.iter().position(|known| *known == character);
                prop_assert!(at.is_some(), "a character that was not given");
                given.remove(at.unwrap());
            }
        }

        #[test]
        fn no_text_is_too_odd_to_be_masked(whole in any::<String>()) {
            let masked = tracking(&whole);
            prop_assert!(masked.chars().count() <= 10 && masked.contains("****"));
        }
    }
}
