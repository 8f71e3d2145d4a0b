//! The examples of the specification's appendix, and what canonical JSON forbids.

use proptest::prelude::*;

use super::*;

fn canonical(json: &str) -> String {
    String::from_utf8(to_bytes(&parse(json.as_bytes()).unwrap())).unwrap()
}

#[test]
fn the_examples_of_the_specification_come_out_as_printed() {
    for (input, expected) in [
        ("{}", "{}"),
        (r#"{ "one": 1, "two": "Two" }"#, r#"{"one":1,"two":"Two"}"#),
        (r#"{ "b": "2", "a": "1" }"#, r#"{"a":"1","b":"2"}"#),
        (r#"{"b":"2","a":"1"}"#, r#"{"a":"1","b":"2"}"#),
        (
            r#"{ "auth": { "success": true, "mxid": "@john.doe:example.com", "profile": {
                 "display_name": "John Doe", "three_pids": [
                   { "medium": "email", "address": "john.doe@example.org" },
                   { "medium": "msisdn", "address": "123456789" } ] } } }"#,
            r#"{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}"#,
        ),
        (r#"{ "a": "日本語" }"#, r#"{"a":"日本語"}"#),
        (r#"{ "本": 2, "日": 1 }"#, r#"{"日":1,"本":2}"#),
        (r#"{ "a": "\u65E5" }"#, r#"{"a":"日"}"#),
        (r#"{ "a": null }"#, r#"{"a":null}"#),
    ] {
        assert_eq!(canonical(input), expected);
    }
}

#[test]
fn only_what_must_be_escaped_is_escaped() {
    assert_eq!(
        canonical(r#"{"a":"\u0000\u0008\t\n\u000b\f\r\u001f\"\\\/\u007f\u00e9"}"#),
        "{\"a\":\"\\u0000\\b\\t\\n\\u000b\\f\\r\\u001f\\\"\\\\/\u{7f}é\"}",
    );
}

#[test]
fn integers_end_at_two_to_the_fifty_third() {
    assert_eq!(canonical(r#"{"a":9007199254740991}"#), r#"{"a":9007199254740991}"#);
    assert_eq!(canonical(r#"{"a":-9007199254740991}"#), r#"{"a":-9007199254740991}"#);
    for number in ["9007199254740992", "-9007199254740992", "1.0", "1e3", "18446744073709551616"] {
        assert!(parse(format!(r#"{{"a":{number}}}"#).as_bytes()).is_err(), "{number}");
    }
}

#[test]
fn what_is_not_an_object_is_refused() {
    for json in ["", "[]", "1", "\"a\"", "null", "{", "{}x", r#"{"a":"\ud800"}"#, "{\"a\":\"\n\"}"]
    {
        assert!(parse(json.as_bytes()).is_err(), "{json:?}");
    }
    assert!(parse(b"{\"a\":\"\xff\"}").is_err());
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
    assert!(parse(deep.as_bytes()).is_err());
}

#[test]
fn of_a_repeated_key_the_last_value_counts() {
    assert_eq!(canonical(r#"{"a":1,"b":{"c":1,"c":2},"a":3}"#), r#"{"a":3,"b":{"c":2}}"#);
}

proptest! {
    #[test]
    fn any_string_comes_back_and_is_written_as_ruma_writes_it(key in ".*", value in ".*") {
        let object = CanonicalJsonObject::from([(key, CanonicalJsonValue::String(value))]);
        let bytes = to_bytes(&object);
        prop_assert_eq!(&bytes, &serde_json::to_vec(&object).unwrap());
        prop_assert_eq!(parse(&bytes).unwrap(), object);
    }
}

fn any_object() -> impl Strategy<Value = CanonicalJsonObject> {
    let leaf = prop_oneof![
        Just(CanonicalJsonValue::Null),
        any::<bool>().prop_map(CanonicalJsonValue::Bool),
        any::<i32>().prop_map(|number| CanonicalJsonValue::Integer(number.into())),
        ".{0,8}".prop_map(CanonicalJsonValue::String),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(CanonicalJsonValue::Array),
            prop::collection::btree_map(".{0,4}", inner, 0..4).prop_map(CanonicalJsonValue::Object),
        ]
    });
    prop::collection::btree_map(".{0,4}", value, 0..4)
}

fn cut(json: &str) -> Result<Vec<(&str, &str)>, NotCut> {
    Members::of(json).map(|member| member.map(|(key, value)| (key, value.get()))).collect()
}

#[test]
fn an_object_is_cut_into_its_members_as_they_are_written() {
    assert_eq!(cut("{}"), Ok(vec![]));
    assert_eq!(
        cut(r#"{"a":[1,{"b":"]}\"\\"}],"c":-5,"d":"x,\\","e":{},"f":null,"g":true}"#),
        Ok(vec![
            ("a", r#"[1,{"b":"]}\"\\"}]"#),
            ("c", "-5"),
            ("d", r#""x,\\""#),
            ("e", "{}"),
            ("f", "null"),
            ("g", "true"),
        ]),
    );
}

#[test]
fn what_is_no_object_is_not_cut() {
    for json in [
        "",
        "{",
        "[]",
        "x",
        r#"{"a":1"#,
        r#"{"a":"1}"#,
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":[}"#,
        r#"{"a":1}x"#,
        r#"{"a":1,}"#,
    ] {
        assert_eq!(cut(json).err(), Some(NotCut), "{json}");
    }
}

#[test]
fn a_string_is_read_with_its_escapes() {
    let [("a", plain), ("b", escaped)] =
        Members::of(r#"{"a":"é","b":"\"\n"}"#).map(Result::unwrap).collect::<Vec<_>>()[..]
    else {
        panic!("two members");
    };
    assert_eq!(plain.string().as_deref(), Some("é"));
    assert_eq!(escaped.string().as_deref(), Some("\"\n"));
    assert_eq!((plain.number(), plain.to_raw().get()), (None, "\"é\""));
}

#[test]
fn an_object_of_pieces_is_what_they_say() {
    assert_eq!(RawObject::with_capacity(0).finish().get(), "{}");
    let mut object = RawObject::with_capacity(64);
    for member in Members::of(r#"{"content":{"a":[]}}"#) {
        object.put("content", member.unwrap().1);
    }
    object.put_string("sender", "\"quoted\"");
    object.put_number("age", 5);
    assert_eq!(object.finish().get(), r#"{"content":{"a":[]},"sender":"\"quoted\"","age":5}"#);
}

#[test]
fn an_object_inside_an_object_has_members_of_its_own() {
    let mut object = RawObject::with_capacity(64);
    object.begin("empty");
    object.end();
    object.begin("unsigned");
    object.put_number("age", 5);
    object.put_string("membership", "join");
    object.end();
    object.put_string("type", "x");
    let expected = r#"{"empty":{},"unsigned":{"age":5,"membership":"join"},"type":"x"}"#;
    assert_eq!(object.finish().get(), expected);
}

#[test]
fn a_begun_object_is_gone_on_with_as_often_as_one_likes() {
    let mut begun = RawObject::with_capacity(64);
    begun.put_string("a", "{");
    let begun = begun.pause();
    let mut list = RawArray::with_capacity(64);
    list.push(&begun, |object| object.put_number("b", 1));
    list.push(&begun, |_| {});
    assert_eq!(list.finish().get(), r#"[{"a":"{","b":1},{"a":"{"}]"#);
    assert_eq!(begun.resume(0).finish().get(), r#"{"a":"{"}"#);
    assert_eq!(RawArray::with_capacity(0).finish().get(), "[]");
}

proptest! {
    #[test]
    fn members_that_were_looked_up_once_are_those_of_the_object(object in any_object()) {
        let keys = ["", "a", "b"];
        let cut = CutObject::of(to_bytes(&object).into(), keys).unwrap();
        for (key, value) in keys.into_iter().zip(cut.members()) {
            let value = value.map(|value| serde_json::from_str(value.get()).unwrap());
            prop_assert_eq!(value.as_ref(), object.get(key));
        }
    }

    #[test]
    fn every_object_is_cut_as_a_parser_reads_it(object in any_object()) {
        let json = String::from_utf8(to_bytes(&object)).unwrap();
        let members: Vec<_> = Members::of(&json).map(Result::unwrap).collect();
        prop_assert_eq!(members.len(), object.len());
        for ((key, value), (expected_key, expected)) in members.into_iter().zip(&object) {
            prop_assert_eq!(serde_json::from_str::<String>(&format!("\"{key}\"")).unwrap(), expected_key.as_str());
            prop_assert_eq!(&serde_json::from_str::<CanonicalJsonValue>(value.get()).unwrap(), expected);
        }
    }
}
