//! What the courier knows of its parcels, in memory, and the lines of the state file that it is rebuilt from. No person: a
//! reference, an ordinal, times, and how it ends.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::faults::Faults;
use super::parcel_lifecycle::{End, PICKED_UP_AFTER, Stage};
use crate::clock::BusinessTime;
use crate::domain::shipment::TrackingStatus;

/// Tracking numbers have twelve digits.
const NUMBERS: u64 = 1_000_000_000_000;

/// A booked parcel.
#[derive(Debug, Clone)]
pub(super) struct Parcel {
    pub(super) ordinal: u64,
    pub(super) reference: String,
    /// Business time.
    pub(super) booked_at: BusinessTime,
    pub(super) end: End,
    /// Business time.
    pub(super) cancelled_at: Option<BusinessTime>,
    /// A bit for each stage whose webhook was acknowledged.
    pub(super) acknowledged: u8,
}

impl Parcel {
    /// A stage of this parcel and when it happens; none after it was called off.
    pub(super) fn stage(&self, index: usize) -> Option<(&'static Stage, BusinessTime)> {
        let stage = self.end.stages().get(index)?;
        let at = stage.at(self.booked_at);
        self.cancelled_at
            .is_none_or(|cancelled| at <= cancelled)
            .then_some((stage, at))
    }

    /// What has happened until `now`, oldest first.
    pub(super) fn history(&self, now: BusinessTime) -> impl Iterator<Item = (&'static Stage, BusinessTime)> + '_ {
        (0..self.end.stages().len())
            .filter_map(|index| self.stage(index))
            .filter(move |(_, at)| *at <= now)
    }

    /// The last thing that happened.
    pub(super) fn status(&self, now: BusinessTime) -> TrackingStatus {
        self.history(now)
            .last()
            .map_or(TrackingStatus::Accepted, |(stage, _)| stage.status)
    }

    /// Whether it is with the courier, too late to be called off.
    pub(super) fn is_picked_up(&self, now: BusinessTime) -> bool {
        self.cancelled_at.is_none()
            && self
                .booked_at
                .checked_add_signed(PICKED_UP_AFTER)
                .is_some_and(|at| at <= now)
    }
}

/// One line of the state file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub(super) enum Line {
    /// The first: what makes this installation's tracking numbers its own.
    Installation {
        number: u64,
    },
    Booked {
        ordinal: u64,
        reference: String,
        at: BusinessTime,
        end: End,
    },
    Cancelled {
        ordinal: u64,
        at: BusinessTime,
    },
    /// The webhook of a stage was answered with 2xx.
    Acknowledged {
        ordinal: u64,
        stage: u32,
    },
    /// All faults, as they are from here on.
    Faults {
        faults: Faults,
    },
}

/// Every parcel of one installation.
#[derive(Debug)]
pub(super) struct ParcelStore {
    /// Drawn once; what makes one installation's tracking numbers differ from another's.
    installation: u64,
    parcels: Vec<Parcel>,
    by_reference: HashMap<String, Vec<u64>>,
}

/// A line that contradicts what is known: the file is not this sandbox's, or was damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Contradiction;

impl ParcelStore {
    pub(super) fn new(installation: u64) -> Self {
        Self {
            installation: installation % NUMBERS,
            parcels: Vec::new(),
            by_reference: HashMap::new(),
        }
    }

    /// Applies one line of the journal; faults are kept elsewhere.
    pub(super) fn apply(&mut self, line: &Line) -> Result<(), Contradiction> {
        match line {
            Line::Installation { .. } | Line::Faults { .. } => {}
            Line::Booked {
                ordinal,
                reference,
                at,
                end,
            } => {
                if *ordinal != self.next_ordinal() {
                    return Err(Contradiction);
                }
                self.by_reference.entry(reference.clone()).or_default().push(*ordinal);
                self.parcels.push(Parcel {
                    ordinal: *ordinal,
                    reference: reference.clone(),
                    booked_at: *at,
                    end: *end,
                    cancelled_at: None,
                    acknowledged: 0,
                });
            }
            Line::Cancelled { ordinal, at } => {
                self.parcel_mut(*ordinal)?.cancelled_at.get_or_insert(*at);
            }
            Line::Acknowledged { ordinal, stage } => {
                self.parcel_mut(*ordinal)?.acknowledged |= 1_u8.checked_shl(*stage).unwrap_or(0);
            }
        }
        Ok(())
    }

    /// The number the next parcel gets; the first is 1.
    pub(super) fn next_ordinal(&self) -> u64 {
        self.count() + 1
    }

    /// How many parcels there are, cancelled ones included.
    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.parcels.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn get(&self, ordinal: u64) -> Option<&Parcel> {
        self.parcels.get(index(ordinal)?)
    }

    fn parcel_mut(&mut self, ordinal: u64) -> Result<&mut Parcel, Contradiction> {
        index(ordinal)
            .and_then(|index| self.parcels.get_mut(index))
            .ok_or(Contradiction)
    }

    /// Every parcel booked under a reference, in the order of booking.
    pub(super) fn of_reference(&self, reference: &str) -> impl Iterator<Item = &Parcel> {
        self.by_reference
            .get(reference)
            .into_iter()
            .flatten()
            .filter_map(|ordinal| self.get(*ordinal))
    }

    /// The parcels after `ordinal`, in the order of booking.
    pub(super) fn after(&self, ordinal: u64) -> impl Iterator<Item = &Parcel> {
        self.parcels.iter().skip(usize::try_from(ordinal).unwrap_or(usize::MAX))
    }

    /// The tracking number of an ordinal: personal data as soon as somebody's parcel bears it, so it is never stored.
    pub(super) fn tracking_no(&self, ordinal: u64) -> String {
        format!("SM{:012}", (self.installation + ordinal) % NUMBERS)
    }

    /// The parcel that bears a tracking number.
    pub(super) fn by_tracking_no(&self, tracking_no: &str) -> Option<&Parcel> {
        let digits = tracking_no
            .strip_prefix("SM")
            .filter(|d| d.len() == 12 && d.bytes().all(|b| b.is_ascii_digit()))?;
        let number: u64 = digits.parse().ok()?;
        self.get((number + NUMBERS - self.installation) % NUMBERS)
    }

    /// An opaque id of a webhook message, the same each time it is sent. A hash, for a receiver may log it, and a
    /// tracking number could be made from the ordinal.
    pub(super) fn message_id(&self, ordinal: u64, stage: usize) -> String {
        use sha2::{Digest, Sha256};
        let hash = Sha256::digest(format!("{}|{ordinal}|{stage}", self.installation));
        let hex = data_encoding::HEXLOWER.encode(&hash);
        format!("msg_{}", hex.get(..32).unwrap_or(&hex))
    }
}

fn index(ordinal: u64) -> Option<usize> {
    usize::try_from(ordinal.checked_sub(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn store_with(count: u64, installation: u64) -> ParcelStore {
        let mut store = ParcelStore::new(installation);
        for ordinal in 1..=count {
            let line = Line::Booked {
                ordinal,
                reference: "R".into(),
                at: BusinessTime::UNIX_EPOCH,
                end: End::Delivered,
            };
            store.apply(&line).unwrap();
        }
        store
    }

    #[test]
    fn tracking_numbers_lead_back_to_their_parcel_even_where_the_digits_wrap() {
        for installation in [0, 7, NUMBERS - 2, u64::MAX] {
            let store = store_with(3, installation);
            for ordinal in 1..=3 {
                let number = store.tracking_no(ordinal);
                assert_eq!(number.len(), 14);
                assert_eq!(store.by_tracking_no(&number).map(|p| p.ordinal), Some(ordinal));
            }
            assert!(store.by_tracking_no(&store.tracking_no(0)).is_none());
            assert!(store.by_tracking_no(&store.tracking_no(4)).is_none());
        }
        for bad in ["", "SM", "SM00000000000", "SM+00000000001", "SF000000000001"] {
            assert!(store_with(3, 0).by_tracking_no(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_cancelled_parcel_keeps_its_past_and_has_no_future() {
        let mut store = store_with(1, 0);
        let hour = |n| BusinessTime::UNIX_EPOCH + TimeDelta::hours(n);
        assert!(!store.get(1).unwrap().is_picked_up(hour(1)) && store.get(1).unwrap().is_picked_up(hour(2)));
        store
            .apply(&Line::Cancelled {
                ordinal: 1,
                at: hour(1),
            })
            .unwrap();
        store
            .apply(&Line::Cancelled {
                ordinal: 1,
                at: hour(9),
            })
            .unwrap();
        let parcel = store.get(1).unwrap();
        assert_eq!(parcel.cancelled_at, Some(hour(1)));
        assert_eq!(parcel.status(hour(99)), TrackingStatus::Accepted);
        assert_eq!(parcel.history(hour(99)).count(), 1);
    }

    #[test]
    fn a_line_out_of_its_order_is_a_contradiction() {
        let mut store = store_with(1, 0);
        let skipped = Line::Booked {
            ordinal: 3,
            reference: "R".into(),
            at: BusinessTime::UNIX_EPOCH,
            end: End::Lost,
        };
        assert_eq!(store.apply(&skipped), Err(Contradiction));
        assert_eq!(
            store.apply(&Line::Acknowledged { ordinal: 2, stage: 0 }),
            Err(Contradiction)
        );
    }
}
