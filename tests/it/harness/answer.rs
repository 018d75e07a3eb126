//! What the service answered, searched for what no answer may hold.

use serde_json::Value;

use super::planted;

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("an answer that is UTF-8");
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self {
            status,
            headers,
            text,
            json,
        }
    }

    /// Fails where the person stands in the answer, whatever it is.
    pub(crate) fn holds_no_person(self) -> Self {
        let leaked = planted::find(&planted::PERSON, &self.text);
        assert_eq!(leaked, None, "status {}: a planted value was answered", self.status);
        self
    }

    /// The body of an answer with that status.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json
    }

    /// Checks that it is a problem as RFC 9457 and the contract say, with that status and code.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Value {
        assert_eq!(
            (self.status, self.json["code"].as_str()),
            (status, Some(code)),
            "{}",
            self.text
        );
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        for member in ["type", "title", "detail", "request_id"] {
            assert!(
                self.json[member].as_str().is_some_and(|text| !text.is_empty()),
                "no {member} in {}",
                self.text
            );
        }
        assert_eq!(self.json["status"], status, "{}", self.text);
        assert_eq!(self.header("x-request-id"), self.json["request_id"].as_str());
        self.json
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// The pointers and codes of a problem's field errors, sorted.
pub(crate) fn field_errors(problem: &Value) -> Vec<(String, String)> {
    let mut errors: Vec<_> = problem["errors"]
        .as_array()
        .expect("a problem with errors")
        .iter()
        .map(|error| {
            assert!(error["detail"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
            let text = |member: &str| error[member].as_str().unwrap().to_owned();
            (text("pointer"), text("code"))
        })
        .collect();
    errors.sort();
    errors
}
