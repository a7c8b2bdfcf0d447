//! What names and other short texts must look like, in the sentences that Kubernetes uses: users search for them.

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
    and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
    and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
    alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
    must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
    validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// Why a text may not stand where it does, in Kubernetes' words; `Ok` if it may.
pub(super) type Verdict = Result<(), String>;

fn longest(text: &str, most: usize) -> Verdict {
    if text.len() > most { Err(format!("must be no more than {most} characters")) } else { Ok(()) }
}

fn must(good: bool, sentence: &str) -> Verdict {
    if good { Ok(()) } else { Err(sentence.to_owned()) }
}

fn is_label(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(plain) && text.ends_with(plain) && text.chars().all(|c| plain(c) || c == '-')
}

/// Letters, digits and `-_.`, with a letter or digit at both ends.
fn is_word(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(plain) && text.ends_with(plain) && text.chars().all(|c| plain(c) || "-_.".contains(c))
}

/// A name of a container, a volume, a namespace or a host.
pub(super) fn dns_label(text: &str) -> Verdict {
    longest(text, 63)?;
    must(is_label(text), LABEL)
}

/// A pod's name.
pub(super) fn dns_subdomain(text: &str) -> Verdict {
    longest(text, 253)?;
    must(text.split('.').all(is_label), SUBDOMAIN)
}

/// A key of a label, or of an annotation in lower case: `example.com/name`, with or without the prefix.
pub(super) fn qualified_name(text: &str) -> Verdict {
    let name = match text.split_once('/') {
        None => text,
        Some(("", _)) => return Err("prefix part must be non-empty".into()),
        Some((prefix, name)) => {
            dns_subdomain(prefix).map_err(|why| format!("prefix part {why}"))?;
            name
        }
    };
    must(!name.is_empty(), "name part must be non-empty")?;
    longest(name, 63).map_err(|why| format!("name part {why}"))?;
    must(is_word(name), NAME_PART)
}

/// A label's value.
pub(super) fn label_value(text: &str) -> Verdict {
    longest(text, 63)?;
    must(text.is_empty() || is_word(text), LABEL_VALUE)
}

/// A port's name.
pub(super) fn port_name(text: &str) -> Verdict {
    longest(text, 15)?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    must(text.chars().all(plain), "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")?;
    must(text.contains(|c: char| c.is_ascii_lowercase()), "must contain at least one letter (a-z)")?;
    must(!text.contains("--"), "must not contain consecutive hyphens")?;
    must(!text.starts_with('-') && !text.ends_with('-'), "must not begin or end with a hyphen")
}

/// A name of a header of HTTP.
pub(super) fn header_name(text: &str) -> Verdict {
    let good = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    must(
        good,
        "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for \
         validation is '[-A-Za-z0-9]+')",
    )
}

/// A variable's name.
pub(super) fn env_name(text: &str) -> Verdict {
    let good = text.chars().all(|c| (' '..='~').contains(&c) && c != '=');
    must(
        good,
        "a valid environment variable name must consist only of printable ASCII characters other than '='",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(verdict: Verdict) -> String {
        verdict.err().unwrap_or_default().chars().take(40).collect()
    }

    #[test]
    fn names() {
        let long = "x".repeat(64);
        type Row<'a> = (&'a str, fn(&str) -> Verdict, &'a str);
        let table: [Row<'_>; 27] = [
            ("web-1", dns_label, ""),
            ("Web", dns_label, "a lowercase RFC 1123 label must consist "),
            ("a.b", dns_label, "a lowercase RFC 1123 label must consist "),
            ("", dns_label, "a lowercase RFC 1123 label must consist "),
            (&long, dns_label, "must be no more than 63 characters"),
            ("a.b-c", dns_subdomain, ""),
            ("a..b", dns_subdomain, "a lowercase RFC 1123 subdomain must cons"),
            ("app", qualified_name, ""),
            ("example.com/My_app.v1", qualified_name, ""),
            ("/app", qualified_name, "prefix part must be non-empty"),
            ("Example.com/app", qualified_name, "prefix part a lowercase RFC 1123 subdoma"),
            ("a/", qualified_name, "name part must be non-empty"),
            ("a/b/c", qualified_name, "name part must consist of alphanumeric c"),
            ("-a", qualified_name, "name part must consist of alphanumeric c"),
            ("", label_value, ""),
            ("v1_2.3", label_value, ""),
            ("a b", label_value, "a valid label must be an empty string or"),
            ("http-1", port_name, ""),
            ("sixteen-letters-", port_name, "must be no more than 15 characters"),
            ("8080", port_name, "must contain at least one letter (a-z)"),
            ("a--b", port_name, "must not contain consecutive hyphens"),
            ("a-", port_name, "must not begin or end with a hyphen"),
            ("X-Real-2", header_name, ""),
            ("X: y", header_name, "a valid HTTP header must consist of alph"),
            ("", header_name, "a valid HTTP header must consist of alph"),
            ("MY.VAR x", env_name, ""),
            ("A=B", env_name, "a valid environment variable name must c"),
        ];
        for (text, check, want) in table {
            assert_eq!(why(check(text)), want, "{text}");
        }
    }
}
