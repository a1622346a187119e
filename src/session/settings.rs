//! Settings of a session: what SET, SHOW, RESET, `set_config` and `pg_settings` know.
//!
//! Every setting is declared once, in [`SETTINGS`]. One that PostgreSQL has and that changes
//! nothing here takes only the values under which that is true; the others are refused.

mod check;
mod declared;

pub(in crate::session) use declared::LOG_FILTER;
pub use declared::{Kind, SETTINGS, Setting, Who};

use crate::{
    catalog::nearest,
    error::{Error, Result, SqlState},
    sql::SettingRow,
    telemetry,
};
use check::{check, digits};
use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

/// The values of one session.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Counts the changes: what was derived from the values holds as long as it stays.
    generation: u64,
    /// What RESET goes back to: the start packet's, the role's, the database's.
    start: HashMap<Cow<'static, str>, String>,
    session: Given,
    /// What the running transaction set; goes with it or becomes the session's.
    transaction: Given,
    local: Given,
}

/// What was set; `None` where a RESET took it back to what the session started with.
type Given = HashMap<Cow<'static, str>, Option<String>>;

impl Settings {
    /// Sets what the session starts with.
    ///
    /// # Errors
    /// 42704, 22023, 55P02.
    pub fn start_with(&mut self, name: &str, value: &str) -> Result<()> {
        let (name, value) = check(name, value, self.known("datestyle"))?;
        self.generation += 1;
        self.start.insert(name, value);
        Ok(())
    }

    /// The same number means the same values.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// SET and SET LOCAL. Gives back the value as SHOW would.
    ///
    /// # Errors
    /// 42704, 22023, 55P02.
    pub fn set(&mut self, name: &str, value: &str, local: bool) -> Result<String> {
        let (name, value) = check(name, value, self.known("datestyle"))?;
        self.generation += 1;
        if local {
            self.local.insert(name, Some(value.clone()));
        } else {
            self.local.remove(&name);
            self.transaction.insert(name, Some(value.clone()));
        }
        Ok(value)
    }

    /// RESET, or SET … TO DEFAULT.
    ///
    /// # Errors
    /// 42704, 55P02.
    pub fn reset(&mut self, name: &str) -> Result<()> {
        let known = match find(name) {
            Some(setting) => {
                check(name, setting.default, "")?;
                Cow::Borrowed(setting.name)
            }
            None if name.contains('.') => Cow::Owned(name.to_ascii_lowercase()),
            None => return Err(unknown(name)),
        };
        self.generation += 1;
        self.local.remove(&known);
        self.transaction.insert(known, None);
        Ok(())
    }

    /// RESET ALL.
    pub fn reset_all(&mut self) {
        self.generation += 1;
        let own = |name| ["role", "session_authorization"].contains(&name);
        let resettable = |setting: &&Setting| {
            matches!(setting.who, Who::User | Who::Superuser) && !own(setting.name)
        };
        for setting in SETTINGS.iter().filter(resettable) {
            self.transaction.insert(Cow::Borrowed(setting.name), None);
        }
        self.local.clear();
    }

    fn reset_value(&self, name: &str) -> Option<String> {
        let lower = name.to_ascii_lowercase();
        let default = || find(&lower).map(|setting| setting.default.to_owned());
        self.start.get(lower.as_str()).cloned().or_else(default)
    }

    /// The value of a setting; `None` where there is none such.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        let lower = lower(name);
        let known = || find(&lower).map(|setting| setting.default);
        // A name of one's own that was set once stays known: the empty text.
        let once = || self.latest(&lower).map(|_| "");
        self.given(&lower).or_else(known).or_else(once)
    }

    /// What a setting was set to, by the session or by what it started with; `None` where the
    /// value built in holds.
    #[must_use]
    pub fn given(&self, name: &str) -> Option<&str> {
        let lower = lower(name);
        match self.latest(&lower) {
            Some(Some(value)) => Some(value),
            _ => self.start.get(lower.as_ref()).map(String::as_str),
        }
    }

    /// What the last SET or RESET of a name said.
    fn latest(&self, lower: &str) -> Option<Option<&str>> {
        [&self.local, &self.transaction, &self.session]
            .into_iter()
            .find_map(|values| values.get(lower).map(Option::as_deref))
    }

    /// The value of a setting that is declared.
    #[must_use]
    pub fn known(&self, name: &'static str) -> &str {
        self.value(name).expect("a declared setting has a value")
    }

    /// Whether a switch is on.
    #[must_use]
    pub fn is_on(&self, name: &'static str) -> bool {
        self.known(name) == "on"
    }

    /// A number in the setting's own unit.
    #[must_use]
    pub fn number(&self, name: &'static str) -> i64 {
        digits(self.known(name)).unwrap_or(0)
    }

    /// A time in milliseconds; `None` where 0 says that there is none.
    #[must_use]
    pub fn duration(&self, name: &'static str) -> Option<Duration> {
        u64::try_from(self.number(name)).ok().filter(|&ms| ms > 0).map(Duration::from_millis)
    }

    /// What binding a statement depends on: how names are found and literals are read.
    #[must_use]
    pub fn binding(&self) -> Arc<str> {
        let names = [
            "search_path",
            "timezone",
            "datestyle",
            "intervalstyle",
            "bytea_output",
            crate::sql::MODEL_SETTING,
        ];
        names.map(|name| self.known(name)).join("\0").into()
    }

    /// The transaction ends: what it set stays if it committed.
    pub fn end_transaction(&mut self, committed: bool) {
        if self.local.is_empty() && self.transaction.is_empty() {
            return;
        }
        self.generation += 1;
        self.local.clear();
        let set = std::mem::take(&mut self.transaction);
        if committed {
            self.session.extend(set);
        }
    }

    /// Every setting as `pg_settings` shows it.
    #[must_use]
    pub fn rows(&self) -> Vec<SettingRow> {
        SETTINGS.iter().map(|setting| self.row(setting)).collect()
    }

    fn row(&self, setting: &Setting) -> SettingRow {
        let (vartype, unit, min, max, words) = match setting.kind {
            Kind::Bool => ("bool", "", None, None, None),
            Kind::Int(unit, min, max) => {
                ("integer", unit, Some(min.to_string()), Some(max.to_string()), None)
            }
            Kind::Real(min, max) => {
                ("real", "", Some(min.to_string()), Some(max.to_string()), None)
            }
            Kind::Enum(words) => ("enum", "", None, None, Some(words)),
            Kind::Text | Kind::TimeZone | Kind::DateStyle | Kind::Only(_) => {
                ("string", "", None, None, None)
            }
        };
        let value = self.known(setting.name);
        SettingRow {
            name: display_name(setting.name).to_owned(),
            setting: value.to_owned(),
            unit: (!unit.is_empty()).then(|| unit.to_owned()),
            category: if setting.name.contains('.') { "Customized Options" } else { "Settings" }
                .to_owned(),
            short_desc: setting.about.to_owned(),
            context: match setting.who {
                Who::User => "user",
                Who::Superuser => "superuser",
                Who::Internal => "internal",
                Who::Postmaster => "postmaster",
            }
            .to_owned(),
            vartype: vartype.to_owned(),
            source: if value == setting.default { "default" } else { "session" }.to_owned(),
            min_val: min,
            max_val: max,
            enumvals: words.map(|words| words.iter().map(|&word| word.to_owned()).collect()),
            boot_val: Some(setting.default.to_owned()),
            reset_val: self.reset_value(setting.name),
        }
    }
}

/// The declaration of a name, in any case.
#[must_use]
pub fn find(name: &str) -> Option<&'static Setting> {
    static BY_NAME: LazyLock<HashMap<&'static str, &'static Setting>> =
        LazyLock::new(|| SETTINGS.iter().map(|setting| (setting.name, setting)).collect());
    BY_NAME.get(lower(name).as_ref()).copied()
}

/// Names are the same in upper and lower case.
fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// The name as PostgreSQL tells it to clients.
#[must_use]
pub fn display_name(name: &str) -> &str {
    match name {
        "datestyle" => "DateStyle",
        "intervalstyle" => "IntervalStyle",
        "timezone" => "TimeZone",
        other => other,
    }
}

/// A setting's value in its unit, as SHOW writes it: `30s`, `64MB`.
#[must_use]
pub fn shown(name: &str, value: &str) -> String {
    let Some(Setting { kind: Kind::Int(unit, ..), .. }) = find(name) else {
        return value.to_owned();
    };
    let units: &[(&str, i64)] = match *unit {
        "ms" => &[("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)],
        "kB" => &[("GB", 1 << 20), ("MB", 1 << 10), ("kB", 1)],
        "8kB" => &[("MB", 128)],
        "B" => &[("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10), ("B", 1)],
        _ => return value.to_owned(),
    };
    let number: i64 = digits(value).unwrap_or(0);
    if number <= 0 {
        return value.to_owned();
    }
    units
        .iter()
        .find(|(_, size)| number % size == 0)
        .map_or_else(|| value.to_owned(), |(unit, size)| format!("{}{unit}", number / size))
}

/// Whether a role may change a setting.
///
/// # Errors
/// 42501.
pub(super) fn check_may_change(name: &str, is_superuser: bool) -> Result<()> {
    match find(name) {
        Some(Setting { who: Who::Superuser, name, .. }) if !is_superuser => Err(Error::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!("permission denied to set parameter \"{name}\""),
        )),
        _ => Ok(()),
    }
}

/// SET and RESET of [`LOG_FILTER`], which hold for the whole node and at once.
pub(super) fn set_log_filter(filter: Option<&str>, local: bool) -> Result<()> {
    if local {
        return Err(Error::unsupported(format!("{LOG_FILTER} cannot be set for a transaction"))
            .hint("It is the whole node's: SET it, and RESET it afterwards."));
    }
    telemetry::set_log_filter(filter)
}

/// A time zone by its name, in any case.
#[must_use]
pub fn time_zone(name: &str) -> Option<chrono_tz::Tz> {
    let name = name.trim().trim_matches('\'');
    match name.to_ascii_lowercase().as_str() {
        "utc" | "gmt" | "z" | "zulu" | "0" | "+00" | "+00:00" | "default" | "local" => {
            Some(chrono_tz::UTC)
        }
        _ => chrono_tz::TZ_VARIANTS.into_iter().find(|zone| zone.name().eq_ignore_ascii_case(name)),
    }
}

fn unknown(name: &str) -> Error {
    let error = Error::new(
        SqlState::UNDEFINED_OBJECT,
        format!("unrecognized configuration parameter \"{name}\""),
    );
    let lower = name.to_ascii_lowercase();
    match nearest(&lower, SETTINGS.iter().map(|setting| setting.name)) {
        Some(near) => error.hint(format!("did you mean \"{near}\"?")),
        None => error,
    }
}

/// 42704 for a setting that there is not, as SHOW tells it.
#[must_use]
pub fn no_setting(name: &str) -> Error {
    unknown(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_and_told_as_postgres_does() {
        let mut settings = Settings::default();
        assert_eq!(settings.set("statement_timeout", "2s", false).unwrap(), "2000");
        assert_eq!(shown("statement_timeout", settings.known("statement_timeout")), "2s");
        assert_eq!(settings.set("enable_indexscan", "false", false).unwrap(), "off");
        assert_eq!(settings.set("TimeZone", "europe/berlin", false).unwrap(), "Europe/Berlin");
        let message = |result: Result<String>| result.unwrap_err().message().to_owned();
        assert_eq!(
            message(settings.set("hnsw.ef_search", "0", false)),
            "0 is outside the valid range for parameter \"hnsw.ef_search\" (1 .. 1000)"
        );
        let error = settings.set("statement_timout", "1", false).unwrap_err();
        assert_eq!(error.fields().hint.as_deref(), Some("did you mean \"statement_timeout\"?"));
        assert_eq!(settings.set("app.user", "7", false).unwrap(), "7");
    }

    #[test]
    fn a_reset_goes_back_to_the_start_and_gives_nothing() {
        let mut settings = Settings::default();
        assert_eq!(settings.given("nearlake.recall_target"), None);
        settings.set("nearlake.recall_target", "0.95", false).unwrap();
        assert_eq!(settings.given("nearlake.recall_target"), Some("0.95"));
        settings.reset("nearlake.recall_target").unwrap();
        assert_eq!(settings.given("nearlake.recall_target"), None);
        assert_eq!(settings.known("nearlake.recall_target"), "0.95");

        settings.set("app.user", "7", false).unwrap();
        settings.reset("app.user").unwrap();
        assert_eq!(settings.value("app.user"), Some(""));

        let mut settings = Settings::default();
        settings.start_with("nearlake.recall_target", "0.8").unwrap();
        settings.set("nearlake.recall_target", "0.9", true).unwrap();
        settings.reset("NEARLAKE.recall_target").unwrap();
        assert_eq!(settings.given("nearlake.recall_target"), Some("0.8"));
    }

    #[test]
    fn what_a_transaction_set_goes_with_it() {
        let mut settings = Settings::default();
        settings.set("application_name", "a", false).unwrap();
        settings.end_transaction(true);
        settings.set("application_name", "b", false).unwrap();
        settings.set("application_name", "c", true).unwrap();
        assert_eq!(settings.known("application_name"), "c");
        settings.end_transaction(false);
        assert_eq!(settings.known("application_name"), "a");
    }
}
