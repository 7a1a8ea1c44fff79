//! Dates, as requests and documents write them: ISO-8601 or milliseconds since 1970, and `now-1d/d` in requests.

use jiff::{Span, Timestamp, civil, tz::TimeZone};

use super::Unit;

/// Which end of what a date names is meant. Months and days that it leaves out are the first ones, as in Elasticsearch: both
/// `2026-03` and `2026-03-01` are that day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// Its first millisecond.
    Down,
    /// Its last millisecond.
    Up,
}

/// The milliseconds since 1970 that a request means: a date, or one with steps behind it (`now-1d/d`, `2026-03-01||+1M`).
///
/// # Errors
/// It is none; in words.
pub fn date(text: &str, round: Round, now: i64) -> Result<i64, String> {
    let wrong = || format!("failed to parse date field [{text}]: it is neither ISO-8601 nor milliseconds");
    if let Some(steps) = text.strip_prefix("now") {
        return walk(now, steps, round).ok_or_else(wrong);
    }
    match text.split_once("||") {
        // The beginning is what the steps start from, whichever end is meant; the last rounding decides that.
        Some((anchor, steps)) => instant(anchor, Round::Down).and_then(|at| walk(at, steps, round)),
        None => instant(text, round),
    }
    .ok_or_else(wrong)
}

/// The milliseconds since 1970 that a date names, as documents write it.
pub(crate) fn instant(text: &str, round: Round) -> Option<i64> {
    iso(text, round)
        .or_else(|| text.parse().ok())
        .filter(|millis| Timestamp::from_millisecond(*millis).is_ok())
}

/// The first millisecond of the span of the calendar in which a time lies.
pub(crate) fn begin(millis: i64, unit: Unit) -> Option<i64> {
    let time = civil_time(millis)?;
    let date = time.date();
    let begin = match unit {
        Unit::Minute => time.with().second(0).subsec_nanosecond(0).build().ok()?,
        Unit::Hour => time.with().minute(0).second(0).subsec_nanosecond(0).build().ok()?,
        Unit::Day => midnight(date),
        Unit::Week => {
            let days = i64::from(date.weekday().to_monday_zero_offset());
            midnight(date.checked_sub(Span::new().try_days(days).ok()?).ok()?)
        }
        Unit::Month => midnight(date.first_of_month()),
        Unit::Quarter => {
            let month = (date.month() - 1) / 3 * 3 + 1;
            midnight(civil::Date::new(date.year(), month, 1).ok()?)
        }
        Unit::Year => midnight(date.first_of_year()),
    };
    millis_of(begin)
}

/// The same time so many units later.
pub(crate) fn later(millis: i64, unit: Unit, count: i64) -> Option<i64> {
    let span = Span::new();
    let span = match unit {
        Unit::Minute => span.try_minutes(count),
        Unit::Hour => span.try_hours(count),
        Unit::Day => span.try_days(count),
        Unit::Week => span.try_weeks(count),
        Unit::Month => span.try_months(count),
        Unit::Quarter => span.try_months(count.checked_mul(3)?),
        Unit::Year => span.try_years(count),
    };
    millis_of(civil_time(millis)?.checked_add(span.ok()?).ok()?)
}

/// How answers write a time: ISO-8601 in UTC with milliseconds.
pub(crate) fn iso_text(millis: i64) -> String {
    Timestamp::from_millisecond(millis)
        .map_or_else(|_| millis.to_string(), |time| time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

/// Takes steps such as `-1d`, `+2M` and `/d`.
fn walk(mut millis: i64, steps: &str, round: Round) -> Option<i64> {
    let mut rest = steps;
    while let Some(sign) = rest.chars().next() {
        rest = rest.get(1..)?;
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let count: Option<i64> = if digits == 0 { Some(1) } else { rest[..digits].parse().ok() };
        rest = &rest[digits..];
        let letter = rest.chars().next()?;
        rest = rest.get(letter.len_utf8()..)?;
        match sign {
            '+' => millis = step(millis, letter, count?)?,
            '-' => millis = step(millis, letter, -count?)?,
            '/' if digits == 0 => millis = round_to(millis, letter, round)?,
            _ => return None,
        }
    }
    Some(millis)
}

fn step(millis: i64, letter: char, count: i64) -> Option<i64> {
    match letter {
        's' => millis.checked_add(count.checked_mul(1_000)?),
        letter => later(millis, unit(letter)?, count),
    }
}

fn round_to(millis: i64, letter: char, round: Round) -> Option<i64> {
    let (first, next) = match letter {
        's' => {
            let first = millis.div_euclid(1_000) * 1_000;
            (first, first + 1_000)
        }
        letter => {
            let unit = unit(letter)?;
            let first = begin(millis, unit)?;
            (first, later(first, unit, 1)?)
        }
    };
    Some(match round {
        Round::Down => first,
        Round::Up => next - 1,
    })
}

fn unit(letter: char) -> Option<Unit> {
    match letter {
        'm' => Some(Unit::Minute),
        'h' | 'H' => Some(Unit::Hour),
        'd' => Some(Unit::Day),
        'w' => Some(Unit::Week),
        'M' => Some(Unit::Month),
        'y' => Some(Unit::Year),
        _ => None,
    }
}

/// `2026`, `2026-03`, `2026-03-01`, with `T10`, `T10:30`, `T10:30:05`, `T10:30:05.123`, and `Z` or `+01:00` after a time.
fn iso(text: &str, round: Round) -> Option<i64> {
    let (day, clock) = text.split_once('T').map_or((text, None), |(day, clock)| (day, Some(clock)));
    let mut parts = day.split('-');
    let year = number(parts.next()?, 4)?;
    let month = parts.next().map(|part| number(part, 2));
    let day = parts.next().map(|part| number(part, 2));
    if parts.next().is_some()
        || month == Some(None)
        || day == Some(None)
        || (clock.is_some() && day.is_none())
    {
        return None;
    }
    let (month, day) = (month.flatten(), day.flatten());
    let year = i16::try_from(year).ok()?;
    let up = round == Round::Up;
    let [month, day] = [month, day].map(|part| part.map_or(Some(1), |part| i8::try_from(part).ok()));
    let date = civil::Date::new(year, month?, day?).ok()?;
    let (within, offset) =
        clock.map_or(Some((if up { 86_399_999 } else { 0 }, 0)), |clock| time(clock, up))?;
    millis_of(midnight(date))?.checked_add(within)?.checked_sub(offset)
}

/// The milliseconds since midnight, and those by which its zone is ahead.
fn time(text: &str, up: bool) -> Option<(i64, i64)> {
    let zone = text.find(['Z', '+', '-']).unwrap_or(text.len());
    let (clock, zone) = text.split_at_checked(zone)?;
    let (clock, fraction) =
        clock.split_once(['.', ',']).map_or((clock, None), |(clock, fraction)| (clock, Some(fraction)));
    let parts: Vec<_> = clock.split(':').map(|part| number(part, 2)).collect::<Option<_>>()?;
    let filled = |index: usize| parts.get(index).copied().unwrap_or(if up { 59 } else { 0 });
    let (hour, minute, second) = (*parts.first()?, filled(1), filled(2));
    if parts.len() > 3 || hour > 23 || minute > 59 || second > 59 || (fraction.is_some() && parts.len() < 3) {
        return None;
    }
    let millis = match fraction {
        Some(fraction) => thousandths(fraction)?,
        None if up => 999,
        None => 0,
    };
    Some((((hour * 60 + minute) * 60 + second) * 1_000 + millis, offset(zone)?))
}

fn thousandths(fraction: &str) -> Option<i64> {
    let digits = fraction.len();
    if digits == 0 || digits > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{fraction:0<3}").get(..3)?.parse().ok()
}

fn offset(zone: &str) -> Option<i64> {
    if zone.is_empty() || zone == "Z" {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits = zone.get(1..)?.replacen(':', "", 1);
    let (hours, minutes) = match digits.len() {
        2 => (number(&digits, 2)?, 0),
        4 => (number(digits.get(..2)?, 2)?, number(digits.get(2..)?, 2)?),
        _ => return None,
    };
    (hours <= 18 && minutes <= 59).then_some(sign * (hours * 60 + minutes) * 60_000)
}

fn number(text: &str, digits: usize) -> Option<i64> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn civil_time(millis: i64) -> Option<civil::DateTime> {
    Some(TimeZone::UTC.to_datetime(Timestamp::from_millisecond(millis).ok()?))
}

fn midnight(date: civil::Date) -> civil::DateTime {
    date.to_datetime(civil::Time::midnight())
}

fn millis_of(time: civil::DateTime) -> Option<i64> {
    Some(TimeZone::UTC.to_timestamp(time).ok()?.as_millisecond())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn a_date_is_a_span_of_which_either_end_may_be_meant() {
        let cases = [
            ("2026", "2026-01-01T00:00:00Z", "2026-01-01T23:59:59.999Z"),
            ("2024-02", "2024-02-01T00:00:00Z", "2024-02-01T23:59:59.999Z"),
            ("2026-03-01", "2026-03-01T00:00:00Z", "2026-03-01T23:59:59.999Z"),
            ("2026-03-01T10", "2026-03-01T10:00:00Z", "2026-03-01T10:59:59.999Z"),
            ("2026-03-01T10:30Z", "2026-03-01T10:30:00Z", "2026-03-01T10:30:59.999Z"),
            ("2026-03-01T10:30:05+01:00", "2026-03-01T09:30:05Z", "2026-03-01T09:30:05.999Z"),
            ("2026-03-01T10:30:05.1Z", "2026-03-01T10:30:05.1Z", "2026-03-01T10:30:05.1Z"),
            ("2026-03-01T10:30:05.123456-0230", "2026-03-01T13:00:05.123Z", "2026-03-01T13:00:05.123Z"),
            ("1772361005123", "2026-03-01T10:30:05.123Z", "2026-03-01T10:30:05.123Z"),
        ];
        for (text, down, up) in cases {
            assert_eq!(instant(text, Round::Down), Some(at(down)), "{text}");
            assert_eq!(instant(text, Round::Up), Some(at(up)), "{text}");
        }
    }

    #[test]
    fn steps_lead_away_from_now_and_from_dates() {
        let now = at("2026-03-31T10:30:05.5Z");
        let cases = [
            ("now", "2026-03-31T10:30:05.5Z"),
            ("now-1d", "2026-03-30T10:30:05.5Z"),
            ("now-1M/M", "2026-02-01T00:00:00Z"),
            ("now/w", "2026-03-30T00:00:00Z"),
            ("now+30s/s", "2026-03-31T10:30:35Z"),
            ("2026-03-01||+1M/d", "2026-04-01T00:00:00Z"),
        ];
        for (text, expected) in cases {
            assert_eq!(date(text, Round::Down, now), Ok(at(expected)), "{text}");
        }
        assert_eq!(date("now/d", Round::Up, now), Ok(at("2026-03-31T23:59:59.999Z")));
    }

    #[test]
    fn what_is_no_date_is_refused() {
        let wrong =
            ["", "soon", "2026-13", "2026-02-30", "2026-03-01T25", "26-03-01", "now-", "now-1x", "now*1d"];
        for text in wrong.into_iter().chain(["2026-03-01||/", "now-99999999999999999999d", "now+999999999y"])
        {
            assert!(date(text, Round::Down, 0).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_of_the_calendar_begin_where_they_should() {
        let time = at("2026-08-20T10:30:05.5Z");
        let cases = [
            (Unit::Minute, "2026-08-20T10:30:00Z"),
            (Unit::Hour, "2026-08-20T10:00:00Z"),
            (Unit::Day, "2026-08-20T00:00:00Z"),
            (Unit::Week, "2026-08-17T00:00:00Z"),
            (Unit::Month, "2026-08-01T00:00:00Z"),
            (Unit::Quarter, "2026-07-01T00:00:00Z"),
            (Unit::Year, "2026-01-01T00:00:00Z"),
        ];
        for (unit, expected) in cases {
            assert_eq!(begin(time, unit), Some(at(expected)), "{unit:?}");
        }
        assert_eq!(iso_text(at("2026-08-20T10:30:05Z")), "2026-08-20T10:30:05.000Z");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*", steps in "(now|2026\\|\\|)?[-+/0-9smhdwMy]{0,12}", now: i64) {
            for round in [Round::Down, Round::Up] {
                let _ = date(&text, round, now);
                let _ = date(&steps, round, now);
            }
        }
    }
}
