//! The calls themselves: how each is signed and sent, and what an answer or its absence means before it is read.

use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::json;

use super::answers::Answer;
use super::{Kuaidi100, signing};
use crate::couriers::client::{self, retry_after, send_code};
use crate::couriers::{BookError, Booked, CallError, Finding};

/// The longest answer that is read. A parcel with all its events is far below it.
const LONGEST_ANSWER: usize = 1024 * 1024;

impl Kuaidi100 {
    /// A call to the order desk. `param` is signed as it is and sent as it is.
    pub(super) fn order_call(&self, method: &str, param: &str) -> RequestBuilder {
        let stamp = self.clock.wall_now().timestamp_millis().to_string();
        let (key, secret) = (self.key.expose(), self.secret.expose());
        let sign = signing::sign(&[param, &stamp, key, secret]);
        let form = [
            ("method", method),
            ("key", key),
            ("t", &stamp),
            ("sign", &sign),
            ("param", param),
        ];
        self.client.post(self.order_url.clone()).form(&form)
    }

    /// A question about a number.
    pub(super) fn query_call(&self, param: &str) -> RequestBuilder {
        let customer = self.customer.as_str();
        let sign = signing::sign(&[param, self.key.expose(), customer]);
        let form = [("customer", customer), ("sign", &sign), ("param", param)];
        self.client.post(self.query_url.clone()).form(&form)
    }

    /// A subscription: its key is inside `param`, and nothing is signed.
    pub(super) fn subscribe_call(&self, param: &str) -> RequestBuilder {
        let form = [("schema", "json"), ("param", param)];
        self.client.post(self.subscribe_url.clone()).form(&form)
    }

    /// Sends a call that may be sent again, and reads its answer.
    pub(super) async fn ask(&self, call: RequestBuilder) -> Result<Answer, CallError> {
        let response = call.send().await.map_err(|error| CallError::new(send_code(&error)))?;
        let (status, after) = (response.status(), retry_after(response.headers()));
        if !status.is_success() {
            let code = if status == StatusCode::TOO_MANY_REQUESTS {
                "rate_limited".to_owned()
            } else {
                format!("http_{}", status.as_u16())
            };
            return Err(CallError {
                code,
                after,
                unauthorized: matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN),
            });
        }
        let body = client::body(response, LONGEST_ANSWER).await.map_err(CallError::new)?;
        let answer = Answer::read(&body).ok_or_else(|| CallError::new("unreadable_answer"))?;
        match answer.code.as_str() {
            "502" => Err(CallError {
                after,
                ..refused(&answer)
            }),
            _ => Ok(answer),
        }
    }
}

/// An answer that is no use, as an error.
pub(super) fn refused(answer: &Answer) -> CallError {
    if answer.good {
        // Said yes, and did not say what was asked for.
        CallError::new("unreadable_answer")
    } else if answer.denies_us() {
        CallError::unauthorized(answer.word())
    } else {
        CallError::new(answer.word())
    }
}

/// What came of a booking. Kuaidi100 answers 200 whatever it says: any other status is from something before it, and
/// where that may have passed the request on, nobody knows. A refusal counts in Kuaidi100's own words alone: this may be
/// a booking that is sent again, and what stands in front knows nothing of the first.
pub(super) async fn booking_answer(response: Response) -> Result<Booked, BookError> {
    let (status, after) = (response.status(), retry_after(response.headers()));
    let code = format!("http_{}", status.as_u16());
    match status.as_u16() {
        429 => Err(BookError::Retry {
            code: "rate_limited".to_owned(),
            after,
        }),
        401 | 403 => Err(BookError::Unauthorized { code }),
        // The wrong address or door: refused before it was understood, and somebody will put it right.
        404 | 405 => Err(BookError::retry(code)),
        200..=299 => {
            let body = client::body(response, LONGEST_ANSWER)
                .await
                .map_err(BookError::unknown)?;
            match Answer::read(&body) {
                Some(answer) => answer.booked(after),
                None => Err(BookError::unknown("unreadable_answer")),
            }
        }
        400..=499 => match client::body(response, LONGEST_ANSWER).await {
            Ok(body) => match Answer::read(&body) {
                Some(answer) if !answer.good => answer.booked(after),
                _ => Err(BookError::unknown(code)),
            },
            Err(_) => Err(BookError::unknown(code)),
        },
        _ => Err(BookError::unknown(code)),
    }
}

/// Tries key and secret by a price, key and customer by a number that nobody has.
pub(super) async fn findings(courier: &Kuaidi100) -> Vec<Finding> {
    let company = courier.courier_code.as_str();
    let price = json!({
        "kuaidiCom": company, "sendManPrintAddr": "北京市海淀区", "recManPrintAddr": "广东省深圳市", "weight": "1",
    });
    let priced = courier.ask(courier.order_call("price", &price.to_string())).await;
    let number = json!({ "com": company, "num": "SL0000000000", "resultv2": "4" });
    let queried = courier.ask(courier.query_call(&number.to_string())).await;
    let mut findings = vec![
        desk(priced.map_err(|error| error.code), company),
        query(queried.map_err(|error| error.code)),
    ];
    if courier.salt.expose().is_empty() {
        findings.push(Finding {
            good: false,
            what: "couriers.kuaidi100.salt is empty: no push is believed; put in a long random text".to_owned(),
        });
    }
    findings
}

fn finding(good: bool, what: impl Into<String>) -> Finding {
    Finding {
        good,
        what: what.into(),
    }
}

fn desk(priced: Result<Answer, String>, company: &str) -> Finding {
    match priced {
        Ok(answer) if answer.good => finding(
            true,
            format!("Kuaidi100's order desk accepts key and secret and has prices of {company}"),
        ),
        Ok(answer) => {
            let advice = match answer.code.as_str() {
                "503" => "compare couriers.kuaidi100.key and couriers.kuaidi100.secret with Kuaidi100's console",
                "600" => {
                    "it does not know couriers.kuaidi100.key, or the account has nothing left: look in its console"
                }
                "601" => "couriers.kuaidi100.key has expired: renew it in Kuaidi100's console",
                _ => "look whether its console has 商家寄件 switched on for couriers.kuaidi100.courier_code",
            };
            finding(
                false,
                format!("Kuaidi100's order desk gives no price ({}): {advice}", answer.word()),
            )
        }
        Err(code) => finding(
            false,
            format!(
                "Kuaidi100's order desk does not answer ({code}): look at couriers.kuaidi100.order_url and the way there"
            ),
        ),
    }
}

fn query(queried: Result<Answer, String>) -> Finding {
    match queried {
        // Nobody has that number: any answer about the number itself is a good one.
        Ok(answer) if answer.good || matches!(answer.code.as_str(), "500" | "408") => {
            finding(true, "Kuaidi100's query accepts key and customer")
        }
        Ok(answer) => {
            let advice = match answer.code.as_str() {
                "503" => "compare couriers.kuaidi100.key and couriers.kuaidi100.customer with Kuaidi100's console",
                "600" | "601" => "the key has expired or no queries are left: look in Kuaidi100's console",
                "400" => "couriers.kuaidi100.courier_code is not one that it knows, or queries are not paid for",
                _ => "try again later",
            };
            finding(
                false,
                format!("Kuaidi100's query refuses ({}): {advice}", answer.word()),
            )
        }
        Err(code) => finding(
            false,
            format!(
                "Kuaidi100's query does not answer ({code}): look at couriers.kuaidi100.query_url and the way there"
            ),
        ),
    }
}
