//! `courier check`: what stands between this shop and SF, in plain words, found out without changing anything.

use super::Sf;
use super::gateway::Failure;
use super::requests::SearchOrder;
use crate::couriers::Finding;
use crate::domain::ids::RowId;

/// Looks at everything that booking and pushes need.
pub(super) async fn findings(sf: &Sf) -> Vec<Finding> {
    // No booking reference looks like this, so there is no such order.
    let nobodys = format!("SAFELIGHT-CHECK-{}", RowId::generate());
    let asked = sf
        .gateway
        .call("EXP_RECE_SEARCH_ORDER_RESP", &SearchOrder::from(nobodys.as_str()))
        .await;
    let mut found = vec![of_answer(asked.err())];
    found.push(match &sf.monthly_card {
        None => bad("couriers.sf.monthly_card is not set: SF would have every parcel paid in cash"),
        Some(card) if card.expose().len() != 10 || !card.expose().bytes().all(|b| b.is_ascii_digit()) => {
            bad("couriers.sf.monthly_card is not ten digits, as SF's monthly cards are")
        }
        Some(_) => good("a monthly card pays for the parcels (SF says at the first booking whether it takes the card)"),
    });
    found.push(if sf.push_tokens.is_empty() {
        bad(
            "couriers.sf.push_tokens is empty, so what SF pushes is refused: put in a long random token and, in SF's \
             console, the address https://YOUR-HOST/webhooks/sf/TOKEN for its route and order-state pushes",
        )
    } else {
        good("pushes are believed where their address ends in one of couriers.sf.push_tokens")
    });
    found
}

/// What the answer to a question about an order that cannot exist says.
fn of_answer(failure: Option<Failure>) -> Finding {
    let code = match failure {
        None => return good("SF answers"),
        Some(Failure::Said { code, .. }) => code,
        Some(Failure::Busy(_)) => "A1005".to_owned(),
        Some(other) => {
            return bad(&format!(
                "SF gives no usable answer at couriers.sf.base_url ({}): is the address right, and may this machine \
                 reach it?",
                other.of_call().code
            ));
        }
    };
    match code.as_str() {
        "8018" | "6150" => good("SF answers, and accepts partner_id, checkword and this machine's address"),
        "A1006" => bad("SF refuses the signature (A1006): couriers.sf.checkword is not the one of partner_id there"),
        "A1003" => bad("SF does not accept this machine's IP address (A1003): have it allowed in SF's console"),
        "A1004" => bad(
            "SF says that partner_id may not use this service (A1004): have the services for orders, routes and printing \
             released in SF's console, or is base_url that of the other environment?",
        ),
        "A1010" => bad("SF has not released this partner_id for the environment of base_url (A1010)"),
        "A1002" | "A1011" => bad(&format!(
            "SF does not know couriers.sf.partner_id, or not with this checkword ({code})"
        )),
        "A1001" | "A1008" => bad(&format!(
            "SF cannot read what is sent to it ({code}): is base_url its gateway?"
        )),
        "A1005" => bad("SF answers that it is asked too often (A1005): wait, and check again"),
        _ => bad(&format!(
            "SF answers, but with trouble of its own ({code}): try again, then ask SF"
        )),
    }
}

fn good(what: &str) -> Finding {
    Finding {
        good: true,
        what: what.to_owned(),
    }
}

fn bad(what: &str) -> Finding {
    Finding {
        good: false,
        what: what.to_owned(),
    }
}
