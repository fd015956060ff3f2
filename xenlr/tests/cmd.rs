//! What a user sees is pinned, word for word: the texts in `cmd/`.
//!
//! After a change that is meant, `TRYCMD=overwrite cargo test -p xenlr --test cmd` writes them anew.

#[test]
fn output_is_as_it_was() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}
