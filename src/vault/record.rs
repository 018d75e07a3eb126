//! How a person's record and a parked courier event are written before they are sealed. The short names are forever:
//! sealed rows outlive versions of this program.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::clock::BusinessTime;
use crate::domain::contact::StoredRecipient;
use crate::domain::personal_record::{Note, PersonalRecord, TrackingNumber};
use crate::privacy::Pii;

#[derive(Serialize, Deserialize)]
struct StoredPerson {
    r: StoredRecipient,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    p: Vec<Option<String>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    t: Vec<(u8, String)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    n: Vec<StoredNote>,
}

#[derive(Serialize, Deserialize)]
struct StoredNote {
    k: String,
    a: String,
    x: String,
}

/// A person's record as bytes to be sealed.
pub fn person_to_bytes(person: &PersonalRecord) -> Zeroizing<Vec<u8>> {
    let stored = StoredPerson {
        r: person.recipient.to_stored(),
        p: person
            .photos
            .iter()
            .map(|photo| photo.as_ref().map(|photo| photo.expose().clone()))
            .collect(),
        t: person
            .tracking
            .iter()
            .map(|known| (known.attempt, known.number.expose().clone()))
            .collect(),
        n: person
            .notes
            .iter()
            .map(|note| StoredNote {
                k: note.kind.clone(),
                a: note.about.clone(),
                x: note.text.expose().clone(),
            })
            .collect(),
    };
    #[expect(clippy::expect_used, reason = "strings and numbers always serialise")]
    Zeroizing::new(serde_json::to_vec(&stored).expect("plain values serialise"))
}

/// Reads what [`person_to_bytes`] wrote; `None` where the bytes are something else.
pub fn person_from_bytes(bytes: &[u8]) -> Option<PersonalRecord> {
    let stored: StoredPerson = serde_json::from_slice(bytes).ok()?;
    Some(PersonalRecord {
        recipient: stored.r.restore().ok()?,
        photos: stored.p.into_iter().map(|photo| photo.map(Pii::new)).collect(),
        tracking: stored
            .t
            .into_iter()
            .map(|(attempt, number)| TrackingNumber {
                attempt,
                number: Pii::new(number),
            })
            .collect(),
        notes: stored
            .n
            .into_iter()
            .map(|note| Note {
                kind: note.k,
                about: note.a,
                text: Pii::new(note.x),
            })
            .collect(),
    })
}

/// What people wrote about a data subject's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestText {
    /// How the requester was verified.
    pub verified_by: Option<Pii<String>>,
    /// Why the request was refused.
    pub refusal: Option<Pii<String>>,
    /// The salt of the refusal's hash in the audit log.
    pub salt: Option<Pii<String>>,
}

#[derive(Serialize, Deserialize)]
struct StoredRequestText {
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<String>,
}

impl RequestText {
    /// As bytes to be sealed.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let plain = |text: &Option<Pii<String>>| text.as_ref().map(|text| text.expose().clone());
        let stored = StoredRequestText {
            v: plain(&self.verified_by),
            r: plain(&self.refusal),
            s: plain(&self.salt),
        };
        #[expect(clippy::expect_used, reason = "strings always serialise")]
        Zeroizing::new(serde_json::to_vec(&stored).expect("plain values serialise"))
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let stored: StoredRequestText = serde_json::from_slice(bytes).ok()?;
        Some(Self {
            verified_by: stored.v.map(Pii::new),
            refusal: stored.r.map(Pii::new),
            salt: stored.s.map(Pii::new),
        })
    }
}

/// A courier's event that waits for its booking, as it is sealed.
#[derive(Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields of couriers::CourierEvent in plain types")]
pub struct StoredEvent {
    pub tracking_no: Option<String>,
    pub new_tracking_no: Option<String>,
    pub status: Option<String>,
    pub code: String,
    pub at: BusinessTime,
    pub remark: Option<String>,
}

impl StoredEvent {
    /// As bytes to be sealed.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        #[expect(clippy::expect_used, reason = "strings and times always serialise")]
        Zeroizing::new(serde_json::to_vec(self).expect("plain values serialise"))
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contact::{Recipient, RecipientParts};
    use crate::domain::invalid::FieldErrors;

    #[test]
    fn a_person_reads_back_as_written() {
        let parts = RecipientParts {
            name: "张三",
            phone: "13800138000",
            province: "广东省",
            city: "深圳市",
            district: Some("南山区"),
            street: "科技中二路1号",
            postal_code: None,
            country: None,
        };
        let person = PersonalRecord {
            recipient: Recipient::parse(&parts, "", &mut FieldErrors::new()).unwrap(),
            photos: vec![Some(Pii::new("oss://a.jpg".to_owned())), None],
            tracking: vec![TrackingNumber {
                attempt: 1,
                number: Pii::new("SM1".to_owned()),
            }],
            notes: vec![Note {
                kind: "cancel_reason".into(),
                about: "x".into(),
                text: Pii::new("搬家了".to_owned()),
            }],
        };
        assert_eq!(person_from_bytes(&person_to_bytes(&person)), Some(person));
        assert_eq!(person_from_bytes(b"{}"), None);
    }

    #[test]
    fn what_was_written_about_a_request_reads_back() {
        let text = RequestText {
            verified_by: Some(Pii::new("工单 4711".to_owned())),
            refusal: Some(Pii::new("不是本人".to_owned())),
            salt: None,
        };
        assert_eq!(RequestText::from_bytes(&text.to_bytes()), Some(text));
        assert_eq!(RequestText::from_bytes(b"[]"), None);
    }
}
