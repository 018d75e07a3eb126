//! What SF's route codes mean: the one table, from SF's own list of operation codes and what its traces show.
//!
//! A node of a route says where a parcel stands by a first and second status, where they are delivered at all, and by an
//! operation code with a reason. The reason refines, the status is preferred, the operation code is the fallback. What
//! stands in no table moves nothing.

use crate::couriers::News;
use crate::couriers::client::safe_code;
use crate::domain::shipment::TrackingStatus::{
    self, Accepted, Delivered, Exception, InTransit, Lost, OutForDelivery, PickedUp, Rejected, Returned, Returning,
};

/// The codes of one node of a route, and the words beside them.
#[derive(Default)]
pub(super) struct Node {
    pub(super) first: Option<String>,
    pub(super) second: Option<String>,
    pub(super) operation: Option<String>,
    pub(super) reason: Option<String>,
    /// Free text: the remark and the reason's name. Personal.
    pub(super) words: String,
}

impl Node {
    /// What it means for the parcel.
    pub(super) fn news(&self) -> News {
        let operation = self.operation.as_deref().unwrap_or_default();
        if let Some(news) = refined(operation, self.reason.as_deref().unwrap_or_default(), &self.words) {
            return news;
        }
        let first = self.first.as_deref().and_then(of_first_status);
        let second = || self.second.as_deref().and_then(of_second_status);
        first
            .or_else(second)
            .or_else(|| of_operation(operation))
            .map_or(News::Unchanged, News::Moved)
    }

    /// For the log and the metric: the operation code, else the status.
    pub(super) fn code(&self) -> String {
        let known = [&self.operation, &self.second, &self.first];
        let code = known.into_iter().flatten().find_map(|code| safe_code(code));
        code.unwrap_or("unknown").to_owned()
    }

    /// The waybill that the parcel goes on under. It stands nowhere but in the remark ("新单号为: SF...").
    pub(super) fn new_waybill(&self) -> Option<String> {
        let (_, after) = self.words.split_once("新单号")?;
        let number: String = after
            .trim_start_matches(|c: char| !c.is_ascii_alphanumeric())
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect();
        let digits = number.bytes().filter(u8::is_ascii_digit).count();
        ((10..=32).contains(&number.len()) && digits >= 8).then_some(number)
    }
}

/// What the reason or the words make of an operation that alone says less.
fn refined(operation: &str, reason: &str, words: &str) -> Option<News> {
    let says = |any: &[&str]| any.iter().any(|word| words.contains(word));
    let status = match (operation, reason) {
        // The picture of the signature, of a parcel that was lost or destroyed.
        ("8000", "6" | "2") => Lost,
        // Delivery called off.
        ("70", "46") => return Some(News::CalledOff),
        // Not taken from the locker that the sender put it into.
        ("131", _) => return Some(News::NotCollected),
        // The recipient collects it.
        ("33" | "70", "83" | "85") => OutForDelivery,
        ("33" | "70", _) if says(&["拒收", "拒签", "拒绝收", "拒绝签"]) => Rejected,
        // At the customer's wish to another address, which is a return only where it says so.
        ("99", "2") => Returning,
        ("99", _) if says(&["退回", "退件", "退货"]) => Returning,
        // "Returned or redirected under a new number": a return unless only the other word is there.
        ("648", _) if says(&["转寄"]) && !says(&["退"]) => InTransit,
        ("648", _) => Returning,
        _ => return None,
    };
    Some(News::Moved(status))
}

fn of_first_status(code: &str) -> Option<TrackingStatus> {
    Some(match code {
        "7" => Accepted,        // waits to be collected
        "1" => PickedUp,        // collected
        "2" => InTransit,       // on its way
        "3" => OutForDelivery,  // being delivered
        "4" => Delivered,       // signed for
        "11" => OutForDelivery, // waits at a locker or station
        "13" => Exception,      // to be delivered again
        // Nodes of returns and redirections say "-" here.
        _ => return None,
    })
}

fn of_second_status(code: &str) -> Option<TrackingStatus> {
    Some(match code {
        "701" => Accepted,                  // waits to be collected
        "101" => PickedUp,                  // collected
        "201" | "204" | "205" => InTransit, // on its way; in customs; out of customs
        "301" => OutForDelivery,            // being delivered
        "401" => Delivered,                 // signed for
        "1301" => Exception,                // to be delivered again
        _ => return None,
    })
}

fn of_operation(code: &str) -> Option<TrackingStatus> {
    Some(match code {
        // The sender prepares it; at a partner's shop; put in a locker; sent by self-service; a courier was assigned,
        // or an appointment made.
        "647" | "655" | "127" | "138" | "151" | "152" => Accepted,
        // Collected: by SF, at the door, as part of several, into a warehouse, from a locker, by an agent, in bulk, fast.
        "50" | "54" | "51" | "43" | "129" | "607" | "850" | "851" | "950" => PickedUp,
        "188" | "214" | "633" | "651" | "656" | "700" | "701" | "153" | "46" | "41" => PickedUp,
        // Loaded or sorted; arrived; sealed; the vehicle left, is on its way, came in.
        "30" | "31" | "36" | "302" | "304" | "305" | "310" | "3036" | "501" | "10" | "11" => InTransit,
        // By air: taken off, landed, handed over. By rail. By ship.
        "105" | "106" | "88" | "89" | "570" | "571" | "405" | "406" | "407" => InTransit,
        "135" | "136" | "137" | "140" | "141" | "147" | "186" | "187" | "189" | "190" => InTransit,
        // In a warehouse; the morning round.
        "201" | "202" | "205" | "206" | "208" | "64" | "65" | "86" | "87" | "921" => InTransit,
        "649" | "664" | "676" | "75" | "84" | "830" | "831" | "843" | "844" | "847" | "900" => InTransit,
        "930" | "931" | "932" | "96" | "98" => InTransit,
        // On the way to a shop or station; handed to another company; redirected.
        "123" | "626" | "627" | "99" => InTransit,
        // Customs.
        "14" | "15" | "16" | "17" | "604" | "605" | "606" | "612" | "613" | "614" | "619" | "620" | "623" => InTransit,
        // On the courier's round, handed from one courier to another, taken out of the held ones, by another company.
        "44" | "204" | "34" | "47" | "122" | "211" | "212" | "630" | "634" | "677" | "880" | "933" => OutForDelivery,
        // Waits to be collected: in a locker, at a shop, on a shelf, at a partner's, at a station.
        "125" | "130" | "642" | "643" | "658" | "678" | "632" => OutForDelivery,
        // Signed for; picture of the signature; out of the locker; at a station; a whole truck; by another company.
        "80" | "8000" | "128" | "679" | "97" | "935" => Delivered,
        // Not delivered, and why; marked; held; not as usual; at another company; in sorting; taken back out of a locker.
        "33" | "70" | "72" | "66" | "77" | "833" | "870" | "934" | "611" | "126" => Exception,
        // Held by customs or by quarantine.
        "18" | "621" => Exception,
        // On its way back under a new number.
        "648" | "631" => Returning,
        // Handed back to the sender by a partner or a steward.
        "660" | "215" => Returned,
        _ => return None,
    })
}

/// What a push about the state of an order means: how collecting it goes, before there is a route.
pub(super) fn of_order_state(code: &str) -> News {
    match code {
        // Taken in; a courier was found for it.
        "04-40037" | "04-40001" => News::Moved(Accepted),
        // Collected.
        "05-40003" => News::Moved(PickedUp),
        // Called off by the customer, or by SF's dispatchers.
        "00" | "00-2000" | "00-40045-1000" => News::CalledOff,
        // Dispatching waits or failed, or the courier could not collect it (04-40002-...): somebody will try again.
        _ => News::Unchanged,
    }
}

/// An order-state code for the log and the metric: two digits, then up to two groups of four or five, so that no phone
/// number passes for one.
pub(super) fn order_state_code(code: &str) -> &str {
    let mut groups = code.split('-');
    let digits = |group: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&group.len()) && group.bytes().all(|b| b.is_ascii_digit())
    };
    let begins = groups.next().is_some_and(|group| digits(group, 2..=2));
    let rest: Vec<&str> = groups.collect();
    if begins && rest.len() <= 2 && rest.into_iter().all(|group| digits(group, 4..=5)) {
        code
    } else {
        "unknown"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(first: &str, second: &str, operation: &str, reason: &str, words: &str) -> Node {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Node {
            first: some(first),
            second: some(second),
            operation: some(operation),
            reason: some(reason),
            words: words.to_owned(),
        }
    }

    #[test]
    fn the_status_counts_before_the_operation_which_counts_where_there_is_none() {
        for (first, second, operation, status) in [
            ("7", "701", "655", Accepted),
            ("1", "101", "54", PickedUp),
            ("2", "204", "44", InTransit),
            ("", "205", "", InTransit),
            ("3", "", "", OutForDelivery),
            ("4", "401", "80", Delivered),
            ("11", "", "125", OutForDelivery),
            ("13", "1301", "70", Exception),
            ("-", "", "648", Returning),
            ("", "", "50", PickedUp),
            ("", "", "44", OutForDelivery),
            ("", "", "607", PickedUp),
            ("", "", "8000", Delivered),
            ("", "", "660", Returned),
            ("", "", "99", InTransit),
        ] {
            let news = node(first, second, operation, "", "").news();
            assert_eq!(news, News::Moved(status), "{first} {second} {operation}");
        }
        for unknown in [
            node("", "", "4711", "", "已签收"),
            node("99", "9901", "", "", ""),
            Node::default(),
        ] {
            assert_eq!(unknown.news(), News::Unchanged);
        }
    }

    #[test]
    fn a_reason_or_a_word_says_more_than_the_operation() {
        for (operation, reason, words, news) in [
            ("8000", "6", "", News::Moved(Lost)),
            ("8000", "2", "", News::Moved(Lost)),
            ("70", "46", "", News::CalledOff),
            ("131", "", "", News::NotCollected),
            ("33", "83", "", News::Moved(OutForDelivery)),
            ("70", "85", "", News::Moved(OutForDelivery)),
            ("70", "", "快件派送不成功(因收方客户拒收快件)", News::Moved(Rejected)),
            ("33", "", "客户拒签", News::Moved(Rejected)),
            ("70", "", "快件派送不成功(电话无人接听)", News::Moved(Exception)),
            ("99", "2", "", News::Moved(Returning)),
            ("99", "", "应客户要求,快件正在退回中", News::Moved(Returning)),
            ("99", "", "应客户要求,快件正在转寄中", News::Moved(InTransit)),
            (
                "648",
                "",
                "快件已退回/转寄,新单号为: SF1000000000001",
                News::Moved(Returning),
            ),
            (
                "648",
                "",
                "快件已转寄,新单号为: SF1000000000001",
                News::Moved(InTransit),
            ),
        ] {
            assert_eq!(
                node("", "", operation, reason, words).news(),
                news,
                "{operation} {reason} {words}"
            );
        }
        // Also where the status says less.
        assert_eq!(node("13", "1301", "70", "", "客户拒收").news(), News::Moved(Rejected));
    }

    #[test]
    fn a_new_waybill_is_read_out_of_the_remark_alone() {
        let of = |words: &str| node("", "", "648", "", words).new_waybill();
        for (words, number) in [
            ("快件已退回/转寄,新单号为: SF1000000000001", Some("SF1000000000001")),
            ("快件已退回/转寄,新单号为：【SF1000000000001】", Some("SF1000000000001")),
            ("新单号为:100000000001。请查询", Some("100000000001")),
            ("新单号为: ", None),
            ("新单号为: 张三", None),
            ("新单号为: SF1", None),
            ("快件已退回", None),
        ] {
            assert_eq!(of(words).as_deref(), number, "{words}");
        }
    }

    #[test]
    fn free_text_never_passes_for_a_code() {
        assert_eq!(node("4", "401", "80", "", "").code(), "80");
        assert_eq!(node("4", "401", "签收人张三", "", "").code(), "401");
        assert_eq!(node("", "", "13800138000", "", "").code(), "unknown");
        for (code, shown) in [
            ("00", "00"),
            ("05-40003", "05-40003"),
            ("04-40002-40021", "04-40002-40021"),
            ("138-0013-8000", "unknown"),
            ("13800138000", "unknown"),
            ("00-", "unknown"),
            ("张三", "unknown"),
        ] {
            assert_eq!(order_state_code(code), shown);
        }
    }

    #[test]
    fn the_state_of_an_order_calls_it_off_or_has_it_collected() {
        for off in ["00", "00-2000", "00-40045-1000"] {
            assert_eq!(of_order_state(off), News::CalledOff);
        }
        assert_eq!(of_order_state("04-40037"), News::Moved(Accepted));
        assert_eq!(of_order_state("05-40003"), News::Moved(PickedUp));
        for unmoved in ["04", "04-40002-40014", "04-40002-40021", "77"] {
            assert_eq!(of_order_state(unmoved), News::Unchanged);
        }
    }
}
