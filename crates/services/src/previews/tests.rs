use super::properties;

fn check(html: &str, expected: &[(&str, &str)]) {
    let found = properties(html);
    let found: Vec<(&str, &str)> = found.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(found, expected, "{html}");
}

#[test]
fn a_page_says_what_it_is() {
    check(
        r#"<!doctype html><head><title>Not &amp; this</title>
        <meta property="og:title" content="The Ledger &amp; its books">
        <meta property='og:image' content="cover.png"><meta property="og:image" content="2.png">
        <script>"<meta property='og:type' content='a trick'>"</script></head>"#,
        &[("og:image", "cover.png"), ("og:title", "The Ledger & its books")],
    );
    check(
        "<TITLE>\n Cloves &lt;and\n pepper </TITLE><META NAME=description CONTENT='Spices'>",
        &[("og:description", "Spices"), ("og:title", "Cloves <and pepper")],
    );
    check("no page at all", &[]);
}

#[test]
fn a_page_that_is_too_deep_or_too_long_is_none_the_less_read() {
    let deep = format!("{}<meta property=og:type content=deep>", "<div>".repeat(100_000));
    check(&deep, &[("og:type", "deep")]);
    let long = format!("<title>{}</title>", "a".repeat(1_000_000));
    assert_eq!(properties(&long)["og:title"].len(), 1_000);
}
