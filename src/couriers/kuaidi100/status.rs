//! What Kuaidi100's codes mean: two tables, for its two kinds of push number the same things differently.
//!
//! A code that stands in neither is never guessed at: its parcel stays where it is.

use crate::couriers::News;
use crate::domain::shipment::TrackingStatus::{
    Accepted, Delivered, Exception, InTransit, OutForDelivery, PickedUp, Rejected, Returned, Returning,
};

use News::{CalledOff, Moved, NotCollected, Revived, Unchanged};

/// `data.status` of the order desk's callback (商家寄件).
const ORDER: [(&str, News); 19] = [
    // 下单成功; of 韵达 the waybill comes with it.
    ("0", Moved(Accepted)),
    // 已接单, 收件中.
    ("1", Moved(Accepted)),
    ("2", Moved(Accepted)),
    // 已取件.
    ("10", Moved(PickedUp)),
    // 运输中.
    ("101", Moved(InTransit)),
    // 派送中.
    ("400", Moved(OutForDelivery)),
    // 已签收.
    ("13", Moved(Delivered)),
    // 异常签收: handed over, but not as it should be.
    ("14", Moved(Exception)),
    // 已退回.
    ("12", Moved(Returned)),
    // 揽货失败: nobody could collect it. The booking stands: another time is agreed, or a person calls it off.
    ("11", NotCollected),
    // 下单失败.
    ("610", CalledOff),
    // 用户主动取消, 订单已取消.
    ("9", CalledOff),
    ("99", CalledOff),
    // 订单复活: called off and alive again.
    ("166", Revived),
    // Another courier takes it: only its ids change.
    ("302", Unchanged),
    // 已结算, 修改重量: money.
    ("15", Unchanged),
    ("155", Unchanged),
    // 已出单, 出单失败: the label.
    ("200", Unchanged),
    ("201", Unchanged),
];

/// `state` of a tracking result and `status`/`statusCode` of its nodes: the basic codes, then the advanced ones that
/// `resultv2` adds.
const TRACKING: [(&str, &str, News); 37] = [
    ("0", "在途", Moved(InTransit)),
    ("1", "揽收", Moved(PickedUp)),
    ("2", "疑难", Moved(Exception)),
    ("3", "签收", Moved(Delivered)),
    ("4", "退签", Moved(Returned)),
    ("5", "派件", Moved(OutForDelivery)),
    ("6", "退回", Moved(Returning)),
    // Handed to another courier, which goes on with it.
    ("7", "转投", Moved(InTransit)),
    ("8", "清关", Moved(InTransit)),
    ("14", "拒签", Moved(Rejected)),
    ("101", "已下单", Moved(Accepted)),
    ("102", "待揽收", Moved(Accepted)),
    ("103", "已揽收", Moved(PickedUp)),
    ("1001", "到达派件城市", Moved(InTransit)),
    ("1002", "干线", Moved(InTransit)),
    ("1003", "转递", Moved(InTransit)),
    // In a locker or at a station, not fetched yet.
    ("501", "投柜或驿站", Moved(OutForDelivery)),
    ("301", "本人签收", Moved(Delivered)),
    ("302", "派件异常后签收", Moved(Delivered)),
    ("303", "代签", Moved(Delivered)),
    ("304", "投柜或站签收", Moved(Delivered)),
    ("201", "超时未签收", Moved(Exception)),
    ("202", "超时未更新", Moved(Exception)),
    ("203", "拒收", Moved(Rejected)),
    ("204", "派件异常", Moved(Exception)),
    ("205", "柜或驿站超时未取", Moved(Exception)),
    ("206", "无法联系", Moved(Exception)),
    ("207", "超区", Moved(Exception)),
    ("208", "滞留", Moved(Exception)),
    ("209", "破损", Moved(Exception)),
    ("210", "销单", CalledOff),
    ("401", "已销单", CalledOff),
    ("10", "待清关", Moved(InTransit)),
    ("11", "清关中", Moved(InTransit)),
    ("12", "已清关", Moved(InTransit)),
    ("13", "清关异常", Moved(Exception)),
    // The same as 7, as some couriers' nodes have it.
    ("7", "转单", Moved(InTransit)),
];

/// What the order desk's code means.
pub(super) fn of_order(code: &str) -> News {
    ORDER
        .iter()
        .find(|(known, _)| *known == code)
        .map_or(Unchanged, |(_, news)| *news)
}

/// What a tracking code, or the name that some answers have in its place, means: its code and its news.
pub(super) fn of_tracking(code_or_name: &str) -> Option<(&'static str, News)> {
    TRACKING
        .iter()
        .find(|(code, name, _)| *code == code_or_name || *name == code_or_name)
        .map(|(code, _, news)| (*code, *news))
}

/// Whether an advanced code belongs to a basic state, as the documents list them: `203` to `2`, `10` to `8`.
pub(super) fn is_kind_of(advanced: &str, basic: &str) -> bool {
    let listed = match basic {
        "8" => matches!(advanced, "10" | "11" | "12" | "13"),
        "1" | "2" | "3" | "4" | "5" => advanced.len() == 3 && advanced.starts_with(basic),
        _ => false,
    };
    listed && of_tracking(advanced).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_code_means_one_thing() {
        for (index, (code, _)) in ORDER.iter().enumerate() {
            assert!(!ORDER[..index].iter().any(|(known, _)| known == code), "{code}");
        }
        for (index, (code, name, news)) in TRACKING.iter().enumerate() {
            let before = &TRACKING[..index];
            assert!(!before.iter().any(|(_, known, _)| known == name), "{name}");
            assert!(
                before.iter().all(|(known, _, of)| known != code || of == news),
                "{code}"
            );
        }
    }

    #[test]
    fn an_advanced_code_belongs_to_its_own_state_alone() {
        for (advanced, basic) in [
            ("203", "2"),
            ("101", "1"),
            ("304", "3"),
            ("401", "4"),
            ("501", "5"),
            ("13", "8"),
        ] {
            assert!(is_kind_of(advanced, basic), "{advanced} {basic}");
        }
        for (advanced, basic) in [
            ("203", "3"),
            ("299", "2"),
            ("2", "2"),
            ("1001", "1"),
            ("14", "4"),
            ("0", "0"),
            ("", "2"),
        ] {
            assert!(!is_kind_of(advanced, basic), "{advanced} {basic}");
        }
    }

    #[test]
    fn the_two_tables_are_not_mixed_up() {
        assert_eq!(of_order("13"), Moved(Delivered));
        assert_eq!(of_tracking("13"), Some(("13", Moved(Exception))));
        assert_eq!(of_order("302"), Unchanged);
        assert_eq!(of_tracking("302"), Some(("302", Moved(Delivered))));
    }

    #[test]
    fn a_name_is_as_good_as_its_code_and_an_unknown_code_moves_nothing() {
        assert_eq!(of_tracking("在途"), of_tracking("0"));
        assert_eq!(of_tracking("999"), None);
        assert_eq!(of_tracking(""), None);
        assert_eq!(of_order("999"), Unchanged);
    }
}
