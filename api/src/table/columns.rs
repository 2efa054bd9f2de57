//! The columns of the table, for the formats that need them one by one.

use chrono::{DateTime, Utc};

use crate::resources::result_row::ResultRow;

/// How the value of a column is taken from a row.
#[derive(Clone, Copy)]
pub(super) enum Column {
    Time(fn(&ResultRow) -> DateTime<Utc>),
    Text(fn(&ResultRow) -> Option<&str>),
    Integer(fn(&ResultRow) -> Option<i64>),
    Number(fn(&ResultRow) -> Option<f64>),
}

/// All columns by name, as in JSON.
pub(super) const COLUMNS: [(&str, Column); 13] = [
    ("completed_at", Column::Time(|row| row.completed_at)),
    ("unique_id", Column::Text(|row| Some(&row.unique_id))),
    ("resource_type", Column::Text(|row| Some(&row.resource_type))),
    ("status", Column::Text(|row| Some(&row.status))),
    ("command", Column::Text(|row| row.command.as_deref())),
    ("execution_time", Column::Number(|row| row.execution_time)),
    ("failures", Column::Integer(|row| row.failures)),
    ("rows_affected", Column::Integer(|row| row.rows_affected)),
    ("message", Column::Text(|row| row.message.as_deref())),
    ("environment_id", Column::Integer(|row| Some(row.environment_id))),
    ("job_id", Column::Integer(|row| Some(row.job_id))),
    ("run_id", Column::Integer(|row| Some(row.run_id))),
    ("step_id", Column::Integer(|row| row.step_id)),
];

#[cfg(test)]
pub(super) fn row() -> ResultRow {
    ResultRow {
        completed_at: "2026-11-24T09:00:00.5Z".parse().unwrap(),
        unique_id: "test.shop.a".to_owned(),
        resource_type: "test".to_owned(),
        status: "fail".to_owned(),
        command: None,
        execution_time: Some(0.25),
        failures: Some(3),
        rows_affected: Some(-1),
        message: Some("=1+1, \"quoted\"\nline".to_owned()),
        environment_id: 1,
        job_id: 2,
        run_id: 3,
        step_id: Some(4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_the_fields_of_json() {
        let json = serde_json::to_value(row()).unwrap();
        let mut fields: Vec<&String> = json.as_object().unwrap().keys().collect();
        let mut names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
        fields.sort_unstable();
        names.sort_unstable();
        assert_eq!(fields, names);
    }
}
