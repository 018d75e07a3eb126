//! Values that identify a person, planted in everything that the tests send, and unmistakable: where one of them turns
//! up in a log or in an answer it has leaked, for it can stand nowhere by chance.

/// The recipient's name.
pub(crate) const NAME: &str = "司马植入";
/// A corrected recipient's name.
pub(crate) const OTHER_NAME: &str = "诸葛更正";
/// The recipient's mobile number, as checkout sends it.
pub(crate) const PHONE: &str = "13712345678";
/// Another person's.
pub(crate) const OTHER_PHONE: &str = "13712345699";
/// The recipient's street.
pub(crate) const STREET: &str = "暗房路七弄绝密小区707室";
/// A corrected recipient's street.
pub(crate) const OTHER_STREET: &str = "显影街九号绝密大院909室";
/// The photo's place.
pub(crate) const PHOTO: &str = "oss://planted-photos/2026/11/23/secret-face.jpg";
/// What somebody writes as a reason.
pub(crate) const REASON: &str = "植入的理由：客户本人来电";
/// What a courier writes about a delivery.
pub(crate) const REMARK: &str = "植入的备注：已签收，签收人司马";
/// A tracking number that a person enters by hand.
pub(crate) const TRACKING: &str = "SFPLANTED7070";
/// The idempotency keys of the tests begin with this.
pub(crate) const IDEMPOTENCY: &str = "planted-key-";
/// The simulated courier's webhook secret: `whsec_` and the base64 of this.
pub(crate) const WEBHOOK_SECRET: &str = "whsec_cGxhbnRlZC13ZWJob29rLXNlY3JldC0wMDAx";

/// What may stand in no answer but the one that reveals a person. Parts of the values, so that a cut one is found too.
pub(crate) const PERSON: [&str; 9] = [
    "植入",
    "诸葛更正",
    "绝密",
    "暗房路",
    "显影街",
    "137123456",
    "137 1234",
    "planted-webhook",
    "司马",
];

/// What may stand in no log: the person, and what some scopes may see.
pub(crate) const UNLOGGED: [&str; 18] = [
    "植入",
    "司马",
    "诸葛更正",
    "绝密",
    "暗房路",
    "显影街",
    "南山区",
    "137123456",
    "137 1234",
    "secret-face",
    "planted-photos",
    "SFPLANTED",
    "94001PLANTED",
    "1ZPLANTED",
    "planted-key-",
    "cGxhbnRlZC13ZWJob29r",
    "Bearer sl_",
    "postgres:",
];

/// The first of `needles` that `text` holds.
pub(crate) fn find<'a>(needles: &[&'a str], text: &str) -> Option<&'a str> {
    needles.iter().copied().find(|needle| text.contains(needle))
}
