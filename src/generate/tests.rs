use super::*;
#[test]
fn scratch() {
    let n: u64 = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    let time = std::time::Instant::now();
    let summary = generate(
        &GenerateOptions::new(n, 1, std::env::var("OUT").unwrap_or("/tmp/gen-scratch".into())),
        &mut |_, _| {},
    )
    .unwrap();
    for t in &summary.tables {
        println!(
            "{:28} {:>9} rows {:>4} files {:>9} bytes {:.1} B/row",
            t.name,
            t.rows,
            t.files,
            t.bytes,
            t.bytes as f64 / t.rows.max(1) as f64
        );
    }
    let rows: u64 = summary.tables.iter().map(|t| t.rows).sum();
    println!(
        "total rows {rows} bytes {} files {} in {:?}",
        summary.tables.iter().map(|t| t.bytes).sum::<u64>(),
        summary.tables.iter().map(|t| t.files).sum::<u64>(),
        time.elapsed()
    );
}
