//! SET, SHOW and what they change.

use super::columns;
use crate::{
    error::{Error, Result, SqlState},
    exec::rows_stream,
    session::{
        Rows, RowsTag, Session,
        role::role_setting,
        settings::{
            LOG_FILTER, SETTINGS, check_may_change, display_name, no_setting, set_log_filter, shown,
        },
    },
    sql::{
        Context,
        utility::{Isolation, SetValue, TransactionModes, Utility},
    },
};
use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    datatypes::Schema,
};
use std::sync::Arc;

impl Session {
    /// SET SESSION CHARACTERISTICS AS TRANSACTION.
    pub(super) fn set_defaults(&mut self, modes: &TransactionModes) -> Result<()> {
        self.context.change_settings(|settings| {
            if let Some(isolation) = modes.isolation {
                let level = match isolation {
                    Isolation::ReadUncommitted => "read uncommitted",
                    Isolation::ReadCommitted => "read committed",
                    Isolation::RepeatableRead => "repeatable read",
                    Isolation::Serializable => "serializable",
                };
                settings.set("default_transaction_isolation", level, false)?;
            }
            if let Some(read_only) = modes.read_only {
                let value = if read_only { "on" } else { "off" };
                settings.set("default_transaction_read_only", value, false)?;
            }
            Ok(())
        })
    }

    pub(super) fn set(&mut self, name: &str, value: &SetValue, local: bool) -> Result<()> {
        if local && !self.in_block() {
            self.context.notice(Error::new(
                SqlState::new(b"25P01"),
                "SET LOCAL can only be used in transaction blocks",
            ));
            return Ok(());
        }
        if let Some(setting) = role_setting(name) {
            let role = match value {
                SetValue::Default => String::new(),
                SetValue::Values(values) => values.concat(),
            };
            return self.context.set_role(setting, &role, local);
        }
        if name.eq_ignore_ascii_case("transaction_isolation")
            || name.eq_ignore_ascii_case("transaction_read_only")
        {
            return self.set_transaction_setting(name, value);
        }
        check_may_change(name, self.context.is_superuser())?;
        if name.eq_ignore_ascii_case(LOG_FILTER) {
            let filter = match value {
                SetValue::Default => None,
                SetValue::Values(values) => Some(values.join(", ")),
            };
            return set_log_filter(filter.as_deref(), local);
        }
        self.context.change_settings(|settings| match value {
            SetValue::Default => settings.reset(name),
            SetValue::Values(values) => settings.set(name, &values.join(", "), local).map(drop),
        })
    }

    pub(super) fn set_transaction_setting(&mut self, name: &str, value: &SetValue) -> Result<()> {
        let SetValue::Values(values) = value else { return Ok(()) };
        let text = values.join(" ").to_ascii_lowercase();
        let mut modes = TransactionModes::default();
        if name.eq_ignore_ascii_case("transaction_isolation") {
            modes.isolation = Some(match text.as_str() {
                "read uncommitted" | "read committed" => Isolation::ReadCommitted,
                "repeatable read" => Isolation::RepeatableRead,
                _ => Isolation::Serializable,
            });
        } else {
            modes.read_only = Some(["on", "true", "1", "yes"].contains(&text.as_str()));
        }
        self.set_modes(&modes)
    }

    pub(super) fn show(&self, name: Option<&str>) -> Result<Rows> {
        let rows: Vec<Vec<String>> = match name {
            Some(name) => {
                let value = self.context.setting(name).ok_or_else(|| no_setting(name))?;
                vec![vec![value]]
            }
            None => {
                let all = SETTINGS.iter().map(|setting| {
                    let value = self.context.with_settings(|s| s.known(setting.name).to_owned());
                    let value = shown(setting.name, &value);
                    vec![display_name(setting.name).to_owned(), value, setting.about.to_owned()]
                });
                all.collect()
            }
        };
        let statement = Utility::Show(name.map(str::to_owned));
        let columns = columns(self, &statement)?.expect("SHOW has columns");
        let arrays: Vec<ArrayRef> = (0..columns.len())
            .map(|place| {
                let values = rows.iter().map(|row| row[place].as_str());
                Arc::new(StringArray::from_iter_values(values)) as ArrayRef
            })
            .collect();
        let fields: Vec<_> = columns.iter().map(|c| c.kind.field(&c.name, false)).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .map_err(|error| Error::internal("settings").source(error))?;
        let tag = RowsTag::Fixed("SHOW".to_owned());
        Ok(Rows::new(columns, rows_stream(vec![batch]), tag))
    }
}
