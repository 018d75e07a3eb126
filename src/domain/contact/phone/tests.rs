use proptest::prelude::*;

use super::*;

fn read(text: &str, home: &str) -> Result<(String, String), &'static str> {
    Phone::parse(text, Country::parse(home).unwrap())
        .map(|phone| (phone.e164().to_owned(), phone.national()))
        .map_err(|invalid| invalid.code)
}

fn pair(e164: &str, national: &str) -> Result<(String, String), &'static str> {
    Ok((e164.to_owned(), national.to_owned()))
}

#[test]
fn a_chinese_mobile_is_the_same_however_it_is_typed() {
    for text in [
        "13800138000",
        " 138 0013 8000 ",
        "138-0013-8000",
        "１３８００１３８０００",
        "+86 138 0013 8000",
        "＋８６－１３８－００１３－８０００",
        "(+86)13800138000",
        "0086 13800138000",
        "86 138 0013 8000",
        "013800138000",
        "\u{202D}138 0013 8000\u{202C}",
    ] {
        assert_eq!(read(text, "CN"), pair("+8613800138000", "13800138000"), "{text}");
    }
}

#[test]
fn every_mobile_range_in_use_in_china_is_taken() {
    let ranges = (130..=139)
        .chain(145..=149)
        .chain([150, 151, 152, 153, 155, 156, 157, 158, 159]);
    let ranges = ranges
        .chain([162, 165, 166, 167])
        .chain(170..=178)
        .chain(180..=189)
        .chain([190, 191, 192, 193])
        .chain(195..=199);
    for range in ranges {
        let number = format!("{range}12345678");
        assert_eq!(read(&number, "CN"), pair(&format!("+86{number}"), &number), "{range}");
    }
}

#[test]
fn landlines_and_service_numbers_keep_the_form_in_which_they_are_dialled() {
    for (text, e164, national) in [
        ("0755-12345678", "+8675512345678", "075512345678"),
        ("(0755) 2601 2345", "+8675526012345", "075526012345"),
        ("+86 755 2601 2345", "+8675526012345", "075526012345"),
        ("010-62771234", "+861062771234", "01062771234"),
        ("0571-88157838", "+8657188157838", "057188157838"),
        ("400-811-1111", "+864008111111", "4008111111"),
    ] {
        assert_eq!(read(text, "CN"), pair(e164, national), "{text}");
    }
}

#[test]
fn a_number_from_elsewhere_keeps_its_country_code() {
    for text in ["+1 650-253-0000", "001 (650) 253-0000"] {
        assert_eq!(read(text, "CN"), pair("+16502530000", "+16502530000"), "{text}");
    }
    assert_eq!(read("+852 5123 4567", "CN"), pair("+85251234567", "+85251234567"));
    assert_eq!(read("+86 13800138000", "US"), pair("+8613800138000", "+8613800138000"));
    // Its zero is part of the number in Italy; China's trunk prefix must not swallow it.
    assert_eq!(read("+39 02 3661 8300", "CN"), pair("+390236618300", "+390236618300"));
}

#[test]
fn a_number_of_the_country_the_parcel_goes_to_needs_no_country_code() {
    assert_eq!(read("(650) 253-0000", "US"), pair("+16502530000", "6502530000"));
    assert_eq!(read("5123 4567", "HK"), pair("+85251234567", "51234567"));
    assert_eq!(read("020 7031 3000", "GB"), pair("+442070313000", "02070313000"));
    assert_eq!(read("03-3224-9999", "JP"), pair("+81332249999", "0332249999"));
    assert_eq!(read("02 3661 8300", "IT"), pair("+390236618300", "0236618300"));
    assert_eq!(read("8 (916) 123-45-67", "RU"), pair("+79161234567", "89161234567"));
}

#[test]
fn an_area_code_that_begins_like_a_trunk_prefix_is_kept() {
    for (text, home) in [
        ("+7 812 345-67-89", "RU"),
        ("8 (812) 345-67-89", "RU"),
        ("812 345 67 89", "RU"),
        ("+7 812 345-67-89", "KZ"),
    ] {
        assert_eq!(read(text, home), pair("+78123456789", "88123456789"), "{text}");
    }
    assert_eq!(read("+7 812 345-67-89", "CN"), pair("+78123456789", "+78123456789"));
    // In China 812 is Panzhihua.
    assert_eq!(read("8123456789", "CN"), pair("+868123456789", "08123456789"));
}

#[test]
fn what_cannot_be_called_is_refused() {
    for text in [
        "1380013800",
        "138001380000",
        "12345678901",
        "0755-12345678-801",
        "12345",
        "+",
        "++8613800138000",
        "138+00138000",
        "1-800-FLOWERS",
        "+800 1234 5678",
        "tel:13800138000",
        "+999 1234567",
        "一三八",
        "+1 555",
    ] {
        assert_eq!(read(text, "CN"), Err("invalid_phone"), "{text}");
    }
    assert_eq!(read(" 　", "CN"), Err("required"));
    assert_eq!(read("138\0 0013", "CN"), Err("control_character"));
    // No numbers are known there; an international one still is.
    assert_eq!(read("13800138000", "AQ"), Err("invalid_phone"));
    assert_eq!(
        read("+672 105 000", "AQ").is_ok(),
        phonenumber::parse(None, "+672105000").unwrap().is_valid()
    );
}

#[test]
fn masks_and_last_digits_show_what_they_may() {
    let phone = Phone::parse("13800138000", Country::CN).unwrap();
    assert_eq!(
        (phone.masked().as_str(), phone.last4().as_str()),
        ("138******00", "8000")
    );
    assert!(!format!("{phone:?}").contains("138"));
    assert_eq!(
        Phone::parse("+1 650 253 0000", Country::CN).unwrap().masked(),
        "165******00"
    );
}

#[test]
fn a_refusal_does_not_repeat_the_number() {
    let refusal = format!("{:?}", Phone::parse("0755-12345678-801", Country::CN).unwrap_err());
    assert!(!refusal.contains("12345678"), "{refusal}");
}

#[test]
fn a_stored_number_comes_back_and_a_broken_one_does_not() {
    for (text, home) in [
        ("13800138000", "CN"),
        ("0755-12345678", "CN"),
        ("+1 650 253 0000", "CN"),
        ("020 7031 3000", "GB"),
    ] {
        let phone = Phone::parse(text, Country::parse(home).unwrap()).unwrap();
        assert_eq!(
            Phone::restore(phone.e164().to_owned(), phone.national()),
            Ok(phone),
            "{text}"
        );
    }
    for (e164, national) in [
        ("", ""),
        ("8613800138000", "13800138000"),
        ("+8613800138000", ""),
        ("+8613800138000", "13800138001"),
        ("+86138001380x0", "138001380x0"),
        ("+8613800138000", "1380013张8000"),
        ("+861", "861"),
        ("+1234567890123456", "3456"),
    ] {
        assert_eq!(
            Phone::restore(e164.into(), national.into()).unwrap_err().code,
            "corrupt",
            "{e164} {national}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_number_that_is_read_can_be_stored_and_read_again(
        text in prop_oneof!["[+]?[0-9 ()-]{0,18}", "1[0-9]{10}", "0[0-9]{2,3}-[0-9]{7,8}", "[+](1|44|49|81|82|852|33|39|7|55)[0-9]{7,11}", any::<String>()],
        home in prop_oneof![Just("CN"), Just("US"), Just("GB"), Just("IT"), Just("BR"), Just("RU"), Just("AQ")],
    ) {
        let home = Country::parse(home).unwrap();
        if let Ok(phone) = Phone::parse(&text, home) {
            prop_assert!(is_e164(phone.e164()));
            prop_assert_eq!(&Phone::restore(phone.e164().to_owned(), phone.national()).unwrap(), &phone);
            prop_assert_eq!(&Phone::parse(phone.e164(), home).unwrap(), &phone);
        }
    }
}
