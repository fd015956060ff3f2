//! `field` reads JSON for the scripts of the tests in the rig.

use assert_cmd::Command;

/// What it prints, and its exit status.
fn field(input: &str, args: &[&str]) -> (String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_field"))
        .args(args)
        .write_stdin(input)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    (said, output.status.code())
}

const RECORDS: &str = r#"
{"kind":"tsc","sync":1,"value":18446744073709551615}
{"kind":"console_in","sync":2,"bytes":"a \"b\", c","port":2}
{"kind":"value","sync":2,"bytes":"","value":{"sync":9}}
"#;

#[test]
fn a_field_of_each_object_that_is_meant() {
    let said = |args: &[&str]| field(RECORDS, args).0;
    assert_eq!(said(&["sync"]), "1\n2\n2\n");
    assert_eq!(said(&["bytes"]), "a \"b\", c\n\n");
    assert_eq!(said(&["value", "kind=tsc"]), "18446744073709551615\n");
    assert_eq!(said(&["kind", "sync=2", "bytes="]), "value\n");
    assert_eq!(said(&["value.sync"]), "9\n");
    assert_eq!(said(&["nothing"]), "");
    assert_eq!(field("[{\"a\":1},{\"a\":true}]", &["a"]).0, "1\ntrue\n");
}

#[test]
fn what_is_cut_off_is_no_fault_and_what_is_no_json_is() {
    let cut = field("{\"a\":1}\n{\"a\":2,\"b", &["a"]);
    assert_eq!(cut, ("1\n".to_owned(), Some(0)));
    assert_eq!(field("", &["a"]), (String::new(), Some(0)));
    assert_eq!(field("{\"a\":1} xenlr: no", &["a"]).1, Some(1));
    assert_eq!(field("{}", &["a", "b"]).1, Some(1));
    assert_eq!(field("{}", &[]).1, Some(1));
}
