//! SF's answer codes, and what each means for the next step. The gateway's begin with `A`; the others are those of the
//! services behind it. Every code stands here once.

/// What a code that is not success means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Not taken in; the same may be sent again later.
    Later,
    /// Not taken in, and nothing will be until our account, credentials or address are put right.
    Account,
    /// Not taken in: the order itself is not acceptable.
    Refused,
    /// It may have been taken in: this time, or when the same was sent before.
    MayBeThere,
    /// There is no such order.
    NotThere,
    /// The order was called off; its id is used up for ever.
    CalledOff,
    /// SF's list has no such code. It says no, but nothing promises that nothing was done.
    Unlisted,
}

/// What a code means.
pub(super) fn meaning(code: &str) -> Meaning {
    match code {
        // Rate limited: 30 a second and 3000 or 5000 a day for each service.
        "A1005"
        // Outside pickup hours.
        | "8096"
        // Peak control: SF takes nothing more in for now. Nothing is wrong with the order.
        | "8177" => Meaning::Later,
        // Token expired; IP address not allowed; no permission, or the other environment; signature; API not released
        // from the sandbox; no such partner.
        "A1002" | "A1003" | "A1004" | "A1006" | "A1010" | "A1011"
        // Monthly card: may not ship; does not exist; not bound to this partner; peak control of the card; not that of
        // the order. Every order of ours is paid by this card, so the next would be refused as well.
        | "8114" | "8119" | "6126" | "8179" | "20052" => Meaning::Account,
        // Missing parameter; cannot be decrypted.
        "A1001" | "A1008"
        // Address, contact or phone number missing, of either side; phone number abnormal.
        | "1010" | "1011" | "1012" | "1013" | "1014" | "1015" | "1016" | "8196"
        // Prohibited goods; product not offered there; timed delivery not offered there; way of payment.
        | "20035" | "20036" | "8057" | "8051" | "8052" | "8053" | "8256"
        // Not JSON; a parameter is empty; no order id, no order details.
        | "S0001" | "S0002" | "6118" | "6135" | "6136" => Meaning::Refused,
        // Sent a moment ago, or the id is taken; downstream cannot be reached; system errors.
        "A1007" | "A1009" | "A1099" | "S0003" | "4001"
        // Duplicate order: with the first answer lost, the duplicate is ours.
        | "8016"
        // Order and waybill do not belong together; already confirmed; confirmed or called off.
        | "8017" | "8252" | "8019" => Meaning::MayBeThere,
        // No such order, in the words of three services.
        "8018" | "6150" | "8024" => Meaning::NotThere,
        // Called off, in the words of two services.
        "8037" | "8253" => Meaning::CalledOff,
        _ => Meaning::Unlisted,
    }
}
