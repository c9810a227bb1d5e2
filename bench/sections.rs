//! The file of results: a section for each question and each curve, so that a run of one leaves the others
//! alone.

/// The names of sections in their order: questions, and of one question its parts.
const ORDER: [&str; 11] = [
    "nbd",
    "iscsi",
    "iscsi, through libiscsi",
    "marks",
    "busy",
    "curves: size",
    "curves: marks",
    "curves: connections",
    "curves: entries",
    "memory",
    "recovery",
];
const TITLE: &str = "# Results\n";

/// The document with the section of this name replaced by `body`, or put in where there was none.
pub fn replaced(document: &str, section: &str, body: &str) -> String {
    let mut sections: Vec<(&str, &str)> = Vec::new();
    for part in document.split("\n## ").skip(1) {
        let (name, text) = part.split_once('\n').unwrap_or((part, ""));
        if name != section {
            sections.push((name, text));
        }
    }
    sections.push((section, body));
    sections.sort_by_key(|(name, _)| ORDER.iter().position(|known| known == name));
    let mut text = TITLE.to_owned();
    for (name, body) in sections {
        text += &format!("\n## {name}\n\n{}\n", body.trim_matches('\n'));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_others_stay() {
        let first = replaced("", "nbd", "- date: one\n\n### Table\n\n| a |\n");
        assert_eq!(first, "# Results\n\n## nbd\n\n- date: one\n\n### Table\n\n| a |\n");
        let both = replaced(&first, "memory", "at rest\n");
        assert_eq!(both, format!("{first}\n## memory\n\nat rest\n"));
        let again = replaced(&both, "nbd", "\nnew\n");
        assert_eq!(again, "# Results\n\n## nbd\n\nnew\n\n## memory\n\nat rest\n");
    }

    #[test]
    fn sections_stand_in_one_order_whichever_came_first() {
        let late = replaced("", "recovery", "r\n");
        let text = replaced(&replaced(&late, "curves: size", "c\n"), "marks", "m\n");
        let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(names, ["marks", "curves: size", "recovery"]);
    }

    #[test]
    fn a_replacement_by_the_same_text_changes_nothing() {
        let text = replaced(&replaced("", "nbd", "n\n"), "marks", "m\n");
        assert_eq!(replaced(&text, "nbd", "n\n"), text);
    }
}
