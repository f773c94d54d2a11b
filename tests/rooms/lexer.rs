//! Rust source → the paths that it names, with their lines. Comments, literals and test code are left out.
//!
//! Knows just enough of the language for that: comments nest, `'a` may be a lifetime, `r#"…"#` is a string.

/// A path as it is written, `use` groups taken apart: `use a::{b, c::d}` is `a::b` and `a::c::d`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    pub line: usize,
    pub segments: Vec<String>,
    /// Modules opened within the file around it: `mod inner { … }`.
    pub inside: Vec<String>,
    /// Whether a `!` follows: a macro.
    pub is_macro: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    line: usize,
    text: String,
}

/// All paths of a source text; a lone identifier is a path of one segment.
pub fn paths(source: &str) -> Vec<Path> {
    let tokens = without_tests(tokens(source));
    let mut reader = Reader {
        tokens: &tokens,
        at: 0,
        depth: 0,
        inside: Vec::new(),
        found: Vec::new(),
    };
    while reader.at < tokens.len() {
        reader.step();
    }
    reader.found
}

struct Reader<'t> {
    tokens: &'t [Token],
    at: usize,
    depth: usize,
    inside: Vec<(String, usize)>,
    found: Vec<Path>,
}

impl Reader<'_> {
    fn text(&self, ahead: usize) -> &str {
        self.tokens
            .get(self.at + ahead)
            .map_or("", |token| &token.text)
    }

    fn step(&mut self) {
        match self.text(0) {
            "mod" if self.text(2) == "{" => {
                self.inside.push((self.text(1).to_owned(), self.depth));
                self.at += 2;
            }
            "{" => {
                self.depth += 1;
                self.at += 1;
            }
            "}" => {
                self.depth = self.depth.saturating_sub(1);
                if self
                    .inside
                    .last()
                    .is_some_and(|(_, depth)| *depth == self.depth)
                {
                    self.inside.pop();
                }
                self.at += 1;
            }
            "::" if is_name(self.text(1)) => self.at += 1,
            text if is_name(text) => self.path(&mut Vec::new()),
            _ => self.at += 1,
        }
    }

    /// One path, or a group's many, behind a common beginning.
    fn path(&mut self, before: &mut Vec<String>) {
        let common = before.len();
        let line = self.tokens[self.at].line;
        loop {
            let text = self.text(0).to_owned();
            if is_name(&text) || text == "*" {
                before.push(text);
                self.at += 1;
            }
            match (self.text(0), self.text(1)) {
                ("::", "{") => {
                    self.at += 2;
                    self.group(before);
                    break;
                }
                ("::", next) if is_name(next) || next == "*" => self.at += 1,
                _ => {
                    self.keep(line, before);
                    break;
                }
            }
        }
        before.truncate(common);
    }

    fn group(&mut self, before: &mut Vec<String>) {
        while self.at < self.tokens.len() && self.text(0) != "}" {
            match self.text(0) {
                "as" => self.at += 2,
                "{" => {
                    self.at += 1;
                    self.group(before);
                }
                text if is_name(text) || text == "*" => self.path(before),
                _ => self.at += 1,
            }
        }
        self.at += 1;
    }

    fn keep(&mut self, line: usize, segments: &[String]) {
        let mut segments = segments.to_vec();
        if segments.len() > 1 && segments.last().is_some_and(|last| last == "self") {
            segments.pop();
        }
        self.found.push(Path {
            line,
            segments,
            inside: self.inside.iter().map(|(name, _)| name.clone()).collect(),
            is_macro: self.text(0) == "!" && self.text(1) != "=",
        });
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Drops each item behind `#[cfg(test)]`: to its `;`, or to the end of its braces.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let rest = &tokens[at..];
        if rest.len() >= MARK.len()
            && rest
                .iter()
                .zip(MARK)
                .all(|(token, mark)| token.text == mark)
        {
            at += MARK.len() + item_length(&rest[MARK.len()..]);
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

fn item_length(tokens: &[Token]) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && token.text == "}" {
                    return index + 1;
                }
            }
            ";" if depth == 0 => return index + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Names, `::` and single characters; literals and comments leave nothing.
fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let length = literal_or_comment(&chars[at..]);
        let (length, keep) = match length {
            0 => token_length(&chars[at..]),
            length => (length, false),
        };
        let text: String = chars[at..at + length].iter().collect();
        let lines = text.matches('\n').count();
        if keep {
            tokens.push(Token { line, text });
        }
        line += lines;
        at += length;
    }
    tokens
}

fn token_length(rest: &[char]) -> (usize, bool) {
    match rest {
        [c, ..] if c.is_whitespace() => (1, false),
        [':', ':', ..] => (2, true),
        ['r', '#', c, ..] if c.is_alphabetic() => (2, false),
        [c, ..] if c.is_alphanumeric() || *c == '_' => {
            let length = rest
                .iter()
                .take_while(|c| c.is_alphanumeric() || **c == '_')
                .count();
            // A number is a literal; its suffix with it.
            (length, !c.is_ascii_digit())
        }
        _ => (1, true),
    }
}

/// The length of a comment or a literal that begins here; 0 if none does.
fn literal_or_comment(rest: &[char]) -> usize {
    match rest {
        ['/', '/', ..] => rest.iter().take_while(|c| **c != '\n').count(),
        ['/', '*', ..] => block_comment(rest),
        ['"', ..] => quoted(rest, 0, '"'),
        ['b', '"', ..] | ['c', '"', ..] => quoted(rest, 1, '"'),
        ['b', '\'', ..] => quoted(rest, 1, '\''),
        ['r', '"' | '#', ..] => raw(rest, 1),
        ['b' | 'c', 'r', '"' | '#', ..] => raw(rest, 2),
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => quoted(rest, 0, '\''),
        ['\'', ..] => 1,
        _ => 0,
    }
}

fn block_comment(rest: &[char]) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (at, depth) = (at + 2, depth + 1),
            ['*', '/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[char], prefix: usize, quote: char) -> usize {
    let mut at = prefix + 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `r"…"`, `r#"…"#` and so on; 0 for a raw identifier.
fn raw(rest: &[char], prefix: usize) -> usize {
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    if rest.get(prefix + hashes) != Some(&'"') {
        return 0;
    }
    let mut at = prefix + hashes + 1;
    while at < rest.len() {
        let behind = rest[at + 1..].iter().take_while(|c| **c == '#').count();
        if rest[at] == '"' && behind >= hashes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    rest.len()
}
