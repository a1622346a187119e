//! What the numbers that a template found in a text mean together.

use crate::{
    error::{Error, Result, SqlState},
    pgtype::datetime::zone::Zone,
    sql::functions::datetime::to_micros,
};
use chrono::{Datelike, Duration, NaiveDate};

/// Numbers that were read; `None` or 0 where there was none.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) is_iso: Option<bool>,
    pub(super) clock_of_twelve: bool,
    pub(super) afternoon: Option<i64>,
    pub(super) before_christ: Option<i64>,
    pub(super) hour: Option<i64>,
    pub(super) minute: Option<i64>,
    pub(super) second: Option<i64>,
    pub(super) second_of_day: Option<i64>,
    pub(super) millis: Option<i64>,
    pub(super) micros: Option<i64>,
    pub(super) week_day: Option<i64>,
    pub(super) day: Option<i64>,
    pub(super) day_of_year: Option<i64>,
    pub(super) month: Option<i64>,
    pub(super) year: Option<i64>,
    /// How many digits of the year the template has.
    pub(super) year_digits: u8,
    pub(super) century: Option<i64>,
    pub(super) julian: Option<i64>,
    pub(super) week: Option<i64>,
    pub(super) week_of_month: Option<i64>,
    pub(super) zone: Option<Zone>,
    pub(super) zone_sign: i64,
    pub(super) zone_hour: Option<i64>,
    pub(super) zone_minute: Option<i64>,
}

impl Found {
    /// The moment in local time, and the zone where there is one; `text` is that which was read, `beyond`
    /// what is said of a year that nobody counts.
    pub(super) fn moment(&self, text: &str, beyond: &str) -> Result<(i64, Option<Zone>)> {
        let field = || {
            let message = format!("date/time field value out of range: \"{text}\"");
            Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message)
        };
        let time = self.time()?.ok_or_else(field)?;
        let known = i64::from(NaiveDate::MIN.year())..=i64::from(NaiveDate::MAX.year());
        if !known.contains(&self.year()) {
            return Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, beyond));
        }
        let date = self.date()?.ok_or_else(field)?;
        let zone = match (self.zone_sign, self.zone) {
            (0, zone) => zone,
            (sign, _) => {
                let (hours, minutes) = (self.zone_hour.unwrap_or(0), self.zone_minute.unwrap_or(0));
                if !(0..=15).contains(&hours) || !(0..60).contains(&minutes) {
                    let message = format!("time zone displacement out of range: \"{text}\"");
                    return Err(Error::new(SqlState::INVALID_TIME_ZONE_DISPLACEMENT, message));
                }
                let seconds = sign * (hours * 60 + minutes) * 60;
                i32::try_from(seconds).ok().map(Zone::Fixed)
            }
        };
        Ok((to_micros(date) + time, zone))
    }

    /// The time of day; `None` where there is none such.
    fn time(&self) -> Result<Option<i64>> {
        let whole = self.second_of_day.unwrap_or(0);
        let part = |read: Option<i64>, of_day: i64| read.filter(|&n| n != 0).unwrap_or(of_day);
        let mut hour = part(self.hour, whole / 3600);
        let minute = part(self.minute, whole / 60 % 60);
        let second = part(self.second, whole % 60);
        if self.clock_of_twelve {
            if !(1..=12).contains(&hour) {
                let message = format!("hour \"{hour}\" is invalid for the 12-hour clock");
                return Err(Error::new(SqlState::INVALID_DATETIME_FORMAT, message)
                    .hint("Use the 24-hour clock, or give an hour between 1 and 12."));
            }
            hour = hour % 12 + if self.afternoon == Some(1) { 12 } else { 0 };
        }
        let micros = self.millis.unwrap_or(0) * 1000 + self.micros.unwrap_or(0);
        let fits = (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..60).contains(&second)
            && (0..1_000_000).contains(&micros);
        let time = ((hour * 60 + minute) * 60 + second) * 1_000_000 + micros;
        Ok(fits.then_some(time))
    }

    /// The year, of which 0 is 1 BC; 0 too where there is none.
    fn year(&self) -> i64 {
        let before_christ = self.before_christ == Some(1);
        let century = self.century.filter(|&century| century != 0);
        let century = century.map(|century| if before_christ { -century } else { century });
        match (self.year.filter(|&year| year != 0), century) {
            (Some(year), Some(century)) if self.year_digits <= 2 => match year % 100 {
                0 => century * 100 + i64::from(century < 0),
                year if century >= 0 => (century - 1) * 100 + year,
                year => (century + 1) * 100 - year + 1,
            },
            (Some(year), _) => {
                let year = if before_christ { -year } else { year };
                if year < 0 { year + 1 } else { year }
            }
            (None, Some(century)) if century >= 0 => (century - 1) * 100 + 1,
            (None, Some(century)) => century * 100 + 1,
            (None, None) => 0,
        }
    }

    /// The day; `None` where there is none such.
    fn date(&self) -> Result<Option<NaiveDate>> {
        let is_iso = self.is_iso == Some(true);
        let some = |number: Option<i64>| number.filter(|&number| number != 0);
        let Ok(year) = i32::try_from(self.year()) else { return Ok(None) };
        // The Monday of the first week of a year: that of 4 January.
        let first_monday = || {
            let day = NaiveDate::from_ymd_opt(year, 1, 4)?;
            day.checked_sub_signed(Duration::days(day.weekday().num_days_from_monday().into()))
        };
        let after = |day: Option<NaiveDate>, days: i64| {
            day.and_then(|day| day.checked_add_signed(Duration::try_days(days)?))
        };
        let mut day_of_year = some(self.day_of_year);
        let mut date = match some(self.julian) {
            Some(day) => after(NaiveDate::from_num_days_from_ce_opt(0), day - 1_721_425),
            None => None,
        };
        match some(self.week) {
            Some(week) if is_iso => {
                // Sunday is the last day of such a week.
                let day = some(self.week_day).map_or(0, |day| (day + 5) % 7);
                date = after(first_monday(), (week - 1) * 7 + day);
            }
            Some(week) => day_of_year = Some((week - 1) * 7 + 1),
            None => {}
        }
        let day = some(self.week_of_month).map(|week| (week - 1) * 7 + 1).or(some(self.day));
        let month = some(self.month);
        if let (Some(date), None, None) = (date, month, day) {
            return Ok(Some(date));
        }
        let taken = date.map(|date| (i64::from(date.month()), i64::from(date.day())));
        let year = date.map_or(year, |date| date.year());
        let (known_month, known_day) = taken.unwrap_or((1, 1));
        let (month, day) = (month.unwrap_or(known_month), day.unwrap_or(known_day));
        if let Some(number) = day_of_year.filter(|_| month <= 1 || day <= 1) {
            if year == 0 && self.before_christ != Some(1) {
                let message = "cannot calculate day of year without year information";
                return Err(Error::new(SqlState::INVALID_DATETIME_FORMAT, message));
            }
            if is_iso {
                return Ok(after(first_monday(), number - 1));
            }
            let of_year = after(NaiveDate::from_ymd_opt(year, 1, 1), number - 1);
            let of_year = of_year.filter(|date| date.year() == year && number > 0);
            return Ok(of_year.and_then(|date| {
                let month = if month <= 1 { date.month() } else { u32::try_from(month).ok()? };
                let day = if day <= 1 { date.day() } else { u32::try_from(day).ok()? };
                NaiveDate::from_ymd_opt(year, month, day)
            }));
        }
        let (Ok(month), Ok(day)) = (u32::try_from(month), u32::try_from(day)) else {
            return Ok(None);
        };
        Ok(NaiveDate::from_ymd_opt(year, month, day))
    }
}
