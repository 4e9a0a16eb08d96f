//! Tables as Parquet files, for whoever wants to look at them with other tools.

use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, GzipLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::Result as ParquetResult;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

use super::copy::Pages;
use super::database::new_file;
use super::engine::{Engine, Result};
use super::value::{Row, Value};

/// What a column of a file holds.
#[derive(Clone, Copy)]
enum Cell {
    Text,
    Bytes,
    Int,
    /// Bit for bit in a signed column.
    Unsigned,
    /// Milliseconds since 1970.
    Time,
    Real,
}

/// A file: its name, the question whose rows it holds, what tells them apart, and its columns. Every value may be absent.
struct Table {
    name: &'static str,
    sql: &'static str,
    key: &'static str,
    columns: &'static [Columns],
}

type Columns = &'static [(&'static str, Cell)];

/// What begins each row that a device told.
const TOLD: Columns = &[("site", Cell::Text), ("node", Cell::Text), ("epoch", Cell::Unsigned)];

const TABLES: [Table; 4] = [
    Table {
        name: "events",
        sql: "SELECT d.site, d.node, v.* FROM events v JOIN devices d ON d.id = v.device",
        key: "v.id",
        columns: &[
            TOLD,
            &[
                ("seq", Cell::Int),
                ("at", Cell::Time),
                ("received_at", Cell::Time),
                ("mono_ms", Cell::Int),
                ("wall_ms", Cell::Time),
                ("clock", Cell::Int),
                ("severity", Cell::Int),
                ("kind", Cell::Int),
                ("rev", Cell::Int),
                ("episode", Cell::Unsigned),
                ("problem", Cell::Text),
                ("body", Cell::Bytes),
            ],
        ],
    },
    Table {
        name: "episodes",
        sql: "SELECT d.site, d.node, p.* FROM episodes p JOIN devices d ON d.id = p.device",
        key: "p.device, p.epoch, p.id",
        columns: &[
            TOLD,
            &[
                ("id", Cell::Unsigned),
                ("onset_at", Cell::Time),
                ("opened_at", Cell::Time),
                ("updated_at", Cell::Time),
                ("closed_at", Cell::Time),
                ("closing", Cell::Int),
                ("phase", Cell::Int),
                ("severity", Cell::Int),
                ("grp", Cell::Int),
                ("shape", Cell::Int),
                ("score", Cell::Real),
                ("confidence", Cell::Int),
                ("recurred", Cell::Int),
                ("moved", Cell::Int),
                ("body", Cell::Bytes),
            ],
        ],
    },
    Table {
        name: "facts",
        sql: "SELECT d.site, d.node, f.* FROM facts f JOIN devices d ON d.id = f.device",
        key: "f.event",
        columns: &[
            TOLD,
            &[
                ("seq", Cell::Int),
                ("at", Cell::Time),
                ("received_at", Cell::Time),
                ("severity", Cell::Int),
                ("kind", Cell::Text),
                ("text", Cell::Text),
                ("about", Cell::Text),
                ("since_ms", Cell::Int),
                ("count", Cell::Int),
                ("example", Cell::Text),
            ],
        ],
    },
    Table {
        name: "incidents",
        sql: "SELECT r.* FROM (SELECT * FROM records WHERE class = 'incident') r",
        key: "r.key",
        columns: &[&[
            ("key", Cell::Text),
            ("site", Cell::Text),
            ("at", Cell::Time),
            ("is_open", Cell::Int),
            ("doc", Cell::Text),
        ]],
    },
];

impl Table {
    fn columns(&self) -> impl Iterator<Item = &(&'static str, Cell)> {
        self.columns.iter().copied().flatten()
    }

    fn schema(&self) -> String {
        let column = |(name, cell): &(&str, Cell)| match cell {
            Cell::Text => format!("OPTIONAL BYTE_ARRAY {name} (UTF8);"),
            Cell::Bytes => format!("OPTIONAL BYTE_ARRAY {name};"),
            Cell::Int => format!("OPTIONAL INT64 {name};"),
            Cell::Unsigned => format!("OPTIONAL INT64 {name} (INTEGER(64,false));"),
            Cell::Time => format!("OPTIONAL INT64 {name} (TIMESTAMP(MILLIS,true));"),
            Cell::Real => format!("OPTIONAL DOUBLE {name};"),
        };
        let columns: Vec<String> = self.columns().map(column).collect();
        format!("message {} {{ {} }}", self.name, columns.join(" "))
    }
}

/// Writes `events.parquet`, `episodes.parquet`, `facts.parquet` and `incidents.parquet` into the folder; returns how many
/// rows each has.
pub(super) fn all(db: &mut dyn Engine, folder: &Path) -> Result<Vec<(&'static str, u64)>> {
    std::fs::create_dir_all(folder)?;
    let mut written = Vec::new();
    for table in &TABLES {
        let file = new_file(&folder.join(format!("{}.parquet", table.name)))?;
        let properties = WriterProperties::builder().set_compression(Compression::GZIP(GzipLevel::default()));
        let schema = Arc::new(parse_message_type(&table.schema())?);
        let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties.build()))?;
        let mut pages = Pages::new(table.sql, table.key);
        let mut rows = 0;
        // A group of rows for each piece keeps memory small, however large the table.
        while let Some(piece) = pages.next(db)? {
            rows += piece.len() as u64;
            let mut group = writer.next_row_group()?;
            for (name, cell) in table.columns() {
                if let Some(mut column) = group.next_column()? {
                    write(&mut column, *cell, name, &piece)?;
                    column.close()?;
                }
            }
            group.close()?;
        }
        let file = writer.into_inner()?;
        file.sync_all()?;
        written.push((table.name, rows));
    }
    Ok(written)
}

fn write(column: &mut SerializedColumnWriter<'_>, cell: Cell, name: &str, rows: &[Row]) -> ParquetResult<()> {
    let at = rows.first().and_then(|row| row.columns.iter().position(|c| c == name));
    let values: Vec<&Value> = rows.iter().filter_map(|row| row.values.get(at?)).collect();
    // 1 where there is a value, 0 where there is none.
    let levels: Vec<i16> = values.iter().map(|v| i16::from(!matches!(v, Value::Null(_)))).collect();
    let levels = Some(levels.as_slice());
    match cell {
        Cell::Text | Cell::Bytes => {
            let bytes = values.iter().filter_map(|value| match value {
                Value::Text(text) => Some(ByteArray::from(text.as_str())),
                Value::Bytes(bytes) => Some(ByteArray::from(bytes.clone())),
                _ => None,
            });
            column.typed::<ByteArrayType>().write_batch(&bytes.collect::<Vec<_>>(), levels, None)?;
        }
        Cell::Int | Cell::Unsigned | Cell::Time => {
            let numbers = values.iter().filter_map(|v| if let Value::Int(n) = v { Some(*n) } else { None });
            column.typed::<Int64Type>().write_batch(&numbers.collect::<Vec<_>>(), levels, None)?;
        }
        Cell::Real => {
            let numbers = values.iter().filter_map(|v| if let Value::Real(x) = v { Some(*x) } else { None });
            column.typed::<DoubleType>().write_batch(&numbers.collect::<Vec<_>>(), levels, None)?;
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs::File;

    use parquet::file::reader::SerializedFileReader;
    use parquet::record::RowAccessor;

    use super::super::copy::tests::filled;
    use super::*;
    use crate::sample::NOON;
    use crate::store::tests::Open;

    pub(in crate::store) fn what_is_exported_is_read_back(open: Open<'_>) {
        let store = filled(open);
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("out");
        let written = store.export(&folder).unwrap();
        assert_eq!(written, [("events", 9), ("episodes", 2), ("facts", 3), ("incidents", 1)]);
        assert!(store.export(&folder).is_err(), "a file is never written over");
        let rows = |name: &str| {
            let file = File::open(folder.join(format!("{name}.parquet"))).unwrap();
            let reader = SerializedFileReader::new(file).unwrap();
            reader.into_iter().map(Result::unwrap).collect::<Vec<_>>()
        };
        for (name, count) in written {
            assert_eq!(rows(name).len() as u64, count, "{name}");
        }
        let facts = rows("facts");
        assert_eq!((facts[0].get_string(0).unwrap().as_str(), facts[0].get_ulong(2).unwrap()), ("hall", 7));
        assert_eq!(facts[0].get_string(8).unwrap(), "dated");
        assert_eq!(facts[0].get_timestamp_millis(4).unwrap(), NOON.cast_signed());
        assert_eq!(rows("events")[1].get_timestamp_millis(7).ok(), None, "it was undated");
        assert_eq!(rows("incidents")[0].get_string(4).unwrap(), "{\"cause\":\"uplink\"}");
        assert!(rows("episodes")[0].get_double(13).unwrap() > 0.8);
    }
}
