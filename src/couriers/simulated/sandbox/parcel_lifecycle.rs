//! What happens to a parcel and when: four lifecycles as data, in hours of business time after the booking.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::clock::BusinessTime;
use crate::domain::shipment::TrackingStatus::{
    self, Accepted, Delivered, Exception, InTransit, Lost, OutForDelivery, PickedUp, Rejected, Returned, Returning,
};

/// How a parcel ends, decided when it is booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    Delivered,
    Lost,
    Returned,
    Rejected,
}

/// One step of a lifecycle.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stage {
    /// Hours of business time after the booking.
    hours: i64,
    pub(super) status: TrackingStatus,
    /// The sandbox's own code for it, as couriers have theirs.
    pub(super) code: &'static str,
    /// What a courier would write for people.
    pub(super) remark: &'static str,
}

const fn stage(hours: i64, status: TrackingStatus, code: &'static str, remark: &'static str) -> Stage {
    Stage {
        hours,
        status,
        code,
        remark,
    }
}

/// When a parcel can no longer be called off.
pub(super) const PICKED_UP_AFTER: TimeDelta = TimeDelta::hours(2);

const ACCEPTED: Stage = stage(0, Accepted, "S10", "已下单，等待揽收");
const PICKED_UP: Stage = stage(2, PickedUp, "S20", "快件已揽收");
const IN_TRANSIT: Stage = stage(10, InTransit, "S30", "快件运输中");
const OUT_FOR_DELIVERY: Stage = stage(26, OutForDelivery, "S40", "快件派送中");
const RETURNING: Stage = stage(34, Returning, "S60", "快件退回中");
const RETURNED: Stage = stage(58, Returned, "S61", "快件已退回寄件人");

/// At most eight each: how far a parcel was reported is kept as one bit a stage.
const DELIVERED_LIFECYCLE: &[Stage] = &[
    ACCEPTED,
    PICKED_UP,
    IN_TRANSIT,
    OUT_FOR_DELIVERY,
    stage(30, Delivered, "S80", "已签收，签收人：本人"),
];
const LOST_LIFECYCLE: &[Stage] = &[
    ACCEPTED,
    PICKED_UP,
    IN_TRANSIT,
    stage(34, Exception, "S50", "快件异常，正在查找"),
    stage(72, Lost, "S90", "快件遗失"),
];
const RETURNED_LIFECYCLE: &[Stage] = &[
    ACCEPTED,
    PICKED_UP,
    IN_TRANSIT,
    OUT_FOR_DELIVERY,
    stage(30, Exception, "S51", "派送不成功，收件人联系不上"),
    RETURNING,
    RETURNED,
];
const REJECTED_LIFECYCLE: &[Stage] = &[
    ACCEPTED,
    PICKED_UP,
    IN_TRANSIT,
    OUT_FOR_DELIVERY,
    stage(30, Rejected, "S70", "收件人拒收"),
    RETURNING,
    RETURNED,
];

impl End {
    /// The stages of a parcel that ends so, in order.
    pub(super) const fn stages(self) -> &'static [Stage] {
        match self {
            Self::Delivered => DELIVERED_LIFECYCLE,
            Self::Lost => LOST_LIFECYCLE,
            Self::Returned => RETURNED_LIFECYCLE,
            Self::Rejected => REJECTED_LIFECYCLE,
        }
    }
}

impl Stage {
    /// When it happens to a parcel booked at `booked_at`.
    pub(super) fn at(&self, booked_at: BusinessTime) -> BusinessTime {
        booked_at
            .checked_add_signed(TimeDelta::hours(self.hours))
            .unwrap_or(BusinessTime::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::shipment::Progress;

    const ENDS: [(End, TrackingStatus); 4] = [
        (End::Delivered, Delivered),
        (End::Lost, Lost),
        (End::Returned, Returned),
        (End::Rejected, Returned),
    ];

    #[test]
    fn every_life_moves_an_order_forward_stage_by_stage_to_its_end() {
        for (end, last) in ENDS {
            let mut known = None;
            for stage in end.stages() {
                let news = Progress {
                    status: stage.status,
                    at: stage.at(BusinessTime::UNIX_EPOCH),
                };
                known = Progress::after(known, news);
                assert_eq!(known, Some(news), "{end:?} {stage:?}");
            }
            assert_eq!(known.map(|k| k.status), Some(last));
            assert!(last.is_end() && end.stages().len() <= 8);
        }
    }

    #[test]
    fn every_life_is_picked_up_when_cancelling_becomes_too_late() {
        for (end, _) in ENDS {
            let picked_up = end.stages().iter().find(|s| s.status == PickedUp).unwrap();
            assert_eq!(
                picked_up.at(BusinessTime::UNIX_EPOCH),
                BusinessTime::UNIX_EPOCH + PICKED_UP_AFTER
            );
        }
    }
}
