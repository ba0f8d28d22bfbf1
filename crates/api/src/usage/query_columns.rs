//! Exported events as the bytes of a file, CSV or Parquet, part by part.

use std::io::{self, Write};
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use exchequer_proto::usage::v1::UsageEvent;
use exchequer_types::Timestamp;
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

/// In the order in which both formats have them.
const COLUMNS: [&str; 10] = [
    "source",
    "id",
    "type",
    "subject",
    "schema",
    "time",
    "received_at",
    "partition",
    "offset",
    "data",
];
const SCHEMA: &str = "message event {
    required binary source (STRING);
    required binary id (STRING);
    required binary type (STRING);
    required binary subject (STRING);
    required binary schema (STRING);
    required int64 time (TIMESTAMP(MICROS, true));
    required int64 received_at (TIMESTAMP(MICROS, true));
    required int64 partition;
    required int64 offset;
    required binary data (JSON);
}";

/// A file in the making.
pub(crate) trait File: Send {
    /// What these events add to it.
    fn add(&mut self, events: &[UsageEvent]) -> Result<Bytes, ParquetError>;
    /// Its end.
    fn finish(&mut self) -> Result<Bytes, ParquetError>;
}

/// A value of a column.
enum Value<'e> {
    Text(&'e str),
    Time(i64),
    Number(i64),
}

/// In the order of [`COLUMNS`].
fn values(event: &UsageEvent) -> [Value<'_>; COLUMNS.len()] {
    let place = event.place.unwrap_or_default();
    let time = |at: Option<prost_types::Timestamp>| {
        let at = at.unwrap_or_default();
        Value::Time(at.seconds * 1_000_000 + i64::from(at.nanos) / 1_000)
    };
    [
        Value::Text(&event.source),
        Value::Text(&event.id),
        Value::Text(&event.r#type),
        Value::Text(&event.subject),
        Value::Text(&event.schema),
        time(event.time),
        time(event.received_at),
        Value::Number(place.partition.into()),
        Value::Number(place.offset.cast_signed()),
        Value::Text(&event.data),
    ]
}

/// RFC 4180.
#[derive(Debug, Default)]
pub(crate) struct Csv {
    has_names: bool,
}

impl Csv {
    fn names(&mut self) -> String {
        if self.has_names {
            return String::new();
        }
        self.has_names = true;
        format!("{}\r\n", COLUMNS.join(","))
    }
}

impl File for Csv {
    fn add(&mut self, events: &[UsageEvent]) -> Result<Bytes, ParquetError> {
        let mut out = self.names();
        for event in events {
            for (index, value) in values(event).into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                match value {
                    Value::Text(text) => cell(&mut out, text),
                    Value::Time(micros) => {
                        out.push_str(&Timestamp::saturating_from_micros(micros).to_string());
                    }
                    Value::Number(number) => out.push_str(&number.to_string()),
                }
            }
            out.push_str("\r\n");
        }
        Ok(out.into())
    }

    fn finish(&mut self) -> Result<Bytes, ParquetError> {
        Ok(self.names().into())
    }
}

fn cell(out: &mut String, text: &str) {
    if !text.contains([',', '"', '\r', '\n']) {
        out.push_str(text);
        return;
    }
    out.push('"');
    out.push_str(&text.replace('"', "\"\""));
    out.push('"');
}

/// Apache Parquet, one row group a part.
pub(crate) struct Parquet {
    /// None once it is whole.
    writer: Option<SerializedFileWriter<Sink>>,
    sink: Sink,
}

impl Parquet {
    pub(crate) fn new() -> Result<Self, ParquetError> {
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let sink = Sink::default();
        let writer = SerializedFileWriter::new(sink.clone(), schema, Arc::new(properties))?;
        Ok(Self { writer: Some(writer), sink })
    }
}

impl File for Parquet {
    fn add(&mut self, events: &[UsageEvent]) -> Result<Bytes, ParquetError> {
        let Some(writer) = self.writer.as_mut().filter(|_| !events.is_empty()) else {
            return Ok(self.sink.take());
        };
        let rows: Vec<_> = events.iter().map(values).collect();
        let mut group = writer.next_row_group()?;
        let mut index = 0;
        while let Some(mut column) = group.next_column()? {
            let cells = rows.iter().filter_map(|row| row.get(index));
            if matches!(rows.first().and_then(|row| row.get(index)), Some(Value::Text(_))) {
                let texts = cells.filter_map(|cell| match cell {
                    Value::Text(text) => Some(ByteArray::from(*text)),
                    _ => None,
                });
                let texts: Vec<_> = texts.collect();
                column.typed::<ByteArrayType>().write_batch(&texts, None, None)?;
            } else {
                let numbers = cells.filter_map(|cell| match cell {
                    Value::Time(number) | Value::Number(number) => Some(*number),
                    Value::Text(_) => None,
                });
                let numbers: Vec<_> = numbers.collect();
                column.typed::<Int64Type>().write_batch(&numbers, None, None)?;
            }
            column.close()?;
            index += 1;
        }
        group.close()?;
        writer.flush()?;
        Ok(self.sink.take())
    }

    fn finish(&mut self) -> Result<Bytes, ParquetError> {
        if let Some(writer) = self.writer.take() {
            writer.close()?;
        }
        Ok(self.sink.take())
    }
}

/// Bytes that were written and not taken yet.
#[derive(Clone, Debug, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Bytes {
        take(&mut *self.lock()).into()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::RowAccessor as _;

    use super::*;

    fn event(id: &str, data: &str) -> UsageEvent {
        let at = prost_types::Timestamp { seconds: 1_767_225_600, nanos: 250_000_000 };
        let place = exchequer_proto::usage::v1::EventPlace { partition: 3, offset: 77 };
        UsageEvent {
            source: "/gw".to_owned(),
            id: id.to_owned(),
            r#type: "call".to_owned(),
            time: Some(at),
            received_at: Some(at),
            data: data.to_owned(),
            place: Some(place),
            ..UsageEvent::default()
        }
    }

    fn whole(mut file: impl File, parts: &[Vec<UsageEvent>]) -> Vec<u8> {
        let mut out = Vec::new();
        for events in parts {
            out.extend_from_slice(&file.add(events).unwrap());
        }
        out.extend_from_slice(&file.finish().unwrap());
        out
    }

    // REQ: USE-08
    #[test]
    fn csv_quotes_what_has_to_be_quoted() {
        let parts =
            [vec![event("a", "{\"v\":1,\"t\":\"x\"}")], vec![], vec![event("b,\n", "null")]];
        let expected = "source,id,type,subject,schema,time,received_at,partition,offset,data\r\n\
            /gw,a,call,,,2026-01-01T00:00:00.250Z,2026-01-01T00:00:00.250Z,3,77,\"{\"\"v\"\":1,\"\"t\"\":\"\"x\"\"}\"\r\n\
            /gw,\"b,\n\",call,,,2026-01-01T00:00:00.250Z,2026-01-01T00:00:00.250Z,3,77,null\r\n";
        assert_eq!(String::from_utf8(whole(Csv::default(), &parts)).unwrap(), expected);
        let names = String::from_utf8(whole(Csv::default(), &[])).unwrap();
        assert_eq!(names.lines().count(), 1);
    }

    // REQ: USE-08
    #[test]
    fn parquet_is_read_by_its_own_reader() {
        let parts =
            [vec![event("a", "{\"v\":1}"), event("b", "null")], vec![], vec![event("c", "2")]];
        let file = Bytes::from(whole(Parquet::new().unwrap(), &parts));
        let reader = SerializedFileReader::new(file).unwrap();
        assert_eq!(reader.metadata().num_row_groups(), 2);
        let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
        let found: Vec<_> = rows.iter().map(|row| row.get_string(1).unwrap().as_str()).collect();
        assert_eq!(found, ["a", "b", "c"]);
        assert_eq!(rows[0].get_timestamp_micros(5).unwrap(), 1_767_225_600_250_000);
        assert_eq!(rows[0].get_long(8).unwrap(), 77);
        let empty = Bytes::from(whole(Parquet::new().unwrap(), &[]));
        assert_eq!(
            SerializedFileReader::new(empty).unwrap().get_row_iter(None).unwrap().count(),
            0
        );
    }
}
