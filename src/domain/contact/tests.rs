use proptest::prelude::*;

use super::*;

const ZHANG_SAN: RecipientParts<'_> = RecipientParts {
    name: "张三",
    phone: "13800138000",
    province: "广东省",
    city: "深圳市",
    district: Some("南山区"),
    street: "科技中二路软件园一期7-305",
    postal_code: Some("518057"),
    country: Some("CN"),
};

fn parse(parts: &RecipientParts<'_>) -> Result<Recipient, Vec<(String, &'static str)>> {
    let mut errors = FieldErrors::new();
    let parsed = Recipient::parse(parts, "/recipient", &mut errors);
    let errors: Vec<_> = errors
        .into_vec()
        .into_iter()
        .map(|error| (error.pointer, error.invalid.code))
        .collect();
    match parsed {
        Some(recipient) => {
            assert_eq!(errors, [], "a recipient is read exactly when nothing is refused");
            Ok(recipient)
        }
        None => {
            assert_ne!(errors, [], "nothing is refused without a word");
            Err(errors)
        }
    }
}

fn reopen(recipient: &Recipient) -> Result<Recipient, Invalid> {
    let sealed = serde_json::to_vec(&recipient.to_stored()).unwrap();
    serde_json::from_slice::<StoredRecipient>(&sealed).unwrap().restore()
}

#[test]
fn a_recipient_is_shown_only_masked() {
    let recipient = parse(&ZHANG_SAN).unwrap();
    let masked = recipient.masked();
    assert_eq!((masked.name.as_str(), masked.phone.as_str()), ("张*", "138******00"));
    assert_eq!(masked.region, "广东省深圳市南山区");
    let shown = format!("{recipient:?}");
    for secret in ["张", "三", "138", "8000", "广东", "南山", "科技", "305", "518057"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn every_field_that_is_wrong_is_said_at_once() {
    let bad = RecipientParts {
        name: " ",
        phone: "12345",
        street: "",
        postal_code: Some("1"),
        ..ZHANG_SAN
    };
    let expected = [
        ("name", "required"),
        ("phone", "invalid_phone"),
        ("street", "required"),
        ("postal_code", "invalid_format"),
    ];
    assert_eq!(
        parse(&bad),
        Err(expected
            .map(|(field, code)| (format!("/recipient/{field}"), code))
            .to_vec())
    );
}

#[test]
fn a_phone_number_is_not_blamed_for_an_unknown_country() {
    let bad = RecipientParts {
        country: Some("XX"),
        ..ZHANG_SAN
    };
    assert_eq!(
        parse(&bad),
        Err(vec![("/recipient/country".to_owned(), "unknown_country")])
    );
}

#[test]
fn a_phone_number_is_read_by_the_country_of_the_address() {
    let abroad = RecipientParts {
        phone: "(650) 253-0000",
        postal_code: Some("94043"),
        country: Some("US"),
        ..ZHANG_SAN
    };
    assert_eq!(parse(&abroad).unwrap().phone.e164(), "+16502530000");
    assert!(
        parse(&RecipientParts {
            country: None,
            postal_code: None,
            ..abroad
        })
        .is_err()
    );
}

#[test]
fn the_sealed_form_is_stable() {
    let sealed = serde_json::to_string(&parse(&ZHANG_SAN).unwrap().to_stored()).unwrap();
    let expected = r#"{"n":"张三","p":"+8613800138000","l":"13800138000","r":"广东省","c":"深圳市","d":"南山区","s":"科技中二路软件园一期7-305","z":"518057","k":"CN"}"#;
    assert_eq!(sealed, expected);
}

#[test]
fn what_was_opened_is_still_not_believed_blindly() {
    let sealed = serde_json::to_string(&parse(&ZHANG_SAN).unwrap().to_stored()).unwrap();
    for (was, is) in [
        ("张三", ""),
        ("+8613800138000", "13800138000"),
        ("广东省", "\\u0000"),
        ("深圳市", ""),
        ("\"CN\"", "\"cn\""),
    ] {
        let damaged = sealed.replacen(was, is, 1);
        assert_ne!(damaged, sealed);
        let stored: StoredRecipient = serde_json::from_str(&damaged).unwrap();
        assert_eq!(stored.restore().unwrap_err().code, "corrupt", "{was}");
    }
}

proptest! {
    #[test]
    fn what_was_taken_in_is_opened_as_it_was_sealed(
        name in "[张王李欧阳娜A-Za-z ·]{1,20}",
        phone in "1[3-9][0-9]{9}",
        province in "\\PC{1,10}",
        city in "\\PC{1,10}",
        district in proptest::option::of("\\PC{0,10}"),
        street in "\\PC{1,60}",
        postal_code in proptest::option::of("[0-9]{6}"),
    ) {
        let (district, postal_code) = (district.as_deref(), postal_code.as_deref());
        let parts = RecipientParts {
            name: &name, phone: &phone, province: &province, city: &city, district, street: &street, postal_code, country: None,
        };
        if let Some(recipient) = Recipient::parse(&parts, "", &mut FieldErrors::new()) {
            prop_assert_eq!(reopen(&recipient), Ok(recipient));
        } else {
            let refused = |text: &str| text.trim().is_empty() || text.contains(['\u{2028}', '\u{2029}']);
            let parts = [&name, &province, &city, &street].into_iter().any(|text| refused(text));
            let breaks = district.is_some_and(|text| text.contains(['\u{2028}', '\u{2029}']));
            prop_assert!(parts || breaks, "only white space and line breaks are left to refuse");
        }
    }
}
