//! The table as a Parquet file with one row group.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as PhysicalType};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};

use super::columns::{COLUMNS, Column};
use crate::resources::result_row::ResultRow;

/// Writes the rows. All columns but the time may be null.
pub(super) fn write(rows: &[ResultRow]) -> Result<Vec<u8>> {
    let properties = WriterProperties::builder().set_created_by("dbt-api".to_owned()).build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema()?, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for (_, column) in COLUMNS {
        let mut writer = group
            .next_column()?
            .ok_or_else(|| ParquetError::General("there are fewer columns than in the schema".to_owned()))?;
        match (column, writer.untyped()) {
            (Column::Time(of), ColumnWriter::Int64ColumnWriter(writer)) => {
                let times: Vec<i64> = rows.iter().map(|row| of(row).timestamp_micros()).collect();
                writer.write_batch(&times, None, None)?;
            }
            (Column::Text(of), ColumnWriter::ByteArrayColumnWriter(writer)) => {
                let (texts, levels) = present(rows, |row| of(row).map(ByteArray::from));
                writer.write_batch(&texts, Some(&levels), None)?;
            }
            (Column::Integer(of), ColumnWriter::Int64ColumnWriter(writer)) => {
                let (numbers, levels) = present(rows, of);
                writer.write_batch(&numbers, Some(&levels), None)?;
            }
            (Column::Number(of), ColumnWriter::DoubleColumnWriter(writer)) => {
                let (numbers, levels) = present(rows, of);
                writer.write_batch(&numbers, Some(&levels), None)?;
            }
            _ => {
                return Err(ParquetError::General(
                    "a column has another type than its schema".to_owned(),
                ));
            }
        }
        writer.close()?;
    }
    group.close()?;
    writer.into_inner()
}

/// The values that are not null, and for each row whether its value is.
fn present<'a, T>(rows: &'a [ResultRow], of: impl Fn(&'a ResultRow) -> Option<T>) -> (Vec<T>, Vec<i16>) {
    let values: Vec<Option<T>> = rows.iter().map(of).collect();
    let levels = values.iter().map(|value| i16::from(value.is_some())).collect();
    (values.into_iter().flatten().collect(), levels)
}

fn schema() -> Result<TypePtr> {
    let columns = COLUMNS.into_iter().map(|(name, column)| {
        let (physical, logical) = match column {
            Column::Time(_) => (
                PhysicalType::INT64,
                Some(LogicalType::timestamp(true, parquet::basic::TimeUnit::MICROS)),
            ),
            Column::Text(_) => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
            Column::Integer(_) => (PhysicalType::INT64, None),
            Column::Number(_) => (PhysicalType::DOUBLE, None),
        };
        let repetition = match column {
            Column::Time(_) => Repetition::REQUIRED,
            _ => Repetition::OPTIONAL,
        };
        let column = Type::primitive_type_builder(name, physical)
            .with_logical_type(logical)
            .with_repetition(repetition);
        column.build().map(Arc::new)
    });
    let columns = columns.collect::<Result<_>>()?;
    Ok(Arc::new(
        Type::group_type_builder("results").with_fields(columns).build()?,
    ))
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    use super::super::columns::row;
    use super::*;

    #[test]
    fn the_file_has_the_rows() {
        for count in [0, 1, 3] {
            let rows: Vec<ResultRow> = (0..count).map(|_| row()).collect();
            let file = write(&rows).unwrap();
            let reader = SerializedFileReader::new(bytes::Bytes::from(file)).unwrap();
            let read: Vec<_> = reader.get_row_iter(None).unwrap().map(|row| row.unwrap()).collect();
            assert_eq!(read.len(), count);
            for row in read {
                assert_eq!(row.get_timestamp_micros(0).unwrap(), 1_795_510_800_500_000);
                assert_eq!(row.get_string(1).unwrap(), "test.shop.a");
                assert!(row.get_string(4).is_err(), "null");
                assert!((row.get_double(5).unwrap() - 0.25).abs() < f64::EPSILON);
                assert_eq!((row.get_long(7).unwrap(), row.get_long(12).unwrap()), (-1, 4));
            }
        }
    }
}
