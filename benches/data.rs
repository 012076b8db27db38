//! Interactions of customers with a company, made up for the benchmarks: who, when, on which channel, about which product, how
//! long it took and what it was worth. Most customers are small, and so are most amounts.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;

use crate::random::Random;

const ACCOUNTS: u64 = 1_000_003;
const CHANNELS: [&str; 8] = ["phone", "email", "chat", "sms", "social", "web_form", "in_app", "branch"];

/// Where a part of the interactions lies below the data.
pub fn part(data: &Path, file: usize) -> PathBuf {
    data.join(format!("interactions/part-{file:02}.parquet"))
}

/// One of so many parts of three years of interactions, in the order of time; the same at every call.
pub fn make_part(data: &Path, rows: usize, file: usize, files: usize) {
    const FIRST: i64 = 1_672_531_200; // 2023-01-01
    const SECONDS: i64 = 94_694_400; // three years, one of them with 366 days
    const BATCH: usize = 65_536;
    let mut random = Random(0x51ed_2701 + file as u64);
    let (first, behind) = (rows * file / files, rows * (file + 1) / files);
    let file = File::create(part(data, file)).expect("data can be written");
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(Default::default()))
        .set_max_row_group_row_count(Some(262_144))
        .build();
    let mut writer: Option<ArrowWriter<File>> = None;
    let mut target = Some(file);
    for start in (first..behind).step_by(BATCH) {
        let ids: Vec<usize> = (start..behind.min(start + BATCH)).collect();
        // A number between 0 and 1 that is more often small.
        let skewed =
            |random: &mut Random, power: f64| (random.below(1 << 30) as f64 / (1_u64 << 30) as f64).powf(power);
        let times = ids.iter().map(|id| (FIRST * 1_000_000) + (SECONDS as f64 * 1e6 * *id as f64 / rows as f64) as i64);
        let times: TimestampMicrosecondArray = times.collect::<Vec<_>>().into();
        // The keys of accounts are dense, and the largest accounts do not have the smallest ones.
        let accounts = ids.iter().map(|_| ((skewed(&mut random, 1.8) * 1e6) as u64 * 7919 + 13) % ACCOUNTS);
        let accounts = Int64Array::from_iter_values(accounts.map(|account| account as i64));
        let channels = ids.iter().map(|_| CHANNELS[(skewed(&mut random, 1.6) * 8.0) as usize]).collect::<Vec<_>>();
        let regions = ids.iter().map(|_| format!("region_{:02}", (skewed(&mut random, 1.5) * 20.0) as usize));
        let regions = StringArray::from_iter_values(regions);
        let products = ids.iter().map(|_| format!("product_{:02}", (skewed(&mut random, 2.0) * 50.0) as usize));
        let products = StringArray::from_iter_values(products);
        let seconds = ids.iter().map(|_| 20 + (skewed(&mut random, 3.0) * 3_000.0) as i32).collect::<Vec<_>>();
        let resolved = ids.iter().map(|_| Some(random.below(100) < 70)).collect::<BooleanArray>();
        let amounts = ids.iter().map(|_| if random.below(10) < 7 { 0 } else { i128::from(random.below(50_000)) });
        let amounts = Decimal128Array::from_iter_values(amounts.collect::<Vec<_>>());
        let amounts = amounts.with_precision_and_scale(12, 2).expect("12 digits are enough");
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("ts", Arc::new(times)),
            ("account_id", Arc::new(accounts)),
            ("channel", Arc::new(StringArray::from(channels))),
            ("region", Arc::new(regions)),
            ("product", Arc::new(products)),
            ("handle_seconds", Arc::new(Int32Array::from(seconds))),
            ("resolved", Arc::new(resolved)),
            ("amount", Arc::new(amounts)),
        ];
        let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
        let writer = writer.get_or_insert_with(|| {
            let file = target.take().expect("one writer");
            ArrowWriter::try_new(file, batch.schema(), Some(properties.clone())).expect("a valid schema")
        });
        writer.write(&batch).expect("data can be written");
    }
    if let Some(writer) = writer {
        writer.close().expect("data can be written");
    }
}
