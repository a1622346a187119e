//! Roman numerals, from I to MMMCMXCIX.

const PARTS: [(u16, &str); 13] = [
    (1000, "M"),
    (900, "CM"),
    (500, "D"),
    (400, "CD"),
    (100, "C"),
    (90, "XC"),
    (50, "L"),
    (40, "XL"),
    (10, "X"),
    (9, "IX"),
    (5, "V"),
    (4, "IV"),
    (1, "I"),
];

/// The numeral of a number that has one.
pub(super) fn numeral(number: u16) -> Option<String> {
    if !(1..=3999).contains(&number) {
        return None;
    }
    let (mut rest, mut out) = (number, String::new());
    for (value, part) in PARTS {
        while rest >= value {
            out.push_str(part);
            rest -= value;
        }
    }
    Some(out)
}

/// The number of a numeral, which is written as [`numeral`] writes it, in either case.
pub(super) fn number(text: &str) -> Option<u16> {
    let upper = text.to_ascii_uppercase();
    let (mut rest, mut sum) = (upper.as_str(), 0_u16);
    for (value, part) in PARTS {
        while let Some(after) = rest.strip_prefix(part) {
            sum = sum.checked_add(value)?;
            rest = after;
        }
    }
    (rest.is_empty() && numeral(sum).as_deref() == Some(upper.as_str())).then_some(sum)
}
