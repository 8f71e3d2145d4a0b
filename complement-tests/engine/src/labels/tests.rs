//! Filters and changes as Complement's client writes them.

use super::{Labels, Selection, label_change};

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_filter_wants_every_label_that_it_names() {
    let filters = r#"{"label":{"complement_context":true,"complement_pkg=fed":true}}"#;
    let selection = Selection::parse(Some(filters)).unwrap();
    let both = [("complement_context", "fed.alice.hs1"), ("complement_pkg", "fed")];
    assert!(selection.matches(&labels(&both)));
    assert!(!selection.matches(&labels(&both[..1])));
    assert!(!selection.matches(&labels(&[both[0], ("complement_pkg", "csapi")])));
}

#[test]
fn a_filter_may_be_a_list_or_absent() {
    let selection = Selection::parse(Some(r#"{"label":["a=b=c"]}"#)).unwrap();
    assert!(selection.matches(&labels(&[("a", "b=c")])));
    assert!(Selection::parse(None).unwrap().matches(&Labels::new()));
}

#[test]
fn an_unknown_filter_is_refused() {
    assert!(Selection::parse(Some(r#"{"status":["exited"]}"#)).is_err());
    assert!(Selection::parse(Some("label")).is_err());
}

#[test]
fn changes_keep_what_complement_decodes_itself() {
    for (line, key, value) in [
        (r#"LABEL "access_token_@alice:hs1"="syt=1""#, "access_token_@alice:hs1", "syt=1"),
        (r#"LABEL "as"="id: x\nurl: 'http://a:1'\n""#, "as", r"id: x\nurl: 'http://a:1'\n"),
        (r#"LABEL "quoted"="a\"b""#, "quoted", "a\"b"),
        ("LABEL plain=word", "plain", "word"),
        (r#"LABEL "empty"="""#, "empty", ""),
    ] {
        assert_eq!(label_change(line).unwrap(), (key.to_owned(), value.to_owned()), "{line}");
    }
}

#[test]
fn other_changes_are_refused() {
    for line in ["ENV A=B", "LABEL", "LABEL a", r#"LABEL "a"="b" "c"="d""#] {
        assert!(label_change(line).is_err(), "{line}");
    }
}
