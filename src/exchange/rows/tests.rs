//! Tables with and without a header, lines of JSON, and what is wrong with either.

use super::*;
use crate::exchange::{Imported, import};

fn read(format: Format, name: &str, text: &str) -> Result<Imported, Vec<String>> {
    let source = Source { path: name.into(), text: text.to_owned() };
    let read = import(format, name.as_ref(), &[source], None);
    read.map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn pairs(imported: &Imported) -> Vec<(String, String)> {
    let examples = imported.knowledge.examples();
    let id = |intent: u32| imported.knowledge.intents[intent as usize].id.clone();
    examples.map(|(intent, one)| (one.text.clone(), id(intent))).collect()
}

#[test]
fn columns_are_found_by_name_or_by_what_repeats() {
    let wanted = [("hi, there", "greet"), ("hello", "greet"), ("bye", "leave")];
    for (name, format, text) in [
        ("header", Format::Csv, "text,intent\n\"hi, there\",greet\nhello,greet\nbye,leave\n"),
        ("other order", Format::Csv, "Label,Query\ngreet,\"hi, there\"\ngreet,hello\nleave,bye"),
        ("no header", Format::Csv, "\"hi, there\",greet\r\nhello,greet\r\nbye,leave\r\n"),
        ("reversed", Format::Csv, "greet,\"hi, there\"\ngreet,hello\nleave,bye\n"),
        ("semicolons", Format::Csv, "utterance;class\nhi, there;greet\nhello;greet\nbye;leave\n"),
        ("tabs", Format::Tsv, "sentence\tcategory\nhi, there\tgreet\nhello\tgreet\nbye\tleave\n"),
        (
            "lines",
            Format::Jsonl,
            "{\"text\":\"hi, there\",\"intent\":\"greet\"}\n\n{\"text\":\"hello\",\"intent\":\"greet\"}\n{\"intent\":\"leave\",\"text\":\"bye\"}",
        ),
    ] {
        let imported = read(format, "a.x", text).unwrap_or_else(|f| panic!("{name}: {f:?}"));
        let found = pairs(&imported);
        assert_eq!(found, wanted.map(|(t, i)| (t.to_owned(), i.to_owned())), "{name}");
    }
}

#[test]
fn splits_languages_and_further_columns_are_minded() {
    let text = "text,intent,lang,split,note\nhi,greet,en,train,x\n嗨,greet,zh,,\nbonjour,greet,fr,,\nhey,greet,en,test,\nweather,oos,en,,\nRAIN?,None,,,\n";
    let imported = read(Format::Csv, "a.csv", text).unwrap();
    assert_eq!(pairs(&imported).len(), 2);
    assert_eq!(imported.out_of_scope.len(), 2);
    let left: Vec<&str> = imported.report.left_out.iter().map(|one| one.what.as_str()).collect();
    let wanted = ["fields \"note\"", "texts in the language \"fr\"", "rows of the split \"test\""];
    assert_eq!(left, wanted);
}

#[test]
fn bad_rows_are_named() {
    let csv = Format::Csv;
    for (name, format, text, expected) in [
        (
            "no intent column",
            csv,
            "text,foo\na,b\n",
            "a.csv:1:1: the first row names a text column",
        ),
        ("three nameless columns", csv, "a,b,c\nd,e,f\n", "names neither"),
        ("short row", csv, "text,intent\na,b\nc\n", "a.csv:3:1: the row has 1 fields"),
        ("empty intent", csv, "text,intent\na,\n", "a.csv:2:1: the intent is empty"),
        ("empty text", csv, "text,intent\n\"\n \",x\n", "a.csv:2:1: the text is empty"),
        ("open quote", csv, "text,intent\na,b\n\"c,d\ne,f\n", "a.csv:3:1: a quoted field"),
        ("empty", csv, "", "a.csv:1:1: the file has no rows"),
        ("cut", Format::Jsonl, "{\"text\":\"a\",", "a.csv:1:13: the file ends here"),
        ("no text", Format::Jsonl, "\n{\"intent\":\"a\"}", "a.csv:2:1: \"text\" is missing"),
        ("a list", Format::Jsonl, "[]", "a.csv:1:1: this is a list"),
        (
            "a number",
            Format::Jsonl,
            "{\"text\":[1],\"intent\":\"a\"}",
            "a.csv:1:9: \"text\" is a list",
        ),
        ("no lines", Format::Jsonl, "\n", "no example of an intent"),
    ] {
        let faults = read(format, "a.csv", text).expect_err(name);
        assert!(faults[0].contains(expected), "{name}: {faults:?}");
    }
    let text = "text,intent\na,\nb,\n";
    assert_eq!(read(csv, "a.csv", text).unwrap_err().len(), 2, "all faults are said");
}
