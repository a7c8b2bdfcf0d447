//! Lists of small numbers as the kernel writes them: `0-3,7`.

/// The bits of a list; the error says what is wrong with it.
///
/// # Errors
/// For what is not such a list, or holds a number that is not below `limit`.
pub fn bits(text: &str, limit: u32) -> Result<Vec<u64>, String> {
    let mut words: Vec<u64> = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first, limit)?, number(last, limit)?);
        if first > last {
            return Err(format!("{part:?} ends before it begins"));
        }
        for number in first..=last {
            let word = usize::try_from(number / u64::BITS).map_err(|_| "too large".to_owned())?;
            if words.len() <= word {
                words.resize(word + 1, 0);
            }
            words[word] |= 1 << (number % u64::BITS);
        }
    }
    Ok(words)
}

fn number(text: &str, limit: u32) -> Result<u32, String> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{text:?} is not a number"));
    }
    // What does not fit into 32 bits is above every limit.
    match text.parse::<u32>() {
        Ok(number) if number < limit => Ok(number),
        _ => Err(format!("{text} is above {}", limit - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        assert_eq!(bits("0", 64), Ok(vec![1]));
        assert_eq!(bits("0-3,7", 64), Ok(vec![0x8f]));
        assert_eq!(bits("64,1", 128), Ok(vec![2, 1]));
        assert_eq!(bits(" 1 , 2", 64), Ok(vec![6]));
        for bad in [
            "",
            ",",
            "1,",
            "-1",
            "3-1",
            "a",
            "0x1",
            "1-2-3",
            "64",
            "0-9876543210",
            "99999999999999999999999",
            "+1",
        ] {
            assert!(bits(bad, 64).is_err(), "{bad}");
        }
    }
}
