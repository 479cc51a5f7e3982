//! Names in tables.

use super::*;

fn fits(check: fn(&str) -> Vec<String>, good: &[&str], bad: &[&str]) {
    for text in good {
        assert_eq!(check(text), Vec::<String>::new(), "{text:?}");
    }
    for text in bad {
        assert_ne!(check(text), Vec::<String>::new(), "{text:?}");
    }
}

#[test]
fn labels_and_subdomains_are_lower_case_and_bounded_by_letters_or_digits() {
    let long = "a".repeat(64);
    fits(dns_label, &["a", "0", "a-b", "1a"], &["", "-", "a-", "-a", "A", "a.b", "a_b", &long]);
    fits(dns_label_1035, &["a", "a-1"], &["", "1a", "a-", "A", &long]);
    fits(dns_subdomain, &["a", "a.b", "1.2.3"], &["", ".", "a.", ".a", "a..b", "A.b", "a_b"]);
}

#[test]
fn qualified_names_have_at_most_one_slash() {
    fits(qualified_name, &["a", "A_b.c-d", "example.com/a"], &["", "/a", "a/", "a/b/c", "-a", "Example.com/a", "a b"]);
    fits(label_value, &["", "a", "A_b"], &["-", "a b", "a/b"]);
}

#[test]
fn port_names_are_those_of_iana() {
    fits(port_name, &["http", "a-1"], &["", "80", "HTTP", "a--b", "-a", "a_b", "more-than-fifteen"]);
}

#[test]
fn messages_are_upstreams() {
    assert_eq!(
        dns_label("A"),
        [
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
        ]
    );
    assert_eq!(dns_label("a.b"), ["must not contain dots"]);
}

#[test]
fn a_prefix_may_end_in_a_dash() {
    assert!(dns_subdomain_name("web-", true).is_empty());
    assert!(!dns_subdomain_name("web-", false).is_empty());
}

#[test]
fn generated_names_keep_the_prefix_and_fit_a_label() {
    assert_eq!(generated_name("web-", || 0), "web-bbbbb");
    let long = generated_name(&"a".repeat(70), || 26);
    assert_eq!(long.len(), 63);
    assert!(long.ends_with("a99999"));
}
