//! What a source file says of rooms, as far as it can be told without compiling it.

/// A source file: its path below `src/` and its text.
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
}

/// What a file says, without comments and literals.
struct Token<'a> {
    text: &'a str,
    line: usize,
}

/// A path that begins at the root of the crate, as far as the table looks at it.
#[derive(Debug)]
pub(super) struct Import<'a> {
    pub(super) line: usize,
    /// The room and, where one is named, its part.
    pub(super) path: Vec<&'a str>,
    pub(super) code: Code,
}

/// What code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Program,
    Test,
}

/// What one file names, and which of its modules in files of their own are for tests.
#[derive(Default)]
pub(super) struct Reading<'a> {
    pub(super) imports: Vec<Import<'a>>,
    pub(super) test_modules: Vec<Vec<String>>,
}

// === impl Source ===

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The path of its module: `proxy/path/tests.rs` is `["proxy", "path", "tests"]`.
    pub(super) fn module(&self) -> Vec<String> {
        let path = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        path.strip_suffix("/mod").unwrap_or(path).split('/').map(str::to_owned).collect()
    }

    pub(super) fn room(&self) -> String {
        self.module().swap_remove(0)
    }
}

// === impl Reading ===

/// Reads a file's text; nothing is compiled.
pub(super) fn read(source: &Source) -> Reading<'_> {
    let tokens = tokens(&source.text);
    let word = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let mut reading = Reading::default();
    let mut module: Vec<String> = source.module();
    // For each open brace: whether it opened a module, and what the code around it was for.
    let mut braces: Vec<(bool, Code)> = Vec::new();
    let mut code = Code::Program;
    // What the item that follows is for, while its attributes and head are read.
    let mut item = Code::Program;
    for at in 0..tokens.len() {
        match word(at) {
            "cfg" if (word(at + 1), word(at + 2), word(at + 3)) == ("(", "test", ")") => item = Code::Test,
            "mod" if word(at + 2) == ";" && (item == Code::Test || code == Code::Test) => {
                let inner = module.iter().cloned().chain([word(at + 1).to_owned()]);
                reading.test_modules.push(inner.collect());
            }
            "{" => {
                let opens_module = at >= 2 && word(at - 2) == "mod";
                if opens_module {
                    module.push(word(at - 1).to_owned());
                }
                braces.push((opens_module, code));
                code = if item == Code::Test { item } else { code };
                item = Code::Program;
            }
            "}" => {
                let (opened_module, outside) = braces.pop().unwrap_or((false, Code::Program));
                if opened_module {
                    module.pop();
                }
                (code, item) = (outside, Code::Program);
            }
            ";" => item = Code::Program,
            "crate" | "flexslot_proxy" | "super" if at == 0 || word(at - 1) != "::" || word(at - 2) == "self" => {
                let mut paths = Vec::new();
                expand(&tokens, at, &mut Vec::new(), &mut paths);
                let from_root = paths.into_iter().filter_map(|(line, path)| Some((line, rooted(&module, &path)?)));
                let code = if item == Code::Test { item } else { code };
                reading.imports.extend(from_root.map(|(line, path)| Import { line, path, code }));
            }
            _ => {}
        }
    }
    reading
}

/// The first two names behind the root of the crate; `None` where the path stays below the root or is the bare keyword.
fn rooted<'a>(module: &[String], path: &[&'a str]) -> Option<Vec<&'a str>> {
    let climbed = path.iter().take_while(|name| **name == "super").count();
    let rest = match path.first() {
        Some(&"super") if climbed == module.len() => path.get(climbed..)?,
        Some(&("crate" | "flexslot_proxy")) => path.get(1..)?,
        _ => return None,
    };
    (!rest.is_empty()).then(|| rest.iter().copied().take(2).collect())
}

/// Every path of the tree that begins at `at`, such as three of `crate::{a, b::{c, d}}`, and where the tree ends.
fn expand<'a>(
    tokens: &[Token<'a>],
    mut at: usize,
    prefix: &mut Vec<&'a str>,
    paths: &mut Vec<(usize, Vec<&'a str>)>,
) -> usize {
    let depth = prefix.len();
    while let Some(token) = tokens.get(at) {
        if token.text == "{" {
            at += 1;
            while let Some(token) = tokens.get(at).filter(|token| token.text != "}") {
                at = match token.text {
                    "," => at + 1,
                    "as" => at + 2,
                    _ => expand(tokens, at, prefix, paths),
                };
            }
            prefix.truncate(depth);
            return at + 1;
        }
        prefix.push(token.text);
        at += 1;
        if tokens.get(at).is_none_or(|token| token.text != "::") {
            paths.push((token.line, prefix.clone()));
            break;
        }
        at += 1;
    }
    prefix.truncate(depth);
    at
}

// === impl Token ===

/// Words, `::` and single marks; comments, strings, characters and lifetimes are left out.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut tokens, mut rest, mut line) = (Vec::new(), text, 1);
    while let Some(first) = rest.chars().next() {
        let (skipped, length) = match first {
            '/' if rest.starts_with("//") => (true, rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => (true, block_comment(rest)),
            '"' => (true, string(rest)),
            '\'' => (true, character_or_lifetime(rest)),
            ':' if rest.starts_with("::") => (false, 2),
            c if is_word(c) => match raw_string(rest) {
                Some(length) => (true, length),
                None => (false, rest.find(|c| !is_word(c)).unwrap_or(rest.len())),
            },
            c => (c.is_whitespace(), c.len_utf8()),
        };
        let (taken, behind) = rest.split_at(length);
        if !skipped {
            tokens.push(Token { text: taken, line });
        }
        line += taken.matches('\n').count();
        rest = behind;
    }
    tokens
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        match text.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// `r"…"`, `br#"…"#` and their like, whose ends are not escaped.
fn raw_string(text: &str) -> Option<usize> {
    let marks = ["r", "br", "cr"].iter().find_map(|start| text.strip_prefix(start))?;
    let fence = marks.len() - marks.trim_start_matches('#').len();
    let inside = marks.get(fence..)?.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(fence));
    let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
    Some(text.len() - inside.len() + length)
}

/// `'a'` and `'\n'` are characters; `'a` is a lifetime, whose name is left to be read as a word that means nothing
/// here.
fn character_or_lifetime(text: &str) -> usize {
    let mut inside = text.char_indices().skip(1);
    match (inside.next(), inside.next()) {
        (Some((_, '\\')), Some((at, escaped))) => {
            let from = at + escaped.len_utf8();
            text.get(from..).and_then(|rest| rest.find('\'')).map_or(text.len(), |end| from + end + 1)
        }
        (_, Some((at, '\''))) => at + 1,
        _ => 1,
    }
}
