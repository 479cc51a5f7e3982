//! PEM blocks, as far as a check of an object needs them: their labels and whether they have headers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// One block.
pub(super) struct Block {
    pub(super) label: String,
    pub(super) has_headers: bool,
}

/// The blocks of a text in base64, up to the first that is none.
pub(super) fn blocks(encoded: &str) -> Vec<Block> {
    let bytes = STANDARD.decode(encoded).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let (mut rest, mut found) = (text.as_ref(), Vec::new());
    while let Some((block, after)) = next(rest) {
        found.push(block);
        rest = after;
    }
    found
}

fn next(text: &str) -> Option<(Block, &str)> {
    let (_, begun) = text.split_once("-----BEGIN ")?;
    let (label, body) = begun.split_once("-----")?;
    let (body, after) = body.split_once(&format!("-----END {label}-----"))?;
    let is_header = |line: &str| line.contains(':');
    let content: String = body.lines().filter(|line| !is_header(line)).map(str::trim).collect();
    STANDARD.decode(content).ok()?;
    Some((Block { label: label.to_owned(), has_headers: body.lines().any(is_header) }, after))
}
