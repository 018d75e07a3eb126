//! What a request to SF is signed with: the Base64 of the MD5 of the URL-encoded `msgData + timestamp + checkword`.
//!
//! MD5 is SF's choice. The encoding is that of Java's `URLEncoder`, which is the form encoding of browsers too: every byte
//! but `A-Z a-z 0-9 * - . _` as `%XX`, a space as `+`. It works byte by byte, so the parts need not be put together first.

use base64::Engine;
use form_urlencoded::byte_serialize;
use md5::{Digest, Md5};

use crate::privacy::Secret;

/// The `msgDigest` of exactly this `msgData` and `timestamp`.
pub(super) fn digest(msg_data: &str, timestamp: &str, checkword: &Secret<String>) -> String {
    let mut hasher = Md5::new();
    for part in [msg_data, timestamp, checkword.expose()] {
        for piece in byte_serialize(part.as_bytes()) {
            hasher.update(piece);
        }
    }
    base64::engine::general_purpose::STANDARD.encode(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(msg_data: &str, timestamp: &str, checkword: &str) -> String {
        digest(msg_data, timestamp, &Secret::new(checkword.to_owned()))
    }

    const MSG_DATA: &str = r#"{"language":"zh-CN","orderId":"QIAO-20200618-004"}"#;
    const CHECKWORD: &str = "fjcg5PGKaNpPSHFAZ4QsCOkV71R3zVci";

    #[test]
    fn the_published_example_is_signed_as_published_and_a_flipped_byte_is_not() {
        let published = "IIKJtuLVzoFTu4kHI8M8vA==";
        assert_eq!(of(MSG_DATA, "12312334453453", CHECKWORD), published);
        for at in 0..MSG_DATA.len() {
            let mut flipped = MSG_DATA.as_bytes().to_vec();
            flipped[at] ^= 1;
            let flipped = String::from_utf8(flipped).unwrap();
            assert_ne!(of(&flipped, "12312334453453", CHECKWORD), published, "byte {at}");
        }
        assert_ne!(of(MSG_DATA, "12312334453454", CHECKWORD), published);
        assert_ne!(of(MSG_DATA, "12312334453453", &CHECKWORD.to_lowercase()), published);
    }

    /// Computed with Java's `URLEncoder`; the encoders of other languages give another digest for these characters.
    #[test]
    fn special_characters_are_encoded_as_java_does() {
        let msg_data = "{\"orderId\":\"A*1 ~b\",\"address\":\"广东省深圳市 (南山)!'+\"}";
        assert_eq!(
            of(msg_data, "1700000000000", "dummy-checkword-0000000000000000"),
            "F9tySMtZ+VdQKzp3Yy0SAA=="
        );
    }
}
