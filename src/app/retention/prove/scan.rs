//! Looking for planted values in bytes, in every encoding that they could take on their way to a disk.

use std::collections::HashSet;
use std::io::Read;
use std::path::Path;

/// A planted value and every way that it could be written.
#[derive(Debug)]
pub struct Needle {
    /// Its number in the file of planted values: the value itself is never reported.
    pub line: usize,
    forms: Vec<(&'static str, Vec<u8>)>,
    /// Where it could be a phone number: its digits, which are found with spaces and dashes between them, too.
    digits: Option<Vec<u8>>,
}

/// Where something was found that should be gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The line of the planted value.
    pub line: usize,
    /// How it was written.
    pub form: &'static str,
    /// The file or table.
    pub place: String,
    /// The byte at which it begins, in a file.
    pub offset: Option<u64>,
}

/// Shorter values are everywhere by chance.
const SHORTEST: usize = 4;

/// The needles of a file of planted values, one a line, however its editor marks the beginning and ends lines; and the
/// numbers of lines that are too short to be looked for.
pub fn needles(text: &str) -> (Vec<Needle>, Vec<usize>) {
    let mut too_short = Vec::new();
    let mut needles = Vec::new();
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    for (index, line) in text.split(['\n', '\r']).enumerate() {
        let value = line.trim();
        if value.is_empty() {
            continue;
        }
        if value.len() < SHORTEST {
            too_short.push(index + 1);
            continue;
        }
        needles.push(Needle {
            line: index + 1,
            forms: forms(value),
            digits: phone_digits(value),
        });
    }
    (needles, too_short)
}

/// Every way that a value could be written, each once.
fn forms(value: &str) -> Vec<(&'static str, Vec<u8>)> {
    let utf16: Vec<u16> = value.encode_utf16().collect();
    let mut plain = vec![
        ("UTF-8", value.as_bytes().to_vec()),
        ("UTF-16LE", utf16.iter().flat_map(|unit| unit.to_le_bytes()).collect()),
        ("UTF-16BE", utf16.iter().flat_map(|unit| unit.to_be_bytes()).collect()),
    ];
    let (gbk, _, unknown) = encoding_rs::GBK.encode(value);
    if !unknown {
        plain.push(("GBK", gbk.into_owned()));
    }
    let mut forms = plain.clone();
    for (_, bytes) in &plain {
        forms.push(("hexadecimal", data_encoding::HEXLOWER.encode(bytes).into_bytes()));
        forms.push(("hexadecimal", data_encoding::HEXUPPER.encode(bytes).into_bytes()));
        forms.extend(base64(bytes));
    }
    let written: [(&'static str, Vec<String>); 3] = [
        ("JSON escapes", json_escapes(value)),
        ("percent encoding", percent_encodings(value)),
        ("HTML entities", html_entities(value)),
    ];
    for (form, texts) in written {
        forms.extend(texts.into_iter().map(|text| (form, text.into_bytes())));
    }
    let mut known = HashSet::new();
    forms.retain(|(_, bytes)| bytes.len() >= SHORTEST && known.insert(bytes.clone()));
    forms
}

/// As it stands in the Base64 of a longer text that has it in it: three alignments, without what the neighbours touch.
fn base64(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = Vec::new();
    for shift in 0..3_usize {
        let mut padded = vec![0; shift];
        padded.extend_from_slice(bytes);
        for (form, alphabet) in [
            ("Base64", &data_encoding::BASE64_NOPAD),
            ("Base64url", &data_encoding::BASE64URL_NOPAD),
        ] {
            let encoded = alphabet.encode(&padded).into_bytes();
            let first = (shift * 8).div_ceil(6);
            let whole = (padded.len() * 8) / 6;
            if let Some(sure) = encoded.get(first..whole).filter(|sure| sure.len() >= 6) {
                all.push((form, sure.to_vec()));
            }
        }
    }
    all
}

/// As HTML and XML write it: decimal or hexadecimal, what is not ASCII or every character; and with names for what must
/// be escaped alone.
fn html_entities(value: &str) -> Vec<String> {
    let named = |letter: char| match letter {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        '\'' => Some("&#39;"),
        _ => None,
    };
    let mut all = Vec::new();
    let numbers: [fn(u32) -> String; 4] = [
        |code| format!("&#{code};"),
        |code| format!("&#x{code:x};"),
        |code| format!("&#x{code:X};"),
        |code| format!("&#X{code:X};"),
    ];
    for number in numbers {
        for everything in [false, true] {
            let letter = |letter: char| match named(letter) {
                Some(name) if !everything => name.to_owned(),
                _ if everything || !letter.is_ascii() => number(u32::from(letter)),
                _ => letter.to_string(),
            };
            all.push(value.chars().map(letter).collect());
        }
    }
    let letter = |letter: char| named(letter).map_or_else(|| letter.to_string(), str::to_owned);
    all.push(value.chars().map(letter).collect());
    all
}

/// The digits of a phone number, however it is written; a country code of China is no part of it.
fn phone_digits(value: &str) -> Option<Vec<u8>> {
    let like_a_phone = value
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'+' || SEPARATORS.contains(&byte));
    let digits: Vec<u8> = value.bytes().filter(u8::is_ascii_digit).collect();
    let national = match digits.strip_prefix(b"86") {
        Some(rest) if rest.len() == 11 => rest.to_vec(),
        _ => digits,
    };
    (like_a_phone && national.len() >= 7).then_some(national)
}

/// What people put between the digits of a phone number.
const SEPARATORS: &[u8] = b" -.()/";

/// How many bytes of `text` are these digits with at most two separators between any two of them; `None` where they are
/// not, or where there is no separator (then they are found as they are).
fn spaced(text: &[u8], digits: &[u8]) -> Option<usize> {
    let (mut at, mut between) = (0, false);
    for (index, digit) in digits.iter().enumerate() {
        let mut skipped = 0;
        while index > 0 && skipped < 2 && text.get(at).is_some_and(|byte| SEPARATORS.contains(byte)) {
            (at, skipped, between) = (at + 1, skipped + 1, true);
        }
        if text.get(at) != Some(digit) {
            return None;
        }
        at += 1;
    }
    between.then_some(at)
}

/// As JSON writers escape it: what is not ASCII, or everything; the slash or not; digits small or large.
fn json_escapes(value: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (everything, slash, large) in [
        (false, false, false),
        (false, false, true),
        (false, true, false),
        (false, true, true),
        (true, false, false),
        (true, false, true),
    ] {
        let mut text = String::new();
        for unit in value.encode_utf16() {
            match u8::try_from(unit).ok().filter(u8::is_ascii).map(char::from) {
                Some('/') if slash => text.push_str("\\/"),
                Some(plain @ ('"' | '\\')) if !everything => text.extend(['\\', plain]),
                Some(plain) if !everything => text.push(plain),
                _ if large => text.push_str(&format!("\\u{unit:04X}")),
                _ => text.push_str(&format!("\\u{unit:04x}")),
            }
        }
        all.push(text);
    }
    // By code point, in braces.
    for (everything, large) in [(false, false), (false, true), (true, false), (true, true)] {
        let letter = |letter: char| match letter {
            '"' | '\\' if !everything => format!("\\{letter}"),
            _ if !everything && letter.is_ascii() => letter.to_string(),
            _ if large => format!("\\u{{{:X}}}", u32::from(letter)),
            _ => format!("\\u{{{:x}}}", u32::from(letter)),
        };
        all.push(value.chars().map(letter).collect());
    }
    // As writers do that leave Chinese as it is.
    let plain = value.replace('\\', "\\\\").replace('"', "\\\"");
    all.push(plain.replace('/', "\\/"));
    all.push(plain);
    all
}

/// As it stands in URLs and forms: what must be escaped in a part, in a whole URL, or every byte.
fn percent_encodings(value: &str) -> Vec<String> {
    const PART: &[u8] = b"-._~";
    const WHOLE: &[u8] = b"-._~:/?#[]@!$&'()*+,;=";
    let mut all = Vec::new();
    for kept in [Some(PART), Some(WHOLE), None] {
        for (space, large) in [("%20", false), ("%20", true), ("+", false), ("+", true)] {
            let mut text = String::new();
            for byte in value.bytes() {
                let keeps = kept.is_some_and(|kept| byte.is_ascii_alphanumeric() || kept.contains(&byte));
                match byte {
                    b' ' => text.push_str(space),
                    byte if keeps => text.push(char::from(byte)),
                    byte if large => text.push_str(&format!("%{byte:02X}")),
                    byte => text.push_str(&format!("%{byte:02x}")),
                }
            }
            all.push(text);
        }
    }
    all
}

/// Looks for every needle in `haystack`, which stands at `base` in its place.
fn look(haystack: &[u8], base: u64, place: &str, needles: &[Needle], found: &mut Vec<Found>) {
    for needle in needles {
        for (form, bytes) in &needle.forms {
            let Some((first, _)) = bytes.split_first() else {
                continue;
            };
            let mut from = 0;
            while let Some(rest) = haystack.get(from..) {
                let Some(step) = rest.iter().position(|byte| byte == first) else {
                    break;
                };
                if rest.get(step..step + bytes.len()) == Some(bytes.as_slice()) {
                    let at = base.saturating_add(u64::try_from(from + step).unwrap_or(u64::MAX));
                    found.push(Found {
                        line: needle.line,
                        form,
                        place: place.to_owned(),
                        offset: Some(at),
                    });
                    break;
                }
                from += step + 1;
            }
        }
        let Some((first, digits)) = needle
            .digits
            .as_ref()
            .and_then(|digits| Some((digits.first()?, digits)))
        else {
            continue;
        };
        let spaced = |from: &usize| haystack.get(*from..).is_some_and(|rest| spaced(rest, digits).is_some());
        let starts = haystack
            .iter()
            .enumerate()
            .filter(|(_, byte)| *byte == first)
            .map(|(at, _)| at);
        if let Some(at) = starts.into_iter().find(spaced) {
            found.push(Found {
                line: needle.line,
                form: "digits with spaces or dashes",
                place: place.to_owned(),
                offset: Some(base.saturating_add(u64::try_from(at).unwrap_or(u64::MAX))),
            });
        }
    }
}

/// Looks in the bytes of one value.
pub fn in_bytes(bytes: &[u8], place: &str, needles: &[Needle], found: &mut Vec<Found>) {
    let mut here = Vec::new();
    look(bytes, 0, place, needles, &mut here);
    found.extend(here.into_iter().map(|found| Found { offset: None, ..found }));
}

/// Looks in every byte of a file; returns how many there were.
///
/// # Errors
/// The file cannot be read.
pub fn in_file(path: &Path, needles: &[Needle], found: &mut Vec<Found>) -> std::io::Result<u64> {
    const PIECE: usize = 1 << 20;
    let longest = needles
        .iter()
        .flat_map(|needle| &needle.forms)
        .map(|(_, bytes)| bytes.len())
        // A separator or two between any two digits.
        .chain(
            needles
                .iter()
                .filter_map(|needle| Some(needle.digits.as_ref()?.len() * 3)),
        )
        .max()
        .unwrap_or(0);
    let place = path.display().to_string();
    let mut file = std::fs::File::open(path)?;
    let mut window: Vec<u8> = Vec::new();
    let mut base = 0_u64;
    let mut here = Vec::new();
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let read = file
            .by_ref()
            .take(u64::try_from(PIECE).unwrap_or(u64::MAX))
            .read_to_end(&mut piece)?;
        window.extend_from_slice(&piece);
        look(&window, base, &place, needles, &mut here);
        if read == 0 {
            break;
        }
        // What could be the beginning of a needle is looked at again with the next piece.
        let keep = window.len().min(longest.saturating_sub(1));
        base += u64::try_from(window.len() - keep).unwrap_or(0);
        window.drain(..window.len() - keep);
    }
    here.dedup();
    found.extend(here);
    Ok(base + u64::try_from(window.len()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found_in(haystack: &[u8]) -> Vec<&'static str> {
        let (needles, _) = needles("张三丰李四\n13800138000\n");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("haystack");
        std::fs::write(&path, haystack).unwrap();
        let mut found = Vec::new();
        in_file(&path, &needles, &mut found).unwrap();
        found.into_iter().map(|found| found.form).collect()
    }

    #[test]
    fn every_encoding_of_a_planted_value_is_found() {
        let name = "张三丰李四";
        let utf16 = |to: fn(u16) -> [u8; 2]| name.encode_utf16().flat_map(to).collect::<Vec<u8>>();
        assert_eq!(found_in(name.as_bytes()), ["UTF-8"]);
        assert_eq!(found_in(&utf16(u16::to_le_bytes)), ["UTF-16LE"]);
        assert_eq!(found_in(&utf16(u16::to_be_bytes)), ["UTF-16BE"]);
        for bytes in [name.as_bytes(), &utf16(u16::to_le_bytes), &utf16(u16::to_be_bytes)] {
            for hex in [data_encoding::HEXLOWER, data_encoding::HEXUPPER] {
                assert_eq!(found_in(hex.encode(bytes).as_bytes()), ["hexadecimal"]);
            }
        }
        let (gbk, _, _) = encoding_rs::GBK.encode(name);
        assert_eq!(found_in(&gbk), ["GBK"]);
        for bytes in [utf16(u16::to_le_bytes), utf16(u16::to_be_bytes), gbk.into_owned()] {
            let text = data_encoding::BASE64.encode(&[b"x".as_slice(), &bytes, b"y"].concat());
            assert_eq!(found_in(text.as_bytes()), ["Base64"]);
        }
        for prefix in ["", "a", "ab", "abc"] {
            let text = data_encoding::BASE64.encode(format!("{prefix}{name}z13800138000").as_bytes());
            let forms = found_in(text.as_bytes());
            assert!(
                forms.iter().filter(|form| form.starts_with("Base64")).count() >= 2,
                "{prefix}: {forms:?}"
            );
        }
    }

    #[test]
    fn what_is_escaped_only_in_part_is_found_as_it_is_really_written() {
        for (value, written, form) in [
            ("科技路7-305室", r"\u79d1\u6280\u8def7-305\u5ba4", "JSON escapes"),
            ("科技路7-305室", r"\u79D1\u6280\u8DEF7-305\u5BA4", "JSON escapes"),
            ("张三丰", r"\u5f20\u4e09\u4e30", "JSON escapes"),
            ("oss://photos/脸.jpg", r"oss:\/\/photos\/\u8138.jpg", "JSON escapes"),
            ("oss://photos/脸.jpg", r"oss:\/\/photos\/脸.jpg", "JSON escapes"),
            ("他说\"好\"", r#"\u4ed6\u8bf4\"\u597d\""#, "JSON escapes"),
            ("他说\"好\"", r#"他说\"好\""#, "JSON escapes"),
            ("科技路7室", "%E7%A7%91%E6%8A%80%E8%B7%AF7%E5%AE%A4", "percent encoding"),
            ("科技路7室", "%e7%a7%91%e6%8a%80%e8%b7%af7%e5%ae%a4", "percent encoding"),
            ("oss://photos/a b", "oss%3A%2F%2Fphotos%2Fa%20b", "percent encoding"),
            ("oss://photos/a b", "oss%3A%2F%2Fphotos%2Fa+b", "percent encoding"),
            ("oss://photos/a b", "oss://photos/a%20b", "percent encoding"),
            ("+86 138", "%2B86+138", "percent encoding"),
            ("Li 5", "%4c%69%20%35", "percent encoding"),
            ("张三 A", r"\u{5f20}\u{4e09} A", "JSON escapes"),
            ("张三 A", r"\u{5F20}\u{4E09}\u{20}\u{41}", "JSON escapes"),
            ("张三 <A>", "&#24352;&#19977; &lt;A&gt;", "HTML entities"),
            ("张三 A", "&#x5f20;&#x4e09; A", "HTML entities"),
            ("张三 A", "&#x5F20;&#x4E09;&#x20;&#x41;", "HTML entities"),
            ("他说\"好\"", "他说&quot;好&quot;", "HTML entities"),
            ("13800138000", "138 0013 8000", "digits with spaces or dashes"),
            ("13800138000", "+86 (138) 0013-8000", "digits with spaces or dashes"),
            ("+86 13800138000", "138-00138000", "digits with spaces or dashes"),
        ] {
            let (needles, too_short) = needles(value);
            assert!(too_short.is_empty());
            let mut found = Vec::new();
            in_bytes(
                format!("before {written} after").as_bytes(),
                "here",
                &needles,
                &mut found,
            );
            let forms: Vec<&str> = found.iter().map(|found| found.form).collect();
            assert!(
                !forms.is_empty() && forms.iter().all(|found| *found == form),
                "{written}: {forms:?}"
            );
        }
    }

    #[test]
    fn a_file_of_any_editor_is_read_and_what_is_too_short_is_named_by_its_line() {
        for text in [
            "\u{feff}张三丰\r\n\r\n张\r\n 13800138000 \r\n",
            "张三丰\n\n张\n13800138000",
            "\u{feff}张三丰\r\r张\r13800138000\r",
        ] {
            let (needles, too_short) = needles(text);
            let lines: Vec<usize> = needles.iter().map(|needle| needle.line).collect();
            assert_eq!((lines, too_short), (vec![1, 4], vec![3]), "{text:?}");
            assert!(needles[0].forms.contains(&("UTF-8", "张三丰".as_bytes().to_vec())));
        }
    }

    #[test]
    fn a_value_across_the_border_of_two_pieces_is_found_once() {
        let mut haystack = vec![b'x'; (1 << 20) - 5];
        haystack.extend_from_slice(b"13800138000");
        haystack.extend(vec![b'x'; 100]);
        assert_eq!(found_in(&haystack), ["UTF-8"]);
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        assert!(found_in(&vec![0; 3 << 20]).is_empty());
        assert!(found_in(b"1380013800").is_empty());
    }
}
