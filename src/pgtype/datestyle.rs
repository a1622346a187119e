//! The setting `DateStyle`: how dates are written, and in which order `1/2/2024` is read.

use std::fmt;

/// How dates and timestamps are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DateForm {
    /// `2024-03-05 10:00:00+00`
    #[default]
    Iso,
    /// `03/05/2024 10:00:00 UTC`
    Sql,
    /// `Tue Mar 05 10:00:00 2024 UTC`
    Postgres,
    /// `05.03.2024 10:00:00 UTC`
    German,
}

/// The order in which `1/2/2024` names day and month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DateOrder {
    /// Month, day, year.
    #[default]
    Mdy,
    /// Day, month, year.
    Dmy,
    /// Year, month, day.
    Ymd,
}

impl fmt::Display for DateOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mdy => "MDY",
            Self::Dmy => "DMY",
            Self::Ymd => "YMD",
        })
    }
}

/// Both halves of the setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DateStyle {
    /// How dates are written.
    pub form: DateForm,
    /// In which order they are read, and but for ISO and German written.
    pub order: DateOrder,
}

impl DateStyle {
    /// The setting that a list of words makes of this one; `None` where they make no sense.
    #[must_use]
    pub fn with(self, words: &str) -> Option<Self> {
        // Germans begin with the day, unless they are told otherwise.
        let (mut form, mut order, mut implied) = (None, None, None);
        let put_form = |slot: &mut Option<DateForm>, form| {
            let agrees = slot.is_none_or(|other| other == form);
            *slot = Some(form);
            agrees
        };
        let put_order = |slot: &mut Option<DateOrder>, order| {
            let agrees = slot.is_none_or(|other| other == order);
            *slot = Some(order);
            agrees
        };
        for word in words.split(',') {
            let word = word.trim().trim_matches('"').to_ascii_lowercase();
            let agrees = match word.as_str() {
                "iso" => put_form(&mut form, DateForm::Iso),
                "sql" => put_form(&mut form, DateForm::Sql),
                word if word.starts_with("postgres") => put_form(&mut form, DateForm::Postgres),
                "german" => {
                    implied = Some(DateOrder::Dmy);
                    put_form(&mut form, DateForm::German)
                }
                "ymd" => put_order(&mut order, DateOrder::Ymd),
                word if word == "dmy" || word.starts_with("euro") => {
                    put_order(&mut order, DateOrder::Dmy)
                }
                word if word == "mdy" || word == "us" || word.starts_with("noneuro") => {
                    put_order(&mut order, DateOrder::Mdy)
                }
                "default" => {
                    let default = Self::default();
                    form = form.or(Some(default.form));
                    order = order.or(Some(default.order));
                    true
                }
                _ => false,
            };
            if !agrees {
                return None;
            }
        }
        let order = order.or(implied).unwrap_or(self.order);
        Some(Self { form: form.unwrap_or(self.form), order })
    }
}

impl fmt::Display for DateStyle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self.form {
            DateForm::Iso => "ISO",
            DateForm::Sql => "SQL",
            DateForm::Postgres => "Postgres",
            DateForm::German => "German",
        };
        write!(f, "{form}, {}", self.order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_stays() {
        let with = |words: &[&str]| {
            let mut style = DateStyle::default();
            for word in words {
                style = style.with(word)?;
            }
            Some(style.to_string())
        };
        assert_eq!(with(&["SQL, DMY", "iso"]).as_deref(), Some("ISO, DMY"));
        assert_eq!(with(&["German"]).as_deref(), Some("German, DMY"));
        assert_eq!(with(&["ymd, German"]).as_deref(), Some("German, YMD"));
        assert_eq!(with(&["German, MDY"]).as_deref(), Some("German, MDY"));
        assert_eq!(with(&["postgres", "European"]).as_deref(), Some("Postgres, DMY"));
        assert_eq!(with(&["SQL, German"]), None);
        assert_eq!(with(&["mdy, dmy"]), None);
        assert_eq!(with(&["nonsense"]), None);
    }
}
