//! Telephone numbers in one form, whatever form a trunk writes them in.
//!
//! Plain functions. A number is compared and counted as E.164 (`+`, country code, national number); what is no
//! telephone number (`hotline`, `*99`) stays as it is. No numbering plan is known here: a number without any prefix is
//! a national one, service numbers (95588, 4006000121) too, so that both sides of a comparison come out alike.
//!
//! Source: ITU-T E.164 (15 digits at most), E.123 (separators), RFC 3966 §5.1 (visual separators).

/// Digits of the longest international number (E.164 §6).
const DIGITS_MAX: usize = 15;

/// Digits of the longest national number that may stand without any prefix; a longer one that begins with the
/// country code is international without its `+`.
const NATIONAL_DIGITS_MAX: usize = 11;

/// A number in E.164 form; `country_code` is that of national forms (`86`), digits only.
pub fn canonical(number: &str, country_code: &str) -> String {
    let Some(digits) = digits_of(number) else {
        return number.to_owned();
    };
    let international = digits
        .strip_prefix('+')
        .or_else(|| digits.strip_prefix("00"));
    if let Some(international) = international {
        return format!("+{international}");
    }
    if digits.len() > NATIONAL_DIGITS_MAX && digits.starts_with(country_code) {
        return format!("+{digits}");
    }
    // The trunk prefix 0 of a national number (E.164 §7) is no part of it.
    let national = digits.strip_prefix('0').unwrap_or(&digits);
    format!("+{country_code}{national}")
}

/// The digits, a leading `+` kept and separators left out; `None` if it is no telephone number.
fn digits_of(number: &str) -> Option<String> {
    let mut digits = String::with_capacity(number.len());
    for (place, sign) in number.chars().enumerate() {
        match sign {
            '+' if place == 0 => digits.push(sign),
            '0'..='9' => digits.push(sign),
            '-' | '.' | ' ' | '(' | ')' => {}
            _ => return None,
        }
    }
    let count = digits
        .trim_start_matches('+')
        .trim_start_matches("00")
        .len();
    (1..=DIGITS_MAX).contains(&count).then_some(digits)
}

/// Whether two numbers are the same telephone's.
pub fn is_same(one: &str, other: &str, country_code: &str) -> bool {
    canonical(one, country_code) == canonical(other, country_code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_of_a_number_becomes_the_same() {
        for form in [
            "+8613800138000",
            "008613800138000",
            "8613800138000",
            "13800138000",
            "013800138000",
            "+86 138-0013-8000",
            "+86.138.0013.8000",
            "(0)13800138000",
        ] {
            assert_eq!(canonical(form, "86"), "+8613800138000", "{form}");
        }
        assert_eq!(canonical("01062345678", "86"), "+861062345678");
        assert_eq!(canonical("4006000121", "86"), "+864006000121");
        assert!(is_same("+864006000121", "4006000121", "86"));
        assert!(is_same("95588", "+8695588", "86"));
        assert!(!is_same("95588", "95589", "86"));
    }

    #[test]
    fn another_countrys_number_keeps_its_own_code() {
        assert_eq!(canonical("+442079460000", "86"), "+442079460000");
        assert_eq!(canonical("00442079460000", "86"), "+442079460000");
    }

    #[test]
    fn what_is_no_telephone_number_stays_as_it_is() {
        for other in [
            "hotline",
            "*99",
            "",
            "+",
            "1000x",
            "anonymous",
            "1234567890123456",
        ] {
            assert_eq!(canonical(other, "86"), other);
        }
    }

    proptest! {
        #[test]
        fn a_canonical_number_is_canonical(number in "[+]?[0-9 .()-]{0,20}") {
            let once = canonical(&number, "86");
            prop_assert_eq!(canonical(&once, "86"), once);
        }
    }
}
