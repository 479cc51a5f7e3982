//! What a terminal does between a person and a program: it echoes, gathers lines, and reads the keys that end things.
//! Pure. It is always in its usual mode: guests have no way to change that.

const INTERRUPT: u8 = 0x03;
const END: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const KILL_LINE: u8 = 0x15;
const ERASE: u8 = 0x7f;
/// Bytes of a line that is not complete. What comes beyond is dropped, as terminals do.
const LINE_BYTES_MAX: usize = 4096;

/// What a person typed amounts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// For the program.
    Input(Vec<u8>),
    /// The program's input ends.
    End,
    /// The program is to end.
    Interrupt,
}

/// The line that is being typed.
#[derive(Debug, Default)]
pub(crate) struct Terminal {
    line: Vec<u8>,
    /// The last byte was a carriage return, and a line feed after it is no second line.
    after_return: bool,
}

impl Terminal {
    /// Takes in what was typed. Returns what it means, and what is to be shown of it.
    pub(crate) fn take_in(&mut self, bytes: &[u8]) -> (Vec<Typed>, Vec<u8>) {
        let (mut typed, mut echo) = (Vec::new(), Vec::new());
        for byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, *byte == b'\r');
            match *byte {
                b'\n' if after_return => {}
                b'\r' | b'\n' => {
                    echo.extend_from_slice(b"\r\n");
                    self.line.push(b'\n');
                    typed.push(Typed::Input(std::mem::take(&mut self.line)));
                }
                INTERRUPT => {
                    echo.extend_from_slice(b"^C\r\n");
                    self.line.clear();
                    typed.push(Typed::Interrupt);
                }
                END if self.line.is_empty() => typed.push(Typed::End),
                END => typed.push(Typed::Input(std::mem::take(&mut self.line))),
                ERASE | BACKSPACE => self.erase(&mut echo),
                KILL_LINE => {
                    while !self.line.is_empty() {
                        self.erase(&mut echo);
                    }
                }
                _ if self.line.len() >= LINE_BYTES_MAX => {}
                byte => {
                    self.line.push(byte);
                    match byte {
                        b'\t' | b' '.. => echo.push(byte),
                        control => echo.extend_from_slice(&[b'^', control + b'@']),
                    }
                }
            }
        }
        (typed, echo)
    }

    /// Takes back the last character.
    fn erase(&mut self, echo: &mut Vec<u8>) {
        while let Some(byte) = self.line.pop() {
            let is_continuation = byte & 0b1100_0000 == 0b1000_0000;
            if !is_continuation {
                return echo.extend_from_slice(b"\x08 \x08");
            }
        }
    }
}

/// What a program writes, as a terminal shows it: a new line begins at its left edge.
pub(crate) fn shown(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 16);
    for byte in bytes {
        if *byte == b'\n' {
            out.push(b'\r');
        }
        out.push(*byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &str, typed: &[Typed], echo: &str) {
        let (found, shown) = Terminal::default().take_in(bytes.as_bytes());
        assert_eq!(found, typed, "{bytes:?}");
        assert_eq!(String::from_utf8(shown).unwrap(), echo, "{bytes:?}");
    }

    fn input(text: &str) -> Typed {
        Typed::Input(text.as_bytes().to_vec())
    }

    #[test]
    fn lines_are_echoed_and_handed_on_whole() {
        check("hi\r", &[input("hi\n")], "hi\r\n");
        check("hi\r\nyou\r\n", &[input("hi\n"), input("you\n")], "hi\r\nyou\r\n");
        check("h", &[], "h");
    }

    #[test]
    fn what_was_erased_was_never_typed() {
        check("ab\x7fc\r", &[input("ac\n")], "ab\x08 \x08c\r\n");
        check("é\x7f\r", &[input("\n")], "é\x08 \x08\r\n");
        check("abc\x15x\r", &[input("x\n")], "abc\x08 \x08\x08 \x08\x08 \x08x\r\n");
        check("\x7f", &[], "");
    }

    #[test]
    fn keys_end_the_input_or_the_program() {
        check("\x04", &[Typed::End], "");
        check("ab\x04", &[input("ab")], "ab");
        check("ab\x03", &[Typed::Interrupt], "ab^C\r\n");
    }

    #[test]
    fn a_new_line_begins_at_the_left_edge() {
        assert_eq!(shown(b"a\nb"), b"a\r\nb");
    }
}
