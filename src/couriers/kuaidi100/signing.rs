//! Kuaidi100's signatures: MD5 over UTF-8 text, as hexadecimal in capitals, nothing between the parts. What is signed is
//! the `param` text exactly as it travels, before the form is encoded: it is serialised once and never again.

use data_encoding::HEXUPPER;
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

use crate::privacy::Secret;

/// The signature over these parts, in this order.
pub(super) fn sign(parts: &[&str]) -> String {
    let mut digest = Md5::new();
    for part in parts {
        digest.update(part.as_bytes());
    }
    HEXUPPER.encode(&digest.finalize())
}

/// Whether `given` is the signature of an incoming `param`, in either case. Without a salt nothing is: everybody could
/// make that signature.
pub(super) fn is_authentic(param: &str, salt: &Secret<String>, given: &str) -> bool {
    if salt.expose().is_empty() {
        return false;
    }
    let expected = sign(&[param, salt.expose()]);
    given
        .trim()
        .to_ascii_uppercase()
        .as_bytes()
        .ct_eq(expected.as_bytes())
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn salt(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    /// Made with another implementation of MD5 over the published orders of the parts.
    #[test]
    fn queries_and_orders_are_signed_as_other_implementations_sign_them() {
        let param = r#"{"com":"yuantong","num":"YT0000000000001"}"#;
        assert_eq!(
            sign(&[param, "testkey", "TESTCUSTOMER"]),
            "1699A5AF72FC965CD15BB84BD4B1239C"
        );
        assert_eq!(
            sign(&[param, "1700000000000", "testkey", "testsecret"]),
            "8F9E04F38926CA4DB6E1C01E59852AF5"
        );
    }

    #[test]
    fn a_push_is_authentic_in_either_case_and_with_its_own_salt_only() {
        let param = r#"{"status":"polling","lastResult":{"nu":"YT0000000000001"}}"#;
        let signature = sign(&[param, "123"]);
        assert!(is_authentic(param, &salt("123"), &signature));
        assert!(is_authentic(param, &salt("123"), &signature.to_lowercase()));
        assert!(!is_authentic(param, &salt("124"), &signature));
        assert!(!is_authentic(&format!("{param} "), &salt("123"), &signature));
        for wrong in ["", "123", &signature[1..]] {
            assert!(!is_authentic(param, &salt("123"), wrong));
        }
    }

    #[test]
    fn without_a_salt_nothing_is_authentic() {
        let signature = sign(&["{}"]);
        assert!(!is_authentic("{}", &salt(""), &signature));
    }
}
