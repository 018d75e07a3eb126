//! Working days of mainland China: what a promise of "7 working days" counts. The official calendar moves weekends to
//! make long holidays, and makes up for them with working weekends; it is announced a year at a time, so a year that is
//! not here yet is counted Monday to Friday, and the answer says so.

use chrono::{Datelike, Days, FixedOffset, NaiveDate, Weekday};

use crate::clock::{BusinessTime, Moment};

/// How long a request of a data subject may take: what the shop's privacy policy promises.
pub const ANSWER_WITHIN: u32 = 7;

/// China Standard Time; the country has had no other, and no summer time, since 1991.
const CHINA_SECONDS: i32 = 8 * 3_600;

/// What the State Council announced for a year. Days as month and day.
struct Calendar {
    year: i32,
    /// Not worked, weekdays among them.
    off: &'static [(u32, u32)],
    /// Weekend days that are worked.
    make_up: &'static [(u32, u32)],
}

/// Copied from the announcements.
const CALENDARS: &[Calendar] = &[
    Calendar {
        // https://www.gov.cn/zhengce/zhengceku/202310/content_6911528.htm
        year: 2024,
        off: &[
            (1, 1),
            (2, 10),
            (2, 11),
            (2, 12),
            (2, 13),
            (2, 14),
            (2, 15),
            (2, 16),
            (2, 17),
            (4, 4),
            (4, 5),
            (4, 6),
            (5, 1),
            (5, 2),
            (5, 3),
            (5, 4),
            (5, 5),
            (6, 10),
            (9, 15),
            (9, 16),
            (9, 17),
            (10, 1),
            (10, 2),
            (10, 3),
            (10, 4),
            (10, 5),
            (10, 6),
            (10, 7),
        ],
        make_up: &[(2, 4), (2, 18), (4, 7), (4, 28), (5, 11), (9, 14), (9, 29), (10, 12)],
    },
    Calendar {
        // https://www.gov.cn/zhengce/zhengceku/202411/content_6986383.htm
        year: 2025,
        off: &[
            (1, 1),
            (1, 28),
            (1, 29),
            (1, 30),
            (1, 31),
            (2, 1),
            (2, 2),
            (2, 3),
            (2, 4),
            (4, 4),
            (4, 5),
            (4, 6),
            (5, 1),
            (5, 2),
            (5, 3),
            (5, 4),
            (5, 5),
            (5, 31),
            (6, 1),
            (6, 2),
            (10, 1),
            (10, 2),
            (10, 3),
            (10, 4),
            (10, 5),
            (10, 6),
            (10, 7),
            (10, 8),
        ],
        make_up: &[(1, 26), (2, 8), (4, 27), (9, 28), (10, 11)],
    },
    Calendar {
        // https://www.gov.cn/zhengce/zhengceku/202511/content_7047091.htm
        year: 2026,
        off: &[
            (1, 1),
            (1, 2),
            (1, 3),
            (2, 15),
            (2, 16),
            (2, 17),
            (2, 18),
            (2, 19),
            (2, 20),
            (2, 21),
            (2, 22),
            (2, 23),
            (4, 4),
            (4, 5),
            (4, 6),
            (5, 1),
            (5, 2),
            (5, 3),
            (5, 4),
            (5, 5),
            (6, 19),
            (6, 20),
            (6, 21),
            (9, 25),
            (9, 26),
            (9, 27),
            (10, 1),
            (10, 2),
            (10, 3),
            (10, 4),
            (10, 5),
            (10, 6),
            (10, 7),
        ],
        make_up: &[(1, 4), (2, 14), (2, 28), (5, 9), (9, 20), (10, 10)],
    },
];

/// A working day that something is due on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The last day, in China.
    pub on: NaiveDate,
    /// Whether the official calendar was known for every day that was counted.
    pub official: bool,
}

/// The day that it is in China at a moment.
pub fn day_of(at: BusinessTime) -> NaiveDate {
    match FixedOffset::east_opt(CHINA_SECONDS) {
        Some(china) => at.utc().with_timezone(&china).date_naive(),
        None => at.utc().date_naive(),
    }
}

/// Whether a day is worked, and whether the official calendar says so.
pub fn is_workday(day: NaiveDate) -> (bool, bool) {
    let weekday = !matches!(day.weekday(), Weekday::Sat | Weekday::Sun);
    match CALENDARS.iter().find(|calendar| calendar.year == day.year()) {
        None => (weekday, false),
        Some(calendar) => {
            let date = (day.month(), day.day());
            let worked = calendar.make_up.contains(&date) || (weekday && !calendar.off.contains(&date));
            (worked, true)
        }
    }
}

/// The `count`-th working day after the day of receipt, which itself does not count.
pub fn due_after(received: BusinessTime, count: u32) -> Due {
    let mut due = Due {
        on: day_of(received),
        official: true,
    };
    let mut left = count;
    while left > 0 {
        let Some(next) = due.on.checked_add_days(Days::new(1)) else {
            break;
        };
        let (worked, official) = is_workday(next);
        due.on = next;
        due.official &= official;
        if worked {
            left -= 1;
        }
    }
    due
}

/// Working days from `today` (which does not count) to `due`; below zero once it is past, counted the same way.
pub fn days_left(today: NaiveDate, due: NaiveDate) -> i64 {
    let (from, to, sign) = if today <= due {
        (today, due, 1)
    } else {
        (due, today, -1)
    };
    let worked = from
        .iter_days()
        .skip(1)
        .take_while(|day| *day <= to)
        .filter(|day| is_workday(*day).0);
    i64::try_from(worked.count()).unwrap_or(i64::MAX) * sign
}

/// Working days before its due day from which a request is due soon.
const SOON: u32 = 2;

/// Today in China, and the last day of what is due soon.
pub fn today_and_soon(now: BusinessTime) -> (NaiveDate, NaiveDate) {
    (day_of(now), due_after(now, SOON).on)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn due(received: &str) -> (String, bool) {
        let due = due_after(received.parse().unwrap(), ANSWER_WITHIN);
        (due.on.to_string(), due.official)
    }

    #[test]
    fn holidays_are_passed_over_and_working_weekends_count() {
        // 30 September 2026, a Wednesday: holidays until 7 October, and Saturday the 10th is worked.
        assert_eq!(due("2026-09-30T09:00:00+08:00"), ("2026-10-15".to_owned(), true));
        // Before the Spring Festival of 2026 (15 to 23 February), with Saturday the 14th and the 28th worked.
        assert_eq!(due("2026-02-13T09:00:00+08:00"), ("2026-03-02".to_owned(), true));
        // An ordinary week.
        assert_eq!(due("2026-11-23T16:00:00+08:00"), ("2026-12-02".to_owned(), true));
    }

    #[test]
    fn the_day_of_receipt_is_the_day_in_china() {
        assert_eq!(due("2026-11-23T15:59:59Z").0, "2026-12-02");
        assert_eq!(due("2026-11-23T16:00:00Z").0, "2026-12-03", "the 24th there");
    }

    #[test]
    fn a_year_without_a_calendar_is_counted_monday_to_friday_and_says_so() {
        assert_eq!(due("2030-05-06T09:00:00+08:00"), ("2030-05-15".to_owned(), false));
        assert!(!due("2026-12-30T09:00:00+08:00").1, "a part of the days is in 2027");
    }

    #[test]
    fn days_left_count_down_to_nothing_and_below() {
        let due = date("2026-10-15");
        assert_eq!(days_left(date("2026-09-30"), due), 7);
        assert_eq!(
            days_left(date("2026-10-09"), due),
            5,
            "Saturday the 10th is worked, Sunday is not"
        );
        assert_eq!(days_left(due, due), 0);
        assert_eq!(days_left(date("2026-10-19"), due), -2);
    }

    #[test]
    fn every_announced_day_is_what_its_kind_says() {
        for calendar in CALENDARS {
            let day = |(month, day): (u32, u32)| NaiveDate::from_ymd_opt(calendar.year, month, day).unwrap();
            for made_up in calendar.make_up.iter().copied().map(day) {
                assert!(matches!(made_up.weekday(), Weekday::Sat | Weekday::Sun), "{made_up}");
                assert_eq!(is_workday(made_up), (true, true), "{made_up}");
            }
            for off in calendar.off.iter().copied().map(day) {
                assert_eq!(is_workday(off), (false, true), "{off}");
            }
        }
    }
}
