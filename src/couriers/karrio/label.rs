//! A label, from whichever of three places Karrio has it in.

use base64::Engine;
use reqwest::Method;
use serde_json::json;

use super::Karrio;
use super::wire::{self, Shipment};
use crate::couriers::rest::text;
use crate::couriers::{CallError, client};

/// The longest label that is read.
const LONGEST_LABEL: usize = 10 * 1024 * 1024;

impl Karrio {
    /// The label as Karrio's shipment shows it, else as its document endpoints give it.
    pub(super) async fn label_of(&self, id: &str, shipment: &Shipment) -> Result<Option<Vec<u8>>, CallError> {
        if let Some(label) = shipment.label() {
            return decoded(label).map(Some);
        }
        if !shipment.has_label() {
            return Ok(None);
        }
        let path = format!("v1/shipments/{id}/documents/label");
        let answer = self.api.call(Method::POST, &path, Some(&json!({}))).await?;
        let good = answer.is_good();
        match answer
            .body
            .as_ref()
            .ok()
            .filter(|_| good)
            .and_then(|body| text(body, "base64"))
        {
            Some(label) => return decoded(label).map(Some),
            None if !good && !matches!(answer.status, 404 | 405) => {
                let own = answer.body.as_ref().ok().and_then(wire::own_code);
                return Err(answer.unusable(own));
            }
            None => {}
        }
        let path = format!("v1/shipments/{id}/label.{}", shipment.label_format());
        let response = self.api.send(Method::GET, &path, None).await?;
        if !response.status().is_success() {
            return Err(CallError::new(format!("http_{}", response.status().as_u16())));
        }
        let document = client::body(response, LONGEST_LABEL).await.map_err(CallError::new)?;
        Ok(Some(document))
    }
}

fn decoded(label: &str) -> Result<Vec<u8>, CallError> {
    let not_a_label = || CallError::new("not_a_label");
    if label.len() / 4 * 3 > LONGEST_LABEL {
        return Err(CallError::new("answer_too_long"));
    }
    // A data URL is told from bare base64 by its comma.
    let encoded: String = label
        .rsplit(',')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    base64::engine::general_purpose::STANDARD
        .decode(encoded)
        .map_err(|_| not_a_label())
}
