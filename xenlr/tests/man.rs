//! The manual page names every verb and option that there is, and no others.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Command, CommandFactory};

const PAGE: &str = include_str!("../../docs/man/xenlr.1");

/// What the page says of each verb: the paragraphs that begin with its name, without roff's escapes.
fn page() -> BTreeMap<String, String> {
    let plain = PAGE
        .replace("\\-", "-")
        .replace("\\fR", "")
        .replace("\\fI", "");
    let verbs = verbs();
    let mut said: BTreeMap<String, String> = BTreeMap::new();
    let mut verb = String::new();
    let mut is_heading = false;
    for line in plain.lines() {
        if line.starts_with(".SH") {
            verb.clear();
        }
        if is_heading {
            let first = line.trim_start_matches(|c: char| c == '.' || c.is_uppercase());
            let first = first.split_whitespace().next().unwrap_or_default();
            if verbs.iter().any(|known| known.get_name() == first) {
                first.clone_into(&mut verb);
            }
        }
        is_heading = line == ".TP";
        let text = said.entry(verb.clone()).or_default();
        text.push_str(line);
        text.push('\n');
    }
    said
}

fn verbs() -> Vec<Command> {
    let mut all = xenlr::cli::Cli::command();
    all.build();
    all.get_subcommands()
        .filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
        .cloned()
        .collect()
}

fn options(command: &Command) -> BTreeSet<String> {
    command
        .get_arguments()
        .filter_map(|argument| argument.get_long())
        .filter(|name| !["help", "version"].contains(name))
        .map(|name| format!("--{name}"))
        .collect()
}

/// The words of a text that look like long options.
fn named(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_lowercase() || c == '-'))
        .filter(|word| word.starts_with("--") && word.len() > 2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn each_verb_has_its_options_in_the_manual_page() {
    let page = page();
    let everywhere = options(&xenlr::cli::Cli::command());
    for verb in verbs() {
        let name = verb.get_name();
        let Some(text) = page.get(name) else {
            panic!("{name} is not in the manual page");
        };
        let mut said = named(text);
        if text.contains("as for \" replay") {
            said.extend(named(&page["replay"]));
        }
        said.extend(everywhere.iter().cloned());
        let missing: Vec<_> = options(&verb).difference(&said).cloned().collect();
        assert!(
            missing.is_empty(),
            "the manual page of {name} lacks {missing:?}"
        );
    }
}

#[test]
fn every_kind_of_record_is_in_the_manual_page() {
    let words: BTreeSet<&str> = PAGE
        .split(|c: char| !(c.is_ascii_lowercase() || c == '_'))
        .collect();
    for kind in log_format::Kind::ALL {
        assert!(words.contains(kind.name()), "{}", kind.name());
    }
}

#[test]
fn the_manual_page_names_no_option_that_there_is_not() {
    let mut known = options(&xenlr::cli::Cli::command());
    known.extend(verbs().iter().flat_map(options));
    let unknown: Vec<String> = page()
        .values()
        .flat_map(|text| named(text))
        .filter(|option| !known.contains(option))
        .collect();
    assert!(unknown.is_empty(), "no such option: {unknown:?}");
    // Control: a word that is none is found in a text.
    assert!(named("see --fly, or - and --").contains("--fly"));
}
