//! From Go's messages to a table.

use super::{About, Run};

fn run(messages: &str) -> Run {
    let about = About {
        date: "2026-01-31".to_owned(),
        kontor: "aaa".to_owned(),
        complement: "bbb".to_owned(),
        machine: "2 cores".to_owned(),
        conditions: None,
    };
    Run::collect(about, messages.as_bytes()).unwrap()
}

const MESSAGES: &str = r#"
{"Action":"start","Package":"github.com/matrix-org/complement/tests"}
{"Action":"run","Package":"github.com/matrix-org/complement/tests","Test":"TestJoin"}
{"Action":"run","Package":"github.com/matrix-org/complement/tests","Test":"TestJoin/again"}
not JSON
{"Action":"output","Package":"github.com/matrix-org/complement/tests","Test":"TestJoin","Output":"x"}
{"Action":"pass","Package":"github.com/matrix-org/complement/tests","Test":"TestJoin/again"}
{"Action":"pass","Package":"github.com/matrix-org/complement/tests","Test":"TestJoin"}
{"Action":"run","Package":"github.com/matrix-org/complement/tests/csapi","Test":"TestDied"}
{"Action":"fail","Package":"github.com/matrix-org/complement/tests/csapi"}
"#;

#[test]
fn results_are_written_and_read_again() {
    let run = run(MESSAGES);
    let text = run.write().unwrap();
    assert_eq!(text.lines().count(), 4);
    assert!(text.contains(r#"{"area":"csapi","name":"TestDied","result":"fail"}"#));
    assert_eq!(Run::read(&text).unwrap(), run);
}

#[test]
fn areas_count_tests_and_sub_tests() {
    let table = run(MESSAGES).by_area();
    let all: Vec<&str> = table.lines().nth(3).unwrap().split_whitespace().collect();
    assert_eq!(all, ["all", "1", "1", "0", "2", "1", "0"]);
}

#[test]
fn two_runs_are_compared() {
    let newer = run(&MESSAGES.replace(
        r#""pass","Package":"github.com/matrix-org/complement/tests","Test":"TestJoin/again""#,
        r#""fail","Package":"github.com/matrix-org/complement/tests","Test":"TestJoin/again""#,
    ));
    let older = run(MESSAGES);
    assert_eq!(newer.since(&older).trim(), "- federation TestJoin/again");
    assert_eq!(older.since(&newer).trim(), "+ federation TestJoin/again");
}

#[test]
fn runs_that_end_alike_have_no_differences() {
    let one = run(MESSAGES);
    assert_eq!(one.differences(&one), "");
    assert_eq!(one.summary(), "1 tests pass, 1 fail, 0 skipped, 3 with sub-tests");
    let other = run(&MESSAGES.replace("TestDied", "TestLived"));
    let told = "csapi TestDied: fail, was not run\ncsapi TestLived: was not run, fail\n";
    assert_eq!(one.differences(&other), told);
}
