//! The waybill to print: SF makes a PDF, says where it lies, and gives a token to fetch it with.

use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use super::gateway::Gateway;
use super::requests::PrintWaybill;
use super::wire;
use crate::couriers::client::{self, send_code};
use crate::couriers::{CallError, Label, ParcelRef};
use crate::privacy::Pii;

/// The longest document that is read.
const LONGEST_LABEL: usize = 10 * 1024 * 1024;

const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// Has the waybill of a parcel printed into a PDF and fetches it.
pub(super) async fn fetch(gateway: &Gateway, parcel: &ParcelRef) -> Result<Label, CallError> {
    let Some(waybill) = parcel.tracking_no.as_ref().map(Pii::expose) else {
        // A person at SF still looks at the order; it has no waybill yet.
        return Err(CallError::new("no_waybill_yet"));
    };
    let print = PrintWaybill::new(waybill, &gateway.partner_id);
    let answer = gateway
        .call("COM_RECE_CLOUD_PRINT_WAYBILLS", &print)
        .await
        .map_err(|failure| failure.of_call())?;
    let file = wire::printed_file(&answer, waybill).ok_or_else(|| CallError::new("unreadable_answer"))?;
    let url = trusted(file.url.expose(), &gateway.url).ok_or_else(|| CallError::new("untrusted_label_address"))?;
    let mut token = HeaderValue::from_str(file.token.expose()).map_err(|_| CallError::new("unreadable_answer"))?;
    token.set_sensitive(true);
    let response = gateway
        .client
        .get(url)
        .header(TOKEN, token)
        .send()
        .await
        .map_err(|error| CallError::new(send_code(&error)))?;
    let status = response.status();
    if !status.is_success() {
        return Err(CallError::new(format!("label_http_{}", status.as_u16())));
    }
    let document = client::body(response, LONGEST_LABEL).await.map_err(CallError::new)?;
    // A page that says "expired" is no waybill, whatever it calls itself.
    if !document.starts_with(b"%PDF-") {
        return Err(CallError::new("label_is_no_pdf"));
    }
    Ok(Label {
        content_type: "application/pdf".to_owned(),
        document: Pii::new(document),
    })
}

/// The address of a label, where it may be fetched from: SF's storage is another host, so any that is encrypted; without
/// encryption only the machine that the gateway itself is spoken to without.
fn trusted(address: &str, gateway: &Url) -> Option<Url> {
    let url = Url::parse(address).ok()?;
    if !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let as_gateway = || {
        gateway.scheme() == "http"
            && (url.host() == gateway.host() || (is_this_machine(&url) && is_this_machine(gateway)))
    };
    match url.scheme() {
        "https" => Some(url),
        "http" if as_gateway() => Some(url),
        _ => None,
    }
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_fetched_over_https_or_from_the_gateways_own_machine() {
        let is_trusted = |address: &str, gateway: &str| trusted(address, &Url::parse(gateway).unwrap()).is_some();
        let sf = "https://bspgw.sf-express.com/std/service";
        assert!(is_trusted("https://oss.example.cn:443/a.pdf", sf));
        assert!(!is_trusted("http://bspgw.sf-express.com/a.pdf", sf));
        assert!(!is_trusted("file:///etc/passwd", sf));
        assert!(!is_trusted("https://user:pass@oss.example.cn/a.pdf", sf));
        assert!(!is_trusted("a.pdf", sf));
        assert!(is_trusted("http://127.0.0.1:9/a.pdf", "http://127.0.0.1:8/std/service"));
        assert!(is_trusted("http://localhost:9/a.pdf", "http://[::1]:8/std/service"));
        assert!(!is_trusted("http://10.0.0.1/a.pdf", "http://127.0.0.1:8/std/service"));
    }
}
