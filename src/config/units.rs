//! Sizes and durations as people write them: `512MB`, `2GiB`, `500ms`, `5min`.

use std::time::Duration;

const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

const DURATIONS_MS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Bytes from `1048576`, `512MB` (decimal) or `2GiB` (binary).
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    scaled(text, &SIZES, 1)
        .ok_or_else(|| "is not a size; write it like 512MB (decimal) or 2GiB (binary)".into())
}

/// A duration from `500ms`, `30s`, `5min`, `1h` or `1d`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    // A bare number could mean seconds to one reader and milliseconds to another: only 0 has no unit.
    let ms = if text.trim() == "0" { Some(0) } else { scaled(text, &DURATIONS_MS, 0) };
    ms.map(Duration::from_millis)
        .ok_or_else(|| "is not a duration; write it like 500ms, 30s, 5min, 1h or 1d".into())
}

/// The number times its unit; `bare` is the unit of a number without one (0: refused).
fn scaled(text: &str, units: &[(&str, u64)], bare: u64) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim_start();
    let factor = match unit {
        "" => (bare > 0).then_some(bare)?,
        _ => units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
    };
    number.checked_mul(factor)
}

/// A size in the largest unit that divides it.
pub(crate) fn format_size(bytes: u64) -> String {
    let (name, factor) = SIZES
        .iter()
        .filter(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor))
        .max_by_key(|(_, factor)| *factor)
        .unwrap_or(&SIZES[0]);
    format!("{}{name}", bytes / factor)
}

/// A duration in the largest unit that divides it.
pub(crate) fn format_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0".into();
    }
    let (name, factor) = DURATIONS_MS
        .iter()
        .rfind(|(_, factor)| ms.is_multiple_of(*factor))
        .unwrap_or(&DURATIONS_MS[0]);
    format!("{}{name}", ms / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_know_decimal_and_binary_units() {
        assert_eq!(parse_size("512MB"), Ok(512_000_000));
        assert_eq!(parse_size("2 GiB"), Ok(2 << 30));
        assert_eq!(parse_size("1048576"), Ok(1 << 20));
        for wrong in ["", "MB", "-1MB", "1.5GB", "12 parsecs", "99999999999TB"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
        assert_eq!(format_size(2 << 30), "2GiB");
        assert_eq!(format_size(512_000_000), "512MB");
        assert_eq!(format_size(0), "0B");
        assert_eq!(format_size(1_000_001), "1000001B");
    }

    #[test]
    fn durations_want_a_unit() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("5min"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
        assert!(parse_duration("30").is_err());
        assert_eq!(format_duration(Duration::from_secs(300)), "5min");
        assert_eq!(format_duration(Duration::from_millis(1500)), "1500ms");
    }
}
